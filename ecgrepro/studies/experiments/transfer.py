"""Transfer: pre-train a classifier on synthetic records, fine-tune it on a fraction of real ones.

A classifier from scratch has as many updates as pre-training and fine-tuning have together: a gain
never comes from more training.
"""

from collections.abc import Mapping

import numpy as np

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.studies.arms import SCRATCH, SCRATCH_ALL
from ecgrepro.studies.scoring import arm_results, corrected, differences, patients_of
from ecgrepro.support.results import Result


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
            rows += differences(test, {SCRATCH_ALL: all_real, **tuned}, SCRATCH_ALL, settings, keys)
    return corrected(rows)
