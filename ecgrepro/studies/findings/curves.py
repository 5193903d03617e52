"""Curves over the fraction of real records, as `figures.charts.learning_curve` draws them."""

from collections.abc import Sequence

from ecgrepro.support.results import Result, required


def curve(rows: Sequence[Result]) -> tuple[list[float], ...]:
    """Fraction of the real records in %, value, low and high."""
    points = sorted((100 * required(row.fraction), row.value, row.low, row.high) for row in rows)
    return tuple(list(axis) for axis in zip(*points, strict=True))


def transfer_curves(results: Sequence[Result]) -> dict[str, tuple[Sequence[float], ...]]:
    """Macro-F1 of each arm over the fraction of the real records, each a `curve`."""
    scored = [r for r in results if r.metric == "macro_f1" and not r.comparison]
    names = dict.fromkeys(r.arm for r in scored)
    return {name: curve([r for r in scored if r.arm == name]) for name in names}
