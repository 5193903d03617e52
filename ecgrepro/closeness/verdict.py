"""Whether a metric tells synthetic from real: its interval against that of its floor."""

from typing import NamedTuple

from ecgrepro.closeness.catalogue import METRICS
from ecgrepro.support.results import Result

SEEN, BLIND, MISLED, UNKNOWN = "seen", "blind", "misled", "unknown"


def verdict(row: Result, floor: Result | None) -> str:
    """What a value says beside its floor.

    ``seen``: the intervals are apart, the value on the worse side; ``misled``: on the better side,
    so what is wrong flatters; ``blind``: they overlap; ``unknown``: there is no interval.
    """
    ours, theirs = _interval(row), floor and _interval(floor)
    if ours is None or theirs is None:
        return UNKNOWN
    if ours.low <= theirs.high and theirs.low <= ours.high:
        return BLIND
    return SEEN if METRICS[row.metric].worse(ours.value, theirs.value) else MISLED


def half_widths(row: Result, floor: Result | None) -> float | None:
    """How far a value lies from its floor, in units of both intervals' half widths together.

    Positive on the worse side; beyond 1 or below -1 the intervals are about apart. None where
    there is no interval or nothing varies.
    """
    ours, theirs = _interval(row), floor and _interval(floor)
    if ours is None or theirs is None:
        return None
    width = (ours.high - ours.low + theirs.high - theirs.low) / 2
    if not width:
        return None
    worse = 1 if METRICS[row.metric].better == "lower" else -1
    return (ours.value - theirs.value) * worse / width


class _Interval(NamedTuple):
    low: float
    value: float
    high: float


def _interval(row: Result) -> _Interval | None:
    if row.low is None or row.value is None or row.high is None:
        return None
    return _Interval(row.low, row.value, row.high)
