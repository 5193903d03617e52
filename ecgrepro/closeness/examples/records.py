"""Worked examples of the metrics in simulated records: what each sees, and what it misses."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from ecgrepro.closeness.examples.cases import FS, SHOWN, Case, MarkedBeat
from ecgrepro.closeness.metrics import heart as physiology
from ecgrepro.closeness.metrics.dtw import dtw_to_nearest
from ecgrepro.closeness.metrics.leads import lead_correlation_distance, lead_residuals
from ecgrepro.closeness.metrics.spectrum import (
    amplitude_distance,
    autocorrelation_difference,
    mean_autocorrelation,
    mean_spectrum,
    spectrum_distance,
)
from ecgrepro.cohort.cohort import LEADS
from ecgrepro.cohort.preprocess import SECONDS, preprocess, standardize
from ecgrepro.cohort.rpeaks import r_peaks
from ecgrepro.simulation.records import Heart, simulate_record, simulate_records

RAW = 500.0  # Hz, as simulated
HOSPITAL = "chapman"
PACE = (0.75, 0.85)  # seconds of the median RR interval: 71 to 80 beats a minute
WAVES = ("p_duration", "pr", "qrs", "qt")  # measures of the delineator

# Time around each R peak: (seconds from the peak in the new record, in the old one).
LONG_QT = ((0.28, 0.28), (0.64, 0.48), (0.74, 0.74))
LONG_PR = ((-0.45, -0.45), (-0.36, -0.25), (-0.20, -0.09), (-0.05, -0.05))
WIDE_P = ((-0.5, -0.5), (-0.28, -0.22), (-0.06, -0.09), (-0.04, -0.045))
WIDE_QRS = ((-0.45, -0.45), (-0.29, -0.25), (-0.10, -0.06), (0.10, 0.06), (0.60, 0.56), (0.7, 0.7))


@lru_cache
def records(
    rhythm: str, n: int, seed: int = 0, first: int = 0, scale: str = "z", fs: float = FS
) -> np.ndarray:
    """Simulated records of one rhythm, preprocessed: shape (n, 12, samples), read-only."""
    raw = simulate_records([rhythm] * n, hospital=HOSPITAL, seed=seed, fs=RAW, first=first)
    return _prepared(raw, scale, fs)


@lru_cache
def paced_records(rhythm: str, n: int, seed: int = 0, first: int = 0) -> np.ndarray:
    """`records`, z-scored, whose median RR interval lies within `PACE`: all about as fast."""

    def fits(heart: Heart) -> bool:
        times = heart.beats.times
        rr = np.median(np.diff(times[(times >= 0) & (times < SECONDS)]))
        return PACE[0] <= rr < PACE[1]

    return _chosen(fits, rhythm, n, seed, first, "z")


@lru_cache
def plain_records(rhythm: str, n: int, seed: int = 0, first: int = 0) -> np.ndarray:
    """`records` in mV without block, premature beats and abnormal T waves: easy to measure."""

    def fits(heart: Heart) -> bool:
        form = (heart.conduction, heart.t_wave)
        return form == ("normal", "normal") and not heart.beats.ventricular.any()

    return _chosen(fits, rhythm, n, seed, first, "mV")


def _chosen(
    fits: Callable[[Heart], bool], rhythm: str, n: int, seed: int, first: int, scale: str
) -> np.ndarray:
    found, number = [], first
    while len(found) < n:
        record, heart = simulate_record(rhythm, HOSPITAL, seed, number, RAW)
        if fits(heart):
            found.append(record)
        number += 1
    return _prepared(found, scale, FS)


def _prepared(raw: Iterable[np.ndarray], scale: str, fs: float) -> np.ndarray:
    out = np.stack([preprocess(record, RAW, fs=fs, scale=scale) for record in raw])
    out.flags.writeable = False
    return out


def signal_cases(seed: int = 0, n: int = 20) -> dict[str, list[Case]]:
    """For each metric of the family signal: an honest set, one that it sees, one that it misses.

    All are records of much the same rate. Values are means over leads (over records for DTW).
    """
    real, honest = paced_records("SR", n, seed), paced_records("SR", n, seed, 10_000)
    rng = np.random.default_rng([seed, 8])
    irregular = paced_records("AFIB", n, seed, 20_000)
    noisy = standardize(honest + 0.35 * rng.standard_normal(honest.shape))
    low, high = honest.min(axis=2, keepdims=True), honest.max(axis=2, keepdims=True)
    clipped = standardize(np.clip(honest, 0.35 * low, 0.35 * high))
    shuffled = rng.permuted(honest, axis=2)
    smeared = standardize(gaussian_filter1d(honest, 0.045 * FS, axis=2))
    copied = np.repeat(honest[_most_typical(real, honest)][None], n, axis=0)

    def spectra(a: np.ndarray, b: np.ndarray) -> float:
        return float(spectrum_distance(a, b, FS).mean())

    def correlations(a: np.ndarray, b: np.ndarray) -> float:
        return float(autocorrelation_difference(a, b, FS).mean())

    def amplitudes(a: np.ndarray, b: np.ndarray) -> float:
        return float(amplitude_distance(a, b).mean())

    def dtw(a: np.ndarray, b: np.ndarray) -> float:
        return float(dtw_to_nearest(a, b, FS).mean())

    backwards = honest[..., ::-1]
    plan = {
        "spectrum_distance": (spectra, ("white noise", noisy), ("time reversed", backwards)),
        "autocorrelation_difference": (
            correlations, ("atrial fibrillation", irregular), ("polarity inverted", -honest)),
        "amplitude_distance": (amplitudes, ("clipped", clipped), ("samples shuffled", shuffled)),
        "dtw": (dtw, ("waves smeared", smeared), ("one good record, copied", copied)),
    }  # fmt: skip
    out = {}
    for name, (measure, seen, missed) in plan.items():
        good = {name: measure(real, honest)}
        out[name] = [
            Case("like the real ones", real, honest, good, good),
            Case(seen[0], real, seen[1], {name: measure(real, seen[1])}, good, (name,)),
            Case(missed[0], real, missed[1], {name: measure(real, missed[1])}, good, (), (name,)),
        ]
    return out


def signal_curves(metric: str, cases: Sequence[Case]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What a metric of the family signal compares, as a curve (x, y) of lead II for each set."""
    sets = {"real": cases[0].real, **{case.words: case.synthetic for case in cases}}
    if metric == "spectrum_distance":
        curves = {name: mean_spectrum(s[:, [SHOWN]], FS) for name, s in sets.items()}
        return {name: (x, y[0]) for name, (x, y) in curves.items()}
    if metric == "autocorrelation_difference":
        curves = {name: mean_autocorrelation(s[:, [SHOWN]], FS)[0] for name, s in sets.items()}
        return {name: (np.arange(len(y)) / FS, y) for name, y in curves.items()}
    if metric == "amplitude_distance":
        share = np.linspace(0.001, 0.999, 200)
        return {name: (share, np.quantile(s[:, SHOWN], share)) for name, s in sets.items()}
    del sets["real"]  # each of them has itself at distance zero
    rank = (np.arange(len(cases[0].real)) + 0.5) / len(cases[0].real)
    return {name: (rank, np.sort(dtw_to_nearest(cases[0].real, s, FS)))
            for name, s in sets.items()}  # fmt: skip


def _most_typical(real: np.ndarray, honest: np.ndarray) -> int:
    """The record of ``honest`` that is nearest to a real one under DTW."""
    return int(np.argmin(dtw_to_nearest(real, honest, FS)))


def marked_beat(seed: int = 3, beat: int = 4) -> MarkedBeat:
    """A beat of a simulated sinus rhythm at 500 Hz with the delineator's marks."""
    import neurokit2  # slow to import

    record = records("SR", 1, seed, 0, "mV", RAW)[0]
    measured = physiology.measures([record], RAW, title="beat").iloc[0].to_dict()
    lead = np.asarray(record[physiology.LEAD], float)
    reach = round(physiology.REACH * RAW)
    tips = np.array([p - reach + int(np.argmax(lead[p - reach : p + reach + 1]))
                     for p in r_peaks(record, RAW) if reach <= p < len(lead) - reach])  # fmt: skip
    found = neurokit2.ecg_delineate(lead, tips, sampling_rate=RAW, method="dwt")[1]
    tip = int(tips[beat])
    window = slice(tip - round(0.35 * RAW), tip + round(0.55 * RAW))
    marks = {
        name: tuple((found[end][beat] - tip) / RAW for end in ends)
        for name, ends in physiology._WAVES.items()
    }
    level = float(np.median(lead))
    time = (np.arange(len(lead)) - tip)[window] / RAW
    return MarkedBeat(time, lead[window] - level, marks, measured, float(lead[tip] - level))


def heart_records(seed: int = 0, n: int = 12) -> dict[str, np.ndarray]:
    """Real and honest records of sinus bradycardia in mV, and nine sets that are changed.

    Bradycardia leaves room between beats to move waves in; only records of normal form are used.
    """
    real, honest = plain_records("SB", n, seed), plain_records("SB", n, seed, 10_000)
    rng = np.random.default_rng([seed, 9])
    apart = np.stack([
        [np.roll(lead, shift) for lead, shift in zip(r, rng.integers(0, 1000, 12), strict=True)]
        for r in honest
    ])  # fmt: skip
    return {
        "real": real,
        "honest": honest,
        "faster": plain_records("SR", n, seed, 10_000),
        "AFIB": plain_records("AFIB", n, seed, 20_000),
        "smaller": honest / 3,
        "wide P": _warped(honest, WIDE_P),
        "long PR": _warped(honest, LONG_PR),
        "wide QRS": _warped(honest, WIDE_QRS),
        "long QT": _warped(honest, LONG_QT),
        "no P, no T": _complexes_only(honest),
        "leads apart": apart,
    }


def heart_measures(sets: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
    """`ecgrepro.closeness.metrics.heart.measures` of each set."""
    return {name: physiology.measures(s, FS, title=name) for name, s in sets.items()}


def heart_table(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The metrics of the family heart (rows) for each set but the real one (columns)."""
    columns = {}
    for name, measured in found.items():
        if name == "real":
            continue
        failed = physiology.failure_rates(measured)
        beats = measured["heart_rate"].notna()
        # Waves count as missing where there are beats to look for them in.
        waves = measured.loc[beats, list(WAVES)].isna().to_numpy()
        column = {"beat_failures": failed["heart_rate"],
                  "wave_failures": waves.mean() if waves.size else np.nan}  # fmt: skip
        distances = physiology.measure_distances(found["real"], measured)
        columns[name] = column | {f"{m}_distance": v for m, v in distances.items()}
    return pd.DataFrame(columns)


def lead_cases(seed: int = 0, n: int = 20) -> list[Case]:
    """Records in mV whose leads do not go together, and ones that are wrong in all leads alike.

    ``lead_residual`` is the largest of the four identities' residuals.
    """
    real, honest = records("SR", n, seed, 0, "mV"), records("SR", n, seed, n, "mV")
    rng = np.random.default_rng([seed, 10])
    at = {lead: LEADS.index(lead) for lead in LEADS}
    swapped = honest.copy()
    swapped[:, at["I"]] *= -1
    for a, b in (("II", "III"), ("aVR", "aVL")):
        swapped[:, [at[a], at[b]]] = swapped[:, [at[b], at[a]]]
    noisy = honest + 0.05 * rng.standard_normal(honest.shape)
    residual, correlation = "lead_residual", "lead_correlation_distance"

    def measure(signals: np.ndarray) -> dict[str, float]:
        largest = max(lead_residuals(signals, LEADS, "mV").values())
        return {residual: largest, correlation: lead_correlation_distance(real, signals)}

    good = measure(honest)
    backwards = honest[..., ::-1]
    return [
        Case("like the real ones", real, honest, good, good),
        Case("arm electrodes exchanged", real, swapped, measure(swapped), good,
             (correlation,), (residual,)),
        Case("noise of each lead's own", real, noisy, measure(noisy), good, (residual,)),
        Case("time reversed in all leads", real, backwards, measure(backwards), good,
             (), (residual, correlation)),
    ]  # fmt: skip


def _warped(signals: np.ndarray, knots: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Time moved around each R peak, alike in all leads; see `LONG_QT`."""
    new, old = np.array(knots).T
    t = np.arange(signals.shape[2]) / FS
    out = np.empty_like(signals)
    for i, record in enumerate(signals):
        source = t.copy()
        for peak in r_peaks(record, FS) / FS:
            inside = (t - peak >= new[0]) & (t - peak <= new[-1])
            source[inside] = peak + np.interp(t[inside] - peak, new, old)
        out[i] = [np.interp(source, t, lead) for lead in record]
    return out


def _complexes_only(signals: np.ndarray) -> np.ndarray:
    """Nothing but QRS complexes: zero beyond a tenth of a second from each R peak."""
    out = np.zeros_like(signals)
    for record, kept in zip(signals, out, strict=True):
        for peak in r_peaks(record, FS):
            part = slice(max(0, peak - 8), peak + 9)
            kept[:, part] = record[:, part] * np.hanning(record[:, part].shape[1])
    return out
