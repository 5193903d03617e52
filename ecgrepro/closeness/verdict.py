"""Whether a metric tells synthetic from real: its interval against that of its floor."""

from ecgrepro.closeness.catalogue import METRICS
from ecgrepro.support.results import Result

SEEN, BLIND, MISLED, UNKNOWN = "seen", "blind", "misled", "unknown"


def verdict(row: Result, floor: Result | None) -> str:
    """What a value says beside its floor.

    ``seen``: the intervals are apart, the value on the worse side; ``misled``: on the better side,
    so what is wrong flatters; ``blind``: they overlap; ``unknown``: there is no interval.
    """
    if floor is None or row.low is None or floor.low is None:
        return UNKNOWN
    if row.low <= floor.high and floor.low <= row.high:
        return BLIND
    return SEEN if METRICS[row.metric].worse(row.value, floor.value) else MISLED


def half_widths(row: Result, floor: Result | None) -> float | None:
    """How far a value lies from its floor, in units of both intervals' half widths together.

    Positive on the worse side; beyond 1 or below -1 the intervals are about apart. None where
    there is no interval or nothing varies.
    """
    if floor is None or row.low is None or floor.low is None:
        return None
    width = (row.high - row.low + floor.high - floor.low) / 2
    if not width:
        return None
    return (row.value - floor.value) * (1 if METRICS[row.metric].better == "lower" else -1) / width
