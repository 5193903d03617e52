"""The filters of preprocessing, designed once: band-pass, and polyphase resampling."""

from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy import signal

from ecgrepro.cohort.preprocess import BAND

ORDER = 4


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


def resampled(ecg: np.ndarray, fs_in: float, fs: float) -> np.ndarray:
    """(leads, samples) at ``fs_in`` Hz, at ``fs`` Hz."""
    ratio = Fraction(fs / fs_in).limit_denominator(10_000)
    up, down = ratio.numerator, ratio.denominator
    if up == 1:
        return decimate(ecg, down)
    return signal.resample_poly(ecg, up, down, axis=-1, window=_anti_alias(up, down))


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
