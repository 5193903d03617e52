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

from ecgrepro.closeness.corruptions import CORRUPTIONS, corrupt
from ecgrepro.closeness.families import Embedded
from ecgrepro.closeness.intervals import Budget
from ecgrepro.closeness.matching import SYNTHETIC, TEST, TRAIN, draw, matched_counts
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.studies.findings.sensitivity import MEMORIZER, NOTHING, PLANTED, STRANGERS
from ecgrepro.studies.profiles import Folds
from ecgrepro.support.results import Result

if TYPE_CHECKING:
    from ecgrepro.classifier.classifier import Classifier

DRAWS = 10
# What privacy is tried on.


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


def labelled(rows: Sequence[Result], kind: str, level: float, dataset: str) -> list[Result]:
    """Rows of a comparison as those of a defect: ``arm`` is the defect, ``fraction`` its level."""
    return [replace(row, dataset=dataset, arm=kind, fraction=level) for row in rows]
