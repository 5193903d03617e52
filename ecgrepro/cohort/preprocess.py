"""Preprocessing: from a recording to the array that the models see.

Band-pass 0.5-40 Hz (Butterworth of order 4, forward and backward, so zero-phase) at the recording's
own rate, polyphase resampling, the first ten seconds, and, for ``scale="z"``, zero mean and unit
variance per lead.
"""

import numbers
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
def _band_pass(fs: float) -> tuple[np.ndarray, np.ndarray]:
    """Second-order sections, and their state after an endless constant input of one."""
    sections = signal.butter(ORDER, BAND, "bandpass", fs=fs, output="sos")
    return sections, signal.sosfilt_zi(sections)[:, None, :]  # (sections, 1, 2)


@lru_cache
def _anti_alias(up: int, down: int) -> np.ndarray:
    """The filter that `scipy.signal.resample_poly` designs by default, designed once."""
    widest = max(up, down)
    return signal.firwin(20 * widest + 1, 1 / widest, window=("kaiser", 5.0))


def band_pass(ecg: np.ndarray, fs: float) -> np.ndarray:
    """`scipy.signal.sosfiltfilt` along the last axis of (leads, samples), designed once.

    For a ten-second record, the design takes as long as the filtering.
    """
    sections, state = _band_pass(float(fs))
    edge = 3 * (2 * len(sections) + 1)
    first, last = ecg[:, :1], ecg[:, -1:]
    head, tail = ecg[:, edge:0:-1], ecg[:, -2 : -edge - 2 : -1]
    ecg = np.concatenate([2 * first - head, ecg, 2 * last - tail], axis=1)
    for _ in range(2):
        ecg, _ = signal.sosfilt(sections, ecg, axis=1, zi=state * ecg[:, :1])
        ecg = ecg[:, ::-1]
    return ecg[:, edge:-edge]


def decimate(ecg: np.ndarray, down: int) -> np.ndarray:
    """`scipy.signal.resample_poly` with ``up=1`` along the last axis of (leads, samples), float32.

    As a product of overlapping blocks with a matrix, which takes a third of the time.
    """
    leads, samples = ecg.shape
    matrix = _decimation_matrix(down)
    width, outputs = matrix.shape
    blocks = -(-samples // (down * outputs))
    padded = np.zeros((leads, (blocks - 1) * down * outputs + width), np.float32)
    padded[:, 10 * down : 10 * down + samples] = ecg
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
    windows = np.ascontiguousarray(windows[:, :: down * outputs])  # (leads, blocks, width)
    return (windows @ matrix).reshape(leads, -1)[:, : -(-samples // down)]


@lru_cache
def _decimation_matrix(down: int, outputs: int = 50) -> np.ndarray:
    """Column j holds the anti-alias filter for output j of a block."""
    taps = _anti_alias(1, down)
    matrix = np.zeros((down * (outputs - 1) + len(taps), outputs), np.float32)
    for j in range(outputs):
        matrix[down * j : down * j + len(taps), j] = taps
    return matrix


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
    check_settings(fs=fs, scale=scale)
    if fs_in <= 2 * BAND[1]:
        raise EcgreproError(
            f"a sampling frequency of {fs_in:g} Hz cannot hold the {BAND[1]:g} Hz band"
        )
    return resample(band_pass(ecg, fs_in), fs_in, fs=fs, scale=scale)


def resample(ecg: np.ndarray, fs_in: float, *, fs: float, scale: str) -> np.ndarray:
    """`preprocess` without its band-pass, for records that have gone through it already."""
    if fs != fs_in:
        ratio = Fraction(fs / fs_in).limit_denominator(10_000)
        up, down = ratio.numerator, ratio.denominator
        if up == 1:
            ecg = decimate(ecg, down)
        else:
            ecg = signal.resample_poly(ecg, up, down, axis=-1, window=_anti_alias(up, down))
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
