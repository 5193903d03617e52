"""How close synthetic recordings are to real ones, always beside the real-against-real floor.

`ecgrepro.closeness.compare.compare` computes every metric; the package itself only tells what the
metrics are, and so is imported in a moment.
"""

from ecgrepro.closeness.catalogue import FAMILIES, FLOOR, METRICS, REAL, Metric

__all__ = ["FAMILIES", "FLOOR", "METRICS", "REAL", "Metric"]
