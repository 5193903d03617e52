"""One file over HTTP: resumed where it stopped, verified, tried again.

`pooch` hashes the files; its downloaders cannot go on in the middle of a file (they know no
``Range`` request), so the transfer itself is here, on `requests`, which pooch brings along.
"""

import os
import threading
from pathlib import Path
from urllib.parse import quote

import requests
from pooch.hashes import hash_matches

ATTEMPTS = 6
BACKOFF = 1.0  # seconds before the second attempt, doubled before each further one
LONGEST_PAUSE = 60.0  # seconds, also where a server asks for more
TIMEOUTS = (10, 30)  # seconds to connect, and between two packets
PIECE = 1 << 16


class FileFailed(Exception):
    """A file that could not be had; the others go on."""


class TryAgain(Exception):
    """An attempt failed in a way that may pass; ``pause`` is what the server asked for."""

    def __init__(self, reason: str, pause: float = 0.0):
        super().__init__(reason)
        self.pause = pause


class Client:
    """Fetches single files below ``base`` into ``root``; used by several threads at once."""

    def __init__(self, base: str, root: Path):
        self.base = base.rstrip("/") + "/"
        self.root = root
        self.stop = threading.Event()  # set: nothing is written any more
        self._local = threading.local()

    def ensure(self, name: str, digest: str | None) -> None:
        """Have the right file in place: verified where it is there, fetched where not.

        Without a ``digest`` it is fetched in any case. Raises `FileFailed`.
        """
        target = self.root / name
        if digest and target.is_file() and hash_matches(target, digest):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        if digest is None:
            part.unlink(missing_ok=True)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._transfer(name, part)
                if not hash_matches(part, digest):
                    part.unlink()
                    raise TryAgain("it does not match its published checksum")
                os.replace(part, target)
                return
            except TryAgain as error:
                reason = str(error)
                pause = min(max(BACKOFF * 2 ** (attempt - 1), error.pause), LONGEST_PAUSE)
            if attempt < ATTEMPTS:
                self.stop.wait(pause)
                self._check_stop(name)
        raise FileFailed(f"{name}: {reason} ({ATTEMPTS} attempts)")

    def _transfer(self, name: str, part: Path) -> None:
        """One attempt to complete ``part``, from where it ends."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            # Compressed in transit, the ranges would be those of another file.
            self._local.session.headers["Accept-Encoding"] = "identity"
        have = part.stat().st_size if part.is_file() else 0
        ask = {"Range": f"bytes={have}-"} if have else {}
        try:
            with self._local.session.get(
                self.base + quote(name), headers=ask, stream=True, timeout=TIMEOUTS
            ) as answer:
                self._check_answer(answer, name)
                if answer.status_code == 416:  # there is nothing after what we have
                    return
                starts = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
                goes_on = answer.status_code == 206 and starts
                if answer.status_code == 206 and not goes_on:
                    part.unlink()
                    raise TryAgain("the server sent another part of the file than asked for")
                self._check_stop(name)
                with part.open("ab" if goes_on else "wb") as file:
                    for piece in answer.iter_content(PIECE):
                        self._check_stop(name)
                        file.write(piece)
        except requests.Timeout:
            raise TryAgain("the server does not answer") from None
        except requests.ConnectionError:
            raise TryAgain("no connection, or it was lost") from None
        except requests.RequestException as error:
            raise TryAgain(f"the transfer broke off ({type(error).__name__})") from None

    def _check_stop(self, name: str) -> None:
        if self.stop.is_set():
            raise FileFailed(f"{name}: stopped")

    def _check_answer(self, answer: requests.Response, name: str) -> None:
        status = answer.status_code
        if self.base.startswith("https:") and not answer.url.startswith("https:"):
            raise FileFailed(f"{name}: the server leads away from https, to {answer.url}")
        if status == 429 or status >= 500:
            asked = answer.headers.get("Retry-After", "")
            pause = float(asked) if asked.isdigit() else 0.0
            raise TryAgain(f"the server answers {status} {answer.reason}", pause)
        if status not in (200, 206, 416):
            raise FileFailed(f"{name}: the server answers {status} {answer.reason}")
