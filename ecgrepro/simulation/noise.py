"""Noise of simulated recordings, made at the nine electrodes that the leads are differences of.

So Einthoven's and Goldberger's relations hold for the noise as they do in a real recording, and a
loose right-arm electrode spoils every lead.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.fft import irfft

# I, II, V1-V6 from the electrodes RA, LA, LL, V1-V6 (chest leads against Wilson's terminal).
ELECTRODES = np.zeros((8, 9))
ELECTRODES[0, :2] = -1, 1
ELECTRODES[1, [0, 2]] = -1, 1
ELECTRODES[2:, :3] = -1 / 3
ELECTRODES[np.arange(2, 8), np.arange(3, 9)] = 1

NOISE_BAND = 150.0  # Hz; noise is drawn up to here whatever the sampling rate
DRIFT_BAND = 1.2  # Hz
PERIOD = 1.25  # of the noise, in lengths of the record, so that its ends do not meet


@dataclass(frozen=True)
class Noise:
    """Typical noise of a hospital's recordings.

    ``drift`` (below 1 Hz), ``muscle`` (0.5-150 Hz) and ``mains`` are median standard deviations
    at an electrode in mV, ``spread`` the log standard deviation of these levels over records,
    ``motion`` the share of records in which an electrode moves.
    """

    drift: float
    muscle: float
    mains: float
    mains_hz: float
    spread: float
    motion: float


def electrode_noise(
    noise: Noise, rng: np.random.Generator, t: np.ndarray, fs: float, breath: np.ndarray
) -> np.ndarray:
    """Noise of one record at RA, LA, LL, V1-V6 in mV, shape (9, samples).

    ``t`` are the samples' times in seconds, ``breath`` the respiration at these times. What is
    drawn from ``rng`` does not depend on ``fs``.
    """
    levels = np.exp(rng.normal(0, noise.spread, 3)) * [noise.drift, noise.muscle, noise.mains]
    drift, muscle, mains = (levels[:, None, None] * rng.lognormal(0, 0.35, (3, 9, 1))).astype("f4")
    basis = _drift_basis(len(t), fs)
    signal = (drift * rng.standard_normal((9, len(basis)), dtype=np.float32)) @ basis
    signal += 0.5 * drift * rng.standard_normal((9, 1), dtype=np.float32) * breath
    signal += _muscle(muscle, rng, t, fs)
    hum = mains * rng.standard_normal((9, 1), dtype=np.float32)
    phase = rng.uniform(0, 2 * np.pi)
    if fs > 2 * noise.mains_hz:
        signal += hum * np.sin(np.float32(2 * np.pi * noise.mains_hz) * t + np.float32(phase))
    if rng.random() < noise.motion:
        _electrode_motion(signal, rng, t)
    return signal


@cache
def _drift_basis(samples: int, fs: float) -> np.ndarray:
    """Sines and cosines up to ``DRIFT_BAND`` in a 1/f spectrum of unit variance."""
    period = PERIOD * samples / fs
    k = np.arange(1, int(DRIFT_BAND * period) + 1)[:, None]
    angle = 2 * np.pi * k / period * np.arange(samples) / fs
    weight = k**-1.3 / np.sqrt((k**-2.6).sum())
    return np.concatenate([weight * np.sin(angle), weight * np.cos(angle)]).astype(np.float32)


@cache
def _muscle_spectrum(samples: int, fs: float) -> tuple[int, np.ndarray]:
    """How many bins are drawn, and the gain of those that the sampling rate can hold.

    With all of them the noise has unit standard deviation, before the spectrum is shaped: pink
    below 20 Hz, flat to 100 Hz.
    """
    n, period = round(PERIOD * samples), PERIOD * samples / fs
    bins = int(NOISE_BAND * period) + 1
    f = np.arange(min(bins, (n - 1) // 2)) / period
    shape = 0.5 + 0.5 / (1 + (20 / np.maximum(f, 0.5)) ** 2) + 2 / np.maximum(f, 1.0)
    shape *= (f >= 0.5) / (1 + (f / 100) ** 4)
    return bins, (shape * n / np.sqrt(4 * bins)).astype(np.float32)


def _muscle(level: np.ndarray, rng: np.random.Generator, t: np.ndarray, fs: float) -> np.ndarray:
    """Muscle and amplifier noise, in some records with a burst."""
    bins, gain = _muscle_spectrum(len(t), fs)
    spectrum = rng.standard_normal((9, 2 * bins), dtype=np.float32).view(np.complex64)
    spectrum = spectrum[:, : len(gain)] * (level * gain)
    signal = irfft(spectrum, n=round(PERIOD * len(t)), axis=1, overwrite_x=True)[:, : len(t)]
    burst, middle, width, height = rng.random(4)
    if burst < 0.15:
        z = (t - np.float32(middle) * t[-1]) / np.float32(0.4 + 1.5 * width)
        signal *= 1 + np.float32(1.5 + 4 * height) * np.exp(-0.5 * z * z)
    return signal


def _electrode_motion(signal: np.ndarray, rng: np.random.Generator, t: np.ndarray) -> None:
    """One electrode moves: jumps that decay, or slow bumps, added to its row of ``signal``."""
    electrode = rng.integers(9)
    for _ in range(rng.integers(1, 4)):
        start, size = rng.uniform(0, t[-1]), rng.normal(0, 0.35)
        if rng.random() < 0.5:
            after = np.maximum(t - start, 0)
            rise = 1 - np.exp(-after / 0.03)
            signal[electrode] += size * rise * np.exp(-after / rng.uniform(0.15, 0.7))
        else:
            z = (t - start) / rng.uniform(0.08, 0.35)
            signal[electrode] += size * np.exp(-0.5 * z * z)
