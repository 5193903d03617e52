"""Rows of results made by hand."""

from ecgrepro.closeness import FLOOR
from ecgrepro.support.results import Result


def pair(metric, value, floor, defect="noise", level=1.0, half=0.1):
    keys = {"arm": defect, "fraction": level}
    return [
        Result(metric, value, value - half, value + half, **keys),
        Result(metric, floor, floor - half, floor + half, comparison=FLOOR, **keys),
    ]
