"""Augmentation: does training on real and synthetic records beat training on real ones alone?

Every arm gets the same number of optimizer updates and the same selection on real validation
records; test records are real. Per-record probabilities are kept, so that arms are compared in
pairs.
"""

import pandas as pd

from ecgrepro.results import Result
from ecgrepro.studies.arms import REAL, Arm, probabilities, training_set
from ecgrepro.studies.grid import Cell, run_cells
from ecgrepro.studies.run import MERGED, Run
from ecgrepro.studies.scoring import arm_results, corrected


def arms(run: Run) -> list[Arm]:
    """The arms of the profile: real only, the controls, then each generator."""
    settings, found = run.profile.augmentation, [Arm(REAL)]
    found += [Arm(f"real, {name}", control=name) for name in settings.controls]
    for name in run.profile.generators:
        found += [Arm(f"real + {name} x{ratio:g}", name, ratio) for ratio in settings.ratios]
        if settings.balanced:
            found.append(Arm(f"real + {name}, balanced", name, balanced=True))
    return found


def arms_frame(run: Run, dataset: str) -> pd.DataFrame:
    """What each arm is trained on: records of each rhythm, real and synthetic, and updates."""
    real, lines = run.splits(dataset)["train"].counts(), []
    for arm in arms(run):
        counts = training_set(run, dataset, arm, run.profile.seeds[0]).counts()
        cells = {code: _added(n, counts[code]) for code, n in real.items() if n}
        lines.append({"arm": arm.name, **cells, "updates": run.profile.classifier.updates})
    return pd.DataFrame(lines)


def _added(real: int, all_of_them: int) -> str:
    return str(real) if all_of_them == real else f"{real} + {all_of_them - real}"


def augmentation_results(run: Run, dataset: str) -> list[Result]:
    """All arms of a data set; a merged model is also scored on each hospital alone."""
    test = run.splits(dataset)["test"]
    run_cells(run, [Cell(dataset, arm, seed) for arm in arms(run) for seed in run.profile.seeds])
    by_arm = {arm.name: probabilities(run, dataset, arm) for arm in arms(run)}
    resamples = run.profile.resamples
    rows = arm_results(test, by_arm, REAL, resamples=resamples, dataset=dataset, scope=dataset)
    if dataset == MERGED:
        for hospital in test.table["source"].unique():
            mask = (test.table["source"] == hospital).to_numpy()
            part = {name: stack[:, mask] for name, stack in by_arm.items()}
            rows += arm_results(
                test.select(mask), part, REAL, resamples=resamples, dataset=dataset, scope=hospital
            )
    return corrected(rows)
