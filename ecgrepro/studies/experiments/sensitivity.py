"""Which metric sees which defect: real records are damaged by degrees and judged like synthetic.

Three sets of real records of different patients: the first half of the training folds, the second
half, and the test folds. The second half takes the place of the synthetic records, whole and with
each of `ecgrepro.closeness.corruptions`; the first half makes the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecgrepro.closeness import FLOOR, Budget
from ecgrepro.closeness.corruptions import CORRUPTIONS, corrupt
from ecgrepro.closeness.families import Embedded
from ecgrepro.closeness.matching import SYNTHETIC, TEST, TRAIN, draw, matched_counts
from ecgrepro.closeness.verdict import SEEN, half_widths, verdict
from ecgrepro.cohort import Cohort
from ecgrepro.studies.profiles import Folds
from ecgrepro.support.results import Result

if TYPE_CHECKING:
    from ecgrepro.classifier.classifier import Classifier

NOTHING = "none"  # the records as they are
DRAWS = 10
# What privacy is tried on.
STRANGERS = "held-out records"
PLANTED = "a tenth planted copies"
MEMORIZER = "a memorizing generator"
ATTACKS = ("distance_ratio", "near_copies", "authenticity", "membership_auc")
MUST_SEE = {PLANTED: ("near_copies",), MEMORIZER: ATTACKS}  # a few copies hardly move the others


def three_sets(cohort: Cohort, folds: Folds) -> dict[str, Cohort]:
    """Cohorts ``train``, ``base`` (that is damaged) and ``test``, of different patients."""
    middle = (len(folds.train) + 1) // 2
    return cohort.split(train=folds.train[:middle], base=folds.train[middle:], test=folds.test)


def damages(levels: Sequence[float]) -> list[tuple[str, float]]:
    """Every defect at every level, after no damage at all: what the metrics are tried on."""
    return [(NOTHING, 0.0), *((kind, level) for kind in CORRUPTIONS for level in levels)]


def damaged(sets: dict[str, Cohort], kind: str, level: float) -> Cohort:
    """The set ``base`` of `three_sets` with a defect."""
    if kind == NOTHING:
        return sets["base"]
    return corrupt(sets["base"], kind, level, train=sets["train"])


def verdicts(rows: list[Result]) -> pd.DataFrame:
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
            curves.setdefault(row.metric, []).append((row.fraction, apart))
    return {metric: sorted(points) for metric, points in curves.items()}


def unseen(rows: list[Result]) -> list[str]:
    """Defects that no metric sees at their highest level."""
    found = verdicts(rows)
    worst = found["level"] == found.groupby("defect")["level"].transform("max")
    seen = set(found.loc[worst & (found["verdict"] == SEEN), "defect"])
    return [kind for kind in CORRUPTIONS if kind not in seen]


def size_effect(sets: dict[str, Cohort], judge: Classifier, k: int, dataset: str) -> list[Result]:
    """Metrics of embeddings between undamaged real records, by the number of records in a set.

    The mean over `DRAWS` random draws and, as ``low`` and ``high``, one standard deviation to each
    side. What grows or shrinks with ``n`` here must be compared at equal sizes only.
    """
    cohorts = {TRAIN: sets["train"], TEST: sets["test"], SYNTHETIC: sets["base"]}
    rng = np.random.default_rng(0)
    whole = draw(cohorts, matched_counts(cohorts, Budget().records), rng)
    family = Embedded({name: judge.embed(c) for name, c in whole.cohorts.items()}, k)
    largest, rows = whole.smallest(), []
    least = min(2 * (k + 1), largest)
    for n in np.unique(np.geomspace(least, largest, 6).astype(int)):
        found = np.array([family.measure(whole.some(int(n), rng))[0] for _ in range(DRAWS)])
        mean, spread = found.mean(axis=0), found.std(axis=0)
        rows += [
            Result(name, mean[i], mean[i] - spread[i], mean[i] + spread[i], n=int(n),
                   dataset=dataset, scope="size")
            for i, name in enumerate(family.metrics)
        ]  # fmt: skip
    return rows


def privacy_sets(sets: dict[str, Cohort]) -> dict[str, Cohort]:
    """What the family privacy is tried on: of each set it is known what is in it.

    Real records of other patients, the same with a tenth replaced by training records, and the
    training records themselves.
    """
    planted = corrupt(sets["base"], "memorization", 0.1, train=sets["train"])
    return {STRANGERS: sets["base"], PLANTED: planted, MEMORIZER: sets["train"]}


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


def labelled(rows: Sequence[Result], kind: str, level: float, dataset: str) -> list[Result]:
    """Rows of a comparison as those of a defect: ``arm`` is the defect, ``fraction`` its level."""
    return [replace(row, dataset=dataset, arm=kind, fraction=level) for row in rows]
