"""The Cohort: labelled ECG records of one preprocessing, in memory or memory-mapped on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecgrepro.cohort.leads import LEADS
from ecgrepro.cohort.rhythms import classes, label_map
from ecgrepro.errors import EcgreproError
from ecgrepro.support.files import whole_folder

COLUMNS = ("record_id", "patient_id", "source", "rhythm", "fold", "age", "sex", "origin")
UNITS = ("mV", "z")
_TEXT = dict.fromkeys(("record_id", "patient_id", "source", "rhythm", "sex", "origin"), str)


@dataclass(frozen=True)
class Cohort:
    """Records with signals of one shape and a row of facts for each.

    Attributes
    ----------
    signals
        Float array of shape (records, leads, samples); a read-only memory map when opened from
        disk.
    table
        One row per record, index 0..n-1. Columns: ``record_id`` (unique within a source),
        ``patient_id``, ``source`` (``ptb-xl``, ``chapman``, ...), ``rhythm`` (a class of
        ``labels``), ``fold`` (1-10; 0 for synthetic records), ``age`` in years, ``sex``
        (``female``, ``male`` or empty), ``origin`` (``real``, ``simulated`` or a generator's
        name). More columns may follow.
    fs
        Sampling frequency in Hz.
    units
        ``"mV"``, or ``"z"`` for zero mean and unit variance per record and lead.
    labels
        The label map that ``rhythm`` is expressed in.
    fingerprint
        SHA-256 of what the cohort holds; of how it was derived, for a selection or if it was built
        from recordings: then it is the same on every machine.
    report
        What was found, missing and dropped when the cohort was built from recordings.
    """

    signals: np.ndarray
    table: pd.DataFrame
    fs: float
    leads: tuple[str, ...] = LEADS
    units: str = "z"
    labels: str = "rhythm7"
    name: str = ""
    fingerprint: str = ""
    report: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        if self.signals.ndim != 3:
            raise EcgreproError(
                f"signals must have shape (records, leads, samples), not {self.signals.shape}"
            )
        if len(self.signals) != len(self.table):
            raise EcgreproError(f"{len(self.signals)} signals but {len(self.table)} table rows")
        if self.signals.shape[1] != len(self.leads):
            raise EcgreproError(
                f"{self.signals.shape[1]} leads in the signals but {len(self.leads)} lead names"
            )
        missing = [c for c in COLUMNS if c not in self.table.columns]
        if missing:
            raise EcgreproError(f"the cohort's table lacks the columns {', '.join(missing)}")
        if self.units not in UNITS:
            raise EcgreproError(f"unknown units {self.units!r}: choose one of 'mV', 'z'")
        unknown = set(self.table["rhythm"]) - set(classes(self.labels))
        if unknown:
            raise EcgreproError(
                f"rhythms {sorted(unknown)} are not classes of label map {self.labels!r}"
            )
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", content_fingerprint(self.signals, self.table))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def classes(self) -> tuple[str, ...]:
        """Ordered class codes of the label map, also those without a record."""
        return classes(self.labels)

    @property
    def targets(self) -> np.ndarray:
        """Class index of each record, int64, shape (records,)."""
        index = {code: i for i, code in enumerate(self.classes)}
        return self.table["rhythm"].map(index).to_numpy(np.int64)

    def counts(self) -> dict[str, int]:
        """Records per class, zero where there is none."""
        found = self.table["rhythm"].value_counts()
        return {code: int(found.get(code, 0)) for code in self.classes}

    def select(self, which: Sequence[int] | np.ndarray) -> Cohort:
        """The records at positions ``which`` (indices in the given order, or a boolean mask)."""
        which = np.asarray(which)
        if which.dtype == bool:
            if which.shape != (len(self),):
                raise EcgreproError(f"a mask of shape {which.shape} over {len(self)} records")
            which = np.flatnonzero(which)
        which = which.astype(np.int64)
        digest = hashlib.sha256(self.fingerprint.encode())
        digest.update(b"select")
        digest.update(which.tobytes())
        return replace(
            self,
            signals=self.signals[which],
            table=self.table.iloc[which].reset_index(drop=True),
            fingerprint=digest.hexdigest(),
        )

    def where(self, **conditions: Any) -> Cohort:
        """The records whose column equals a value or is in a list: ``where(fold=[9, 10])``."""
        mask = np.ones(len(self), bool)
        for column, wanted in conditions.items():
            if column not in self.table.columns:
                raise EcgreproError(
                    f"unknown column {column!r}: choose one of {', '.join(self.table.columns)}"
                )
            many = isinstance(wanted, Iterable) and not isinstance(wanted, str)
            mask &= self.table[column].isin(list(wanted) if many else [wanted]).to_numpy()
        return self.select(mask)

    def split(self, **folds: Sequence[int]) -> dict[str, Cohort]:
        """Cohorts by folds: ``split(train=[1, 2], test=[3])``; a fold or patient twice raises."""
        used = [f for group in folds.values() for f in group]
        if len(used) != len(set(used)):
            raise EcgreproError(f"a fold stands in two splits: {folds}")
        parts = {name: self.where(fold=group) for name, group in folds.items()}
        owner: dict[tuple, str] = {}
        for name, part in parts.items():
            patients = zip(part.table["source"], part.table["patient_id"], strict=True)
            for patient in set(patients):
                if owner.setdefault(patient, name) != name:
                    raise EcgreproError(
                        f"patient {patient[1]} of {patient[0]} is in both "
                        f"{owner[patient]} and {name}"
                    )
        return parts

    def relabel(self, labels: str) -> Cohort:
        """The same records in another label map; only from ``rhythm7`` or to the same map."""
        if labels == self.labels:
            return self
        if self.labels != "rhythm7":
            raise EcgreproError(f"cannot go from label map {self.labels!r} to {labels!r}")
        table = self.table.assign(rhythm=self.table["rhythm"].map(label_map(labels)))
        digest = hashlib.sha256(f"{self.fingerprint}relabel{labels}".encode()).hexdigest()
        return replace(self, table=table, labels=labels, fingerprint=digest)

    def difference(self, other: Cohort) -> str:
        """In what the records of two cohorts cannot be put together, with both; empty if they can.

        Of fs, leads, units, label map and shape of a record.
        """
        for what in ("fs", "leads", "units", "labels"):
            if getattr(other, what) != getattr(self, what):
                return f"{what}: {getattr(self, what)} and {getattr(other, what)}"
        mine, theirs = self.signals.shape[1:], other.signals.shape[1:]
        return "" if mine == theirs else f"shape (leads, samples): {mine} and {theirs}"

    @staticmethod
    def concat(cohorts: Sequence[Cohort], name: str = "") -> Cohort:
        """Records of several cohorts of the same fs, leads, samples, units and label map."""
        if not cohorts:
            raise EcgreproError("nothing to concatenate: the list of cohorts is empty")
        first = cohorts[0]
        for other in cohorts[1:]:
            if difference := first.difference(other):
                raise EcgreproError(f"cohorts differ in {difference}")
        digest = hashlib.sha256("".join(c.fingerprint for c in cohorts).encode()).hexdigest()
        return replace(
            first,
            signals=np.concatenate([c.signals for c in cohorts]),
            table=pd.concat([c.table for c in cohorts], ignore_index=True),
            name=name or "+".join(c.name for c in cohorts),
            fingerprint=digest,
            report={},
        )

    def save(self, directory: str | Path) -> Path:
        """Write to ``directory`` (which must not exist): it appears complete or not at all."""
        directory = Path(directory)
        if directory.exists():
            raise EcgreproError(f"{directory} already exists: remove it or choose another place")
        try:
            with whole_folder(directory) as partial:
                np.save(partial / "signals.npy", np.asarray(self.signals, dtype=np.float32))
                self.write_facts(partial)
        except OSError as error:
            raise EcgreproError(f"cannot write the cohort to {directory}: {error}") from error
        return directory

    def write_facts(self, directory: Path) -> None:
        """Write everything but the signals: ``table.csv`` and ``cohort.json``."""
        self.table.to_csv(directory / "table.csv", index=False)
        facts = {
            "fs": self.fs,
            "leads": list(self.leads),
            "units": self.units,
            "labels": self.labels,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "report": self.report,
        }
        (directory / "cohort.json").write_text(json.dumps(facts, indent=1))

    @classmethod
    def open(cls, directory: str | Path) -> Cohort:
        """Open a saved cohort; signals are memory-mapped, nothing else of them is read."""
        directory = Path(directory)
        try:
            facts = json.loads((directory / "cohort.json").read_text())
            table = pd.read_csv(directory / "table.csv", dtype=_TEXT, keep_default_na=False,
                                na_values={"age": [""]})  # fmt: skip
            signals = np.load(directory / "signals.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise EcgreproError(f"{directory} is not a complete cohort: {error}") from error
        facts["leads"] = tuple(facts["leads"])
        return cls(signals=signals, table=table, **facts)


def content_fingerprint(signals: np.ndarray, table: pd.DataFrame) -> str:
    """SHA-256 over the SHA-256 of each record's signals (as float32), and the table."""
    return fingerprint_of([record_digest(signal) for signal in signals], table)


def record_digest(signal: np.ndarray) -> str:
    """SHA-256 of one record's signals (as float32)."""
    return hashlib.sha256(np.ascontiguousarray(signal, np.float32).data).hexdigest()


def fingerprint_of(digests: Iterable[str], table: pd.DataFrame) -> str:
    """The content fingerprint from digests of records that are known already."""
    found = hashlib.sha256()
    for digest in digests:
        found.update(digest.encode())
    for start in range(0, max(len(table), 1), 4096):  # so that a long table takes no more memory
        part = table.iloc[start : start + 4096].to_csv(index=False, header=not start)
        found.update(part.encode())
    return found.hexdigest()
