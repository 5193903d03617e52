"""Preprocessing: from a recording to the array that the models see.

Band-pass 0.5-40 Hz (Butterworth of order 4, forward and backward, so zero-phase) at the recording's
own rate, polyphase resampling, the first ten seconds, and, for ``scale="z"``, zero mean and unit
variance per lead.
"""

import numbers

import numpy as np

from ecgrepro.errors import EcgreproError

BAND = (0.5, 40.0)  # Hz
SECONDS = 10
SCALES = ("z", "mV")


def preprocess(ecg: np.ndarray, fs_in: float, *, fs: float = 100, scale: str = "z") -> np.ndarray:
    """Filter, resample, cut and scale one record.

    Parameters
    ----------
    ecg
        Shape (leads, samples), in mV (any unit with ``scale="z"``), at least ten seconds, finite.
    fs_in, fs
        Sampling frequency of ``ecg`` and of the result, in Hz.
    scale
        ``"z"``: zero mean and unit variance per lead; ``"mV"``: the unit of ``ecg``.

    Returns
    -------
    numpy.ndarray
        Shape (leads, 10 * fs), float32.

    Raises
    ------
    EcgreproError
        If ``fs`` or ``scale`` cannot be used, ``fs_in`` is too low for the band, or the record is
        shorter than ten seconds.

    Examples
    --------
    >>> import numpy as np
    >>> ecg = np.sin(2 * np.pi * 5 * np.arange(5000) / 500)  # ten seconds of 5 Hz at 500 Hz
    >>> preprocess(np.tile(ecg, (12, 1)), 500).shape
    (12, 1000)
    """
    from ecgrepro.cohort import filters  # slow to import

    check_settings(fs=fs, scale=scale)
    if fs_in <= 2 * BAND[1]:
        raise EcgreproError(
            f"a sampling frequency of {fs_in:g} Hz cannot hold the {BAND[1]:g} Hz band"
        )
    return resample(filters.band_pass(ecg, fs_in), fs_in, fs=fs, scale=scale)


def resample(ecg: np.ndarray, fs_in: float, *, fs: float, scale: str) -> np.ndarray:
    """`preprocess` without its band-pass, for records that have gone through it already."""
    from ecgrepro.cohort import filters  # slow to import

    if fs != fs_in:
        ecg = filters.resampled(ecg, fs_in, fs)
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
    if not isinstance(fs, numbers.Real) or isinstance(fs, bool) or not 2 * BAND[1] < fs <= 1000:
        raise EcgreproError(
            f"fs must be a sampling frequency above {2 * BAND[1]:g} and up to 1000 Hz, not {fs!r}"
        )
