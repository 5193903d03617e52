"""Maximum mean discrepancy and sliced Wasserstein distance, against closed forms and POT."""

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from ecgrepro.closeness.metrics.mmd import (
    SCALES,
    line_wasserstein,
    median_distance,
    mmd,
    sliced_wasserstein,
)
from ecgrepro.errors import EcgreproError

seeds = st.integers(0, 2**32 - 1)


def gaussians(seed, n=40, m=30, d=5, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + shift


def written_out(x, y, bandwidth):
    """Gretton et al. 2012, equation 3, pair by pair."""

    def k(a, b):
        d = np.sum((a - b) ** 2)
        return np.mean([np.exp(-d / (2 * (s * bandwidth) ** 2)) for s in SCALES])

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    xy = sum(k(a, b) for a in x for b in y) / (n * m)
    return xx + yy - 2 * xy


@given(seeds, st.floats(0, 3))
@settings(max_examples=10, deadline=None)
def test_mmd_is_the_mean_over_pairs(seed, shift):
    x, y = gaussians(seed, 12, 9, 3, shift)
    assert mmd(x, y, 1.3) == pytest.approx(written_out(x, y, 1.3), abs=1e-12)
    assert mmd(x, y) == pytest.approx(mmd(x, y, median_distance(x, y)), abs=1e-15)


def test_mmd_of_gaussians_is_the_closed_form():
    """Of N(0, I) and N(s, I) in d dimensions; the kernel of width b integrates to a Gaussian."""
    n, d, shift, b = 4000, 2, 1.5, 1.0
    x, y = gaussians(0, n, n, d, np.array([shift, 0.0]))
    expected = np.mean([
        2 * (w**2 / (w**2 + 2)) ** (d / 2) * (1 - np.exp(-(shift**2) / (2 * (w**2 + 2))))
        for w in (s * b for s in SCALES)
    ])  # fmt: skip
    assert mmd(x, y, b) == pytest.approx(expected, rel=0.05)


def test_mmd_is_unbiased_for_equal_distributions():
    values = [mmd(*gaussians(seed), 2.0) for seed in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    assert min(values) < 0 < max(values)


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_order_rotation_and_shift_do_not_matter(seed):
    x, y = gaussians(seed, shift=0.5)
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    moved = [rng.permutation(part) @ turn + 7 for part in (x, y)]
    assert mmd(*moved) == pytest.approx(mmd(x, y), abs=1e-9)
    assert mmd(y, x) == pytest.approx(mmd(x, y), abs=1e-12)
    shuffled = rng.permutation(x), rng.permutation(y)
    assert sliced_wasserstein(*shuffled) == pytest.approx(sliced_wasserstein(x, y), rel=1e-12)
    scaled = sliced_wasserstein(3 * x + 1, 3 * y + 1)
    assert scaled == pytest.approx(3 * sliced_wasserstein(x, y), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 31), (7, 100)])
def test_sliced_wasserstein_equals_that_of_pot(n, m):
    x, y = gaussians(1, n, m, 6, 0.7)
    directions = np.random.default_rng(0).normal(size=(6, 64))
    directions /= np.linalg.norm(directions, axis=0)
    expected = ot.sliced_wasserstein_distance(x, y, projections=directions, p=2)
    assert sliced_wasserstein(x, y, 64) == pytest.approx(expected, rel=1e-9)


def test_sliced_wasserstein_of_a_shift_is_the_closed_form():
    """|s| / sqrt(d) for a shift s; exact in the mean over directions."""
    x = gaussians(0)[0]
    shift = np.array([3.0, 0, 0, 0, 0])
    assert sliced_wasserstein(x, x + shift, 20000) == pytest.approx(3 / np.sqrt(5), rel=0.02)
    assert sliced_wasserstein(x, x) == 0


@given(seeds, st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_on_a_line_it_is_that_of_scipy(seed, n, m):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(m, 2))
    found = line_wasserstein(x, y, power=1)
    expected = [wasserstein_distance(x[:, i], y[:, i]) for i in range(2)]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x, y: mmd(x, y, 0), "bandwidth must be a positive number"),
        (lambda x, y: mmd(x, y[:, :2]), "first embedding has 5 dimensions and the second one 2"),
        (lambda x, y: mmd(x, y * np.nan), "second embedding are NaN"),
        (lambda x, y: mmd(x[:1], y), "at least 2 records"),
        (lambda x, y: sliced_wasserstein(x, y, 0), "projections must be at least 1"),
        (lambda x, y: sliced_wasserstein(x, 0 * y), "second embedding is constant"),
    ],
)
def test_what_cannot_be_compared_is_said(call, said):
    with pytest.raises(EcgreproError, match=said):
        call(*gaussians(0))


def test_a_median_of_zero_asks_for_a_bandwidth():
    x = np.zeros((20, 2))
    x[0] = 1
    with pytest.raises(EcgreproError, match="give a bandwidth"):
        mmd(x, x)
    assert mmd(x, x, 1.0) < 0.1
