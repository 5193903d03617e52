"""What the worked examples are made of, and how they are kept for the page that shows them.

Light to import: a page needs neither the simulator nor what computes the examples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecgrepro.closeness.views import pack, unpack
from ecgrepro.cohort.cohort import LEADS

FS = 100.0  # Hz, of all records but the marked beat
SHOWN = LEADS.index("II")  # the lead that pictures show

# Four real and four synthetic points on a line, with k = 1.
BALLS = (np.array([0.0, 1.0, 3.0, 6.0]), np.array([0.5, 0.6, 0.7, 11.0]))

HEART_CASES = {
    "faster": ("heart_rate_distance",),
    "AFIB": ("rr_variability_distance",),
    "smaller": ("r_amplitude_distance",),
    "wide P": ("p_duration_distance",),
    "long PR": ("pr_distance",),
    "wide QRS": ("qrs_distance",),
    "long QT": ("qt_distance", "qtc_distance"),
    "no P, no T": ("wave_failures",),
    "leads apart": ("beat_failures",),
}  # what is done to the records, and which metric is there to see it

# Shorter words than the catalogue's, for titles of small panels and for sentences.
SHORT = {
    "frechet_distance": "Fréchet",
    "sliced_wasserstein": "sliced Wasserstein",
    "spectrum_distance": "spectra, Hz",
    "autocorrelation_difference": "autocorrelation",
    "amplitude_distance": "amplitudes",
    "dtw": "DTW",
    "lead_residual": "residual",
    "lead_correlation_distance": "correlations",
    "trts": "macro-F1 (TRTS)",
    "tstr": "macro-F1 (TSTR)",
    "discriminator_auc": "discriminator AUC",
    "distance_ratio": "distance ratio",
    "near_copies": "near-copies",
    "membership_auc": "membership AUC",
}


@dataclass(frozen=True)
class Case:
    """A synthetic set beside a real one, with metrics that see what is wrong and ones that do not.

    ``honest`` holds the values of a set that is drawn like the real one: what is right gets.
    ``marks``: rhythms of the synthetic points, or which of them are copies.
    """

    words: str
    real: np.ndarray
    synthetic: np.ndarray
    values: dict[str, float]
    honest: dict[str, float]
    sees: Sequence[str] = ()
    misses: Sequence[str] = ()
    marks: np.ndarray | None = None


@dataclass(frozen=True)
class Worked:
    """A number that can be checked by hand: what was given, what a metric found, what is right."""

    metric: str
    given: str
    by_hand: str
    expected: float
    found: float
    points: int


@dataclass(frozen=True)
class MarkedBeat:
    """A beat in lead II, in mV, with the times of its waves' ends and what was measured.

    ``marks``: seconds from the R peak by measure, (start, end). ``measured``: a row of
    `ecgrepro.closeness.metrics.heart.measures`, medians over the record's beats.
    """

    time: np.ndarray
    lead: np.ndarray
    marks: dict[str, tuple[float, float]]
    measured: dict[str, float]
    r_height: float


@dataclass(frozen=True)
class Curves:
    """A curve for each set, of one length: ``x`` and ``y`` have shape (sets, points)."""

    names: Sequence[str]
    x: np.ndarray
    y: np.ndarray

    def by_name(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """``(x, y)`` of each set."""
        return dict(zip(self.names, zip(self.x, self.y, strict=True), strict=True))


def as_points(case: Case) -> Case:
    """A case of points as figures show it: of more than two dimensions the first, float16."""
    kept = slice(None) if case.real.shape[1] == 2 else slice(1)
    return replace(
        case,
        real=case.real[:, kept].astype(np.float16),
        synthetic=case.synthetic[:, kept].astype(np.float16),
    )


def as_traces(case: Case, leads: Sequence[str], seconds: float) -> Case:
    """A case of records as figures show it: a few leads of the first synthetic record, float16."""
    at = [LEADS.index(lead) for lead in leads]
    trace = case.synthetic[0, at, : round(seconds * FS)]
    return replace(case, real=np.zeros(0, np.float16), synthetic=trace.astype(np.float16))


def pack_cases(
    name: str, cases: Sequence[Case]
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """JSON values of each case, and their arrays, for `unpack_cases`."""
    facts, arrays = [], {}
    for i, case in enumerate(cases):
        own, more = pack(f"{name}.{i}", case)
        facts.append(own)
        arrays |= more
    return facts, arrays


def unpack_cases(
    name: str, facts: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray]
) -> list[Case]:
    """The cases that `pack_cases` took apart."""
    return [unpack(Case, f"{name}.{i}", own, arrays) for i, own in enumerate(facts)]
