"""Augmentation: training on real and synthetic records against training on real ones alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.generators.registry import learned_generators
from ecgrepro.studies.arms import HOSPITALS, MERGED, REAL, SIMULATOR, Arm
from ecgrepro.studies.scoring import arm_results, corrected, differences, patients_of
from ecgrepro.support.results import Result


def training_table(
    real: dict[str, int], by_arm: Mapping[str, dict[str, int]], updates: int
) -> pd.DataFrame:
    """What each arm is trained on: records by rhythm, real and synthetic, and updates.

    Parameters
    ----------
    real
        Real training records by rhythm.
    by_arm
        All training records by rhythm, for each arm's name.
    """
    lines = []
    for name, counts in by_arm.items():
        cells = {code: _real_and_added(n, counts[code]) for code, n in real.items() if n}
        lines.append({"arm": name, **cells, "updates": updates})
    return pd.DataFrame(lines)


def _real_and_added(real: int, total: int) -> str:
    return str(real) if total == real else f"{real} + {total - real}"


def augmentation_results(
    arms: Sequence[Arm],
    test: Cohort,
    probabilities: Mapping[str, np.ndarray],
    dataset: str,
    resamples: int,
) -> list[Result]:
    """Scores and differences of all arms of a data set; merged models also on each hospital alone.

    Every arm is compared with training on real records only; arms with records of a learned
    generator also with each control, on macro-F1 (`control_comparisons`).

    Parameters
    ----------
    test
        Real test records, in the order of the probabilities.
    probabilities
        Of each arm by name, shape (seeds, records, classes).
    """
    rows = _scope_results(arms, test, probabilities, resamples, dataset=dataset, scope=dataset)
    for hospital in HOSPITALS if dataset == MERGED else ():
        mask = (test.table["source"] == hospital).to_numpy()
        if mask.any():
            part = {name: stack[:, mask] for name, stack in probabilities.items()}
            keys = {"dataset": dataset, "scope": hospital}
            rows += _scope_results(arms, test.select(mask), part, resamples, **keys)
    return corrected(rows)


def control_comparisons(arms: Sequence[Arm]) -> dict[str, list[str]]:
    """For each control the arms that are compared with it, all by name.

    Arms with records of a learned generator are compared with every control, and with the
    simulator's arm of as many synthetic records.
    """
    learned = [arm for arm in arms if arm.generator in learned_generators()]
    against = {arm.name: [a.name for a in learned] for arm in arms if arm.control}
    for arm in arms:
        if arm.generator == SIMULATOR:
            alike = [a for a in learned if (a.ratio, a.balanced) == (arm.ratio, arm.balanced)]
            against[arm.name] = [a.name for a in alike]
    return {name: names for name, names in against.items() if names}


def _scope_results(
    arms: Sequence[Arm],
    test: Cohort,
    probabilities: Mapping[str, np.ndarray],
    resamples: int,
    **keys: str,
) -> list[Result]:
    rows = arm_results(test, dict(probabilities), REAL, resamples=resamples, **keys)
    settings = {"patients": patients_of(test), "resamples": resamples}
    for control, names in control_comparisons(arms).items():
        held = {name: probabilities[name] for name in (control, *names)}
        rows += differences(test, held, control, settings, keys, metrics=["macro_f1"])
    return rows
