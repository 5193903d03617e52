"""Which metric sees which defect: real records are damaged by degrees and judged like synthetic.

Three sets of real records of different patients: the first half of the training folds, the second
half, and the test folds. The second half takes the place of the synthetic records, whole and with
each of `ecgrepro.closeness.corruptions`; the first half makes the floor.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecgrepro.closeness import FLOOR, Budget
from ecgrepro.closeness.corruptions import CORRUPTIONS, corrupt
from ecgrepro.closeness.families import Embedded
from ecgrepro.closeness.matching import SYNTHETIC, TEST, TRAIN, draw, matched_counts
from ecgrepro.closeness.verdict import SEEN, verdict
from ecgrepro.cohort import Cohort
from ecgrepro.studies.classifiers import real_classifier
from ecgrepro.studies.experiments.closeness import compared, judged_by, read_rows, write_rows
from ecgrepro.support.results import Result
from ecgrepro.workflow.run import Run

NOTHING = "none"  # the records as they are
DRAWS = 10


def sensitivity_results(run: Run, dataset: str) -> list[Result]:
    """Every metric for every defect: ``arm`` is the defect, ``fraction`` its level."""
    sets = three_sets(run, dataset)
    rows = _judged(run, dataset, sets, NOTHING, 0.0)
    for kind in CORRUPTIONS:
        for level in run.profile.closeness.levels:
            rows += _judged(run, dataset, sets, kind, level)
    return rows


def three_sets(run: Run, dataset: str) -> dict[str, Cohort]:
    """Cohorts ``train``, ``base`` (that is damaged) and ``test``."""
    folds = run.profile.folds
    middle = (len(folds.train) + 1) // 2
    return run.cohort(dataset).split(
        train=folds.train[:middle], base=folds.train[middle:], test=folds.test
    )


def _judged(
    run: Run, dataset: str, sets: dict[str, Cohort], kind: str, level: float
) -> list[Result]:
    """`compare` of one damaged set, all rhythms together."""

    def make(folder: Path) -> None:
        made = sets["base"]
        if kind != NOTHING:
            made = corrupt(made, kind, level, train=sets["train"])
        rows = compared(run, dataset, sets["train"], sets["test"], made, by_rhythm=False)
        write_rows(folder, rows)

    made_from = {"defect": kind, "level": level, **judged_by(run)}
    place = run.artifact("defect", dataset, made_from, [f"{__name__}._judged"], make)
    return [replace(row, dataset=dataset, arm=kind, fraction=level) for row in read_rows(place)]


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


def unseen(rows: list[Result]) -> list[str]:
    """Defects that no metric sees at their highest level."""
    found = verdicts(rows)
    worst = found["level"] == found.groupby("defect")["level"].transform("max")
    seen = set(found.loc[worst & (found["verdict"] == SEEN), "defect"])
    return [kind for kind in CORRUPTIONS if kind not in seen]


def size_effect(run: Run, dataset: str) -> list[Result]:
    """Metrics of embeddings between undamaged real records, by the number of records in a set.

    The mean over `DRAWS` random draws and, as ``low`` and ``high``, one standard deviation to each
    side. What grows or shrinks with ``n`` here must be compared at equal sizes only.
    """
    sets, judge = three_sets(run, dataset), real_classifier(run, dataset)
    cohorts = {TRAIN: sets["train"], TEST: sets["test"], SYNTHETIC: sets["base"]}
    rng = np.random.default_rng(0)
    whole = draw(cohorts, matched_counts(cohorts, Budget().records), rng)
    k = run.profile.closeness.neighbours
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


def privacy_checks(run: Run, dataset: str) -> list[Result]:
    """The family privacy for a set that knows nothing, one with planted copies, and a memorizer.

    ``arm`` is what was judged: real records of other patients, the same with a tenth replaced by
    training records, and the training records themselves.
    """
    sets = three_sets(run, dataset)
    planted = corrupt(sets["base"], "memorization", 0.1, train=sets["train"])
    rows = []
    for arm, made in (
        ("held-out records", sets["base"]),
        ("a tenth planted copies", planted),
        ("a memorizing generator", sets["train"]),
    ):
        found = compared(run, dataset, sets["train"], sets["test"], made, families=["privacy"],
                         by_rhythm=False)  # fmt: skip
        rows += [replace(row, dataset=dataset, arm=arm) for row in found]
    return rows
