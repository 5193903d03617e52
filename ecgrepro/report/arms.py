"""Tables of training runs compared: scores, differences, and what they were trained on."""

from collections.abc import Sequence

import pandas as pd

from ecgrepro.studies.arms import HOSPITALS, MERGED, REAL, SIMULATOR
from ecgrepro.studies.findings.wording import WORDS, effect, flagged, mark, marked_number, number
from ecgrepro.support.results import Result

INTERVALS = ("accuracy", "balanced_accuracy", "macro_f1")  # metrics that have intervals


def scores_table(rows: Sequence[Result], *, by: str = "scope") -> pd.DataFrame:
    """Scores of each arm with intervals, a column for each metric.

    Parameters
    ----------
    by
        What is told apart beside arms: ``"scope"`` (the test records) or ``"fraction"``.
    """
    plain = [row for row in rows if not row.comparison and row.metric != "f1" and row.arm]
    lines: dict[tuple, dict[str, str]] = {}
    for row in plain:
        key = (getattr(row, by), row.arm)
        cell = number(row.value, row.low, row.high)
        lines.setdefault(key, {})[WORDS.get(row.metric, row.metric)] = cell
    frame = pd.DataFrame(
        [{by: where, "arm": arm, **cells} for (where, arm), cells in lines.items()]
    )
    return frame.rename(columns={"scope": "tested on"})


def rhythm_table(rows: Sequence[Result]) -> pd.DataFrame:
    """F1 of each rhythm for each arm; rhythms with few test records are marked."""
    lines: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.metric == "f1" and row.n and row.scope in ("", row.dataset):
            rhythm = f"{flagged(row.rhythm, row.n)} ({row.n})"
            lines.setdefault(row.arm, {})[rhythm] = number(row.value)
    return pd.DataFrame([{"arm": arm, **cells} for arm, cells in lines.items()])


def differences_table(rows: Sequence[Result], reference: str = "") -> pd.DataFrame:
    """Differences to a reference arm, or to any, with marks and the effect size of macro-F1."""
    kept = [row for row in rows if row.comparison and reference in ("", row.comparison)]
    lines: dict[tuple, dict[str, str]] = {}
    for row in kept:
        key = (row.scope, row.fraction, row.arm, row.comparison)
        cells = lines.setdefault(key, {})
        cells[WORDS.get(row.metric, row.metric)] = marked_number(row)
        if row.metric == "macro_f1":
            cells["d"] = effect(row.effect)
    table = []
    for (scope, fraction, arm, comparison), cells in lines.items():
        line = {"tested on": scope, "fraction": _percent(fraction), "arm": arm, "minus": comparison}
        size = cells.pop("d", "–")
        table.append({**line, **cells, "d": size})
    frame = pd.DataFrame(table)
    unused = [c for c in ("tested on", "fraction") if c in frame and not frame[c].any()]
    if reference:
        unused.append("minus")
    return frame.drop(columns=[c for c in unused if c in frame])


def gain_intervals(rows: Sequence[Result], reference: str = REAL) -> dict[str, tuple]:
    """macro-F1 differences to a reference by name, for `figures.charts.intervals`."""
    found = {}
    for row in rows:
        if row.metric == "macro_f1" and row.comparison == reference:
            where = f", on {row.scope}" if row.scope != row.dataset else ""
            found[row.arm + where] = (row.value, row.low, row.high)
    return found


def controls_table(rows: Sequence[Result]) -> pd.DataFrame:
    """macro-F1 of arms with synthetic records minus that of real only and of each control."""
    held = [row for row in rows if row.comparison and row.metric == "macro_f1" and row.scope]
    compared = {row.arm for row in held if row.comparison != REAL}
    lines: dict[tuple, dict[str, str]] = {}
    columns: dict[str, None] = {}
    for row in held:
        if row.arm not in compared:
            continue
        minus = "as many simulated" if SIMULATOR in row.comparison else row.comparison
        columns[minus] = None
        lines.setdefault((row.scope, row.arm), {})[minus] = marked_number(row)
    table = [{"tested on": scope, "arm": arm, **cells} for (scope, arm), cells in lines.items()]
    return pd.DataFrame(table, columns=["tested on", "arm", *columns]).fillna("–")


def shift_table(rows: Sequence[Result]) -> pd.DataFrame:
    """How well records tell their hospital, by rhythm."""
    return pd.DataFrame(
        {
            "rhythm": row.rhythm or "all",
            "records of the smaller hospital": row.n,
            "AUC": row.note if row.value is None else number(row.value, row.low, row.high),
        }
        for row in rows
        if row.metric == "source_auc"
    )


def crossing_table(rows: Sequence[Result], scope: str) -> pd.DataFrame:
    """Classifiers at home, in the other hospital and trained in both."""
    lines: dict[tuple, dict[str, str]] = {}
    for row in rows:
        if row.scope == scope and row.metric in INTERVALS:
            what = row.arm + (f", minus {row.comparison}" if row.comparison else "")
            cell = number(row.value, row.low, row.high)
            lines.setdefault((row.dataset, what), {})[WORDS[row.metric]] = cell
    return pd.DataFrame(
        {"tested in": dataset, "what": what, **cells} for (dataset, what), cells in lines.items()
    )


def reference_gains(rows: Sequence[Result]) -> pd.DataFrame:
    """macro-F1 of each arm minus training on real records only, a line each."""
    return pd.DataFrame(
        {
            "tested on": row.scope,
            "arm": row.arm,
            "difference of macro-F1": marked_number(row),
            "d": effect(row.effect),
            "p": f"{row.p_value:.3f}",
        }
        for row in rows
        if row.metric == "macro_f1" and row.comparison == REAL
    )


def own_rows(rows: Sequence[Result]) -> list[Result]:
    """The rows of the arms of a data set, without what crosses between the hospitals."""
    return [r for r in rows if r.metric != "source_auc" and r.scope in (r.dataset, *_parts(r))]


def _parts(row: Result) -> tuple[str, ...]:
    return HOSPITALS if row.dataset == MERGED else ()


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.0%}"


def gains_sentence(rows: Sequence[Result], reference: str = REAL) -> str:
    """How many arms gain or lose more than chance explains, and the largest difference."""
    found = [r for r in rows if r.metric == "macro_f1" and r.comparison == reference]
    found = [r for r in found if r.scope in ("", r.dataset)]
    if not found:
        return "No differences to show."
    marks = [mark(row) for row in found]
    largest = max(found, key=lambda row: abs(row.value or 0.0))
    return (
        f"Of {len(found)} arms, {marks.count('✓')} gain and {marks.count('✗')} lose macro-F1 "
        f"beyond chance after correction; the largest difference to {reference} is "
        f"{number(largest.value, largest.low, largest.high)} ({largest.arm})."
    )
