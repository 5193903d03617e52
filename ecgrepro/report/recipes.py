"""Tables and sentences of the search for recipes that help."""

from collections.abc import Sequence

import pandas as pd

from ecgrepro.studies.arms import REAL
from ecgrepro.studies.experiments.recipes import ALL_REAL, CONFIRMED, TRIED
from ecgrepro.studies.findings.recipes import verdict_lines
from ecgrepro.studies.findings.wording import WORDS, effect, marked_number, number
from ecgrepro.support.results import Result


def _percent(row: Result) -> str:
    return f"{row.fraction:.0%}"


def tried_table(rows: Sequence[Result]) -> pd.DataFrame:
    """Validation macro-F1 of every recipe by fraction; the chosen one of each in bold."""
    chosen = {_percent(row): row.arm for row in _gains(rows)}
    lines: dict[str, dict[str, str]] = {}
    columns: dict[str, None] = {}
    for row in rows:
        if row.scope == TRIED:
            bold = "**" if chosen.get(_percent(row)) == row.arm else ""
            column = f"{_percent(row)} of the real records"
            columns[column] = None
            lines.setdefault(row.arm, {})[column] = f"{bold}{row.value:.3f}{bold}"
    table = [{"recipe": arm, **cells} for arm, cells in lines.items()]
    return pd.DataFrame(table, columns=["recipe", *columns]).fillna("–")


def validation_records(rows: Sequence[Result]) -> int:
    """How many validation records the recipes were chosen by."""
    return next(row.n for row in rows if row.scope == TRIED and row.n is not None)


def confirmed_table(rows: Sequence[Result]) -> pd.DataFrame:
    """Test scores of the chosen recipe of each fraction and of its opponents."""
    lines: dict[tuple, dict[str, str]] = {}
    for row in rows:
        if row.scope == CONFIRMED and not row.comparison and row.low is not None:
            cell = number(row.value, row.low, row.high)
            lines.setdefault((_percent(row), row.arm), {})[WORDS[row.metric]] = cell
    return pd.DataFrame(
        {"fraction": fraction, "arm": arm, **cells} for (fraction, arm), cells in lines.items()
    )


def _gains(rows: Sequence[Result]) -> list[Result]:
    return [row for row in rows if row.metric == "macro_f1" and row.comparison]


def gain_intervals(rows: Sequence[Result]) -> dict[str, tuple]:
    """macro-F1 of the chosen recipe minus each opponent, for `figures.charts.intervals`."""
    return {
        f"{_percent(row)}: minus {row.comparison}": (row.value, row.low, row.high)
        for row in _gains(rows)
    }


def scores_sentence(rows: Sequence[Result]) -> str:
    """What the chosen recipe scores at each fraction, beside training on the real records."""
    chosen = {row.fraction: row.arm for row in _gains(rows)}
    tested = [r for r in rows if r.metric == "macro_f1" and not r.comparison]
    scores = {(r.fraction, r.arm): r for r in tested if r.scope == CONFIRMED}
    parts = []
    for fraction, arm in sorted(chosen.items()):
        ours = scores[fraction, arm]
        plain = scores.get((fraction, REAL)) or scores.get((fraction, ALL_REAL))
        against = f", {plain.arm} {number(plain.value, plain.low, plain.high)}" if plain else ""
        value = number(ours.value, ours.low, ours.high)
        parts.append(f"at {fraction:.0%} {arm} has {value}{against}")
    return f"Macro-F1 on the test records: {'; '.join(parts)}."


def gains_table(rows: Sequence[Result]) -> pd.DataFrame:
    """macro-F1 of the chosen recipe minus each opponent, with effect size and p-value."""
    return pd.DataFrame(
        {
            "fraction": _percent(row),
            "chosen recipe": row.arm,
            "minus": row.comparison,
            "difference of macro-F1": marked_number(row),
            "d": effect(row.effect),
            "p": f"{row.p_value:.3f}",
        }
        for row in _gains(rows)
    )


def verdict_table(rows: Sequence[Result]) -> pd.DataFrame:
    """One line for each fraction: recipe, least certain difference, verdict."""
    return pd.DataFrame(verdict_lines(rows))


def verdict_sentence(rows: Sequence[Result]) -> str:
    """The verdict of each fraction in a sentence."""
    lines = verdict_lines(rows)
    each = [f"at {line['fraction']} {line['chosen recipe']} {line['verdict']}" for line in lines]
    return f"Against every opponent: {'; '.join(each)}."


def largest_p_value(rows: Sequence[Result], times: int) -> str:
    """The largest p-value of a confirmation, multiplied by the fractions that were asked before."""
    most = times * max(row.p_value or 0.0 for row in _gains(rows))
    return f"Its largest p-value, times the {times} fractions of the reference run, is {most:.3f}."
