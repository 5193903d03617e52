"""What the checks of the metrics say: which defects are seen, and which attacks failed."""

from collections.abc import Sequence

import pandas as pd

from ecgrepro.closeness import FLOOR
from ecgrepro.closeness.corruptions import CORRUPTIONS
from ecgrepro.closeness.verdict import SEEN, half_widths, verdict
from ecgrepro.support.results import Result, required

NOTHING = "none"  # the records as they are
STRANGERS = "held-out records"
PLANTED = "a tenth planted copies"
MEMORIZER = "a memorizing generator"
ATTACKS = ("distance_ratio", "near_copies", "authenticity", "membership_auc")
MUST_SEE = {PLANTED: ("near_copies",), MEMORIZER: ATTACKS}  # a few copies hardly move the others


def verdicts(rows: Sequence[Result]) -> pd.DataFrame:
    """What each metric makes of each defect at each level: columns metric, defect, level, verdict.

    Verdicts are those of `ecgrepro.closeness.verdict`.
    """
    floors = {(r.metric, r.arm, r.fraction): r for r in rows if r.comparison == FLOOR}
    found = []
    for row in rows:
        if row.comparison == FLOOR:
            continue
        floor = floors.get((row.metric, row.arm, row.fraction))
        found.append((row.metric, row.arm, row.fraction, verdict(row, floor)))
    return pd.DataFrame(found, columns=["metric", "defect", "level", "verdict"])


def dose_curves(rows: Sequence[Result], defect: str) -> dict[str, list[tuple[float, float]]]:
    """How far each metric is from its floor at each level of a defect, from none on.

    ``{metric: [(level, distance), ...]}``, distances in half widths
    (`ecgrepro.closeness.verdict.half_widths`).
    """
    floors = {(r.metric, r.arm, r.fraction): r for r in rows if r.comparison == FLOOR}
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.arm not in (NOTHING, defect) or row.comparison == FLOOR:
            continue
        apart = half_widths(row, floors.get((row.metric, row.arm, row.fraction)))
        if apart is not None:
            curves.setdefault(row.metric, []).append((required(row.fraction), apart))
    return {metric: sorted(points) for metric, points in curves.items()}


def unseen(rows: Sequence[Result]) -> list[str]:
    """Defects that no metric sees at their highest level."""
    found = verdicts(rows)
    worst = found["level"] == found.groupby("defect")["level"].transform("max")
    seen = set(found.loc[worst & (found["verdict"] == SEEN), "defect"])
    return [kind for kind in CORRUPTIONS if kind not in seen]


def privacy_failures(rows: Sequence[Result]) -> list[tuple[str, str]]:
    """Where an attack did not find what is there, or found what is not: (set, metric).

    `MUST_SEE` says what must be found; of strangers nothing must.
    """
    floors = {(r.metric, r.arm): r for r in rows if r.comparison == FLOOR}
    failed = []
    for row in rows:
        if row.comparison == FLOOR:
            continue
        seen = verdict(row, floors.get((row.metric, row.arm))) == SEEN
        false_alarm = seen and row.arm == STRANGERS
        if false_alarm or (not seen and row.metric in MUST_SEE.get(row.arm, ())):
            failed.append((row.arm, row.metric))
    return failed
