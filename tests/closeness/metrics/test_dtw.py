"""Dynamic time warping against the recurrence written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgrepro.closeness.metrics.dtw import dtw_distances, dtw_to_nearest
from ecgrepro.errors import EcgreproError


def written_out(a, b, reach):
    """Of records (leads, samples): the recurrence of Sakoe and Chiba 1978."""
    n = a.shape[1]
    best = np.full((n + 1, n + 1), np.inf)
    best[0, 0] = 0
    for i in range(1, n + 1):
        for j in range(max(1, i - reach), min(n, i + reach) + 1):
            before = min(best[i - 1, j], best[i, j - 1], best[i - 1, j - 1])
            best[i, j] = before + ((a[:, i - 1] - b[:, j - 1]) ** 2).sum()
    return np.sqrt(best[n, n] / a.size)


@given(st.integers(0, 10**6), st.integers(0, 6))
@settings(max_examples=15, deadline=None)
def test_distances_are_those_of_the_recurrence(seed, reach):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(3, 2, 25)), rng.normal(size=(4, 2, 25))
    found = dtw_distances(a, b, 100, window=reach / 100)
    expected = [[written_out(x, y, reach) for y in b] for x in a]
    assert found == pytest.approx(np.array(expected), rel=1e-9)


def test_without_a_window_it_is_the_euclidean_distance_and_a_wider_one_is_never_farther():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 3, 50)), rng.normal(size=(5, 3, 50))
    straight = np.sqrt(((a[:, None] - b) ** 2).mean((2, 3)))
    assert dtw_distances(a, b, 100, window=0) == pytest.approx(straight)
    far = [dtw_distances(a, b, 100, window=w) for w in (0, 0.02, 0.1, 0.5)]
    assert all((wide <= narrow + 1e-12).all() for narrow, wide in zip(far, far[1:], strict=False))


def test_a_stretched_copy_is_near_and_the_nearest_is_found():
    t = np.linspace(0, 10, 1000)
    records = np.stack([np.sin(2 * np.pi * f * t)[None] for f in (1.0, 1.7, 2.3)])
    stretched = np.sin(2 * np.pi * 1.7 * (t + 0.05 * np.sin(t)))[None, None]
    assert dtw_distances(stretched, records, 100)[0].argmin() == 1
    straight = dtw_distances(stretched, records, 100, window=0)[0, 1]
    assert dtw_to_nearest(records, stretched, 100)[0] < 0.2 * straight
    assert dtw_to_nearest(records, records, 100) == pytest.approx(np.zeros(3))


@pytest.mark.parametrize("window", [-0.1, 11.0, np.nan])
def test_an_impossible_window_is_named(window):
    with pytest.raises(EcgreproError, match="between 0 and the record's 10 s"):
        dtw_distances(np.ones((1, 1, 1000)), np.ones((1, 1, 1000)), 100, window=window)
