"""Short traces of one lead, a row for each source and a column for each rhythm: a figure's data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgrepro.cohort.cohort import LEADS, Cohort

LEAD = "II"


@dataclass(frozen=True)
class Strips:
    """Traces of `LEAD` in a grid.

    Attributes
    ----------
    rows, columns
        Sources and rhythms.
    traces
        Shape (rows, columns, samples); NaN where there is no record.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    traces: np.ndarray

    @classmethod
    def of(cls, grid: Mapping[str, Mapping[str, np.ndarray]], columns: Sequence[str]) -> Strips:
        """From a mapping of source and rhythm to a trace (samples,), all of one length."""
        (samples,) = {len(trace) for row in grid.values() for trace in row.values()}
        nothing = np.full(samples, np.nan)
        traces = [[row.get(column, nothing) for column in columns] for row in grid.values()]
        return cls(list(grid), list(columns), np.array(traces))

    def grid(self) -> dict[str, dict[str, np.ndarray]]:
        """The mapping that `of` takes; places without a record are left out."""
        return {
            row: {c: t for c, t in zip(self.columns, traces, strict=True) if np.isfinite(t).all()}
            for row, traces in zip(self.rows, self.traces, strict=True)
        }


def first_records(cohort: Cohort) -> dict[str, int]:
    """Position of the first record of each rhythm that a cohort has, in the order of its classes.

    Records shown in figures are these: none is chosen by hand.
    """
    rhythm = cohort.table["rhythm"].to_numpy()
    return {
        code: int(np.flatnonzero(rhythm == code)[0]) for code, n in cohort.counts().items() if n
    }


def first_strips(cohort: Cohort, seconds: float) -> dict[str, np.ndarray]:
    """The first seconds of `LEAD` in the first record of each rhythm."""
    samples = round(seconds * cohort.fs)
    return {
        code: np.asarray(cohort.signals[at, LEADS.index(LEAD), :samples])
        for code, at in first_records(cohort).items()
    }
