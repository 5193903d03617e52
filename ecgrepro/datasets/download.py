"""Recordings from PhysioNet: resumed where they stopped, every file verified."""

import json
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pooch
from filelock import FileLock, Timeout
from tqdm import tqdm

from ecgrepro.datasets import FOLDERS
from ecgrepro.datasets.chapman import LAST_CHAPMAN
from ecgrepro.datasets.http import Client, FileFailed
from ecgrepro.errors import EcgreproError

SUMS = "SHA256SUMS.txt"
GIVE_UP = 10  # files that fail one after the other: the connection is gone
MOST_JOBS = 16  # connections to one server


@dataclass(frozen=True)
class Release:
    """A published data set.

    ``sums`` is the SHA-256 of its `SUMS` as others recorded it: a list that differs is used, with
    a warning.
    """

    url: str
    index: str
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

# Bytes of a file by the end of its name, as 12 leads x 10 s x 16 bit make them (a .mat has a
# header of 24 bytes) and as measured on published text files; `SUMS` gives no sizes. Whole data
# sets: PTB-XL 21,799 records, 0.54 GB at 100 Hz, 2.6 GB at 500 Hz; Chapman 1.3 GB, 5.5 GB with
# Ningbo. A file fills whole blocks of the disk, which adds about 4 KB a record.
SIZES = {
    "_lr.dat": 24_000,
    "_hr.dat": 120_000,
    ".mat": 120_024,
    ".hea": 700,
    "ptbxl_database.csv": 6_600_000,
    "": 16_000,
}
BLOCK = 4096
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
    """Fetch a data set's files into ``root``; what is there already is kept.

    Each file is written beside its place as ``.part``, verified against the published
    SHA256SUMS.txt and then renamed, so that a file under its own name is always right. Stopped at
    any moment, the next call goes on, also in the middle of a file. A journal in ``root`` holds
    size and modification time of every verified file: the next call need not hash it again.

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
        Hash every file again, whatever the journal says.
    base_url
        Another place that serves the same files.

    Returns
    -------
    Path
        ``root``, complete.

    Raises
    ------
    EcgreproError
        A wrong argument, no connection, no space, no permission, an interruption, or files that
        are missing on the server or do not match their checksum after several attempts.
    """
    _check_arguments(name, rate, limit, jobs)
    if root is None:
        root = Path(os.environ.get("ECGREPRO_DATA") or "data") / FOLDERS[name]
    root = Path(root)
    release = RELEASES[name]
    with _locked(root):
        journal = Journal(root, name)
        client = Client(base_url or release.url, root)
        try:
            sums = _checksums(client, journal, release, pinned=base_url is None)
            names = _needed(sums, name, rate, ningbo, limit)
            if release.index not in names or len(names) < 2:
                raise EcgreproError(
                    f"{client.base}{SUMS} lists no {name} recordings: is that the right address?"
                )
            todo = {n: sums[n] for n in names if verify or not journal.holds(n, sums[n])}
            _check_paths(root, todo)
            _check_space(root, name, todo)
            _fetch_all(client, journal, todo, jobs, name, done=len(names) - len(todo))
        except KeyboardInterrupt:
            client.stop.set()
            raise EcgreproError(
                f"interrupted: what was fetched is kept in {root}; give the same command again "
                "to go on from there"
            ) from None
        finally:
            journal.close()
    return root


class Journal:
    """Which files were verified, one JSON line each; a line cut short by a kill is ignored."""

    def __init__(self, root: Path, name: str):
        self.root = root
        path = root / f".download-{name}.jsonl"
        self.entries: dict[str, tuple] = {}
        if path.is_file():
            for line in path.read_text(errors="replace").splitlines():
                try:
                    file, *facts = json.loads(line)
                    self.entries[file] = tuple(facts)
                except (ValueError, TypeError):
                    continue
        self._file = path.open("a")
        self._file.write("\n")  # the last line may be half a line

    def holds(self, name: str, digest: str | None = None) -> bool:
        """Whether a file was verified (against ``digest``) and not touched since."""
        entry = self.entries.get(name)
        if entry is None or (digest is not None and entry[0] != digest):
            return False
        try:
            found = (self.root / name).stat()
        except OSError:
            return False
        return entry[1:] == (found.st_size, found.st_mtime_ns)

    def add(self, name: str, digest: str) -> None:
        """Note that a file was verified."""
        found = (self.root / name).stat()
        self.entries[name] = (digest, found.st_size, found.st_mtime_ns)
        self._file.write(json.dumps([name, *self.entries[name]]) + "\n")
        self._file.flush()

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
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".download.lock", timeout=0):
            yield
    except Timeout:
        raise EcgreproError(
            f"another download is at work in {root}: wait for it, or choose another root"
        ) from None
    except OSError as error:
        raise EcgreproError(
            f"cannot write to {root}: {error.strerror or error}; free some space there, or choose "
            "another place with --root"
        ) from error


def _checksums(
    client: Client, journal: Journal, release: Release, *, pinned: bool
) -> dict[str, str]:
    """The published list, name to SHA-256; from disk where we fetched it before."""
    path = client.root / SUMS
    if not journal.holds(SUMS):
        try:
            client.ensure(SUMS, None)
        except FileFailed as error:
            raise EcgreproError(
                f"cannot get {client.base}{error}: check the network (and HTTPS_PROXY, if you are "
                "behind a proxy), then give the same command again"
            ) from None
    digest = pooch.file_hash(path)
    known = not pinned or digest == release.sums
    if not known:
        warnings.warn(
            f"{client.base}{SUMS} is not the list known for this release (SHA-256 {digest} instead "
            f"of {release.sums}); the files are verified against it as it is",
            stacklevel=3,
        )
    sums = parse_sums(path.read_text(errors="replace"), client.base + SUMS)
    if known:  # another list is fetched anew each time: it may have been cut short
        journal.add(SUMS, digest)
    return sums


def parse_sums(text: str, where: str) -> dict[str, str]:
    """Names and SHA-256 from a list as sha256sum writes it; a name that leads away is refused."""
    sums = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        found = re.fullmatch(r"([0-9a-fA-F]{64})[ \t]+\*?(.*\S)\s*", line)
        if not found:
            raise EcgreproError(
                f"line {number} of {where} is not a checksum and a file name: "
                f"{line[:60]!r}; is that address right, and is no login page in between?"
            )
        digest, name = found.groups()
        pieces = name.split("/")
        if not set(pieces).isdisjoint({"", ".", ".."}) or re.search(r"[\\:\x00-\x1f\x7f]", name):
            raise EcgreproError(
                f"line {number} of {where} names a file outside the data set, {name!r}: nothing "
                "was fetched"
            )
        sums[name] = digest.lower()
    return sums


def _needed(
    sums: Iterable[str], name: str, rate: int, ningbo: bool, limit: int | None
) -> list[str]:
    """The files to fetch: those at the top (tables, licence) and the wanted records."""
    if name == "ptb-xl":
        pattern = rf"records{rate}/\d+/\d+_{'lr' if rate == 100 else 'hr'}\.(?:hea|dat)"
    else:
        pattern = r"WFDBRecords/\d+/\d+/JS\d+\.(?:hea|mat)"
    top = [n for n in sums if re.fullmatch(r"\w[\w.-]*", n) and n != SUMS]
    files = sorted(n for n in sums if re.fullmatch(pattern, n))
    if name == "chapman" and not ningbo:
        files = [n for n in files if int(PurePosixPath(n).stem[2:]) <= LAST_CHAPMAN]
    stems = sorted({n.rsplit(".", 1)[0] for n in files})[:limit]
    wanted = set(stems)
    return sorted(top) + [n for n in files if n.rsplit(".", 1)[0] in wanted]


def _check_paths(root: Path, names: Iterable[str]) -> None:
    """No folder of the data set may be a link that leads out of ``root``."""
    home = root.resolve()
    for folder in {PurePosixPath(name).parent for name in names}:
        if not (root / folder).resolve().is_relative_to(home):
            raise EcgreproError(f"{root / folder} leads out of {root}: remove that link")


def _check_space(root: Path, name: str, todo: Iterable[str]) -> None:
    needed = sum(
        -(-_size(n) // BLOCK) * BLOCK - _size_on_disk(root / f"{n}.part")
        for n in todo
        if not (root / n).is_file()
    )
    free = shutil.disk_usage(root).free
    if needed + RESERVE > free:
        raise EcgreproError(
            f"{name} needs about {needed / 1e9:.2f} GB more in {root}, but only "
            f"{free / 1e9:.2f} GB are free: make room, or choose another place with --root"
        )


def _size(name: str) -> int:
    return next(size for end, size in SIZES.items() if name.endswith(end))


def _size_on_disk(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _fetch_all(
    client: Client, journal: Journal, todo: dict[str, str], jobs: int, name: str, *, done: int
) -> None:
    """Have every file of ``todo`` in place, several at once, or say which could not be had."""
    failed: list[str] = []
    row = 0  # failures one after the other
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="download")
    files = done + len(todo)
    try:
        futures = {pool.submit(client.ensure, n, digest): n for n, digest in todo.items()}
        with tqdm(
            total=sum(map(_size, todo)), unit="B", unit_scale=True, desc=name, disable=None
        ) as bar:
            for future in as_completed(futures):
                file = futures[future]
                try:
                    future.result()
                except FileFailed as error:
                    failed.append(str(error))
                    row += 1
                    if row >= min(GIVE_UP, len(todo)):
                        break
                    continue
                journal.add(file, todo[file])
                row, done = 0, done + 1
                bar.update(_size(file))
                bar.set_postfix_str(f"{done}/{files} files", refresh=False)
    finally:
        client.stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
    if failed:
        shown = "; ".join(failed[:3]) + ("; ..." if len(failed) > 3 else "")
        raise EcgreproError(
            f"{name} is not complete: {files - done} of {files} files are missing in {client.root} "
            f"({shown}); give the same command again to go on from there"
        )
