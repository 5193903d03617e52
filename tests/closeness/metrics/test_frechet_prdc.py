"""Distribution and fidelity metrics against closed forms and reference libraries."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from ecgrepro.closeness.metrics import prdc as coverage
from ecgrepro.closeness.metrics.frechet import frechet_distance
from ecgrepro.closeness.metrics.prdc import prdc
from ecgrepro.errors import EcgreproError

seeds = st.integers(0, 2**32 - 1)


def whitened(rng, n, d):
    """A sample whose mean is exactly 0 and whose covariance is exactly the identity."""
    x = rng.normal(size=(n, d))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(x.T)))).T


def reference_frechet(x, y):
    s1, s2 = np.cov(x.T), np.cov(y.T)
    shift = x.mean(axis=0) - y.mean(axis=0)
    return shift @ shift + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)


@pytest.mark.parametrize("d", [1, 3, 16])
def test_frechet_of_diagonal_gaussians_is_the_closed_form(d):
    rng = np.random.default_rng(d)
    a, b, shift = rng.uniform(0.1, 3, d), rng.uniform(0.1, 3, d), rng.normal(size=d)
    x, y = whitened(rng, 200, d) * a, whitened(rng, 150, d) * b + shift
    expected = (shift**2).sum() + ((a - b) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_commuting_gaussians_is_the_closed_form():
    rng = np.random.default_rng(0)
    d = 8
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    a, b = rng.uniform(0.1, 3, d), rng.uniform(0.1, 3, d)
    x, y = whitened(rng, 100, d) * a @ basis.T, whitened(rng, 90, d) * b @ basis.T
    assert frechet_distance(x, y) == pytest.approx(((a - b) ** 2).sum(), rel=1e-9)


@given(seeds, st.integers(1, 12), st.integers(15, 60), st.integers(15, 60))
@settings(max_examples=30, deadline=None)
def test_frechet_agrees_with_scipy_sqrtm(seed, d, n, m):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    y = rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    if d == 1:
        expected = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    else:
        expected = reference_frechet(x, y)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_frechet_is_not_that_of_a_symmetrized_product():
    rng = np.random.default_rng(3)
    d = 6
    x = rng.normal(size=(300, d)) @ rng.normal(size=(d, d))
    y = rng.normal(size=(300, d)) @ rng.normal(size=(d, d))
    product = np.cov(x.T) @ np.cov(y.T)
    wrong_root = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(0)).sum()
    wrong = reference_frechet(x, y) + 2 * np.trace(sqrtm(product).real) - 2 * wrong_root
    right = frechet_distance(x, y)
    assert right == pytest.approx(reference_frechet(x, y), rel=1e-8)
    assert abs(wrong - right) > 0.04 * right


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_frechet_with_fewer_records_than_dimensions(seed):
    """Rank-deficient covariances: zero for equal sets, and invariant to a rotation."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(12, 40)), rng.normal(size=(9, 40)) + 1
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    rotation = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    moved = frechet_distance(x @ rotation + 5, y @ rotation + 5)
    assert moved == pytest.approx(frechet_distance(x, y), rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-9)


def test_frechet_ignores_dead_dimensions():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 6)), 2 * rng.normal(size=(60, 6))
    padded = [np.hstack([e, np.zeros((len(e), 7))]) for e in (x, y)]
    assert frechet_distance(*padded) == pytest.approx(frechet_distance(x, y), rel=1e-9)


def test_the_sample_size_bias_is_the_documented_one():
    rng = np.random.default_rng(0)
    d, n, m = 10, 400, 600
    values = [frechet_distance(rng.normal(size=(n, d)), rng.normal(size=(m, d))) for _ in range(60)]
    expected = (d + d * (d + 1) / 4) * (1 / n + 1 / m)
    assert np.mean(values) == pytest.approx(expected, rel=0.07)


def reference_prdc(real, synthetic, k):
    with contextlib.redirect_stdout(io.StringIO()):
        return compute_prdc(real, synthetic, k)


@given(seeds, st.integers(12, 80), st.integers(12, 80), st.integers(1, 8), st.integers(1, 10))
@settings(max_examples=25, deadline=None)
def test_prdc_agrees_with_the_reference_package(seed, n, m, d, k):
    rng = np.random.default_rng(seed)
    real, synthetic = rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.3 + 0.2
    expected = reference_prdc(real, synthetic, k)
    found = prdc(real, synthetic, k)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6)


def test_prdc_is_the_same_in_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(size=(150, 5)), rng.normal(size=(130, 5)) + 0.3
    whole = prdc(real, synthetic)
    monkeypatch.setattr(coverage, "CHUNK", 7)
    assert prdc(real, synthetic) == whole == reference_prdc(real, synthetic, 5)


def test_prdc_of_far_and_of_equal_sets():
    x = np.random.default_rng(0).normal(size=(60, 4))
    assert set(prdc(x, x + 100).values()) == {0.0}
    same = prdc(x, x)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)


def test_near_copies_keep_their_distance():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 8)) + 1000
    y = x + 1e-6 * rng.normal(size=x.shape)
    y[0] = x[0]
    found = coverage.distances(x, y)
    assert found[0, 0] == 0
    np.testing.assert_allclose(found, cdist(x, y), rtol=1e-6)


@given(seeds, st.integers(1, 5), st.integers(2, 60))
@settings(max_examples=30, deadline=None)
def test_radii_of_a_subset_are_those_of_a_fresh_search(seed, k, listed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 3))
    rows = np.sort(rng.choice(60, rng.integers(k + 1, 60), replace=False))
    distance = coverage.distances(x, x)
    nearest = coverage.nearest_others(distance, listed)
    found = coverage.subset_radii(distance, nearest, rows, k)
    np.testing.assert_allclose(found, coverage.radii(x[rows], k), rtol=1e-9)


BAD = {
    "empty": (np.zeros((0, 3)), "at least"),
    "constant": (np.ones((9, 3)), "constant"),
    "NaN": (np.where(np.eye(9, 3) > 0, np.nan, 1.0), "3 of 9 records .* NaN"),
    "one-dimensional": (np.arange(9.0), "shape"),
    "text": (np.full((9, 3), "a"), "numbers"),
    "dimensions": (np.random.default_rng(0).normal(size=(9, 4)), "same classifier"),
}


@pytest.mark.parametrize("bad, message", BAD.values(), ids=BAD)
@pytest.mark.parametrize("metric", [frechet_distance, prdc])
def test_bad_embeddings_are_named(metric, bad, message):
    good = np.random.default_rng(1).normal(size=(20, 3))
    with pytest.raises(EcgreproError, match=message):
        metric(good, bad)


def test_bad_numbers_of_neighbours():
    x = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(EcgreproError, match="at least 6 records"):
        prdc(x, x, k=5)
    for k in (0, -1, 2.5):
        with pytest.raises(EcgreproError, match="whole number"):
            prdc(x, x, k=k)
