"""How close synthetic recordings are to real ones, always beside the real-against-real floor."""

from ecgrepro.closeness.catalogue import FAMILIES, METRICS, Metric
from ecgrepro.closeness.compare import compare
from ecgrepro.closeness.coverage import prdc
from ecgrepro.closeness.distance import frechet_distance
from ecgrepro.closeness.halves import FLOOR, Budget

__all__ = [
    "FAMILIES", "FLOOR", "METRICS", "Budget", "Metric", "compare", "frechet_distance", "prdc"
]  # fmt: skip
