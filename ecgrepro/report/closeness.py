"""Tables of closeness: each metric beside its floor, rhythms side by side, what has no value."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecgrepro.closeness import FAMILIES, FLOOR, METRICS
from ecgrepro.closeness.metrics.heart import MEASURES, titled
from ecgrepro.closeness.verdict import BLIND, MISLED, SEEN, UNKNOWN, half_widths, verdict
from ecgrepro.closeness.views import Hearts, Plane, Spectra, Strips
from ecgrepro.report.tables import number
from ecgrepro.support.results import Result, required

WORDS = {SEEN: "worse", BLIND: "as real", MISLED: "better", UNKNOWN: "–"}
ARROW = {"lower": "↓", "higher": "↑"}
SIDES = {"real": "real test", "synthetic": "synthetic"}  # sets of the heart, as figures name them
CHANCE = 0.01  # near-copies of a perfect generator
SPACES = {"signal": "signals", "embedding": "embeddings"}  # in which near-copies are looked for


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
        f"{_first_of(list(what[note]))}"
        for note in where
    ]


def cut_short(rows: Sequence[Result]) -> str:
    """Metrics whose intervals come from fewer half-samples than were asked for, in words."""
    names = dict.fromkeys(METRICS[r.metric].words for r in rows if r.note and r.value is not None)
    return _first_of(list(names))


def notes_text(rows: Sequence[Result], otherwise: str) -> str:
    """`notes` as a list, or ``otherwise`` where everything has a value."""
    lines = notes(rows)
    return "Without a value:\n" + "".join(f"\n- {line}" for line in lines) if lines else otherwise


def floor_sentence(rows: Sequence[Result]) -> str:
    """How many metrics of all rhythms are worse than their floor, and which by most."""
    both = [(r, f) for r, f in pairs(rows) if not r.rhythm and r.value is not None]
    said = [verdict(row, floor) for row, floor in both]
    apart = {row.metric: half_widths(row, floor) for row, floor in both}
    text = (
        f"Of {len(both)} metrics, {said.count(SEEN)} are worse than their floor, "
        f"{said.count(BLIND)} as real and {said.count(MISLED)} better than it"
    )
    if without := said.count(UNKNOWN):
        text += f"; {without} without an interval"
    known = {metric: far for metric, far in apart.items() if far is not None}
    if SEEN not in said or not known:
        return text + "."
    worst = max(known, key=known.__getitem__)
    row, floor = next(pair for pair in both if pair[0].metric == worst)
    return (
        f"{text}. Farthest from its floor: {METRICS[worst].words}, {_beside(row, required(floor))}."
    )


def _beside(row: Result, floor: Result) -> str:
    return f"{_shown(row)} against {_shown(floor)}"


def plane_sentence(plane: Plane) -> str:
    """How much of the embeddings the plane shows, and how many points of a set lie outside."""
    behind, _ = plane.of(plane.names[0])
    low, high = np.percentile(behind, [2.5, 97.5], axis=0)
    outside = {}
    for name in plane.names:
        points, _ = plane.of(name)
        outside[name] = float(((points < low) | (points > high)).any(axis=1).mean())
    shares = ", ".join(f"{100 * share:.0f} % of {name}" for name, share in outside.items())
    return (
        f"The plane holds {100 * plane.variance:.0f} % of the variance of the {plane.names[0]} "
        f"embeddings. Outside the range of their middle 95 % in either component lie {shares} "
        "records that are shown."
    )


def spectra_sentence(spectra: Spectra) -> str:
    """Mean frequency of each set in each lead."""
    weight = spectra.power / spectra.power.sum(axis=2, keepdims=True)
    means = (weight * spectra.frequencies).sum(axis=2)
    by_lead = [
        f"{lead} "
        + ", ".join(f"{m:.1f} Hz ({n})" for n, m in zip(spectra.names, column, strict=True))
        for lead, column in zip(spectra.leads, means.T, strict=True)
    ]
    top = spectra.frequencies[-1]
    return f"Mean frequency of the power up to {top:.0f} Hz: {'; '.join(by_lead)}."


def hearts_sentence(hearts: Hearts) -> str:
    """Medians of each measure, all rhythms of the sample together."""
    frame = hearts.frame()
    sides = {which: frame.loc[frame["set"] == which, list(MEASURES)] for which in SIDES.values()}
    if silent := [which for which, found in sides.items() if found.isna().all(axis=None)]:
        return f"In no {' or '.join(silent)} record of the sample can anything be measured."
    parts = []
    for name in MEASURES:
        digits = 0 if titled(name).endswith(("bpm", "ms")) else 2
        medians = [_median(found[name], digits) for found in sides.values()]
        parts.append(f"{titled(name)} {' and '.join(medians)}")
    n = min(map(len, sides.values()))
    return (
        f"Medians of {n} {' and '.join(sides)} records each, all rhythms together: "
        f"{'; '.join(parts)}."
    )


def _median(values: pd.Series, digits: int) -> str:
    known = values.dropna()
    return number(known.median(), digits=digits) if len(known) else "–"


def failures_table(hearts: Hearts) -> pd.DataFrame:
    """Fraction of records of each side in which a measure cannot be taken."""
    frame = hearts.frame()
    missing = {
        side: frame.loc[frame["set"] == which, list(MEASURES)].isna().mean()
        for side, which in SIDES.items()
    }
    return pd.DataFrame(
        {"measure": titled(name), **{side: f"{missing[side][name]:.3f}" for side in SIDES}}
        for name in MEASURES
    )


def pairs_sentence(strips: Strips) -> str:
    """Which records the closest pairs are, and how far apart."""
    named = []
    for i in range(0, len(strips.records), 2):
        made, known = strips.records[i : i + 2]
        named.append(f"`{made}` and training record `{known}`, {strips.distances[i]:.2f} apart")
    return (
        f"Synthetic record {'; '.join(named)}. The median distance of a synthetic record to the "
        f"nearest training record is {strips.typical:.2f}."
    )


def copies_sentence(copies: Sequence[Mapping[str, Any]]) -> str:
    """Fraction of near-copies between signals and between embeddings, from rows as dictionaries."""
    rows = [Result(**row) for row in copies if row["metric"] == "copies"]
    shares = [
        f"between {SPACES[row.scope]} {number(row.value, row.low, row.high)} of {row.n}"
        for row in rows
    ]
    more = [f"between {SPACES[row.scope]}" for row in rows if required(row.low) > CHANCE]
    return (
        "Near-copies, synthetic records nearer to a training record than 99 % of the real test "
        f"records are: {'; '.join(shares)}. A perfect generator has about {CHANCE}"
        + (f"; there are more {' and '.join(more)}." if more else ", which no interval excludes.")
    )


def farthest_sentence(strips: Strips) -> str:
    """How far the worst samples are from real test records, beside a typical sample."""
    far = ", ".join(
        f"`{name}` {far:.2f}" for name, far in zip(strips.records, strips.distances, strict=True)
    )
    return (
        f"Distance to the nearest real test record, in the embedding: {far}; the median of all "
        f"synthetic records is {strips.typical:.2f}."
    )


def _span(sizes: set[int]) -> str:
    low, high = min(sizes), max(sizes)
    return str(low) if low == high else f"{low}–{high}"


def _first_of(names: list[str]) -> str:
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


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    Examples
    --------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last
