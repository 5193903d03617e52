"""How good a generator's records are: rhythm, heart rate, use for training, copies, distance.

Every measure is of the pool that the rest of the study uses, never of records chosen for it, and is
shown beside the same measure of real records. Read without torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ecgrepro.closeness import FLOOR, REAL
from ecgrepro.closeness.metrics.privacy import near_copies
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.studies.scoring import patients_of
from ecgrepro.studies.statistics.bootstrap import bootstrap_interval, difference_interval
from ecgrepro.studies.statistics.proportions import median_bounds, wilson
from ecgrepro.support.results import Result, required

if TYPE_CHECKING:
    from ecgrepro.classifier.classifier import Classifier

SINUS = ("SB", "SR", "ST", "GSVT")  # rhythms that are told apart by their rate
COPY_PERCENTILE = 1.0  # of the real test records' distances to the nearest training record
LARGEST = 2000  # synthetic records that are searched for copies
QUANTILES = (5, 25, 50, 75, 95)  # per cent, of heart rates in a figure


@dataclass(frozen=True)
class Hearts:
    """A cohort with what was detected in its records.

    Attributes
    ----------
    cohort
        The records.
    rates, variability
        Heart rate in beats a minute and RR variability of each record, (records,); NaN where the
        detector fails.
    """

    cohort: Cohort
    rates: np.ndarray
    variability: np.ndarray

    def detected(self, measure: str, rhythm: str) -> np.ndarray:
        """Values of ``rates`` or ``variability`` in the records of a rhythm where there are any."""
        values = getattr(self, measure)
        of_rhythm = (self.cohort.table["rhythm"] == rhythm).to_numpy()
        return values[of_rhythm & np.isfinite(values)]

    def quantiles(self, measure: str) -> dict[str, list[float]]:
        """`QUANTILES` of a measure for each rhythm in which it was detected."""
        detected = {code: self.detected(measure, code) for code in self.cohort.classes}
        return {
            code: np.percentile(values, QUANTILES).tolist()
            for code, values in detected.items()
            if len(values)
        }


def agreement(judge: Classifier, cohort: Cohort, **keys: Any) -> list[Result]:
    """How often the judge reads the rhythm of the label: the mean over rhythms, then each.

    The label of a synthetic record is the rhythm that was asked for. Intervals are Wilson's.
    """
    right = judge.predict(cohort) == cohort.table["rhythm"].to_numpy()
    by_rhythm = {
        code: right[(cohort.table["rhythm"] == code).to_numpy()]
        for code, n in cohort.counts().items()
        if n
    }
    mean = float(np.mean([hits.mean() for hits in by_rhythm.values()]))
    bounds = wilson(mean * len(right), len(right))
    rows = [Result("rhythm_agreement", mean, *bounds, n=len(right), **keys)]
    for code, hits in by_rhythm.items():
        bounds = wilson(hits.sum(), len(hits))
        rows.append(
            Result("rhythm_agreement", hits.mean(), *bounds, n=len(hits), rhythm=code, **keys)
        )
    return rows


def heart_rate_results(
    synthetic: Hearts, real: Hearts, in_real_mix: Hearts, **keys: Any
) -> list[Result]:
    """Median heart rate and RR variability of each rhythm, and how often the detector fails.

    ``heart_rate_gap`` is synthetic minus real; without a rhythm it is the largest absolute gap
    among the rhythms that are told apart by rate, infinite if one of them is never detected.

    Parameters
    ----------
    synthetic, real
        A pool, and all recordings of the hospital.
    in_real_mix
        Synthetic records in the real mix of rhythms, whose failures are counted.
    **keys
        Keys of each result.
    """
    rows, gaps = [], []
    for code, n in synthetic.cohort.counts().items():
        if not n:
            continue
        medians = {}
        for hearts, comparison in ((synthetic, ""), (real, REAL)):
            where = {**keys, "rhythm": code, "comparison": comparison}
            for metric, measure in (("heart_rate", "rates"), ("rr_variability", "variability")):
                values = hearts.detected(measure, code)
                median = float(np.median(values)) if len(values) else None
                rows.append(Result(metric, median, *median_bounds(values), n=len(values), **where))
                medians[metric, comparison] = median
        here, there = medians["heart_rate", ""], medians["heart_rate", REAL]
        if here is not None and there is not None:
            rows.append(Result("heart_rate_gap", here - there, rhythm=code, **keys))
        if code in SINUS:  # a rhythm that the detector never finds is not near the real one
            gaps.append(np.inf if here is None or there is None else abs(here - there))
    rows.append(Result("heart_rate_gap", max(gaps, default=None), **keys))
    return rows + _failures(in_real_mix.rates, real.rates, keys)


def _failures(synthetic: np.ndarray, real: np.ndarray, keys: dict[str, Any]) -> list[Result]:
    """How often the detector fails, and how many times as often as on real records.

    At least one real failure is counted, so that the ratio always exists.
    """
    rows = []
    for rates, comparison in ((synthetic, ""), (real, REAL)):
        failed = np.isnan(rates)
        bounds = wilson(failed.sum(), len(failed))
        where = {"n": len(failed), "comparison": comparison, **keys}
        rows.append(Result("detector_failures", failed.mean(), *bounds, **where))
    least = max(rows[1].value, 1 / rows[1].n)
    scaled = (x / least for x in (rows[0].value, rows[0].low, rows[0].high))
    return [*rows, Result("failures_over_real", *scaled, n=rows[0].n, **keys)]


def pace_results(rates: pd.DataFrame, **keys: Any) -> list[Result]:
    """How far a sample's heart rate lies from the one asked for: the median, in beats a minute.

    Parameters
    ----------
    rates
        A record a row, with heart rates ``asked`` and ``found``, both known.
    """
    if rates.empty:
        return []
    apart = (rates["found"] - rates["asked"]).abs().to_numpy()
    bounds = median_bounds(apart)
    return [Result("rate_error", float(np.median(apart)), *bounds, n=len(apart), **keys)]


def usefulness(
    test: Cohort, synthetic: np.ndarray, real: np.ndarray, resamples: int, **keys: Any
) -> list[Result]:
    """Macro-F1 on real test records of classifiers trained on synthetic records only (TSTR).

    As many synthetic as real training records, in the same mix of rhythms, with the same updates.
    As in every arm of the study, the weights kept are those that are best on the real validation
    records. Beside it the classifiers trained on real records (TRTR), and the ratio of the two,
    whose interval is that of their paired difference.

    Parameters
    ----------
    test
        Real test records.
    synthetic, real
        Their probabilities by what the classifier was trained on, (seeds, records, classes).
    """
    settings = {"patients": patients_of(test), "resamples": resamples}
    tstr = bootstrap_interval(test.targets, synthetic, "macro_f1", **settings)
    trtr = bootstrap_interval(test.targets, real, "macro_f1", **settings)
    gap = difference_interval(test.targets, synthetic, real, "macro_f1", **settings)
    ratio = [1 + x / trtr.value for x in (gap.value, gap.low, gap.high)]
    return [
        Result("tstr", tstr.value, tstr.low, tstr.high, len(test), **keys),
        Result("tstr", trtr.value, trtr.low, trtr.high, len(test), comparison=REAL, **keys),
        Result("tstr_over_trtr", *ratio, n=len(test), **keys),
    ]


def trained_on_synthetic(rows: Sequence[Result]) -> list[Result]:
    """TSTR beside its floor, TRTR: the rows of `usefulness` that stand among the closeness."""
    kept = [row for row in rows if row.metric == "tstr"]
    return [replace(row, comparison=FLOOR if row.comparison else "") for row in kept]


def distance_results(closeness: Sequence[Result], **keys: Any) -> list[Result]:
    """Fréchet distance to real test records, over its floor, and coverage: all rhythms together.

    The interval of the ratio is that of the distance; the floor is taken as it is.

    Parameters
    ----------
    closeness
        Results of `ecgrepro.closeness.compare`.
    """
    found = {(row.metric, row.comparison): row for row in closeness if not row.rhythm}
    chosen = [found[m, c] for m in ("frechet_distance", "coverage") for c in ("", FLOOR)]
    far, floor = chosen[0], chosen[1].value
    ratio = [required(x) / floor for x in (far.value, far.low, far.high)] if floor else [None]
    return [*chosen, Result("frechet_over_floor", *ratio, n=far.n, **keys)]


def copies(
    judge: Classifier, train: Cohort, test: Cohort, synthetic: Cohort, **keys: Any
) -> list[Result]:
    """Fraction of synthetic records that lie nearer to a training record than real ones do.

    Nearer than `COPY_PERCENTILE` of the test records' distances to their nearest training record;
    so a perfect generator has about 1 %. Measured between signals (Euclidean, all leads; a copy
    that is moved in time escapes) and between the judge's embeddings, which hardly see such a move.

    Parameters
    ----------
    synthetic
        Records in the real mix of rhythms.
    """
    spaces = {
        "signal": lambda cohort: cohort.signals.reshape(len(cohort), -1),
        "embedding": judge.embed,
    }
    rows = []
    for space, place in spaces.items():
        found = near_copies(place(train), place(test), place(synthetic), COPY_PERCENTILE)
        where = {**keys, "scope": space}
        bounds = wilson(found.near.sum(), len(found.near))
        rows.append(Result("copies", found.share, *bounds, n=len(found.near), **where))
        rows.append(Result("copy_threshold", found.threshold, n=len(test), **where))
    return rows


def size(facts: Mapping[str, Any], **keys: Any) -> list[Result]:
    """Parameters, and evaluations of the network per sample; times depend on the machine."""
    return [Result(metric, facts[metric], **keys) for metric in ("parameters", "evaluations")]
