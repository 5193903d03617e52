"""Section 04: arms with synthetic records against real records only and against controls."""

from ecgrepro.studies.arms import HOSPITALS, MERGED, REAL, Arm, Task
from ecgrepro.studies.experiments.augmentation import (
    augmentation_results,
    training_table,
)
from ecgrepro.studies.experiments.designs import augmentation_arms, away_arm
from ecgrepro.studies.experiments.merged import crossing_results, source_shift
from ecgrepro.support.results import Result
from ecgrepro.workflow.products import (
    arm_probabilities,
    arm_training_set,
    judge,
    real_probabilities,
)
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import Section


def compute(run: Run, dataset: str) -> Section:
    """Scores and differences of every arm; for both hospitals merged also what explains a gain."""
    profile, test = run.profile, run.splits(dataset)["test"]
    arms = augmentation_arms(profile.augmentation, list(profile.generators))
    found = {arm.name: arm_probabilities(run, dataset, arm) for arm in arms}
    rows = augmentation_results(arms, test, found, dataset, profile.resamples)
    if dataset == MERGED:
        rows += source_shift(test, judge(run, MERGED))
        rows += _crossing(run)
    first = profile.seeds[0]
    counts = {a.name: arm_training_set(run, Task(dataset, a, first)).counts() for a in arms}
    real = run.splits(dataset)["train"].counts()
    table = training_table(real, counts, profile.classifier.updates)
    return Section(rows, {"training_sets": table.to_dict("list"), "seeds": len(profile.seeds)})


def _crossing(run: Run) -> list[Result]:
    """Real-trained classifiers at home, from the other hospital, and trained in both."""
    both = real_probabilities(run, MERGED)
    source = run.splits(MERGED)["test"].table["source"].to_numpy()
    return crossing_results(
        tests={home: run.splits(home)["test"] for home in HOSPITALS},
        within={home: arm_probabilities(run, home, Arm(REAL)) for home in HOSPITALS},
        across={home: arm_probabilities(run, home, away_arm(home)) for home in HOSPITALS},
        both={home: both[:, source == home] for home in HOSPITALS},
        resamples=run.profile.resamples,
    )
