"""Building a Cohort from recordings once, in parallel, into a cache that opens instantly.

A build writes finished chunks of records to ``<key>.partial`` and renames the folder when all is
there: a killed build goes on where it was, and an incomplete cohort is never opened. The key is a
fingerprint of the index file, of every record file's path, size and time, of the settings and of
the code that reads and builds.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from ecgrepro.cohort.cohort import COLUMNS, LEADS, Cohort, fingerprint_of, record_digest
from ecgrepro.cohort.preprocess import SECONDS, preprocess, resample
from ecgrepro.datasets.wfdb_read import MALFORMED, RecordError, read_header, read_record
from ecgrepro.errors import EcgreproError
from ecgrepro.support.code import code_fingerprint
from ecgrepro.support.files import partial_of, whole_file
from ecgrepro.support.locks import cannot_write, exclusive
from ecgrepro.support.places import cache_root

CHUNK = 32  # records per finished piece of work
SEX = {"male": "male", "female": "female", "m": "male", "f": "female"}  # by lower-case text


class RecordFiles(NamedTuple):
    """The files of a data set: a fingerprint of all that its cohort depends on, and a listing."""

    fingerprint: str
    listing: dict[str, tuple[int, int]]  # see `file_listing`


@dataclass
class Index:
    """The records of a data set as its own tables list them, before any signal is read.

    Attributes
    ----------
    source, origin
        As in the Cohort's table.
    root
        The data set's folder.
    records
        Candidates: ``record_id, patient_id, rhythm, fold, age, sex`` and ``path`` (relative to
        ``root``, without extension). Without the column ``rhythm``, ``read_comments`` supplies it.
    fingerprint
        Of the index file and of the record files, as in `RecordFiles`.
    read_comments
        From a header's comments to rhythm, age and sex; raises `RecordError` to drop the record.
    exported_units
        Of records that have been through the preprocessing, for they were exported as z-scores:
        their unit in the headers, and its factor. They are not filtered again.
    dropped
        Rows ``(record_id, reason, detail)`` for records that have files but are not usable.
    listed, missing
        Number of records that the data set lists, and of those without a file here; None if there
        is no such list.
    """

    source: str
    origin: str
    root: Path
    records: pd.DataFrame
    fingerprint: str
    read_comments: Callable[[list[str]], dict] | None = None
    exported_units: dict[str, float] | None = None
    dropped: list[tuple[str, str, str]] = field(default_factory=list)
    listed: int | None = None
    missing: int | None = None


def file_listing(root: Path, folder: str, endings: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Size and time (ns) of the files below ``root/folder``, by path relative to ``root``.

    Links to folders are not followed (they may lead back); a link to nothing is no file.
    """

    def walk(directory: str) -> Iterator[tuple[str, tuple[int, int]]]:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from walk(entry.path)
                elif entry.name.endswith(endings):
                    try:
                        status = entry.stat()
                    except OSError:
                        continue
                    if stat.S_ISREG(status.st_mode):
                        yield entry.path[cut:], (status.st_size, status.st_mtime_ns)

    cut = len(str(root)) + 1
    start = root / folder
    return dict(sorted(walk(str(start)))) if start.is_dir() else {}


def listing_fingerprint(listing: dict[str, tuple[int, int]], *more: bytes) -> str:
    """SHA-256 of a file listing and of anything else that the index was read from."""
    digest = hashlib.sha256(json.dumps(list(listing.items())).encode())
    for part in more:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def parse_ages(column: pd.Series) -> pd.Series:
    """Ages in years as floats; what is no number, negative or infinite is missing."""
    ages = pd.to_numeric(column, errors="coerce").astype(float)
    return ages.where((ages >= 0) & (ages < np.inf))


def hashed_fold(identifier: str, seed: int) -> int:
    """Fold 1-10 from a hash of an identifier, so that adding records never moves one."""
    digest = hashlib.sha256(f"{seed}:{identifier}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 10 + 1


def cached_cohort(
    name: str,
    fingerprint: str,
    make_index: Callable[[], Index],
    *,
    reader: str,
    fs: float,
    scale: str,
    jobs: int | None = None,
) -> Cohort:
    """Open the cohort of these recordings and settings, building it first if need be.

    Two processes may ask at once: one builds, the other waits for it.

    Parameters
    ----------
    name
        Of the data set, or the path of a folder; its last part begins the name in the cache.
    fingerprint
        Of everything that the cohort is read from.
    make_index
        Called only when there is something to build.
    reader
        The module whose ``index`` ``make_index`` calls.
    fs, scale, jobs
        As in `ecgrepro.load_cohort`.

    Raises
    ------
    EcgreproError
        If no record is usable, or the cache cannot be written.
    """
    code = code_fingerprint("ecgrepro.datasets.cache._build", f"{reader}.index")
    settings = json.dumps([name, fingerprint, fs, scale, code])
    key = hashlib.sha256(settings.encode()).hexdigest()[:20]
    folder = cache_root() / "cohorts"
    target = folder / f"{Path(name).name}-{key}"
    if not target.is_dir():
        with exclusive(target):
            if not target.is_dir():
                _build(make_index(), target, name=name, fs=fs, scale=scale, jobs=jobs)
    return Cohort.open(target)


def _build(
    index: Index, target: Path, *, name: str, fs: float, scale: str, jobs: int | None
) -> None:
    if not len(index.records):
        raise EcgreproError(_nothing_usable(index.root, Counter(d[1] for d in index.dropped)))
    work = partial_of(target)
    try:
        work.mkdir(exist_ok=True)
        _run_chunks(index, work, fs=fs, scale=scale, jobs=jobs or _cores())
        cohort = _assemble(index, work, name=name, fs=fs, scale=scale)
        for shard in work.glob("chunk-*"):
            shard.unlink()
        cohort.write_facts(work)
        work.rename(target)
    except BrokenProcessPool as error:
        raise EcgreproError(
            f"a process building {target.name} was killed (out of memory?): "
            "run the same command again, it goes on where it was"
        ) from error
    except OSError as error:
        raise cannot_write(work, error) from error


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_chunks(index: Index, work: Path, *, fs: float, scale: str, jobs: int) -> None:
    rows = index.records.to_dict("records")
    starts = [s for s in range(0, len(rows), CHUNK) if not _shard(work, s, "json").exists()]
    small = replace(index, records=index.records.head(0), dropped=[])  # sent with every chunk
    do = partial(_run_chunk, index=small, work=work, fs=fs, scale=scale)
    bar = tqdm(total=len(rows), desc=f"reading {index.source}", unit="rec", disable=None)
    bar.update(len(rows) - sum(len(rows[s : s + CHUNK]) for s in starts))
    with bar:
        if min(jobs, len(starts)) <= 1:
            for start in starts:
                bar.update(do(start, rows[start : start + CHUNK]))
            return
        # fork: a worker needs no imports of its own; it uses neither torch nor threads
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        with ProcessPoolExecutor(min(jobs, len(starts)), mp_context=context) as pool:
            waiting = [pool.submit(do, start, rows[start : start + CHUNK]) for start in starts]
            try:
                for done in as_completed(waiting):
                    bar.update(done.result())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _shard(work: Path, start: int, kind: str) -> Path:
    return work / f"chunk-{start:07d}.{kind}"


def _run_chunk(
    start: int, rows: list[dict], *, index: Index, work: Path, fs: float, scale: str
) -> int:
    """Read and preprocess some records; the JSON, written last, marks the chunk as finished."""
    kept, signals, dropped = [], [], []
    for row in rows:
        try:
            signal, known = _read_one(row, index, fs, scale)
        except RecordError as error:
            dropped.append((row["record_id"], error.reason, error.detail))
            continue
        signals.append(signal)
        kept.append({**row, **known})
    shape = (0, len(LEADS), round(SECONDS * fs))
    array = np.stack(signals) if signals else np.empty(shape, np.float32)
    for kind, write in (
        ("npy", lambda file: np.save(file, array)),
        ("json", lambda file: file.write(json.dumps({"kept": kept, "dropped": dropped}).encode())),
    ):
        with whole_file(_shard(work, start, kind), held=True) as file:
            write(file)
    return len(rows)


def _read_one(row: dict, index: Index, fs: float, scale: str) -> tuple[np.ndarray, dict]:
    """The preprocessed signal of a record, and what its files add to its row."""
    path = index.root / row["path"]
    header = read_header(path)
    try:
        known = index.read_comments(header.comments) if index.read_comments else {}
    except MALFORMED as error:
        raise RecordError("unreadable", f"{path.name}.hea: {error}") from error
    if index.exported_units:
        record, prepare = read_record(header, index.exported_units), resample
    else:
        record, prepare = read_record(header), preprocess
    try:
        signal = prepare(record.ecg, record.fs, fs=fs, scale=scale)
        energy = np.einsum("ls,ls->l", signal, signal)
        if not 0 < energy.min() <= energy.max() < np.inf:
            raise EcgreproError("a lead without finite values other than zero")
    except (EcgreproError, *MALFORMED) as error:
        raise RecordError("cannot be preprocessed", f"{path.name}.hea: {error}") from error
    recording = f"{record_digest(record.ecg)} {record.fs:g} {record.unit}"
    return signal, {**known, "digest": record.digest, "recording": recording}


def _assemble(index: Index, work: Path, *, name: str, fs: float, scale: str) -> Cohort:
    """Join the chunks into ``signals.npy``; return the cohort, whose facts are still to write."""
    kept, dropped, lengths = [], list(index.dropped), []
    for start in range(0, len(index.records), CHUNK):
        chunk = json.loads(_shard(work, start, "json").read_text())
        kept += chunk["kept"]
        dropped += [tuple(row) for row in chunk["dropped"]]
        lengths.append((start, len(chunk["kept"])))
    if not kept:
        raise EcgreproError(_nothing_usable(index.root, Counter(d[1] for d in dropped)))
    shape = (len(kept), len(LEADS), round(SECONDS * fs))
    with (work / "signals.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start, length in lengths:
            if length:
                np.load(_shard(work, start, "npy")).tofile(file)
    signals = np.load(work / "signals.npy", mmap_mode="r")
    table = pd.DataFrame(kept).assign(source=index.source, origin=index.origin)
    table, duplicates = _duplicates(table)
    report = _report(index, table, dropped, duplicates)
    table = table[[*COLUMNS, "duplicate_of"]]
    # Of recordings and of what is done to them, not of the outcome: its last bits are the CPU's.
    how = [f"{float(fs):g} {scale}", code_fingerprint("ecgrepro.cohort.preprocess.preprocess")]
    fingerprint = fingerprint_of([*how, *(row["recording"] for row in kept)], table)
    return Cohort(
        signals, table, fs=fs, units=scale, name=name, fingerprint=fingerprint, report=report
    )


def _nothing_usable(root: Path, reasons: Counter) -> str:
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"no usable record under {root}: {counts or 'no record files found'}"


def _duplicates(table: pd.DataFrame) -> tuple[pd.DataFrame, list[dict]]:
    """Mark recordings stored twice, and put all patients whom they connect into one fold.

    Patients A and B share a recording, B and C another: all three go to the fold of the first
    record of any of them. The records stay in, each under its own patient; ``duplicate_of`` names
    the first of its kind.
    """
    first = table.groupby("digest")["record_id"].transform("first")
    table = table.assign(duplicate_of=first.where(first != table["record_id"], ""))
    found, joined_to = [], {}  # a forest: each patient that joined another's tree, and whose

    def root(patient: str) -> str:
        while patient in joined_to:
            patient = joined_to[patient]
        return patient

    for _, group in table[table["digest"].duplicated(keep=False)].groupby("digest", sort=False):
        patients = group["patient_id"].unique().tolist()
        found.append({"records": list(group["record_id"]), "patients": patients})
        for patient in patients[1:]:
            if (mine := root(patient)) != (first_one := root(patients[0])):
                joined_to[mine] = first_one
    trees = table["patient_id"].map(root)
    joined = trees.isin({root(patient) for patient in joined_to})
    folds = table["fold"].where(~joined, table.groupby(trees)["fold"].transform("first"))
    moved = set(trees[folds != table["fold"]])
    for group in found:
        if root(group["patients"][0]) in moved:
            group["fold"] = int(folds[table["patient_id"] == group["patients"][0]].iloc[0])
    return table.assign(fold=folds), found


def _report(index: Index, table: pd.DataFrame, dropped: list, duplicates: list) -> dict:
    """What was found, missing, dropped and kept, as plain JSON values."""
    flat = [row for row in dropped if row[1] == "flat lead"]
    unreadable = [row for row in dropped if row[1] in ("unreadable", "wrong length")]
    return {
        "source": index.source,
        "origin": index.origin,
        "listed": index.listed,
        "missing": index.missing,
        "found": len(table) + len(dropped),
        "readable": len(table) + len(dropped) - len(unreadable),
        "kept": len(table),
        "dropped": dict(Counter(reason for _, reason, _ in dropped).most_common()),
        "dropped_records": [
            {"record_id": r, "reason": reason, "detail": detail} for r, reason, detail in dropped
        ],
        "flat_leads": {record: detail for record, _, detail in flat},
        "duplicates": duplicates,
    }
