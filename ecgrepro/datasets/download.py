"""Recordings from PhysioNet: several files at once, each verified, continued file by file.

`pooch` verifies each file and tries it again where it must. Files arrive in ``.partial`` and get
their own name when their SHA-256 is right.
"""

import os
import re
import shutil
import threading
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote

import pooch
import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from ecgrepro.datasets import FOLDERS
from ecgrepro.datasets.chapman import LAST_CHAPMAN
from ecgrepro.errors import EcgreproError
from ecgrepro.support.digests import file_digest
from ecgrepro.support.locks import exclusive_or_refused

SUMS = "SHA256SUMS.txt"
ATTEMPTS = 6  # for each file; pooch waits 1, 2, ... seconds between them
GIVE_UP = 10  # files that fail one after the other: the connection is gone
MOST_JOBS = 16  # connections to one server
TIMEOUTS = (10, 30)  # seconds to connect, and between two packets
LONGEST_PAUSE = 60  # seconds, where a server asks for a pause
PIECE = 1 << 16  # bytes written at once


class Release(NamedTuple):
    """A published data set: where, its table, and the SHA-256 of its `SUMS`."""

    url: str
    table: str
    sums: str


RELEASES = {
    "ptb-xl": Release(
        "https://physionet.org/files/ptb-xl/1.0.3/",
        "ptbxl_database.csv",
        "b7224b92b341511ec3ceb13dc6652079b2c36a06504bcb49506f157f51dc695d",
    ),
    "chapman": Release(
        "https://physionet.org/files/ecg-arrhythmia/1.0.0/",
        "ConditionNames_SNOMED-CT.csv",
        "dfad0c26a276ce7e450e5002051f4c749304552d9add4d592928bbdcb6e4f31c",
    ),
}

# Bytes of a file by the end of its name, since `SUMS` gives no sizes: 12 leads x 10 s x 16 bit (and
# a header of 24 bytes in a .mat); text files as published. PTB-XL has 0.54 GB at 100 Hz, 2.6 GB at
# 500 Hz; Chapman 1.3 GB, 5.5 GB with Ningbo.
SIZES = {"_lr.dat": 24_000, "_hr.dat": 120_000, ".mat": 120_024, ".hea": 700}
SIZES |= {"ptbxl_database.csv": 6_600_000, "": 16_000}
BLOCK = 4096  # bytes on the disk, of which a file fills whole ones
RESERVE = 50_000_000  # bytes that must stay free


def download(
    name: str,
    root: str | Path | None = None,
    *,
    rate: int = 100,
    ningbo: bool = False,
    limit: int | None = None,
    jobs: int = 4,
    verify: bool = False,
    base_url: str | None = None,
) -> Path:
    """Fetch a data set's files into ``root``; what is there already is verified and kept.

    Parameters
    ----------
    name
        ``"ptb-xl"`` (PTB-XL 1.0.3) or ``"chapman"`` (ecg-arrhythmia 1.0.0).
    root
        The data set's own folder. By default the folder of that data set below
        ``$ECGREPRO_DATA``, or below ``data`` where that is not set.
    rate
        PTB-XL: fetch the 100 or the 500 Hz recordings.
    ningbo
        Chapman: also the records after JS10646, which come from Ningbo.
    limit
        Only the first so many records (in the order of their names).
    jobs
        Connections at once, 1 to 16.
    verify
        Verify again every file, even if neither its size nor its time has changed since.
    base_url
        Another place that serves the same files.

    Returns
    -------
    Path
        ``root``, complete. After an interruption, the next call fetches what is missing.

    Raises
    ------
    EcgreproError
        A wrong argument, no connection, no space, no permission, an interruption, or files that
        are missing on the server or do not match their checksum after several attempts.

    Examples
    --------
    >>> download("ptb-xl", "data/ptb-xl")  # doctest: +SKIP
    PosixPath('data/ptb-xl')
    """
    _check_arguments(name, rate, limit, jobs)
    root = Path(root or Path(os.environ.get("ECGREPRO_DATA") or "data") / FOLDERS[name])
    release = RELEASES[name]
    with _locked(root):
        journal = Journal(root, name)
        fetcher = Fetcher(base_url or release.url, root)
        try:
            sums = _read_sums(fetcher, journal, release, pinned=base_url is None)
            names = _select(sums, name, rate, ningbo, limit)
            if release.table not in names or len(names) < 2:
                raise EcgreproError(
                    f"{fetcher.base}{SUMS} lists no {name} recordings: is that the right address?"
                )
            todo = {n: sums[n] for n in names if verify or not journal.holds(n, sums[n])}
            _check_paths(root, todo)
            _check_space(root, name, todo)
            _fetch_all(fetcher, journal, todo, jobs, name, done=len(names) - len(todo))
        except KeyboardInterrupt:
            raise EcgreproError(
                f"interrupted: what was fetched is kept in {root}; give the same command again "
                "to go on from there"
            ) from None
        finally:
            journal.close()
            fetcher.close()
    return root


class FileFailed(Exception):
    """A file that could not be fetched; the others go on."""


class Fetcher:
    """Fetches single files below ``base`` into ``root``, for several threads at once."""

    def __init__(self, base: str, root: Path):
        self.base = base.rstrip("/") + "/"
        self.root = root
        self.stop = threading.Event()  # set: nothing is fetched any more
        self._session = requests.Session()  # keeps its connections open
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=MOST_JOBS))
        self._partial = root / ".partial"
        self._remove_partial()  # of a download that was killed
        self._pooch = pooch.create(self._partial, self.base, retry_if_failed=ATTEMPTS - 1)
        pooch.get_logger().setLevel("WARNING")  # no line for each file

    def fetch(self, name: str, digest: str | None) -> None:
        """Have a file in place with this SHA-256, or whatever the server has if that is None."""
        target = self.root / name
        if digest and target.is_file() and file_digest(target) == digest:
            return
        url = self._pooch.urls[name] = self.base + quote(name)
        self._pooch.registry[name] = digest
        for folder in (self._partial, self.root):  # pooch's threads would trip over each other
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            fetched = self._pooch.fetch(name, downloader=self._transfer)
        except requests.HTTPError as error:
            reason = str(error)
        except requests.Timeout:
            reason = "the server does not answer"
        except requests.RequestException as error:
            reason = f"no connection, or it was lost ({type(error).__name__})"
        except ValueError:
            reason = "it does not match its published checksum"
        else:
            Path(fetched).replace(target)
            return
        raise FileFailed(f"{url}: {reason} ({ATTEMPTS} attempts)")

    def _transfer(self, url: str, output_file: str, _: pooch.Pooch) -> None:
        """One attempt; of what it raises, pooch tries all but `FileFailed` again."""
        with self._session.get(url, stream=True, timeout=TIMEOUTS) as answer:
            if url.startswith("https:") and not answer.url.startswith("https:"):
                raise FileFailed(f"{url}: the server leads away from https, to {answer.url}")
            if answer.status_code != 200:
                reason = f"the server answers {answer.status_code} {answer.reason}"
                if answer.status_code != 429 and answer.status_code < 500:
                    raise FileFailed(f"{url}: {reason}")
                pause = answer.headers.get("Retry-After", "")
                self.stop.wait(min(int(pause), LONGEST_PAUSE) if pause.isdecimal() else 0)
                raise requests.HTTPError(reason)
            with Path(output_file).open("wb") as file:
                for piece in answer.iter_content(PIECE):
                    if self.stop.is_set():
                        raise FileFailed(f"{url}: stopped")
                    file.write(piece)

    def close(self) -> None:
        """Close the connections, and remove what was not finished."""
        self._session.close()
        self._remove_partial()

    def _remove_partial(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)


class Journal:
    """A line for every verified file, with its size and time, so that none is hashed again."""

    def __init__(self, root: Path, name: str):
        self.root = root
        self._file = (root / f".download-{name}.txt").open("a+", errors="replace")
        self._file.seek(0)
        self.lines = set(self._file.read().splitlines())
        self._file.write("\n")  # the last line may have been cut short by a kill

    def holds(self, name: str, digest: str) -> bool:
        """Whether a file was verified against ``digest`` and not touched since."""
        return (self.root / name).is_file() and self._line(name, digest) in self.lines

    def add(self, name: str, digest: str) -> None:
        """Note that a file was verified."""
        self._file.write(self._line(name, digest) + "\n")
        self._file.flush()

    def _line(self, name: str, digest: str) -> str:
        status = (self.root / name).stat()
        return f"{digest} {status.st_size} {status.st_mtime_ns} {name}"

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _check_arguments(name: str, rate: int, limit: int | None, jobs: int) -> None:
    if name not in RELEASES:
        raise EcgreproError(
            f"no data set {name!r} to download: choose one of {', '.join(map(repr, RELEASES))}"
        )
    if rate not in (100, 500):
        raise EcgreproError(f"rate must be 100 or 500 Hz, not {rate!r}")
    if limit is not None and limit < 1:
        raise EcgreproError(f"limit must be at least 1 record, not {limit}")
    if not 1 <= jobs <= MOST_JOBS:
        raise EcgreproError(f"jobs must be 1 to {MOST_JOBS} connections, not {jobs}")


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Make ``root``; one download at a time in it; errors of the disk as sentences."""
    refusal = f"another download is at work in {root}: wait for it, or choose another root"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with exclusive_or_refused(root / ".download.lock", refusal):
            yield
    except OSError as error:
        raise EcgreproError(
            f"cannot write to {root}: {error.strerror or error}; free some space there, or choose "
            "another place with --root"
        ) from error


def _read_sums(
    fetcher: Fetcher, journal: Journal, release: Release, *, pinned: bool
) -> dict[str, str]:
    """The published list, name to SHA-256; from disk where it was fetched before."""
    path, url = fetcher.root / SUMS, fetcher.base + SUMS
    if not (path.is_file() and journal.holds(SUMS, file_digest(path))):
        try:
            fetcher.fetch(SUMS, None)
        except FileFailed as error:
            raise EcgreproError(
                f"cannot get {error}: check the network (and HTTPS_PROXY, if you are behind a "
                "proxy), then give the same command again"
            ) from None
    digest = file_digest(path)
    known = not pinned or digest == release.sums
    if not known:
        warnings.warn(
            f"{url} is not the list known for this release (SHA-256 {digest} instead of "
            f"{release.sums}); the files are verified against it as it is",
            stacklevel=3,
        )
    sums = parse_sums(path.read_text(errors="replace"), url)
    if known:  # another list is fetched anew each time: it may have been cut short
        journal.add(SUMS, digest)
    return sums


def parse_sums(text: str, where: str) -> dict[str, str]:
    """Names and SHA-256 from a list as sha256sum writes it; a name that leads away is refused."""
    sums = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"([0-9a-fA-F]{64})[ \t]+\*?(.*\S)\s*", line)
        if not match:
            raise EcgreproError(
                f"line {number} of {where} is not a checksum and a file name: "
                f"{line[:60]!r}; is that address right, and is no login page in between?"
            )
        digest, name = match.groups()
        pieces = name.split("/")
        if not set(pieces).isdisjoint({"", ".", ".."}) or re.search(r"[\\:\x00-\x1f\x7f]", name):
            raise EcgreproError(
                f"line {number} of {where} names a file outside the data set, {name!r}: nothing "
                "was fetched"
            )
        sums[name] = digest.lower()
    return sums


def _select(
    sums: Iterable[str], name: str, rate: int, ningbo: bool, limit: int | None
) -> list[str]:
    """The files to fetch: those at the top (tables, licence) and the requested records."""
    if name == "ptb-xl":
        pattern = rf"records{rate}/\d+/\d+_{'lr' if rate == 100 else 'hr'}\.(?:hea|dat)"
    else:
        pattern = r"WFDBRecords/\d+/\d+/JS\d+\.(?:hea|mat)"
    top = sorted(n for n in sums if re.fullmatch(r"\w[\w.-]*", n) and n != SUMS)
    files = sorted(n for n in sums if re.fullmatch(pattern, n))
    if name == "chapman" and not ningbo:
        files = [n for n in files if int(PurePosixPath(n).stem[2:]) <= LAST_CHAPMAN]
    stems = set(sorted({n.rsplit(".", 1)[0] for n in files})[:limit])
    return top + [n for n in files if n.rsplit(".", 1)[0] in stems]


def _check_paths(root: Path, names: Iterable[str]) -> None:
    """No folder of the data set may be a link that leads out of ``root``."""
    home = root.resolve()
    for folder in {PurePosixPath(name).parent for name in names}:
        if not (root / folder).resolve().is_relative_to(home):
            raise EcgreproError(f"{root / folder} leads out of {root}: remove that link")


def _check_space(root: Path, name: str, todo: Iterable[str]) -> None:
    missing = (n for n in todo if not (root / n).is_file())
    needed = sum(-(-_size(n) // BLOCK) * BLOCK for n in missing)
    free = shutil.disk_usage(root).free
    if needed + RESERVE > free:
        raise EcgreproError(
            f"{name} needs about {needed / 1e9:.2f} GB more in {root}, but only "
            f"{free / 1e9:.2f} GB are free: make room, or choose another place with --root"
        )


def _size(name: str) -> int:
    return next(size for end, size in SIZES.items() if name.endswith(end))


def _fetch_all(
    fetcher: Fetcher, journal: Journal, todo: dict[str, str], jobs: int, name: str, *, done: int
) -> None:
    """Have every file of ``todo`` in place, several at once, or raise with those that failed."""
    failed: list[str] = []
    in_a_row = 0
    files = done + len(todo)
    bar = tqdm(total=sum(map(_size, todo)), unit="B", unit_scale=True, desc=name, disable=None)
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="download")
    try:
        futures = {pool.submit(fetcher.fetch, n, digest): n for n, digest in todo.items()}
        for future in as_completed(futures):
            file = futures[future]
            try:
                future.result()
            except FileFailed as error:
                failed.append(str(error))
                in_a_row += 1
                if in_a_row >= min(GIVE_UP, len(todo)):
                    break
                continue
            journal.add(file, todo[file])
            in_a_row, done = 0, done + 1
            bar.set_postfix_str(f"{done}/{files} files", refresh=False)
            bar.update(_size(file))
    finally:
        fetcher.stop.set()
        pool.shutdown(cancel_futures=True)
        bar.close()
    if failed:
        shown = "; ".join(failed[:3]) + ("; ..." if len(failed) > 3 else "")
        raise EcgreproError(
            f"{name} is not complete: {files - done} of {files} files are missing in "
            f"{fetcher.root} ({shown}); give the same command again to go on from there"
        )
