"""Augmentation: does training on real and synthetic records beat training on real ones alone?

Every arm gets the same number of optimizer updates and the same selection on real validation
records; test records are real. Per-record probabilities are kept, so that arms are compared in
pairs.
"""

from dataclasses import dataclass, replace

import numpy as np

from ecgrepro.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.results import Result
from ecgrepro.scores import MACRO_SCORES, scores
from ecgrepro.studies.classifiers import test_probabilities
from ecgrepro.studies.run import HOSPITALS, MERGED, Run
from ecgrepro.studies.statistics import bootstrap_interval, compare_arms, holm
from ecgrepro.studies.synthesis import synthetic_pool

COMPARED = ("accuracy", "balanced_accuracy", "macro_f1")
REAL = "real only"


@dataclass(frozen=True)
class Arm:
    """What a classifier is trained on: real records, and ``ratio`` synthetic ones for each."""

    name: str
    generator: str = ""
    ratio: float = 0.0


def arms(run: Run) -> list[Arm]:
    """The arms of the profile: real only, then each generator at each ratio."""
    ratios = run.profile.augmentation.ratios
    return [Arm(REAL)] + [
        Arm(f"real + {name} x{ratio:g}", name, ratio)
        for name in run.profile.generators
        for ratio in ratios
    ]


def training_set(run: Run, dataset: str, arm: Arm) -> Cohort:
    """Real training records, and the arm's share of synthetic ones in the same mix of rhythms."""
    train = run.splits(dataset)["train"]
    if not arm.generator:
        return train
    hospitals = HOSPITALS if dataset == MERGED else (dataset,)
    synthetic = [
        draw(
            synthetic_pool(run, hospital, arm.generator),
            run.splits(hospital)["train"].counts(),
            arm.ratio,
        )
        for hospital in hospitals
    ]
    return Cohort.concat([train, *synthetic], name=f"{dataset}, {arm.name}")


def draw(pool: Cohort, counts: dict[str, int], ratio: float) -> Cohort:
    """The first ``ratio * count`` records of each rhythm; a pool with fewer raises."""
    rhythm = pool.table["rhythm"].to_numpy()
    chosen = []
    for code, count in counts.items():
        wanted = round(ratio * count)
        found = np.flatnonzero(rhythm == code)
        if len(found) < wanted:
            raise EcgreproError(
                f"the pool {pool.name!r} has {len(found)} records of {code}, {wanted} are needed"
            )
        chosen.append(found[:wanted])
    which = np.sort(np.concatenate(chosen))
    if not len(which):
        raise EcgreproError(f"nothing to draw from the pool {pool.name!r} at ratio {ratio:g}")
    return pool.select(which)


def probabilities(run: Run, dataset: str, arm: Arm) -> np.ndarray:
    """Test probabilities of an arm, shape (seeds, test records, classes)."""
    train = training_set(run, dataset, arm)
    return np.stack([test_probabilities(run, dataset, train, s) for s in run.profile.seeds])


def arm_results(
    test: Cohort, by_arm: dict[str, np.ndarray], reference: str, *, resamples: int, **keys
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


def patients_of(test: Cohort) -> np.ndarray:
    """Patient of each record, told apart between hospitals."""
    return (test.table["source"] + "/" + test.table["patient_id"]).to_numpy()


def differences(
    test: Cohort, by_arm: dict[str, np.ndarray], reference: str, settings: dict, keys: dict
) -> list[Result]:
    """Each arm minus the reference arm, paired; p-values are not corrected yet (`corrected`)."""
    rows = []
    for metric in COMPARED:
        compared = compare_arms(test.targets, by_arm, reference, metric, **settings)
        for arm, (gain, _) in compared.items():
            against = {"arm": arm, "comparison": reference, "p_value": gain.p_value}
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
        for i, p_value in zip(members, holm([rows[i].p_value for i in members]), strict=True):
            rows[i] = replace(rows[i], p_value=float(p_value))
    return rows


def _score_rows(test: Cohort, stack, arm: str, settings: dict, keys: dict) -> list[Result]:
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


def augmentation_results(run: Run, dataset: str) -> list[Result]:
    """All arms of a data set; a merged model is also scored on each hospital alone."""
    test = run.splits(dataset)["test"]
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
