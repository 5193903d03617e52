"""Scores of arms, and paired differences between them, as results with intervals."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ecgrepro.classifier.scores import MACRO_SCORES, scores
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.studies.statistics.bootstrap import bootstrap_interval, compare_arms, holm
from ecgrepro.support.results import Result, required

COMPARED = ("accuracy", "balanced_accuracy", "macro_f1")


def arm_results(
    test: Cohort, by_arm: dict[str, np.ndarray], reference: str, *, resamples: int, **keys: Any
) -> list[Result]:
    """Scores of each arm with intervals, and paired differences to the reference arm.

    Parameters
    ----------
    test
        The test records, in the order of the probabilities.
    by_arm
        Probabilities of shape (seeds, records, classes) by the arm's name.
    reference
        The arm that the others are compared with, if it is among them.
    keys
        Further keys of each result (dataset, scope, fraction, ...).
    """
    settings = {"patients": patients_of(test), "resamples": resamples}
    rows = []
    for arm, stack in by_arm.items():
        rows += _score_rows(test, stack, arm, settings, keys)
    if reference not in by_arm or len(by_arm) < 2:
        return rows
    return rows + differences(test, by_arm, reference, settings, keys)


def differences(
    test: Cohort,
    by_arm: dict[str, np.ndarray],
    reference: str,
    settings: dict,
    keys: dict,
    metrics: Sequence[str] = COMPARED,
) -> list[Result]:
    """Each arm minus the reference arm, paired; p-values are not corrected yet (`corrected`)."""
    rows = []
    for metric in metrics:
        compared = compare_arms(test.targets, by_arm, reference, metric, **settings)
        for arm, (gain, _) in compared.items():
            against = {"arm": arm, "comparison": reference, "p_value": gain.p_value}
            against["effect"] = gain.effect
            rows.append(
                Result(metric, gain.value, gain.low, gain.high, len(test), **against, **keys)
            )
    return rows


def corrected(rows: list[Result]) -> list[Result]:
    """The rows with p-values corrected by Holm's method.

    A family is what stands in one table for one metric: all differences to the same arm on the
    same test records.
    """
    families: dict[tuple, list[int]] = {}
    for i, row in enumerate(rows):
        if row.p_value is not None:
            families.setdefault((row.metric, row.comparison, row.scope), []).append(i)
    rows = list(rows)
    for members in families.values():
        for i, p_value in zip(
            members, holm([required(rows[i].p_value) for i in members]), strict=True
        ):
            rows[i] = replace(rows[i], p_value=float(p_value))
    return rows


def patients_of(test: Cohort) -> np.ndarray:
    """Patient of each record, told apart between hospitals."""
    return (test.table["source"] + "/" + test.table["patient_id"]).to_numpy()


def _score_rows(
    test: Cohort, stack: np.ndarray, arm: str, settings: dict, keys: dict
) -> list[Result]:
    per_seed = [scores(one, test.targets, test.classes) for one in stack]
    rows = []
    for metric in MACRO_SCORES:
        low = high = None
        if metric in COMPARED:
            interval = bootstrap_interval(test.targets, stack, metric, **settings)
            low, high = interval.low, interval.high
        mean = float(np.mean([one[metric] for one in per_seed]))
        rows.append(Result(metric, mean, low, high, len(test), arm=arm, **keys))
    for rhythm, n in test.counts().items():
        if n:
            f1 = float(np.mean([one["f1"][rhythm] for one in per_seed]))
            rows.append(Result("f1", f1, n=n, arm=arm, rhythm=rhythm, **keys))
    return rows
