"""Transfer: pre-train a classifier on synthetic records, fine-tune it on a fraction of real ones.

A classifier from scratch has as many updates as pre-training and fine-tuning have together: a gain
never comes from more training.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from ecgrepro.cohort import Cohort
from ecgrepro.studies.arms import HOSPITALS, SCRATCH, Arm, Task, other_hospital
from ecgrepro.studies.scoring import arm_results, corrected, differences, patients_of
from ecgrepro.support.results import Result

ALL_REAL = "from scratch on all real records"


def pretrained_arm(source: str) -> str:
    """Name of the arm that is pre-trained on a generator's records, or on another hospital's."""
    real = " (real records)" if source in HOSPITALS else ""
    return f"pre-trained on {source}{real}"


def transfer_arms(generators: Sequence[str], dataset: str) -> list[Arm]:
    """From scratch, pre-trained on each generator, and on the other hospital's real records."""
    sources = (*generators, other_hospital(dataset))
    return [Arm(SCRATCH), *[Arm(pretrained_arm(name), start=name) for name in sources]]


def transfer_tasks(
    generators: Sequence[str], dataset: str, fractions: Sequence[float], seeds: Sequence[int]
) -> list[Task]:
    """Every arm at every fraction with every seed, and training on all real records."""
    pairs = product(transfer_arms(generators, dataset), fractions)
    wanted = [(Arm(SCRATCH), 1.0), *[(a, f) for a, f in pairs if f or a.start]]
    return [Task(dataset, a, seed, f) for a, f in wanted for seed in seeds]


def transfer_results(
    test: Cohort,
    all_real: np.ndarray,
    by_fraction: Mapping[float, Mapping[str, np.ndarray]],
    dataset: str,
    resamples: int,
) -> list[Result]:
    """Scores of every arm at every fraction, with differences to the classifier from scratch.

    At every fraction but one, pre-trained arms are also compared with the classifier from scratch
    on all real records.

    Parameters
    ----------
    test
        Real test records, in the order of the probabilities.
    all_real
        Probabilities from scratch on all real records, shape (seeds, records, classes).
    by_fraction
        For each fraction of the real training records the probabilities of each arm by name.
    """
    rows = []
    settings = {"patients": patients_of(test), "resamples": resamples}
    for fraction, by_arm in by_fraction.items():
        keys = {"dataset": dataset, "fraction": fraction}
        rows += arm_results(test, dict(by_arm), SCRATCH, resamples=resamples, **keys)
        if fraction < 1:
            tuned = {name: stack for name, stack in by_arm.items() if name != SCRATCH}
            rows += differences(test, {ALL_REAL: all_real, **tuned}, ALL_REAL, settings, keys)
    return corrected(rows)
