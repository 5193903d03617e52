"""What a cardiologist would measure: rate, RR variability, P wave, PR, QRS, QT, R amplitude.

Beats are those of `ecgrepro.cohort.rpeaks`; waves are delineated in lead II by neurokit2
(``ecg_delineate``, discrete wavelets; Martinez et al. 2004). Delineation is biased: at 100 Hz PR
comes out some 30 ms short, and QRS grows with the RR interval; it fails on some records. So the
same detector measures both sides, and how often it fails stands beside every distance.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from tqdm import tqdm

from ecgrepro.closeness.matching import SETS
from ecgrepro.cohort.cohort import LEADS, Cohort
from ecgrepro.cohort.rpeaks import r_peaks
from ecgrepro.errors import EcgreproError

UNITS = {
    "heart_rate": "bpm",
    "rr_variability": "",
    "p_duration": "ms",
    "pr": "ms",
    "qrs": "ms",
    "qt": "ms",
    "qtc": "ms",
    "r_amplitude": "of the signal",
}
MEASURES = tuple(UNITS)
_WORDS = {
    "heart_rate": "heart rate",
    "rr_variability": "RR variability",
    "p_duration": "P duration",
    "pr": "PR",
    "qrs": "QRS",
    "qt": "QT",
    "qtc": "QTc",
    "r_amplitude": "R amplitude",
}
LEAD = LEADS.index("II")
REACH = 0.08  # seconds around a detected beat in which lead II has its R (or deepest S) peak
FEWEST = 3  # beats in which a wave must be found
# Interval: from one of neurokit2's marks to another.
_WAVES = {
    "p_duration": ("ECG_P_Onsets", "ECG_P_Offsets"),
    "pr": ("ECG_P_Onsets", "ECG_R_Onsets"),
    "qrs": ("ECG_R_Onsets", "ECG_R_Offsets"),
    "qt": ("ECG_R_Onsets", "ECG_T_Offsets"),
}


def titled(measure: str) -> str:
    """A measure in words, with its unit."""
    return f"{_WORDS[measure]}, {UNITS[measure]}" if UNITS[measure] else _WORDS[measure]


def measures(
    signals: Iterable[np.ndarray], fs: float, *, title: str = "physiology"
) -> pd.DataFrame:
    """The `MEASURES` of each record, medians over its beats: a row a record, units as in `UNITS`.

    NaN where a record's beats are not found, or a wave in fewer than `FEWEST` of them. In atrial
    fibrillation the delineator takes fibrillatory waves for P waves. QTc is Fridericia's,
    QT / RR^(1/3) with RR in seconds.

    Parameters
    ----------
    signals
        Shape (records, 12, samples); errors as `ecgrepro.cohort.rpeaks.r_peaks`.
    """
    rows = [
        _measured(record, fs) for record in tqdm(signals, desc=title, leave=False, disable=None)
    ]
    return pd.DataFrame(rows, columns=list(MEASURES), dtype=float)


def failure_rates(found: pd.DataFrame) -> pd.Series:
    """Share of records in which each measure could not be taken, by measure."""
    if found.empty:
        raise EcgreproError("no record was measured: there is no failure rate")
    return found.isna().mean()


def measure_distances(real: pd.DataFrame, synthetic: pd.DataFrame, *, least: int = 1) -> pd.Series:
    """1-Wasserstein distance of each measure's distributions, in its unit, by measure.

    Of the records in which it could be taken; NaN if there are fewer than ``least`` on one side.
    In [0, ∞); lower is closer. Blind to how measures go together, and to records in which the
    detector fails: read it beside `failure_rates` of both sides.
    """
    from scipy.stats import wasserstein_distance  # slow to import

    distances = {}
    for name in MEASURES:
        a, b = real[name].dropna(), synthetic[name].dropna()
        enough = min(len(a), len(b)) >= least
        distances[name] = wasserstein_distance(a, b) if enough else np.nan
    return pd.Series(distances)


def _measured(record: np.ndarray, fs: float) -> dict[str, float]:
    peaks = r_peaks(record, fs)
    if not len(peaks):
        return {}
    rr = np.diff(peaks) / fs
    found = {"heart_rate": 60 / np.median(rr), "rr_variability": rr.std() / rr.mean()}
    lead = np.asarray(record[LEAD], np.float64)
    tips, height = _tips(lead, peaks, fs)
    found["r_amplitude"] = height
    found |= _intervals(lead, tips, fs)
    if "qt" in found:
        found["qtc"] = found["qt"] / np.median(rr) ** (1 / 3)
    return found


def _tips(lead: np.ndarray, peaks: np.ndarray, fs: float) -> tuple[np.ndarray, float]:
    """The largest deflection of the lead at each beat, all of one polarity, and its median height.

    Deflections are from the lead's median; the height of a downward one is negative.
    """
    reach, level = round(REACH * fs), np.median(lead)
    windows = [slice(max(0, peak - reach), peak + reach + 1) for peak in peaks]
    up = np.median([lead[w].max() - level for w in windows])
    down = np.median([level - lead[w].min() for w in windows])
    sign = 1 if up >= down else -1
    tips = np.unique([w.start + int(np.argmax(sign * lead[w])) for w in windows])
    return tips, float(sign * max(up, down))


def _intervals(lead: np.ndarray, tips: np.ndarray, fs: float) -> dict[str, float]:
    """Median intervals in ms of the waves that are found in enough beats."""
    import neurokit2  # slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of beats without a wave, which are counted here
        try:
            marks = neurokit2.ecg_delineate(lead, tips, sampling_rate=fs, method="dwt")[1]
        except (IndexError, ValueError, TypeError, ZeroDivisionError):
            return {}  # it gives up on records that are fast or end within a beat
    found = {}
    for name, (start, end) in _WAVES.items():
        n = min(len(marks[start]), len(marks[end]))
        lengths = np.array(marks[end][:n], float) - np.array(marks[start][:n], float)
        lengths = lengths[lengths > 0]
        if len(lengths) >= FEWEST:
            found[name] = 1000 * float(np.median(lengths)) / fs
    return found


@dataclass
class HeartLog:
    """`measures`, remembered for each set that a comparison asks for."""

    measure: Callable[[Cohort], pd.DataFrame]
    found: list[pd.DataFrame] = field(default_factory=list)

    def __call__(self, cohort: Cohort) -> pd.DataFrame:
        """Measure a cohort and remember it, with its records' rhythms."""
        found = self.measure(cohort)
        rhythm = cohort.table["rhythm"].to_numpy()
        self.found.append(found.assign(rhythm=rhythm)[["rhythm", *MEASURES]])
        return found

    def table(self) -> pd.DataFrame | None:
        """A row a record, its ``set`` first; None unless every set was measured."""
        if len(self.found) < len(SETS):
            return None
        last = self.found[-len(SETS) :]  # a budget of time measures a record or two before
        return pd.concat(dict(zip(SETS, last, strict=True)), names=["set"]).reset_index("set")
