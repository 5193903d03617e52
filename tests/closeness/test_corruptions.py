"""Each defect does what it says, more of it at a higher level, and some metric sees it."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from ecgrepro.closeness.corruptions import CORRUPTIONS, corrupt
from ecgrepro.closeness.metrics.frechet import frechet_distance
from ecgrepro.closeness.metrics.leads import lead_correlation_distance
from ecgrepro.closeness.metrics.prdc import prdc
from ecgrepro.closeness.metrics.privacy import authenticity, near_copies
from ecgrepro.closeness.metrics.spectrum import (
    amplitude_distance,
    autocorrelation_difference,
    mean_autocorrelation,
    mean_spectrum,
    spectrum_distance,
)
from ecgrepro.cohort.rpeaks import r_peaks
from ecgrepro.datasets import load_cohort
from ecgrepro.errors import EcgreproError


@pytest.fixture(scope="module")
def parts():
    cohort = load_cohort("simulated-chapman", labels="rhythm4", records=420, seed=3)
    return cohort.split(train=[1, 2, 3, 4], test=[5, 6, 7], pool=[8, 9, 10])


def damaged(parts, kind, level, seed=0):
    return corrupt(parts["pool"], kind, level, train=parts["train"], seed=seed)


every = pytest.mark.parametrize("kind", sorted(CORRUPTIONS))


@every
def test_level_zero_is_the_cohort_itself_and_the_seed_decides(parts, kind):
    assert damaged(parts, kind, 0) is parts["pool"]
    a, b = damaged(parts, kind, 0.5), damaged(parts, kind, 0.5)
    assert np.array_equal(a.signals, b.signals) and a.table.equals(b.table)
    changed = not np.array_equal(a.signals, parts["pool"].signals)
    assert changed != (kind == "label shuffling")
    assert len(a) == len(parts["pool"]) and a.counts() == parts["pool"].counts()
    if kind not in ("lead swap", "mode dropping", "duplication", "memorization"):
        assert np.abs(a.signals.mean(-1)).max() < 1e-3
        assert a.signals.std(-1) == pytest.approx(1, abs=1e-3)


def test_shares_are_those_that_were_asked_for(parts):
    pool = parts["pool"]

    def moved(kind):
        half = damaged(parts, kind, 0.5).signals
        return (half != pool.signals).any((1, 2)).mean()

    assert moved("memorization") == pytest.approx(0.5, abs=0.01)
    assert moved("lead swap") == pytest.approx(0.5, abs=0.01)
    whole = damaged(parts, "duplication", 1.0).signals
    assert len(np.unique(whole.reshape(len(pool), -1), axis=0)) < 0.15 * len(pool)
    known = parts["train"].signals.reshape(len(parts["train"]), -1)
    copied = damaged(parts, "memorization", 1.0).signals.reshape(len(pool), -1)
    assert all((known == row).all(1).any() for row in copied[:10])


def test_swapped_arms_keep_einthovens_identity(parts):
    at = {lead: parts["pool"].leads.index(lead) for lead in ("I", "II", "III")}
    before, after = parts["pool"].signals, damaged(parts, "lead swap", 1.0).signals
    assert np.array_equal(after[:, at["I"]], -before[:, at["I"]])
    assert np.array_equal(after[:, at["II"]], before[:, at["III"]])


def test_beats_are_missing_and_labels_exchanged(parts):
    pool = parts["pool"]
    beats = [
        sum(len(r_peaks(x, pool.fs)) for x in damaged(parts, "beat removal", level).signals[:30])
        for level in (0, 1.0)
    ]
    assert beats[1] < 0.9 * beats[0]
    shuffled = damaged(parts, "label shuffling", 1.0).table["rhythm"]
    assert (shuffled != pool.table["rhythm"]).mean() > 0.4


@pytest.fixture(scope="module")
def place(parts):
    """An embedding that nothing was trained for: principal components of what is second order."""

    def describe(cohort):
        spectrum = np.stack(
            [np.log(mean_spectrum(x[None], cohort.fs)[1] + 1e-4) for x in cohort.signals]
        )
        repeats = np.stack([mean_autocorrelation(x[None], cohort.fs) for x in cohort.signals])
        return np.concatenate([spectrum, 3 * repeats], axis=2).mean(1)

    plane = PCA(12, random_state=0).fit(describe(parts["train"]))
    return lambda cohort: plane.transform(describe(cohort))


def measured(parts, place, kind, level):
    train, test, made = parts["train"], parts["test"], damaged(parts, kind, level)
    e = {name: place(c) for name, c in (("train", train), ("test", test), ("made", made))}
    flat = {
        n: c.signals.reshape(len(c), -1)
        for n, c in (("train", train), ("test", test), ("made", made))
    }
    shares = prdc(e["test"], e["made"])
    per_rhythm = [
        frechet_distance(e["test"][test.targets == t], e["made"][made.targets == t])
        for t in np.unique(test.targets)
    ]
    return {
        "frechet": frechet_distance(e["test"], e["made"]),
        "frechet by rhythm": np.mean(per_rhythm),
        "precision": -shares["precision"],
        "coverage": -shares["coverage"],
        "spectrum": spectrum_distance(test.signals, made.signals, 100).mean(),
        "autocorrelation": autocorrelation_difference(test.signals, made.signals, 100).mean(),
        "amplitude": amplitude_distance(test.signals, made.signals).mean(),
        "leads": lead_correlation_distance(test.signals, made.signals),
        "copies": near_copies(flat["train"], flat["test"], flat["made"]).share,
        "authenticity": -authenticity(flat["train"], flat["made"]),
    }


SEES = {
    "noise": ("frechet", "coverage", "spectrum"),
    "clipping": ("amplitude", "coverage", "spectrum"),
    "time warp": ("frechet", "coverage"),
    "lead swap": ("leads", "amplitude"),
    "beat removal": ("frechet", "autocorrelation"),
    "mode dropping": ("coverage", "frechet by rhythm"),
    "duplication": ("coverage",),
    "label shuffling": ("frechet by rhythm",),
    "memorization": ("copies", "authenticity"),
}
BLIND = {
    "noise": ("precision", "copies"),
    "lead swap": ("frechet", "coverage", "autocorrelation", "copies"),
    "time warp": ("leads", "precision"),
    "beat removal": ("precision", "leads"),
    "label shuffling": ("frechet", "coverage", "spectrum", "amplitude", "leads", "copies"),
    "duplication": ("precision",),
    "memorization": ("frechet", "precision", "coverage"),
}


@pytest.fixture(scope="module")
def undamaged(parts, place):
    return measured(parts, place, "noise", 0)


@pytest.mark.slow
@every
def test_metrics_grow_with_the_defects_that_they_see_and_stay_still_at_others(
    parts, place, undamaged, kind
):
    values = [undamaged, *(measured(parts, place, kind, level) for level in (0.5, 1))]
    sizes = {name: abs(values[0][name]) for name in values[0]}
    for name in SEES[kind]:
        series = [v[name] for v in values]
        assert all(b > a for a, b in zip(series, series[1:], strict=False)), name
    for name in BLIND.get(kind, ()):
        apart = values[-1][name] - values[0][name]
        assert apart < 0.35 * sizes[name] + 0.02, name


def test_unknown_defects_and_levels_are_named(parts):
    with pytest.raises(EcgreproError, match="unknown corruption 'rust': choose from noise"):
        damaged(parts, "rust", 0.5)
    with pytest.raises(EcgreproError, match=r"lies in \[0, 1\], not 2"):
        damaged(parts, "noise", 2)
