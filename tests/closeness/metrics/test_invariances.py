"""What no metric may depend on, what each may, and inputs that none accepts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgrepro.closeness.metrics.dtw import dtw_to_nearest
from ecgrepro.closeness.metrics.frechet import frechet_distance
from ecgrepro.closeness.metrics.leads import lead_correlation_distance, lead_residuals
from ecgrepro.closeness.metrics.mmd import mmd, sliced_wasserstein
from ecgrepro.closeness.metrics.prdc import prdc
from ecgrepro.closeness.metrics.privacy import (
    authenticity,
    distance_ratio,
    membership_auc,
    near_copies,
)
from ecgrepro.closeness.metrics.spectrum import (
    amplitude_distance,
    autocorrelation_difference,
    spectrum_distance,
)
from ecgrepro.closeness.metrics.use import discriminator_auc
from ecgrepro.cohort.cohort import LEADS
from ecgrepro.errors import EcgreproError

FS = 100
WRONG = ("empty", "NaN", "infinite", "one-dimensional", "narrower")


def membership(train, held_out, synthetic):
    who = [[f"{name}{i}" for i in range(len(x))] for name, x in (("a", train), ("b", held_out))]
    return membership_auc(
        train, held_out, synthetic, train_patients=who[0], held_out_patients=who[1], resamples=2
    )[0]


# Metrics of two sets of embeddings, with the power of a common scale that they grow with.
POINTS = {
    "frechet": (frechet_distance, 2),
    "mmd": (mmd, 0),
    "sliced": (lambda x, y: sliced_wasserstein(x, y, 32), 1),
    "precision": (lambda x, y: prdc(x, y)["precision"], 0),
    "recall": (lambda x, y: prdc(x, y)["recall"], 0),
    "density": (lambda x, y: prdc(x, y)["density"], 0),
    "coverage": (lambda x, y: prdc(x, y)["coverage"], 0),
}
# Of training, held-out and synthetic embeddings.
PRIVACY = {
    "ratio": distance_ratio,
    "near-copies": lambda a, b, s: near_copies(a, b, s).share,
    "authenticity": lambda a, b, s: authenticity(a, s),
    "membership": membership,
}
SIGNALS = {
    "spectrum": (lambda x, y: spectrum_distance(x, y, FS).mean(), 0),
    "autocorrelation": (lambda x, y: autocorrelation_difference(x, y, FS).mean(), 0),
    "amplitude": (lambda x, y: amplitude_distance(x, y).mean(), 1),
    "dtw": (lambda x, y: np.median(dtw_to_nearest(x, y, FS)), 1),
    "correlation": (lead_correlation_distance, 0),
}
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=8, deadline=None)


def points(seed, n=40, d=5, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + shift


def signals(seed, n=6, samples=300):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(n, 3, samples)), axis=2) * 0.1


@pytest.mark.parametrize("name", POINTS)
@given(seed=seeds, scale=st.floats(0.01, 100))
@few
def test_metrics_of_points_know_no_order_no_rotation_and_scale_as_they_should(name, seed, scale):
    metric, power = POINTS[name]
    rng = np.random.default_rng(seed)
    x, y = points(seed), points(seed + 1, n=35, shift=0.5)
    value = metric(x, y)
    close = {"rel": 1e-6, "abs": 1e-9}
    assert metric(rng.permutation(x), rng.permutation(y)) == pytest.approx(value, **close)
    assert metric(scale * x, scale * y) == pytest.approx(scale**power * value, rel=1e-6, abs=1e-7)
    if name != "sliced":  # its directions are drawn once
        turned = np.linalg.qr(rng.normal(size=(5, 5)))[0]
        assert metric(x @ turned, y @ turned) == pytest.approx(value, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", PRIVACY)
@given(seed=seeds, scale=st.floats(0.01, 100))
@few
def test_privacy_knows_no_order_rotation_or_scale(name, seed, scale):
    metric, rng = PRIVACY[name], np.random.default_rng(seed)
    sets = [points(seed + i, n) for i, n in enumerate((40, 30, 35))]
    value = metric(*sets)
    turned = scale * np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert metric(*(rng.permutation(x) for x in sets)) == pytest.approx(value)
    assert metric(*(x @ turned for x in sets)) == pytest.approx(value)


@pytest.mark.parametrize("name", SIGNALS)
@given(seed=seeds, scale=st.floats(0.01, 100))
@few
def test_metrics_of_signals_know_no_order_and_scale_as_they_should(name, seed, scale):
    metric, power = SIGNALS[name]
    rng = np.random.default_rng(seed)
    x, y = signals(seed), signals(seed + 1, n=5)
    value = metric(x, y)
    assert metric(rng.permutation(x), rng.permutation(y)) == pytest.approx(value, rel=1e-9)
    assert metric(scale * x, scale * y) == pytest.approx(scale**power * value, rel=1e-6)
    assert metric(x, rng.permutation(x)) == pytest.approx(0, abs=1e-9)


@given(seed=seeds, scale=st.floats(0.01, 100))
@few
def test_the_discriminator_knows_no_scale_and_no_shift(seed, scale):
    x, y = points(seed), points(seed + 1)
    value = discriminator_auc(x, y)
    assert discriminator_auc(scale * x + 3, scale * y + 3) == pytest.approx(value, abs=2e-3)


@given(seed=seeds, scale=st.floats(0.01, 100))
@few
def test_residuals_are_relative(seed, scale):
    limb = np.random.default_rng(seed).normal(size=(4, 6, 50))
    found, larger = (lead_residuals(c * limb, LEADS[:6], "mV") for c in (1, scale))
    assert list(larger.values()) == pytest.approx(list(found.values()))


def spoiled(x):
    """A good set made bad in each way, and what the error must say."""
    nan, flat = x.copy(), np.zeros_like(x)
    nan[3] = np.nan
    return {
        "empty": (x[:0], "at least|hold something"),
        "NaN": (nan, "NaN"),
        "infinite": (np.where(np.isnan(nan), np.inf, x), "infinite"),
        "one-dimensional": (x.ravel(), "shape"),
        "narrower": (x[..., :-1], "dimensions|differ|same classifier"),
        "constant": (flat, "constant|flat"),
    }


@pytest.mark.parametrize(
    "bad", ["empty", "NaN", "infinite", "one-dimensional", "narrower", "constant"]
)
@pytest.mark.parametrize("name", [*POINTS, "discriminator"])
def test_no_metric_of_points_accepts_a_bad_set(name, bad):
    metric = discriminator_auc if name == "discriminator" else POINTS[name][0]
    wrong, said = spoiled(points(0))[bad]
    for pair in ((points(1), wrong), (wrong, points(1))):
        with pytest.raises(EcgreproError, match=said):
            metric(*pair)


@pytest.mark.parametrize(
    "bad", ["empty", "NaN", "infinite", "one-dimensional", "narrower", "constant"]
)
@pytest.mark.parametrize("name", PRIVACY)
def test_no_metric_of_privacy_accepts_a_bad_set(name, bad):
    wrong, said = spoiled(points(0))[bad]
    for place in (0, 2):
        sets = [points(1), points(2), points(3)]
        sets[place] = wrong
        with pytest.raises(EcgreproError, match=said):
            PRIVACY[name](*sets)


@pytest.mark.parametrize("bad", WRONG)
@pytest.mark.parametrize("name", SIGNALS)
def test_no_metric_of_signals_accepts_a_bad_set(name, bad):
    wrong, said = spoiled(signals(0))[bad]
    for pair in ((signals(1), wrong), (wrong, signals(1))):
        with pytest.raises(EcgreproError, match=said):
            SIGNALS[name][0](*pair)


@pytest.mark.parametrize("name", [*POINTS, "discriminator"])
def test_too_few_records_for_the_neighbours_or_folds_are_named(name):
    metric = discriminator_auc if name == "discriminator" else POINTS[name][0]
    tiny = points(0, n=1)
    with pytest.raises(EcgreproError, match="at least"):
        metric(points(1), tiny)
