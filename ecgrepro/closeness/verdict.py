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
