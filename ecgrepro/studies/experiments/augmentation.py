"""Augmentation: does training on real and synthetic records beat training on real ones alone?

Every arm gets the same number of optimizer updates and the same selection on real validation
records; test records are real. Per-record probabilities are kept, so that arms are compared in
pairs.
"""

import numpy as np
import pandas as pd

from ecgrepro.cohort import Cohort
from ecgrepro.studies.arms import REAL, Arm, probabilities, training_set
from ecgrepro.studies.experiments.recipes import SIMULATOR
from ecgrepro.studies.profiles import LEARNED
from ecgrepro.studies.scoring import arm_results, corrected, differences, patients_of
from ecgrepro.support.results import Result
from ecgrepro.workflow.grid import Cell, run_cells
from ecgrepro.workflow.run import MERGED, Run


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
    """All arms of a data set; a merged model is also scored on each hospital alone.

    Every arm is compared with training on real records only; arms with records of a learned
    generator also with each control, on macro-F1 (`references`).
    """
    test, found = run.splits(dataset)["test"], arms(run)
    run_cells(run, [Cell(dataset, arm, seed) for arm in found for seed in run.profile.seeds])
    by_arm = {arm.name: probabilities(run, dataset, arm) for arm in found}
    rows = _scope_rows(run, test, by_arm, dataset=dataset, scope=dataset)
    if dataset == MERGED:
        for hospital in test.table["source"].unique():
            mask = (test.table["source"] == hospital).to_numpy()
            part = {name: stack[:, mask] for name, stack in by_arm.items()}
            rows += _scope_rows(run, test.select(mask), part, dataset=dataset, scope=hospital)
    return corrected(rows)


def references(found: list[Arm]) -> dict[str, list[str]]:
    """Arms by the control that they are held against, both by name.

    Arms with records of a learned generator against every control; and against the simulator's arm
    with as many synthetic records, which were not learned.
    """
    learned = [arm for arm in found if arm.generator in LEARNED]
    against = {arm.name: [a.name for a in learned] for arm in found if arm.control}
    for arm in found:
        if arm.generator == SIMULATOR:
            alike = [a for a in learned if (a.ratio, a.balanced) == (arm.ratio, arm.balanced)]
            against[arm.name] = [a.name for a in alike]
    return {name: names for name, names in against.items() if names}


def _scope_rows(run: Run, test: Cohort, by_arm: dict[str, np.ndarray], **keys) -> list[Result]:
    resamples = run.profile.resamples
    rows = arm_results(test, by_arm, REAL, resamples=resamples, **keys)
    settings = {"patients": patients_of(test), "resamples": resamples}
    for control, names in references(arms(run)).items():
        held = {name: by_arm[name] for name in (control, *names)}
        rows += differences(test, held, control, settings, keys, metrics=["macro_f1"])
    return rows
