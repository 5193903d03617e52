"""Intervals of proportions and medians that need no resampling."""

import numpy as np
from scipy import special


def wilson(hits: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927).

    The same as `scipy.stats.binomtest`'s, to rounding; that takes whole numbers of hits only.

    Parameters
    ----------
    hits
        Records in which it holds; a mean over rhythms may come to a fraction of a record.
    n
        Records.
    level
        Confidence level.

    Examples
    --------
    >>> [round(bound, 3) for bound in wilson(9, 10)]
    [0.596, 0.982]
    """
    z = special.ndtri((1 + level) / 2)
    share, scale = hits / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / scale
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / scale
    return float(max(0.0, middle - reach)), float(min(1.0, middle + reach))


def median_bounds(values: np.ndarray, level: float = 0.95) -> tuple[float | None, float | None]:
    """Distribution-free interval of a median: two of the sorted values, (n,).

    Both are None for fewer than six values, which have no interval at 95 %.

    Examples
    --------
    >>> median_bounds(np.arange(6.0))
    (0.0, 5.0)
    """
    from scipy import stats  # slow to import

    if len(values) < 6:
        return None, None
    k = int(stats.binom.ppf((1 - level) / 2, len(values), 0.5))
    ordered = np.sort(values)
    low = max(k - 1, 0)
    return float(ordered[low]), float(ordered[len(values) - 1 - low])
