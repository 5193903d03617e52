"""Which recipe makes synthetic records help: chosen on validation records, judged on test records.

A recipe that is the best of many on the records it was chosen by looks better than it is. So all
recipes are compared on the *validation* records, with seeds of their own; the best one is run
again with the seeds of the study, and compared on the *test* records with training on real records
only and with every control of the same budget.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ecgrepro.classifier.scores import scores
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.studies.arms import Arm
from ecgrepro.studies.experiments.recipes import CONFIRMED, TRIED
from ecgrepro.studies.scoring import arm_results, corrected, differences, patients_of
from ecgrepro.support.results import Result, required


def validation_results(
    validation: Cohort,
    probabilities: Mapping[str, Sequence[np.ndarray]],
    dataset: str,
    fraction: float,
) -> list[Result]:
    """Mean macro-F1 of each recipe on the validation records, over the choosing seeds.

    Parameters
    ----------
    validation
        Real validation records, in the order of the probabilities.
    probabilities
        Of each recipe by name, for each seed an array of shape (records, classes).
    """
    rows = []
    for name, stack in probabilities.items():
        each = [scores(p, validation.targets, validation.classes)["macro_f1"] for p in stack]
        keys = {"dataset": dataset, "arm": name, "fraction": fraction, "scope": TRIED}
        rows.append(Result("macro_f1", float(np.mean(each)), n=len(validation), **keys))
    return rows


def best_recipe(recipes: Sequence[Arm], rows: Sequence[Result]) -> Arm:
    """The recipe of the highest mean; of equals the first."""
    chosen = max(rows, key=lambda row: required(row.value)).arm
    return next(arm for arm in recipes if arm.name == chosen)


def confirmation_results(
    test: Cohort,
    probabilities: Mapping[str, np.ndarray],
    chosen: str,
    dataset: str,
    fraction: float,
    resamples: int,
) -> list[Result]:
    """Scores on the test records, and the chosen recipe minus each of the others.

    p-values are not corrected yet: see `corrected_together`.
    """
    keys = {"dataset": dataset, "fraction": fraction, "scope": CONFIRMED}
    rows = arm_results(test, dict(probabilities), "", resamples=resamples, **keys)
    settings = {"patients": patients_of(test), "resamples": resamples}
    for name, stack in probabilities.items():
        if name != chosen:
            pair = {name: stack, chosen: probabilities[chosen]}
            rows += differences(test, pair, name, settings, keys)
    return rows


def corrected_together(rows: Sequence[Result]) -> list[Result]:
    """The rows with p-values corrected over all fractions and all opponents together.

    Asking at one fraction after another until something helps must not produce false positives.
    """
    together = corrected([replace(row, comparison="") for row in rows])
    return [replace(row, p_value=one.p_value) for row, one in zip(rows, together, strict=True)]
