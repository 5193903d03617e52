"""How close synthetic recordings are to real ones, always beside the real-against-real floor."""

from ecgrepro.closeness.catalogue import FAMILIES, METRICS, Metric
from ecgrepro.closeness.compare import compare
from ecgrepro.closeness.intervals import FLOOR, Budget
from ecgrepro.closeness.metrics.frechet import frechet_distance
from ecgrepro.closeness.metrics.prdc import prdc

__all__ = [
    "FAMILIES", "FLOOR", "METRICS", "Budget", "Metric", "compare", "frechet_distance", "prdc"
]  # fmt: skip
