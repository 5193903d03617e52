"""Time and frequency: spectra, autocorrelation and amplitudes, lead by lead.

All compare what a set of records is like on average, whatever a record's class or beats.
Signals have shape (records, leads, samples); values have shape (leads,).
"""

from collections.abc import Iterator

import numpy as np

from ecgrepro.closeness.metrics.mmd import line_wasserstein
from ecgrepro.errors import EcgreproError

SEGMENT = 2.56  # seconds of a Welch segment: a resolution of 0.4 Hz
LAG = 2.0  # seconds of autocorrelation: a beat and the next, down to 30 a minute
BATCH = 256  # records whose spectra are computed at once
BINS = 256  # see `amplitude_edges`


def spectrum_distance(real: np.ndarray, synthetic: np.ndarray, fs: float) -> np.ndarray:
    """1-Wasserstein distance of the mean normalized power spectra, in Hz, (leads,).

    How far, on average, power would have to be moved along the frequency axis. In [0, fs / 2]; 0
    for equal mean spectra; lower is closer. Blind to phase, so to the shape and order of waves,
    and to amplitude.
    """
    real, synthetic = checked_signals(real, synthetic)
    frequencies, a = mean_spectrum(real, fs)
    _, b = mean_spectrum(synthetic, fs)
    return power_moved(a, b, frequencies[1] - frequencies[0])


def power_moved(a: np.ndarray, b: np.ndarray, step: float) -> np.ndarray:
    """1-Wasserstein distance of two spectra (leads, f) of sum 1, ``step`` Hz a bin, (leads,)."""
    return np.abs(np.cumsum(a - b, axis=1)[:, :-1]).sum(axis=1) * step


def mean_spectrum(signals: np.ndarray, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (f,) in Hz and the mean of the records' power spectra, (leads, f), of sum 1.

    A lead that is flat in a record adds nothing to the mean; flat in every record, it raises.
    """
    frequencies = np.fft.rfftfreq(segment(signals, fs), 1 / fs)
    total = np.asarray(sum(spectra(part, fs).sum(axis=0) for part in _batches(signals)))
    return frequencies, to_sum_one(total)


def to_sum_one(spectrum: np.ndarray) -> np.ndarray:
    """A spectrum (leads, f) over its sum; a lead without power raises."""
    sums = spectrum.sum(axis=1, keepdims=True)
    if not sums.all():
        raise EcgreproError(f"lead {int(np.argmin(sums))} is flat in every record: no spectrum")
    return spectrum / sums


def spectra(signals: np.ndarray, fs: float) -> np.ndarray:
    """Power spectrum of each record and lead, (records, leads, f), of sum 1; 0 for a flat lead.

    Welch's method (scipy), Hann windows of `SEGMENT` seconds, half overlapping.
    """
    from scipy.signal import welch  # slow to import

    part = np.asarray(signals, np.float64)
    _, power = welch(part, fs, nperseg=segment(signals, fs))
    weight = power.sum(axis=2, keepdims=True)
    return np.divide(power, weight, where=weight > 0, out=0 * power)


def autocorrelation_difference(real: np.ndarray, synthetic: np.ndarray, fs: float) -> np.ndarray:
    """Mean absolute difference of the mean autocorrelations up to `LAG` seconds, (leads,).

    In [0, 2]; lower is closer. It sees the width of waves and how regularly they come; blind to
    polarity, and to which of two orders waves come in.
    """
    real, synthetic = checked_signals(real, synthetic)
    return np.abs(mean_autocorrelation(real, fs) - mean_autocorrelation(synthetic, fs)).mean(axis=1)


def mean_autocorrelation(signals: np.ndarray, fs: float) -> np.ndarray:
    """Mean over records of `autocorrelations`, (leads, lags)."""
    total = np.asarray(sum(autocorrelations(part, fs).sum(axis=0) for part in _batches(signals)))
    return total / len(signals)


def autocorrelations(signals: np.ndarray, fs: float) -> np.ndarray:
    """Autocorrelation of each record and lead at lags 0 to `LAG` seconds, (records, leads, lags).

    The biased estimate (Box and Jenkins 1976), 1 at lag 0; a flat lead counts as 0 at all lags.
    """
    samples = signals.shape[2]
    part = np.asarray(signals, np.float64)
    part = part - part.mean(axis=2, keepdims=True)
    power = np.abs(np.fft.rfft(part, 2 * samples, axis=2)) ** 2
    sums = np.fft.irfft(power, axis=2)[:, :, : min(samples, round(LAG * fs) + 1)]
    scale = sums[:, :, :1]
    return np.divide(sums, scale, where=scale > 0, out=0 * sums)


def amplitude_distance(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """1-Wasserstein distance of the distributions of all samples, in the signals' units, (leads,).

    In [0, ∞); lower is closer. It sees clipping, scale and skew; blind to time.
    """
    real, synthetic = checked_signals(real, synthetic)
    leads = range(real.shape[1])
    sets = ([np.asarray(s[:, lead], np.float64).reshape(-1, 1) for s in (real, synthetic)]
            for lead in leads)  # fmt: skip
    return np.array([line_wasserstein(a, b, power=1)[0] for a, b in sets])


def amplitude_edges(*real: np.ndarray) -> np.ndarray:
    """Edges of bins between the least and the largest sample of real signals, increasing.

    `BINS` are quantiles of all samples and `BINS` equally far apart: narrow where samples are, and
    not too wide where they are rare.
    """
    samples = np.concatenate([np.asarray(part[:, :, ::3], np.float64).ravel() for part in real])
    places = np.linspace(0, 1, BINS)
    ends = samples.min(), samples.max()
    edges = np.unique(
        np.concatenate([np.quantile(samples, places), np.interp(places, [0, 1], ends)])
    )
    if len(edges) < 2:
        raise EcgreproError("all samples of the real records are equal: there are no amplitudes")
    return edges


def amplitude_features(signals: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Of each record and lead what its mean over records needs for `amplitudes_apart`.

    Shape (records, leads, edges + 2): the share of samples below each edge, and how far samples lie
    below the first and above the last edge on average.
    """
    part = np.sort(np.asarray(signals, np.float64), axis=2)
    flat = part.reshape(-1, part.shape[2])
    below = np.stack([np.searchsorted(lead, edges) for lead in flat]) / part.shape[2]
    under = np.maximum(edges[0] - flat, 0).mean(axis=1, keepdims=True)
    over = np.maximum(flat - edges[-1], 0).mean(axis=1, keepdims=True)
    return np.hstack([below, under, over]).reshape(*part.shape[:2], -1)


def amplitudes_apart(a: np.ndarray, b: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """`amplitude_distance` by bins, from two means of `amplitude_features`, (leads,)."""
    apart = np.abs(a - b)
    inside = np.trapezoid(apart[:, :-2], edges, axis=1)
    return inside + apart[:, -2] + apart[:, -1]


def segment(signals: np.ndarray, fs: float) -> int:
    """Samples of a Welch segment: `SEGMENT` seconds, or the record if it is shorter."""
    return min(signals.shape[2], round(SEGMENT * fs))


def _batches(signals: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(signals), BATCH):
        yield signals[start : start + BATCH]


def checked_signals(real: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets, if they can be compared: (records, leads, samples), finite, of one shape."""
    for name, signals in (("real", real), ("synthetic", synthetic)):
        if np.ndim(signals) != 3 or 0 in np.shape(signals):
            raise EcgreproError(
                f"the {name} signals must have shape (records, leads, samples) and hold "
                f"something, not {np.shape(signals)}"
            )
        for start in range(0, len(signals), BATCH):
            bad = ~np.isfinite(signals[start : start + BATCH]).all(axis=(1, 2))
            if bad.any():
                raise EcgreproError(
                    f"{name} record at position {start + int(bad.argmax())} holds NaN or infinite "
                    "samples: remove or mend it"
                )
    if real.shape[1:] != synthetic.shape[1:]:
        raise EcgreproError(
            "real and synthetic signals differ in (leads, samples): "
            f"{real.shape[1:]} and {synthetic.shape[1:]}"
        )
    return real, synthetic
