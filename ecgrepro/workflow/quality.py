"""Quality of a generator's pool: resolved from a run, measured by the study's own functions."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.cohort.rpeaks import rates_and_variability
from ecgrepro.studies.arms import REAL, Arm, Task
from ecgrepro.studies.experiments import quality
from ecgrepro.studies.experiments.designs import tstr_arm
from ecgrepro.studies.experiments.quality import LARGEST, Hearts
from ecgrepro.studies.selection import first_of_each, in_real_mix
from ecgrepro.support.results import Result
from ecgrepro.workflow.closeness import pool_closeness
from ecgrepro.workflow.products import arm_outcome, judge, synthetic_pool, trained_generator
from ecgrepro.workflow.run import Run

if TYPE_CHECKING:
    from ecgrepro.generators.diffusion.unet import UNetGenerator


def quality_results(run: Run, dataset: str, name: str) -> list[Result]:
    """Every measure of a generator, the numbers of its page."""
    keys = {"dataset": dataset, "generator": name}
    return [
        *rhythm_results(run, dataset, name),
        *heart_results(run, dataset, name),
        *quality.pace_results(asked_rates(run, dataset, name), **keys),
        *usefulness_results(run, dataset, name),
        *quality.distance_results(pool_closeness(run, dataset, name), **keys),
        *copy_results(run, dataset, name),
        *quality.size(trained_generator(run, dataset, name).facts, **keys),
    ]


def rhythm_results(run: Run, dataset: str, name: str) -> list[Result]:
    """Rhythm agreement of the first ``quality.per_class`` synthetic records of each rhythm.

    And of all real test records, whose overall value is the mean over rhythms, too.
    """
    reader, pool = judge(run, dataset), synthetic_pool(run, dataset, name)
    some = first_of_each(pool, run.profile.quality.per_class)
    keys = {"dataset": dataset, "generator": name}
    rows = quality.agreement(reader, some, **keys)
    test = run.splits(dataset)["test"]
    return rows + quality.agreement(reader, test, comparison=quality.REAL, **keys)


def heart_results(run: Run, dataset: str, name: str) -> list[Result]:
    """Heart rates, RR variability and failures of the detector, synthetic and real."""
    cohorts = (
        synthetic_pool(run, dataset, name),
        run.cohort(dataset),
        pool_in_real_mix(run, dataset, name),
    )
    measured = (hearts(run, dataset, cohort) for cohort in cohorts)
    return quality.heart_rate_results(*measured, dataset=dataset, generator=name)


def hearts(run: Run, dataset: str, cohort: Cohort) -> Hearts:
    """A cohort with the heart rates and RR variability of its records."""
    return Hearts(cohort, *heart_rates(run, dataset, cohort))


def heart_rates(run: Run, dataset: str, cohort: Cohort) -> tuple[np.ndarray, np.ndarray]:
    """Heart rates and RR variability of a cohort's records, NaN where the detector fails."""

    def make(folder: Path) -> None:
        found = rates_and_variability(cohort.signals, cohort.fs)
        np.save(folder / "heart.npy", np.stack(found))

    made_from = {"cohort": cohort.fingerprint, "neurokit2": version("neurokit2")}
    code = ["ecgrepro.cohort.rpeaks.rates_and_variability"]
    place = run.artifact("heart", dataset, made_from, code, make)
    rates, variability = np.load(place / "heart.npy")
    return rates, variability


def asked_rates(run: Run, dataset: str, name: str) -> pd.DataFrame:
    """Of each record of the pool ``rhythm``, and heart rates ``asked`` for and ``found``.

    Only records in which both are known; empty for a generator that is not told a pace.
    """
    model, pool = trained_generator(run, dataset, name), synthetic_pool(run, dataset, name)
    if not getattr(model.settings, "pace", False):
        return pd.DataFrame(columns=["rhythm", "asked", "found"])
    counts = {code: n for code, n in pool.counts().items() if n}
    columns = {
        "rhythm": pool.table["rhythm"].to_numpy(),
        "asked": cast("UNetGenerator", model).asked_rates(counts, seed=run.profile.pool.seed),
        "found": heart_rates(run, dataset, pool)[0],
    }
    return pd.DataFrame(columns).dropna()


def usefulness_results(run: Run, dataset: str, name: str) -> list[Result]:
    """TSTR beside TRTR, with the first ``quality.seeds`` of the profile's seeds."""
    test, seeds = run.splits(dataset)["test"], run.profile.seeds[: run.profile.quality.seeds]
    synthetic, real = (
        np.stack([arm_outcome(run, Task(dataset, arm, seed, part)).test for seed in seeds])
        for arm, part in ((tstr_arm(name), 0.0), (Arm(REAL), 1.0))
    )
    keys = {"dataset": dataset, "generator": name}
    return quality.usefulness(test, synthetic, real, run.profile.resamples, **keys)


def trained_on_synthetic(run: Run, dataset: str, name: str) -> list[Result]:
    """TSTR beside its floor, TRTR, as it stands among the closeness."""
    return quality.trained_on_synthetic(usefulness_results(run, dataset, name))


def copy_results(run: Run, dataset: str, name: str) -> list[Result]:
    """Near-copies of training records among synthetic ones in the real mix of rhythms."""
    parts, some = run.splits(dataset), pool_in_real_mix(run, dataset, name, LARGEST)
    keys = {"dataset": dataset, "generator": name}
    return quality.copies(judge(run, dataset), parts["train"], parts["test"], some, **keys)


def pool_in_real_mix(run: Run, dataset: str, name: str, most: int | None = None) -> Cohort:
    """Records of a pool in the training records' mix of rhythms: as many, or at most ``most``."""
    pool, train = synthetic_pool(run, dataset, name), run.splits(dataset)["train"]
    return in_real_mix(pool, train, max(run.profile.augmentation.ratios), most)
