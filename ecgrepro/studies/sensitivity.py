"""Which metric sees which defect: real records are damaged by degrees and judged like synthetic.

Three sets of real records of different patients: the first half of the training folds, the second
half, and the test folds. The second half takes the place of the synthetic records, whole and with
each of `ecgrepro.closeness.corruptions`; the first half makes the floor.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from ecgrepro.closeness import FLOOR
from ecgrepro.closeness.corruptions import CORRUPTIONS, corrupt
from ecgrepro.closeness.verdict import SEEN, verdict
from ecgrepro.cohort import Cohort
from ecgrepro.results import Result
from ecgrepro.studies.closeness import compared, judged_by, read_rows, write_rows
from ecgrepro.studies.run import Run

NOTHING = "none"  # the records as they are


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
    place = run.artifact("defect", dataset, made_from, __name__, make)
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
