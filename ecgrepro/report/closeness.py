"""Tables of closeness: each metric beside its floor, rhythms side by side, what has no value."""

from collections.abc import Sequence

import pandas as pd

from ecgrepro.closeness import FAMILIES, FLOOR, METRICS
from ecgrepro.closeness.verdict import BLIND, MISLED, SEEN, UNKNOWN, verdict
from ecgrepro.report.tables import number
from ecgrepro.support.results import Result

WORDS = {SEEN: "worse", BLIND: "as real", MISLED: "better", UNKNOWN: "–"}
ARROW = {"lower": "↓", "higher": "↑"}


def pairs(rows: Sequence[Result]) -> list[tuple[Result, Result | None]]:
    """Each value with its floor, in order; None for the floor of what has no value."""
    floors = {(r.metric, r.rhythm): r for r in rows if r.comparison == FLOOR}
    return [(r, floors.get((r.metric, r.rhythm))) for r in rows if r.comparison != FLOOR]


def summary(rows: Sequence[Result], rhythm: str = "") -> pd.DataFrame:
    """A line for each metric that has a value: synthetic, floor, and whether they differ.

    A line in bold opens each family.
    """
    lines: list[dict] = []
    order = list(METRICS)
    for row, floor in sorted(pairs(rows), key=lambda pair: order.index(pair[0].metric)):
        if row.rhythm != rhythm or row.value is None:
            continue
        metric = METRICS[row.metric]
        opening = f"**{FAMILIES[metric.family]}**"
        if opening not in (line["metric"] for line in lines):
            lines.append({"metric": opening})
        lines.append(
            {
                "metric": f"{metric.title}\N{NO-BREAK SPACE}{ARROW[metric.better]}",
                "synthetic": _shown(row),
                "floor": _shown(floor),
                "n": str(row.n),
                "against floor": WORDS[verdict(row, floor)],
            }
        )
    columns = ["metric", "synthetic", "floor", "n", "against floor"]
    return pd.DataFrame(lines, columns=columns).fillna("")


def by_rhythm(rows: Sequence[Result]) -> pd.DataFrame:
    """Metrics down, rhythms across: value and floor; bold where the intervals are apart."""
    cells: dict[str, dict[str, str]] = {}
    for row, floor in pairs(rows):
        if not row.rhythm or row.value is None or floor is None or floor.value is None:
            continue
        digits = _digits(max(row.value, floor.value, key=abs))
        text = f"{row.value:.{digits}f} ({floor.value:.{digits}f})"
        far = verdict(row, floor) in (SEEN, MISLED)
        title = METRICS[row.metric].title
        cells.setdefault(title, {})[row.rhythm] = f"**{text}**" if far else text
    rhythms = list(dict.fromkeys(r.rhythm for r in rows if r.rhythm))
    lines = [{"metric": title, **{r: c.get(r, "–") for r in rhythms}} for title, c in cells.items()]
    return pd.DataFrame(lines, columns=["metric", *rhythms])


def notes(rows: Sequence[Result]) -> list[str]:
    """What has no value, and why: a line for each reason, with records of the smallest set."""
    where: dict[str, dict[str, set[int]]] = {}
    what: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.value is None and row.comparison != FLOOR:
            sizes = where.setdefault(row.note, {})
            sizes.setdefault(row.rhythm or "all rhythms", set()).add(row.n or 0)
            what.setdefault(row.note, {})[METRICS[row.metric].words] = None
    return [
        f"{note}; {', '.join(f'{r} ({_span(n)})' for r, n in where[note].items())}: "
        f"{_listed(list(what[note]))}"
        for note in where
    ]


def cut_short(rows: Sequence[Result]) -> str:
    """Metrics whose intervals come from fewer half-samples than were asked for, in words."""
    names = dict.fromkeys(METRICS[r.metric].words for r in rows if r.note and r.value is not None)
    return _listed(list(names))


def _span(sizes: set[int]) -> str:
    low, high = min(sizes), max(sizes)
    return str(low) if low == high else f"{low}–{high}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _shown(row: Result | None) -> str:
    if row is None or row.value is None:
        return "–"
    text = number(row.value, row.low, row.high, digits=_digits(row.value))
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _digits(value: float) -> int:
    """Digits after the point: three for shares, fewer for large values."""
    return 3 if abs(value) < 3 else 2 if abs(value) < 30 else 1
