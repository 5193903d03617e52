"""Defects put into real records on purpose, to find out which metric sees which.

Each takes a Cohort of real records and a ``level`` in [0, 1], and gives a Cohort in which the
defect is the stronger the higher the level; at 0 nothing is changed. A metric that is worth its
name moves with the level of what it claims to see, and stays where it is for what it claims not to.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.cohort.preprocess import standardize
from ecgrepro.cohort.rpeaks import r_peaks
from ecgrepro.errors import EcgreproError

# At level 1:
NOISE = 1.0  # standard deviation of white noise, over that of the lead
WARP = 0.25  # seconds by which time is moved at most
BEAT = 0.5  # share of the beats that are removed
CUT = 0.8  # share of each lead's range that is clipped
MODES = 8  # clusters of records, of which all but one are dropped
HALF_BEAT = 0.3  # seconds to each side of an R peak that make a beat


def corrupt(cohort: Cohort, kind: str, level: float, *, train: Cohort, seed: int = 0) -> Cohort:
    """``cohort`` with the defect ``kind``, one of `CORRUPTIONS`.

    Records in z are scaled to zero mean and unit variance again.

    Parameters
    ----------
    level
        In [0, 1].
    train
        Records that the defect ``memorization`` puts in.
    """
    if kind not in CORRUPTIONS:
        raise EcgreproError(f"unknown corruption {kind!r}: choose from {', '.join(CORRUPTIONS)}")
    if not 0 <= level <= 1:
        raise EcgreproError(f"the level of a corruption lies in [0, 1], not {level!r}")
    if not level:
        return cohort
    rng = np.random.default_rng([seed, list(CORRUPTIONS).index(kind)])
    return CORRUPTIONS[kind].make(cohort, level, rng, train)


@dataclass(frozen=True)
class Corruption:
    """A defect: what it is, in a line, and how it is made."""

    what: str
    make: Callable[[Cohort, float, np.random.Generator, Cohort], Cohort]


def _noise(cohort: Cohort, level: float, rng: np.random.Generator, _: Cohort) -> Cohort:
    spread = cohort.signals.std(axis=2, keepdims=True)
    noise = rng.standard_normal(cohort.signals.shape, np.float32)
    return _with(cohort, cohort.signals + NOISE * level * spread * noise)


def _clipping(cohort: Cohort, level: float, rng: np.random.Generator, _: Cohort) -> Cohort:
    low, high = (f(cohort.signals, axis=2, keepdims=True) for f in (np.min, np.max))
    kept = 1 - CUT * level
    return _with(cohort, np.clip(cohort.signals, low * kept, high * kept))


def _time_warp(cohort: Cohort, level: float, rng: np.random.Generator, _: Cohort) -> Cohort:
    """Time runs fast and slow in turns: a sum of three slow sines, alike in all leads."""
    samples = cohort.signals.shape[2]
    t = np.arange(samples) / cohort.fs
    out = np.empty(cohort.signals.shape, np.float32)
    for i, record in enumerate(cohort.signals):
        periods, phases = rng.uniform(1.5, 4, 3), rng.uniform(0, 2 * np.pi, 3)
        shift = sum(np.sin(2 * np.pi * t / p + f) for p, f in zip(periods, phases, strict=True))
        moved = t + WARP * level * shift / 3
        out[i] = [np.interp(moved, t, lead) for lead in record]
    return _with(cohort, out)


def _lead_swap(cohort: Cohort, level: float, rng: np.random.Generator, _: Cohort) -> Cohort:
    """The arms' electrodes are exchanged: I inverts, II and III, aVR and aVL change places."""
    at = {lead: cohort.leads.index(lead) for lead in ("I", "II", "III", "aVR", "aVL")}
    signals = np.array(cohort.signals, np.float32)
    some = _some(len(cohort), level, rng)
    signals[some, at["I"]] *= -1
    for a, b in (("II", "III"), ("aVR", "aVL")):
        pair = np.array([at[a], at[b]])
        signals[np.ix_(some, pair)] = signals[np.ix_(some, pair[::-1])]
    return replace(cohort, signals=signals, fingerprint="")


def _beat_removal(cohort: Cohort, level: float, rng: np.random.Generator, _: Cohort) -> Cohort:
    """Between both ends of a beat that is removed the signal runs straight."""
    signals = np.array(cohort.signals, np.float32)
    reach, samples = round(HALF_BEAT * cohort.fs), signals.shape[2]
    for record in signals:
        peaks = r_peaks(record, cohort.fs)
        for peak in peaks[rng.random(len(peaks)) < BEAT * level]:
            a, b = max(0, peak - reach), min(samples - 1, peak + reach)
            record[:, a : b + 1] = np.linspace(record[:, a], record[:, b], b - a + 1, axis=1)
    return _with(cohort, signals)


def _mode_dropping(cohort: Cohort, level: float, rng: np.random.Generator, _: Cohort) -> Cohort:
    """Within each rhythm, records of whole clusters give way to records of those that are left."""
    from sklearn.cluster import KMeans  # slow to import, and not needed to name the defects
    from sklearn.decomposition import PCA

    chosen = np.arange(len(cohort))
    for target in np.unique(cohort.targets):
        rows = np.flatnonzero(cohort.targets == target)
        modes = min(MODES, len(rows) // 2)
        if modes < 2:
            continue
        flat = np.asarray(cohort.signals[rows], np.float64).reshape(len(rows), -1)
        plane = PCA(min(10, len(rows) - 1), random_state=0).fit_transform(np.abs(flat))
        cluster = KMeans(modes, n_init=4, random_state=0).fit_predict(plane)
        order = np.bincount(cluster, minlength=modes).argsort()[::-1]  # the largest stays
        kept = np.isin(cluster, order[: max(1, round(modes * (1 - level)))])
        chosen[rows[~kept]] = np.resize(rows[kept], (~kept).sum())
    return _picked(cohort, chosen)


def _duplication(cohort: Cohort, level: float, rng: np.random.Generator, _: Cohort) -> Cohort:
    """Records give way to copies of one record of their rhythm in ten."""
    chosen = np.arange(len(cohort))
    for target in np.unique(cohort.targets):
        rows = np.flatnonzero(cohort.targets == target)
        originals = rng.choice(rows, min(len(rows), max(2, len(rows) // 10)), replace=False)
        copies = rows[_some(len(rows), level, rng)]
        chosen[copies] = rng.choice(originals, len(copies))
    return _picked(cohort, chosen)


def _label_shuffling(cohort: Cohort, level: float, rng: np.random.Generator, _: Cohort) -> Cohort:
    table = cohort.table.copy()
    some = np.flatnonzero(_some(len(cohort), level, rng))
    table.loc[some, "rhythm"] = table["rhythm"].to_numpy()[rng.permutation(some)]
    return replace(cohort, table=table, fingerprint="")


def _memorization(cohort: Cohort, level: float, rng: np.random.Generator, train: Cohort) -> Cohort:
    """Records give way to training records of their rhythm."""
    signals = np.array(cohort.signals, np.float32)
    some = _some(len(cohort), level, rng)
    for target in np.unique(cohort.targets):
        rows = np.flatnonzero(some & (cohort.targets == target))
        known = np.flatnonzero(train.targets == target)
        if len(rows) and not len(known):
            raise EcgreproError(
                f"nothing to memorize: no training record of {cohort.classes[target]}"
            )
        if len(rows):
            order = rng.permutation(known)
            signals[rows] = train.signals[np.resize(order, len(rows))]
    return replace(cohort, signals=signals, fingerprint="")


CORRUPTIONS: dict[str, Corruption] = {
    "noise": Corruption("white noise in every lead", _noise),
    "clipping": Corruption("the largest amplitudes are cut", _clipping),
    "time warp": Corruption("time runs fast and slow in turns", _time_warp),
    "lead swap": Corruption("arm electrodes exchanged in a share of the records", _lead_swap),
    "beat removal": Corruption("a share of the beats is missing", _beat_removal),
    "mode dropping": Corruption("whole clusters of a rhythm's records are missing", _mode_dropping),
    "duplication": Corruption("a share of the records are copies of a few others", _duplication),
    "label shuffling": Corruption("a share of the labels is exchanged", _label_shuffling),
    "memorization": Corruption("a share of the records are training records", _memorization),
}


def _some(n: int, level: float, rng: np.random.Generator) -> np.ndarray:
    """A share ``level`` of n at random, bool (n,)."""
    chosen = np.zeros(n, bool)
    chosen[rng.permutation(n)[: round(level * n)]] = True
    return chosen


def _with(cohort: Cohort, signals: np.ndarray) -> Cohort:
    """The cohort with other signals, scaled as its units ask."""
    signals = standardize(signals) if cohort.units == "z" else signals
    return replace(cohort, signals=signals.astype(np.float32, copy=False), fingerprint="")


def _picked(cohort: Cohort, rows: np.ndarray) -> Cohort:
    """The signals of ``rows`` in the places of the cohort's own."""
    return replace(cohort, signals=cohort.signals[rows], fingerprint="")
