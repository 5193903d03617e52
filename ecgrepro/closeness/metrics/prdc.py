"""Fidelity and diversity from k nearest neighbours: precision, recall, density, coverage."""

from collections.abc import Iterable, Iterator

import numpy as np

from ecgrepro.closeness.metrics.frechet import checked_pair
from ecgrepro.errors import EcgreproError

CHUNK = 1024  # rows of distances held at once: 1024 x 10 000 records are 80 MB


def prdc(real: np.ndarray, synthetic: np.ndarray, k: int = 5) -> dict[str, float]:
    """Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    A record's ball reaches to its ``k``-th nearest neighbour in its own set.

    - precision: share of synthetic records inside a real record's ball. In [0, 1]; fidelity. An
      outlier among the real records has a huge ball and flatters it.
    - recall: share of real records inside a synthetic record's ball. In [0, 1]; diversity.
      Outliers among the synthetic records flatter it.
    - density: mean number of real balls that a synthetic record is in, over ``k``. In [0, ∞),
      about 1 for equal distributions; fidelity, robust to real outliers.
    - coverage: share of real balls with a synthetic record inside. In [0, 1]; diversity; about
      ``1 - 2^-k`` for equal distributions and sizes.

    All depend on the set sizes and on ``k``: compare at equal ones only. Memory is bounded by
    `CHUNK` rows of distances.

    Parameters
    ----------
    real, synthetic
        Embeddings of shape (records, dimensions), each of more than ``k`` records.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise EcgreproError(f"k is the number of neighbours, a whole number from 1, not {k!r}")
    real, synthetic = checked_pair(real, synthetic, ("real", "synthetic"), least=k + 1)
    blocks = distance_blocks(real, synthetic)
    return prdc_of(blocks, radii(real, k), radii(synthetic, k), k)


def prdc_of(
    blocks: Iterable[tuple[slice, np.ndarray]],
    real_radius: np.ndarray,
    synthetic_radius: np.ndarray,
    k: int,
) -> dict[str, float]:
    """`prdc` from the two sets' radii and the rows of the distances real to synthetic."""
    balls = np.zeros(len(synthetic_radius), np.int64)  # real balls around each synthetic record
    recalled = covered = 0
    for rows, block in blocks:
        inside = block < real_radius[rows, None]
        balls += inside.sum(axis=0)
        covered += inside.any(axis=1).sum()
        recalled += (block < synthetic_radius).any(axis=1).sum()
    return {
        "precision": float((balls > 0).mean()),
        "recall": float(recalled / len(real_radius)),
        "density": float(balls.mean() / k),
        "coverage": float(covered / len(real_radius)),
    }


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """Distance of each record to its ``k``-th nearest other record, shape (records,)."""
    out = np.empty(len(x))
    for rows, block in distance_blocks(x, x):
        # Position 0 of a sorted row is the record itself.
        out[rows] = np.partition(block, k, axis=1)[:, k]
    return out


def subset_radii(distance: np.ndarray, nearest: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """`radii` within the subset ``rows`` of a set, from what is known of the whole set.

    Parameters
    ----------
    distance
        Distances within the whole set, shape (records, records).
    nearest
        From `nearest_others`: walking along a row of it until ``k`` members of the subset were met
        is some fifty times cheaper than searching a row of ``distance`` again.
    rows
        Positions of the subset's records, more than ``k``.
    """
    member = np.zeros(len(distance), bool)
    member[rows] = True
    met = np.cumsum(member[nearest[rows]], axis=1) >= k
    radius = distance[rows, nearest[rows, met.argmax(axis=1)]]
    for i in np.flatnonzero(~met[:, -1]):  # fewer than k members among the neighbours listed
        radius[i] = np.partition(distance[rows[i], rows], k)[k]
    return radius


def nearest_others(distance: np.ndarray, count: int) -> np.ndarray:
    """Positions of each record's ``count`` nearest other records, nearest first."""
    count = min(count, len(distance) - 1)
    found = np.empty((len(distance), count), np.int32)
    for start in range(0, len(distance), CHUNK):
        others = distance[start : start + CHUNK].copy()
        rows = np.arange(len(others))
        others[rows, start + rows] = np.inf
        nearest = np.argpartition(others, count - 1, axis=1)[:, :count]
        order = np.take_along_axis(others, nearest, axis=1).argsort(axis=1)
        found[start : start + CHUNK] = np.take_along_axis(nearest, order, axis=1)
    return found


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances, float64, shape (records of x, records of y)."""
    return np.concatenate([block for _, block in distance_blocks(x, y)])


def distance_blocks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows of the distance matrix, at most `CHUNK` at a time, as (row slice, block)."""
    centre = y.mean(axis=0)
    y_centred = y - centre
    y_square = np.einsum("ij,ij->i", y_centred, y_centred)
    for start in range(0, len(x), CHUNK):
        rows = slice(start, min(start + CHUNK, len(x)))
        x_centred = x[rows] - centre
        x_square = np.einsum("ij,ij->i", x_centred, x_centred)
        block = x_centred @ y_centred.T
        block *= -2
        block += y_square
        block += x_square[:, None]
        # |x|² + |y|² - 2xy loses its digits where x ≈ y; near-copies matter here, so those few
        # pairs are taken again by difference.
        i, j = np.nonzero(block < 1e-6 * (x_square[:, None] + y_square.max()))
        near = np.column_stack([i, j])[block[i, j] < 1e-6 * (x_square[i] + y_square[j])]
        for i, j in (near[at : at + CHUNK].T for at in range(0, len(near), CHUNK)):
            block[i, j] = ((x_centred[i] - y_centred[j]) ** 2).sum(axis=1)
        yield rows, np.sqrt(block, out=block)
