"""Detected heart rate and RR variability of 12-lead records, real or synthetic.

R peaks are those of neurokit2's ``ecg_peaks`` (its default method, by the steepness of the signal)
on the median over leads of the absolute slope: what most leads show at once, whatever their
polarity, so that one noisy or flat lead decides nothing.

**When the detector fails.** Peaks are also detected on the limb leads alone and on the chest leads
alone. A beat of the heart shows in both, so a record's rhythm counts as detected if at least
`AGREEMENT` of these two sets of peaks match within `TOLERANCE` seconds (F1) and at least
`FEWEST` peaks are found on all leads. Otherwise its rate and variability are NaN. Independent noise
in the leads matches in a third of the peaks or fewer, so it fails; nearly all real records pass.
"""

import warnings
from collections.abc import Iterable

import numpy as np

from ecgrepro.cohort.cohort import LEADS
from ecgrepro.errors import EcgreproError

TOLERANCE = 0.08  # seconds between a peak in the limb leads and the same one in the chest leads
AGREEMENT = 0.8
FEWEST = 4  # peaks, so three RR intervals: a rate of 24 in ten seconds
LIMB, CHEST = slice(0, 6), slice(6, 12)


def r_peaks(record: np.ndarray, fs: float) -> np.ndarray:
    """Positions of the R peaks of a record, in samples; empty if the detector fails.

    Parameters
    ----------
    record
        Shape (12, samples), leads in the order of ``ecgrepro.cohort.LEADS``, in mV or z-scored,
        band-passed as `ecgrepro.cohort.preprocess.preprocess` does.
    fs
        Sampling frequency in Hz, above 80.

    Raises
    ------
    EcgreproError
        The shape or ``fs`` is another, or a value is not finite.
    """
    record = np.asarray(record, np.float64)
    if record.ndim != 2 or len(record) != len(LEADS):
        raise EcgreproError(
            f"heart rates need records of shape ({len(LEADS)} leads, samples), not {record.shape}"
        )
    if not 80 < fs <= 10_000:
        raise EcgreproError(f"fs must lie between 80 and 10000 Hz to detect beats, not {fs!r}")
    if not np.isfinite(record).all():
        raise EcgreproError("the record holds values that are not finite: remove or mend it")
    slope = np.abs(np.gradient(record, axis=1))
    peaks, limb, chest = (
        _detected(np.median(slope[leads], axis=0), fs) for leads in (slice(None), LIMB, CHEST)
    )
    if len(peaks) < FEWEST or matching(limb, chest, TOLERANCE * fs) < AGREEMENT:
        return peaks[:0]
    return peaks


def rates_and_variability(
    signals: Iterable[np.ndarray], fs: float
) -> tuple[np.ndarray, np.ndarray]:
    """Heart rate and RR variability of each record, each of shape (records,).

    The rate is 60 / median RR in beats per minute, the variability the SD of the RR intervals over
    their mean. NaN where the detector fails (see the head of this module). ``signals`` has shape
    (records, 12, samples); parameters and errors as `r_peaks`.
    """
    measures = []
    for record in signals:
        rr = np.diff(r_peaks(record, fs)) / fs
        measures.append((60 / np.median(rr), rr.std() / rr.mean()) if len(rr) else (np.nan,) * 2)
    rates, variability = np.array(measures, np.float64).reshape(-1, 2).T
    return rates, variability


def _detected(signal: np.ndarray, fs: float) -> np.ndarray:
    """R peaks of one signal (samples,), by neurokit2; none in a flat one or in one second."""
    import neurokit2  # slow to import

    if len(signal) <= fs or signal.max() - signal.min() <= 1e-9 * max(1.0, signal.max()):
        return np.array([], int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of too few peaks, which is ours to judge
        try:
            found = neurokit2.ecg_peaks(signal, sampling_rate=fs, correct_artifacts=False)[1]
        except (IndexError, ValueError):  # what it raises where it finds no QRS complex at all
            return np.array([], int)
    return np.asarray(found["ECG_R_Peaks"], int)


def matching(a: np.ndarray, b: np.ndarray, tolerance: float) -> float:
    """F1 of two sets of peaks: the share that has a counterpart within ``tolerance`` samples."""
    if not len(a) or not len(b):
        return 0.0
    near = np.abs(a[:, None] - b[None, :]) <= tolerance
    return 2 * min(near.any(1).sum(), near.any(0).sum()) / (len(a) + len(b))
