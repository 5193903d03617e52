"""Pools of synthetic records, drawn batch by batch into memory or into a folder.

A pool on disk grows in ``<directory>.partial``, in plain files that are written in order, so that
memory does not grow with it. ``progress.json`` holds the identity of the pool and the number of
complete records. It is written after them, so a killed sampling can always be continued.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ecgrepro.cohort.cohort import Cohort, content_fingerprint, fingerprint_of, record_digest
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.representation import Shape, to_leads
from ecgrepro.support.files import partial_of, write_state
from ecgrepro.support.locks import exclusive_or_refused

Draw = Callable[[list[tuple[str, int]]], np.ndarray]
_SIGNALS, _DIGESTS, _PROGRESS, _LOCK = "signals.npy", "digests.bin", "progress.json", "lock"
_DIGEST_BYTES = 32
_SAVE_SECONDS = 1.0  # a kill loses at most this much work, and a batch


@dataclass(frozen=True)
class Plan:
    """The records of a pool.

    Attributes
    ----------
    shape
        Of the generator: classes, leads, sampling frequency, units.
    name
        Of the generator; record names begin with it.
    identity
        Everything that decides the records, as JSON values: weights, counts, seed and so on.
    """

    shape: Shape
    name: str
    identity: dict

    @property
    def counts(self) -> dict[str, int]:
        """Number of records of each class, in the order of the label map."""
        return self.identity["counts"]

    def __len__(self) -> int:
        return sum(self.counts.values())

    def part(self, start: int, stop: int) -> list[tuple[str, int]]:
        """Class and number within the class of the records from ``start`` up to ``stop``."""
        found, first = [], 0
        for code, n in self.counts.items():
            numbers = range(max(start - first, 0), min(stop - first, n))
            found += [(code, number) for number in numbers]
            first += n
        return found

    def table(self) -> pd.DataFrame:
        """The pool's table: no record has a patient, an age or a fold."""
        counts = self.counts.items()
        records = [f"{self.name}-{code}-{number:06d}" for code, n in counts for number in range(n)]
        return pd.DataFrame(
            {
                "record_id": records,
                "patient_id": records,
                "source": self.shape.source,
                "rhythm": [code for code, n in counts for _ in range(n)],
                "fold": 0,
                "age": np.nan,
                "sex": "",
                "origin": self.name,
            }
        )

    def cohort(self, signals: np.ndarray, digests: Iterable[str] | None = None) -> Cohort:
        """The pool as a Cohort.

        Parameters
        ----------
        signals
            Shape (records, leads, samples), float32, in the units of ``shape``.
        digests
            SHA-256 of each record, if known; otherwise they are computed from the signals.
        """
        table = self.table()
        known = fingerprint_of(digests, table) if digests is not None else None
        return Cohort(
            signals=signals,
            table=table,
            fs=self.shape.fs,
            leads=self.shape.leads,
            units=self.shape.units,
            labels=self.shape.labels,
            name=f"{self.name}-{self.shape.source}",
            fingerprint=known or content_fingerprint(signals, table),
            report={"sampled": self.identity},
        )


def draw_in_memory(plan: Plan, draw: Draw, batch_size: int) -> Cohort:
    """Draw a pool into memory.

    Parameters
    ----------
    plan
        The records of the pool.
    draw
        Draws records (class, number): float32 of shape (records, channels, samples).
    batch_size
        Number of records that are drawn together.

    Raises
    ------
    EcgreproError
        A sampled value is not finite; the record is named.
    """
    signals = np.empty((len(plan), len(plan.shape.leads), plan.shape.samples), np.float32)
    done = 0
    for batch in _batches(plan, draw, batch_size, 0):
        signals[done : done + len(batch)] = batch
        done += len(batch)
    return plan.cohort(signals)


def draw_on_disk(plan: Plan, draw: Draw, batch_size: int, directory: Path) -> Cohort:
    """Draw a pool into a folder, continuing an interrupted one.

    Parameters
    ----------
    plan, draw, batch_size
        See `draw_in_memory`.
    directory
        Folder of the pool. If it holds this pool already, that is opened.

    Returns
    -------
    Cohort
        Memory-mapped.

    Raises
    ------
    EcgreproError
        ``directory`` holds anything else, the unfinished pool beside it is of another plan or in
        use, it cannot be written, or a sampled value is not finite.
    """
    if directory.exists():
        return _opened(plan, directory)
    partial = partial_of(directory)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with _held(partial):
            if _is_finished(partial):
                _opened(plan, partial)
            else:
                _fill(plan, draw, batch_size, partial)
            for name in (_PROGRESS, _DIGESTS, _LOCK):  # without the first, it is finished
                (partial / name).unlink(missing_ok=True)
            partial.rename(directory)
    except OSError as error:
        raise EcgreproError(
            f"cannot write the samples to {partial}: {error.strerror or error}; free some space "
            "and run again, it goes on where it was, or choose another place"
        ) from error
    return Cohort.open(directory)


def discard(directory: Path, identity: dict) -> None:
    """Remove a pool, finished or not, whose identity differs; leave anything that is no pool.

    Parameters
    ----------
    directory
        Folder of the pool.
    identity
        See `Plan`; a pool with this identity stays.
    """
    partial = partial_of(directory)
    if (directory / "cohort.json").exists():
        found = Cohort.open(directory).report.get("sampled", identity)
        if found != identity:
            shutil.rmtree(directory)
    if (partial / _PROGRESS).exists() and _progress(partial)["identity"] != identity:
        with _held(partial):
            shutil.rmtree(partial)


def _fill(plan: Plan, draw: Draw, batch_size: int, partial: Path) -> None:
    """Write the missing records of the pool, then its table and facts."""
    writer = _Writer(plan, partial)
    with writer:
        for batch in _batches(plan, draw, batch_size, writer.done):
            writer.append(batch)
    signals = np.load(partial / _SIGNALS, mmap_mode="r")
    plan.cohort(signals, writer.digests()).write_facts(partial)
    for path in partial.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _is_finished(partial: Path) -> bool:
    return (partial / "cohort.json").exists() and not (partial / _PROGRESS).exists()


def _batches(plan: Plan, draw: Draw, batch_size: int, done: int) -> Iterator[np.ndarray]:
    """Draw batches of shape (batch, leads, samples), skipping the first ``done`` records."""
    bar = tqdm(total=len(plan), initial=done, desc=f"{plan.name} samples", unit="record",
               disable=None)  # fmt: skip
    with bar:
        for start in range(done, len(plan), batch_size):
            part = plan.part(start, start + batch_size)
            drawn = draw(part)
            finite = np.isfinite(drawn).all(axis=(1, 2))
            if not finite.all():
                code, number = part[int(np.argmin(finite))]
                raise EcgreproError(
                    f"{plan.name} produced values that are not finite in record {number} of "
                    f"{code}: its weights are unusable (trained too briefly or at too high a "
                    "learning rate)"
                )
            yield to_leads(plan.shape, drawn)
            bar.update(len(part))


def _opened(plan: Plan, directory: Path) -> Cohort:
    """Open the finished pool; raise if ``directory`` holds anything else."""
    try:
        found = Cohort.open(directory)
    except EcgreproError:
        found = None
    if found is None or found.report.get("sampled") != plan.identity or len(found) != len(plan):
        raise EcgreproError(f"{directory} already exists: remove it or choose another place")
    return found


def _held(partial: Path) -> AbstractContextManager[None]:
    """Hold the lock of an unfinished pool; raise if another process does."""
    return exclusive_or_refused(partial / _LOCK, f"another process is sampling into {partial}")


class _Writer:
    """The files of an unfinished pool, open at the first incomplete record."""

    def __init__(self, plan: Plan, partial: Path):
        self.plan, self.partial = plan, partial
        shape = (len(plan), len(plan.shape.leads), plan.shape.samples)
        self.record_bytes = 4 * shape[1] * shape[2]
        self.done = self._resume()
        self.files = [_open(partial / name, fresh=not self.done) for name in (_SIGNALS, _DIGESTS)]
        signals, digests = self.files
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(signals, header)
        signals.seek(self.done * self.record_bytes, os.SEEK_CUR)
        digests.seek(self.done * _DIGEST_BYTES)
        for file in self.files:
            file.truncate()
        self.saved = time.monotonic()
        if not self.done:
            self._save()

    def __enter__(self):
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or not issubclass(kind, OSError):
                self._save()
        finally:
            for file in self.files:
                file.close()

    def append(self, batch: np.ndarray) -> None:
        """Append records of shape (batch, leads, samples)."""
        batch = np.ascontiguousarray(batch, "<f4")
        signals, digests = self.files
        signals.write(batch.data)
        digests.write(b"".join(bytes.fromhex(record_digest(record)) for record in batch))
        self.done += len(batch)
        if time.monotonic() - self.saved >= _SAVE_SECONDS:
            self._save()

    def digests(self) -> Iterator[str]:
        """SHA-256 of each record."""
        with (self.partial / _DIGESTS).open("rb") as file:
            while digest := file.read(_DIGEST_BYTES):
                yield digest.hex()

    def _save(self) -> None:
        """Flush the records to the disk, then write the progress."""
        for file in self.files:
            file.flush()
            os.fsync(file.fileno())
        progress = {"identity": self.plan.identity, "records": self.done}
        write_state(self.partial / _PROGRESS, progress)
        self.saved = time.monotonic()

    def _resume(self) -> int:
        """Number of complete records; raises if they are of another plan."""
        if not (self.partial / _PROGRESS).exists():
            foreign = sorted(p.name for p in self.partial.iterdir())
            own = (_LOCK, _SIGNALS, _DIGESTS, f"{_PROGRESS}.tmp")
            foreign = [name for name in foreign if name not in own]
            if foreign:
                raise EcgreproError(
                    f"{self.partial} holds {foreign[0]} and is no unfinished sampling: remove it "
                    "or choose another place"
                )
            return 0
        progress = _progress(self.partial)
        ours = json.loads(json.dumps(self.plan.identity))
        theirs = progress["identity"]
        other = [k for k in sorted({*theirs, *ours}) if theirs.get(k) != ours.get(k)]
        if other:
            raise EcgreproError(
                f"{self.partial} holds an unfinished sampling with other {', '.join(other)}: "
                "delete it to start anew, or choose another place"
            )
        done = progress["records"]
        if (self.partial / _DIGESTS).stat().st_size < done * _DIGEST_BYTES or (
            self.partial / _SIGNALS
        ).stat().st_size < done * self.record_bytes:
            raise EcgreproError(
                f"{self.partial} lacks records that its {_PROGRESS} says are there: delete it to "
                "start anew"
            )
        return done


def _progress(partial: Path) -> dict:
    path = partial / _PROGRESS
    try:
        found = json.loads(path.read_text())
        return {"identity": dict(found["identity"]), "records": int(found["records"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EcgreproError(
            f"{path} cannot be read ({error!r}): delete {partial} to start anew"
        ) from error


def _open(path: Path, *, fresh: bool):
    return path.open("w+b" if fresh else "r+b")
