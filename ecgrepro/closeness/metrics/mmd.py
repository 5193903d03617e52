"""Maximum mean discrepancy and sliced Wasserstein distance of two sets of embeddings.

Unlike the Fréchet distance they see more than two moments.
"""

import numpy as np

from ecgrepro.closeness.metrics.frechet import checked_pair
from ecgrepro.closeness.metrics.prdc import distance_blocks, distances
from ecgrepro.errors import EcgreproError

SCALES = (2.0, 1.0, 0.5)  # bandwidths over the median distance, each half of the one before
MEDIAN_OF = 1000  # records of each set from which the median distance is taken


def mmd(x: np.ndarray, y: np.ndarray, bandwidth: float | None = None) -> float:
    """Squared maximum mean discrepancy, unbiased (Gretton et al. 2012, equation 3).

    The kernel is the mean of three Gaussians, ``exp(-d² / 2b²)``, of bandwidths `SCALES` times
    ``bandwidth``. Its expectation is 0 for equal distributions, so it may be slightly negative,
    and positive for any others; at most 2. Lower is closer. What it hardly sees are differences
    much finer or coarser than the bandwidths.

    Parameters
    ----------
    x, y
        Embeddings of shape (records, dimensions).
    bandwidth
        `median_distance` of the two sets without; to compare values, use the same.
    """
    x, y = checked_pair(x, y, ("first", "second"))
    bandwidth = _checked_bandwidth(x, y, bandwidth)
    within = [(_kernel_sum(a, a, bandwidth) - len(a)) / (len(a) * (len(a) - 1)) for a in (x, y)]
    return float(sum(within) - 2 * _kernel_sum(x, y, bandwidth) / (len(x) * len(y)))


def median_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Median distance between records of ``x`` and ``y``: the usual bandwidth of `mmd`.

    Of `MEDIAN_OF` evenly chosen records of each set. Raises if more than half are equal.
    """
    a, b = (part[np.linspace(0, len(part) - 1, min(len(part), MEDIAN_OF)).astype(int)]
            for part in (x, y))  # fmt: skip
    median = float(np.median(distances(a, b)))
    if not median > 0:
        raise EcgreproError("the median distance between the two sets is 0: give a bandwidth")
    return median


def sliced_wasserstein(
    x: np.ndarray, y: np.ndarray, projections: int = 256, *, seed: int = 0
) -> float:
    """Sliced 2-Wasserstein distance (Bonneel et al. 2015).

    The root of the mean, over random directions, of the squared 2-Wasserstein distance of the two
    sets projected to a line. In [0, ∞), in units of the embedding; 0 for equal sets; lower is
    closer. Biased upwards by small sets: read it beside its floor. It sees all moments of every
    projection, and averages away a difference that lies in few of many dimensions.

    Parameters
    ----------
    x, y
        Embeddings of shape (records, dimensions); the numbers of records may differ.
    projections
        Directions; the same for the same ``seed`` and number of dimensions.
    """
    x, y = checked_pair(x, y, ("first", "second"))
    if projections < 1:
        raise EcgreproError(f"projections must be at least 1, not {projections}")
    directions = random_directions(x.shape[1], projections, seed)
    return float(np.sqrt(line_wasserstein(x @ directions, y @ directions).mean()))


def random_directions(dimensions: int, projections: int, seed: int) -> np.ndarray:
    """Unit vectors, uniform on the sphere, (dimensions, projections)."""
    directions = np.random.default_rng(seed).normal(size=(dimensions, projections))
    return directions / np.linalg.norm(directions, axis=0)


def line_wasserstein(x: np.ndarray, y: np.ndarray, power: int = 2) -> np.ndarray:
    """Mean ``power`` of the distance that mass moves between two sets on a line, by column.

    ``x`` (n, columns) and ``y`` (m, columns) -> (columns,): the Wasserstein distance to its power.
    """
    x, y = np.sort(x, axis=0), np.sort(y, axis=0)
    n, m = len(x), len(y)
    if n == m:
        return (np.abs(x - y) ** power).mean(axis=0)
    # Both quantile functions are constant between neighbours among all i / n and j / m.
    ends = np.unique(np.concatenate([np.arange(1, n + 1) * m, np.arange(1, m + 1) * n]))
    starts = np.concatenate([[0], ends[:-1]])
    apart = np.abs(x[starts // m] - y[starts // n]) ** power
    return ((ends - starts) / (n * m)) @ apart


def _checked_bandwidth(x: np.ndarray, y: np.ndarray, bandwidth: float | None) -> float:
    if bandwidth is None:
        return median_distance(x, y)
    if not 0 < bandwidth < np.inf:
        raise EcgreproError(f"the bandwidth must be a positive number, not {bandwidth!r}")
    return bandwidth


def kernel_of(distance: np.ndarray, bandwidth: float) -> np.ndarray:
    """The mean of the Gaussians of `SCALES`; half the bandwidth is the fourth power."""
    power = np.exp(np.square(distance / (np.sqrt(2) * SCALES[0] * bandwidth)) * -1)
    total = power.copy()
    for _ in SCALES[1:]:
        for _ in range(2):
            power *= power
        total += power
    total /= len(SCALES)
    return total


def _kernel_sum(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
    return float(sum(kernel_of(block, bandwidth).sum() for _, block in distance_blocks(x, y)))
