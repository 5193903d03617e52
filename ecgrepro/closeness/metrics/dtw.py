"""Dynamic time warping: how near a record comes to a real one when time may be stretched."""

from collections.abc import Callable

import numpy as np

from ecgrepro.closeness.metrics.spectrum import checked_signals
from ecgrepro.errors import EcgreproError

WINDOW = 0.25  # seconds by which one record may run ahead of the other
ROWS = 32  # records of which distances are computed at once, so that memory stays small


def dtw_to_nearest(
    real: np.ndarray, synthetic: np.ndarray, fs: float, *, window: float = WINDOW
) -> np.ndarray:
    """Each synthetic record's `dtw_distances` to the real one that is nearest, (synthetic,).

    Lower is closer; 0 for copies, so read it beside the floor, which real records have. It sees
    waves of a shape that no real record has; blind to diversity.
    """
    return dtw_distances(synthetic, real, fs, window=window).min(axis=1)


def dtw_distances(
    first: np.ndarray,
    second: np.ndarray,
    fs: float,
    *,
    window: float = WINDOW,
    tick: Callable[[], object] = int,
) -> np.ndarray:
    """Dynamic time warping distances of all pairs, (first, second).

    All leads are warped together. The root of the mean squared difference along the best path,
    per lead and sample of a record: in [0, ∞), in the signals' units. By the package dtaidistance,
    in C: about 0.3 ms a pair of 12 leads x 1000 samples, so 500 x 500 records take over a minute.

    Parameters
    ----------
    first, second
        Signals of shape (records, leads, samples).
    window
        Seconds by which one may run ahead of the other (the Sakoe-Chiba band): 0 compares sample
        by sample.
    tick
        Called whenever `ROWS` records are done.
    """
    from dtaidistance import dtw_ndim  # slow to import

    first, second = checked_signals(first, second)
    samples = first.shape[2]
    if not 0 <= window <= samples / fs:
        raise EcgreproError(
            f"the window must lie between 0 and the record's {samples / fs:g} s, not {window!r}"
        )
    reach = max(round(window * fs), 0) + 1  # dtaidistance counts the diagonal
    turned = [np.ascontiguousarray(s.transpose(0, 2, 1), np.float64) for s in (first, second)]
    out = np.empty((len(first), len(second)))
    for start in range(0, len(first), ROWS):
        part = turned[0][start : start + ROWS]
        both = np.concatenate([part, turned[1]])
        block = ((0, len(part)), (len(part), len(both)))
        matrix = dtw_ndim.distance_matrix_fast(both, window=reach, block=block, parallel=False)
        out[start : start + ROWS] = matrix[: len(part), len(part) :]
        tick()
    return out / np.sqrt(first.shape[1] * samples)
