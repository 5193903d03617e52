"""Augmentation: does training on real and synthetic records beat training on real ones alone?

Every arm gets the same number of optimizer updates and the same selection on real validation
records; test records are real. Per-record probabilities are kept, so that arms are compared in
pairs.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ecgrepro.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.results import Result
from ecgrepro.scores import MACRO_SCORES, scores
from ecgrepro.studies.arms import test_probabilities
from ecgrepro.studies.run import HOSPITALS, MERGED, Run
from ecgrepro.studies.statistics import bootstrap_interval, compare_arms, holm
from ecgrepro.studies.synthesis import synthetic_pool

COMPARED = ("accuracy", "balanced_accuracy", "macro_f1")
REAL = "real only"
# Arms without synthetic records: what each does to the training of `REAL`, by settings of the
# classifier, or, for oversampling, to its records.
CONTROLS = {
    "no augmentation": {"augment": "none"},
    "class weights": {"class_weights": True},
    "oversampling": {},
}
OVERSAMPLING = "oversampling"


@dataclass(frozen=True)
class Arm:
    """What a classifier is trained on, and how.

    ``ratio`` synthetic records of ``generator`` for each real one; or, if ``balanced``, as many of
    each rhythm as it lacks to the commonest. ``control``: one of `CONTROLS`.
    """

    name: str
    generator: str = ""
    ratio: float = 0.0
    balanced: bool = False
    control: str = ""


def arms(run: Run) -> list[Arm]:
    """The arms of the profile: real only, the controls, then each generator."""
    settings, found = run.profile.augmentation, [Arm(REAL)]
    found += [Arm(f"real, {name}", control=name) for name in settings.controls]
    for name in run.profile.generators:
        found += [Arm(f"real + {name} x{ratio:g}", name, ratio) for ratio in settings.ratios]
        if settings.balanced:
            found.append(Arm(f"real + {name}, balanced", name, balanced=True))
    return found


def training_set(run: Run, dataset: str, arm: Arm) -> Cohort:
    """Real training records, and what the arm adds to them."""
    train = run.splits(dataset)["train"]
    if arm.control == OVERSAMPLING:
        return oversampled(train, run.profile.seeds[0])
    if not arm.generator:
        return train
    hospitals = HOSPITALS if dataset == MERGED else (dataset,)
    synthetic = []
    for hospital in hospitals:
        pool = synthetic_pool(run, hospital, arm.generator)
        real = run.splits(hospital)["train"].counts()
        if arm.balanced:
            synthetic.append(draw(pool, lacking(real, pool.counts()), 1.0))
        else:
            synthetic.append(draw(pool, real, arm.ratio))
    return Cohort.concat([train, *synthetic], name=f"{dataset}, {arm.name}")


def arms_frame(run: Run, dataset: str) -> pd.DataFrame:
    """What each arm is trained on: records of each rhythm, real and synthetic, and updates."""
    real, lines = run.splits(dataset)["train"].counts(), []
    for arm in arms(run):
        counts = training_set(run, dataset, arm).counts()
        cells = {code: _added(n, counts[code]) for code, n in real.items() if n}
        lines.append({"arm": arm.name, **cells, "updates": run.profile.classifier.updates})
    return pd.DataFrame(lines)


def _added(real: int, all_of_them: int) -> str:
    return str(real) if all_of_them == real else f"{real} + {all_of_them - real}"


def oversampled(train: Cohort, seed: int) -> Cohort:
    """The records, and of each rhythm random ones again until it is as common as the commonest."""
    rng, most = np.random.default_rng(seed), max(train.counts().values())
    rhythm = train.table["rhythm"].to_numpy()
    rows = [np.arange(len(train))]
    for code, n in train.counts().items():
        if n:
            rows.append(rng.choice(np.flatnonzero(rhythm == code), most - n))
    return train.select(np.concatenate(rows))


def lacking(real: dict[str, int], pool: dict[str, int]) -> dict[str, int]:
    """How many records each rhythm lacks to the commonest, at most what the pool holds."""
    most = max(real.values())
    return {code: min(most - n, pool[code]) for code, n in real.items() if n}


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
    train, changes = training_set(run, dataset, arm), CONTROLS.get(arm.control, {})
    return np.stack(
        [test_probabilities(run, dataset, train, s, changes=changes) for s in run.profile.seeds]
    )


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
