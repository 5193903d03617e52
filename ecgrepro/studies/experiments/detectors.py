"""How far the detected heart can be trusted: two detectors, and the rhythms that were labelled.

Before synthetic records are judged by detected rates and intervals, the same detectors are judged
on all real records of a hospital.
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd

from ecgrepro.closeness.metrics.heart import LEAD, MEASURES
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.cohort.rpeaks import TOLERANCE, matching, r_peaks
from ecgrepro.studies.statistics.proportions import median_bounds, wilson
from ecgrepro.support.results import Result

# Heart rates in beats a minute that a label promises.
PROMISED = {"SB": (0, 60), "SR": (60, 100), "ST": (100, np.inf), "GSVT": (100, np.inf)}
SAME = 0.9  # F1 from which two detectors found the same beats
XQRS_FS = 500  # Hz; at 100 Hz xqrs, whose windows are a few samples wide, takes T waves for beats
ALL = ""
# What is asked of the detectors over all records, for the heart to be judged by them.
LEAST_AGREEMENT, MOST_FAILURES = 0.9, 0.05


def calibration_results(
    cohort: Cohort, beats: pd.DataFrame, sample: Cohort, measured: pd.DataFrame, dataset: str
) -> list[Result]:
    """Agreement of two detectors, rates against labels, failures and intervals, by rhythm.

    - ``beat_agreement``: fraction of records in which neurokit2 (as in `ecgrepro.cohort.rpeaks`)
      and wfdb's xqrs on lead II find the same beats, of those in which the first finds any.
    - ``rate_as_labelled``: fraction of rates that are what the label promises (`PROMISED`).
    - ``heart_rate``, ``detector_failures``: median and fraction over all records.
    - each of `MEASURES`, and ``failures`` with its name as ``scope``: over a sample of records.

    Parameters
    ----------
    cohort, beats
        Real records, and what `detected_twice` found in them.
    sample, measured
        Some of the records (`measured_sample`), and their
        `ecgrepro.closeness.metrics.heart.measures`.
    """
    rhythms = cohort.table["rhythm"].to_numpy()
    rows = []
    for rhythm, n in {ALL: len(cohort), **cohort.counts()}.items():
        if not n:
            continue
        part = beats if rhythm == ALL else beats[rhythms == rhythm]
        there = (sample.table["rhythm"] == rhythm).to_numpy()
        kept = measured if rhythm == ALL else measured[there]
        rows += _beats_of(part, rhythm) + _measures_of(kept, rhythm)
    return [replace(row, dataset=dataset) for row in rows]


def _beats_of(beats: pd.DataFrame, rhythm: str) -> list[Result]:
    known = beats.dropna(subset="rate")
    failed = len(beats) - len(known)
    rows = [
        _share("detector_failures", failed, len(beats), rhythm),
        _share("beat_agreement", (known["f1"] >= SAME).sum(), len(known), rhythm),
        _median("heart_rate", known["rate"], rhythm),
    ]
    if rhythm in PROMISED:
        low, high = PROMISED[rhythm]
        kept = known["rate"].between(low, high).sum()
        rows.append(_share("rate_as_labelled", kept, len(known), rhythm))
    return rows


def _measures_of(found: pd.DataFrame, rhythm: str) -> list[Result]:
    rows = []
    for name in MEASURES if len(found) else ():
        if name != "heart_rate":
            rows.append(_median(name, found[name].dropna(), rhythm))
        rows.append(_share("failures", found[name].isna().sum(), len(found), rhythm, name))
    return rows


def _share(metric: str, hits: int, n: int, rhythm: str, scope: str = "") -> Result:
    if not n:
        return Result(metric, None, n=0, rhythm=rhythm, scope=scope, note="no record")
    return Result(metric, hits / n, *wilson(hits, n), n=n, rhythm=rhythm, scope=scope)


def _median(metric: str, values: pd.Series, rhythm: str) -> Result:
    if not len(values):
        return Result(metric, None, n=0, rhythm=rhythm, note="found in no record")
    values = values.to_numpy()
    return Result(
        metric, float(np.median(values)), *median_bounds(values), n=len(values), rhythm=rhythm
    )


def detected_twice(cohort: Cohort) -> pd.DataFrame:
    """Of each record ``rate`` and ``other`` (xqrs) in bpm, and how well the beats match, ``f1``.

    NaN where our detector finds no rhythm.
    """
    rows = [twice(record, cohort.fs) for record in cohort.signals]
    return pd.DataFrame(rows, columns=["rate", "other", "f1"])


def twice(record: np.ndarray, fs: float) -> tuple[float, float, float]:
    """Heart rates by both detectors, and how well their beats match (F1); see `detected_twice`."""
    from scipy.signal import resample_poly  # slow to import, as is the next
    from wfdb.processing import XQRS

    peaks = r_peaks(record, fs)
    if not len(peaks):
        return np.nan, np.nan, np.nan
    ratio = Fraction(XQRS_FS / fs).limit_denominator(1000)
    lead = resample_poly(record[LEAD].astype(np.float64), ratio.numerator, ratio.denominator)
    # It knows QRS complexes of about a millivolt.
    second = XQRS(sig=lead / np.percentile(np.abs(lead), 99), fs=XQRS_FS)
    second.detect(verbose=False)
    others = np.asarray(second.qrs_inds, float) * fs / XQRS_FS
    own, other = (
        60 * fs / np.median(np.diff(p)) if len(p) > 1 else np.nan for p in (peaks, others)
    )
    return own, other, matching(peaks, others, TOLERANCE * fs)


def measured_sample(cohort: Cohort, most: int) -> Cohort:
    """At most ``most`` records, evenly chosen."""
    most = min(len(cohort), most)
    return cohort.select(np.unique(np.linspace(0, len(cohort) - 1, most).astype(int)))
