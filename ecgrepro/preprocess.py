"""Preprocessing: the one road from a recording to the array that models see.

Band-pass 0.5-40 Hz (Butterworth of order 4, forward and backward, so zero-phase) at the recording's
own rate, polyphase resampling, the first ten seconds, and, for ``scale="z"``, zero mean and unit
variance per lead.

Records published in the unit ``NU`` (no unit) were band-passed and z-scored by whoever prepared
them; they are resampled and z-scored, not filtered a second time.
"""

from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy import signal

from ecgrepro.errors import EcgreproError

BAND = (0.5, 40.0)  # Hz
ORDER = 4
SECONDS = 10
SCALES = ("z", "mV")


@lru_cache
def _band_pass(fs: float) -> np.ndarray:
    return signal.butter(ORDER, BAND, "bandpass", fs=fs, output="sos")


def preprocess(
    ecg: np.ndarray, fs_in: float, *, fs: float = 100, scale: str = "z", filtered: bool = False
) -> np.ndarray:
    """Filter, resample, cut and scale one record.

    Parameters
    ----------
    ecg
        Shape (leads, samples), in mV (any unit with ``scale="z"``), at least ten seconds, finite.
    fs_in, fs
        Sampling frequency of ``ecg`` and of the result, in Hz.
    scale
        ``"z"`` or ``"mV"``.
    filtered
        The record has been band-passed before: do not do it again.

    Returns
    -------
    Array of shape (leads, 10 * fs), float32.
    """
    check_settings(fs=fs, scale=scale)
    if fs_in <= 2 * BAND[1]:
        raise EcgreproError(
            f"a sampling frequency of {fs_in:g} Hz cannot hold the {BAND[1]:g} Hz band"
        )
    if not filtered:
        ecg = signal.sosfiltfilt(_band_pass(float(fs_in)), ecg, axis=-1)
    if fs != fs_in:
        ratio = Fraction(fs / fs_in).limit_denominator(10_000)
        ecg = signal.resample_poly(ecg, ratio.numerator, ratio.denominator, axis=-1)
    samples = round(SECONDS * fs)
    if ecg.shape[-1] < samples:
        raise EcgreproError(f"{ecg.shape[-1]} samples at {fs:g} Hz are less than {SECONDS} s")
    ecg = ecg[..., :samples]
    if scale == "z":
        ecg = standardize(ecg)
    return ecg.astype(np.float32)


def standardize(ecg: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance along the last axis; a constant signal becomes zeros."""
    ecg = ecg - ecg.mean(axis=-1, keepdims=True)
    spread = ecg.std(axis=-1, keepdims=True)
    return ecg / np.where(spread > 0, spread, 1)


def check_settings(*, fs: float, scale: str) -> None:
    """Raise if ``fs`` or ``scale`` cannot be used."""
    if scale not in SCALES:
        raise EcgreproError(f"unknown scale {scale!r}: choose one of 'z', 'mV'")
    if not isinstance(fs, int | float) or isinstance(fs, bool) or not 2 * BAND[1] < fs <= 1000:
        raise EcgreproError(
            f"fs must be a sampling frequency above {2 * BAND[1]:g} and up to 1000 Hz, not {fs!r}"
        )
