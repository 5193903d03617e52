"""Training the study's classifiers: arms, pre-training, and the judge of synthetic records."""

from dataclasses import dataclass

import numpy as np
import torch

from ecgrepro.classifier.augmentation import draw_fading
from ecgrepro.classifier.classifier import Classifier
from ecgrepro.classifier.config import ClassifierConfig
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.studies.leakage import check_no_leakage
from ecgrepro.studies.selection import hold_out_last


@dataclass(frozen=True)
class ArmInputs:
    """What one training run of an arm takes.

    Attributes
    ----------
    train
        Records to train on, real and synthetic.
    selection
        Real records on which the best weights are selected.
    validation, test
        Real records whose probabilities are predicted.
    start
        A pre-trained classifier to begin with.
    fading
        Batches begin synthetic (fold 0) and end real.
    """

    train: Cohort
    selection: Cohort
    validation: Cohort
    test: Cohort
    start: Classifier | None = None
    fading: bool = False


@dataclass(frozen=True)
class Outcome:
    """Class probabilities of the validation and test records, each of shape (records, classes).

    ``updates`` are those of the optimizer, pre-training included.
    """

    validation: np.ndarray
    test: np.ndarray
    updates: int


def run_arm(inputs: ArmInputs, settings: ClassifierConfig, seed: int) -> Outcome:
    """Train, select on real records, predict: one arm with one seed.

    Raises
    ------
    EcgreproError
        A training record is a test record, or of a patient of one.
    """
    check_no_leakage(inputs.train, inputs.test)
    order = None
    if inputs.fading:
        synthetic = torch.from_numpy((inputs.train.table["fold"] == 0).to_numpy())
        order = draw_fading(synthetic, settings.updates, settings.batch_size, seed)
    classifier = Classifier(settings, seed=seed)
    classifier.fit(inputs.train, inputs.selection, inputs.start, order)
    outcome = predict(classifier, inputs.validation, inputs.test)
    before = inputs.start.updates if inputs.start else 0
    return Outcome(outcome.validation, outcome.test, classifier.updates + before)


def predict(classifier: Classifier, validation: Cohort, test: Cohort) -> Outcome:
    """The outcome of a classifier as it is."""
    first, second = (classifier.predict_proba(cohort) for cohort in (validation, test))
    return Outcome(first, second, classifier.updates)


def pretrain(pool: Cohort, test: Cohort, settings: ClassifierConfig, seed: int) -> Classifier:
    """A classifier trained on ``pool`` alone, selected on the last tenth of each rhythm of it.

    Raises
    ------
    EcgreproError
        A record of the pool is one of the test records, or of a patient of one.
    """
    check_no_leakage(pool, test)
    kept, held_out = hold_out_last(pool)
    return Classifier(settings, seed=seed).fit(kept, held_out)


def train_judge(
    train: Cohort, validation: Cohort, settings: ClassifierConfig, seed: int
) -> Classifier:
    """The classifier of real records that judges synthetic ones and has never seen any."""
    return Classifier(settings, seed=seed).fit(train, validation)
