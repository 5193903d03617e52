"""Tables and sentences of transfer learning."""

from collections.abc import Sequence

import pandas as pd

from ecgrepro.studies.arms import SCRATCH
from ecgrepro.studies.findings.wording import WORDS, mark, number
from ecgrepro.support.results import Result


def scores_by_fraction(rows: Sequence[Result]) -> pd.DataFrame:
    """Scores by fraction of real records and metric, a column for each arm."""
    plain = [row for row in rows if not row.comparison and row.metric != "f1"]
    arms = list(dict.fromkeys(row.arm for row in plain))
    lines: dict[tuple, dict[str, str]] = {}
    for row in plain:
        key = (row.fraction, WORDS.get(row.metric, row.metric))
        lines.setdefault(key, {})[row.arm] = number(row.value, row.low, row.high)
    table = [
        {"fraction": f"{fraction:.0%}", "metric": metric, **cells}
        for (fraction, metric), cells in lines.items()
    ]
    return pd.DataFrame(table, columns=["fraction", "metric", *arms]).fillna("–")


def marked_scores(rows: Sequence[Result]) -> pd.DataFrame:
    """macro-F1 of each arm by fraction, marked against training from scratch at that fraction."""
    f1 = [row for row in rows if row.metric == "macro_f1"]
    marks = {(r.arm, r.fraction): mark(r) for r in f1 if r.comparison == SCRATCH}
    fractions = [
        f"{fraction:.0%}" for fraction in sorted({row.fraction for row in f1 if row.fraction})
    ]
    lines: dict[str, dict[str, str]] = {}
    for row in f1:
        if not row.comparison:
            cell = f"{row.value:.3f} {marks.get((row.arm, row.fraction), '')}".strip()
            lines.setdefault(row.arm, {})[f"{row.fraction:.0%}"] = cell
    table = [{"arm": arm, **cells} for arm, cells in lines.items()]
    return pd.DataFrame(table, columns=["arm", *fractions]).fillna("–")


def transfer_sentence(rows: Sequence[Result]) -> str:
    """At how many fractions pre-training gains or loses against training from scratch."""
    f1 = [r for r in rows if r.metric == "macro_f1" and r.comparison == SCRATCH]
    if not f1:
        return "No differences to show."
    marks = [mark(row) for row in f1]
    best = max(f1, key=lambda row: row.value or 0.0)
    return (
        f"Of {len(f1)} comparisons with training from scratch at the same fraction, "
        f"{marks.count('✓')} are gains and {marks.count('✗')} losses beyond chance; the largest "
        f"difference of macro-F1 is {number(best.value, best.low, best.high)} "
        f"({best.arm}, at {best.fraction:.0%})."
    )
