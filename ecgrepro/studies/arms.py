"""One arm of a study: what a classifier is trained on and how, and running it.

Every arm of a study gets the same number of optimizer updates, pre-training included, and the same
selection on real validation records, and is scored on the same real test records; only what is
pre-trained and not fine-tuned at all has the updates of pre-training alone. Per-record
probabilities are kept, so that arms are compared in pairs.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ecgrepro.classifier.augmentation import draw_fading
from ecgrepro.classifier.classifier import Classifier
from ecgrepro.classifier.config import ClassifierConfig
from ecgrepro.cohort import Cohort
from ecgrepro.studies.classifiers import CLASSIFIER
from ecgrepro.studies.leakage import check_apart
from ecgrepro.studies.pretraining import pretrained, share
from ecgrepro.studies.selection import draw, kept_pool, lacking, oversampled
from ecgrepro.workflow.run import HOSPITALS, MERGED, Run

REAL = "real only"
# Arms without synthetic records: what each does to the training of `REAL`, by settings of the
# classifier, or, for oversampling, to its records.
CONTROLS = {
    "no augmentation": {"augment": "none"},
    "class weights": {"class_weights": True},
    "oversampling": {},
}
OVERSAMPLING = "oversampling"
GENTLE = 0.1  # of the learning rate, for a fine-tuning that is to forget little


@dataclass(frozen=True)
class Arm:
    """What a classifier is trained on, and how.

    Attributes
    ----------
    name
        Unique in its study.
    control
        One of `CONTROLS`; then there are no synthetic records.
    generator, hospital, guidance, keep
        Whose synthetic records: of a generator of this hospital, by default that of the data set
        (of both, if merged), at this guidance scale, by default that of its settings; of them all,
        or only those that `ecgrepro.studies.selection.kept_pool` keeps.
    ratio, balanced
        How many: ``ratio`` for each real training record of the hospital, whatever share of them
        the classifier is given; or, if ``balanced``, of each rhythm as many as it lacks to the
        commonest, as far as the pool goes.
    fading
        Batches begin synthetic and end real, in place of mixing all records.
    trained_in
        The hospital whose real records train and select, by default that of the data set.
    start, gentle
        A generator whose records pre-train the classifier, or a hospital whose real records do, in
        a part of the updates; fine-tuning at a tenth of the learning rate, if ``gentle``.
    """

    name: str
    generator: str = ""
    ratio: float = 0.0
    balanced: bool = False
    control: str = ""
    hospital: str = ""
    guidance: float | None = None
    keep: str = ""
    fading: bool = False
    start: str = ""
    gentle: bool = False
    trained_in: str = ""


@dataclass(frozen=True)
class Outcome:
    """Probabilities of the validation and test records, each (records, classes)."""

    validation: np.ndarray
    test: np.ndarray


def run_arm(run: Run, dataset: str, arm: Arm, seed: int, fraction: float = 1.0) -> Outcome:
    """Train, select on real validation records, predict: one arm with one seed.

    ``fraction`` is the share of the real training records that there are. At 0 the classifier is
    trained on the arm's synthetic records alone; a pre-trained one is not fine-tuned. What was run
    before is read. A training record that is a test record, or of a patient of one, raises.
    """
    start = pretrained(run, dataset, arm.start, seed, arm.hospital) if arm.start else None
    if start and not fraction:
        parts = run.splits(dataset)
        return Outcome(*(start.classifier.predict_proba(parts[k]) for k in ("validation", "test")))
    train, settings = training_set(run, dataset, arm, seed, fraction), arm_settings(run, arm)
    parts, selecting = run.splits(dataset), run.splits(arm.trained_in or dataset)["validation"]
    initial = start.classifier if start else None

    def make(folder: Path) -> None:
        check_apart(train, parts["test"])
        order = None
        if arm.fading:
            synthetic = torch.from_numpy((train.table["fold"] == 0).to_numpy())
            order = draw_fading(synthetic, settings.updates, settings.batch_size, seed)
        classifier = Classifier(settings, seed=seed).fit(train, selecting, initial, order)
        for name in ("validation", "test"):
            np.save(folder / f"{name}.npy", classifier.predict_proba(parts[name]))
        updates = classifier.updates + (initial.updates if initial else 0)
        (folder / "updates.json").write_text(json.dumps(updates))

    made_from = {
        "train": train.fingerprint,
        "classifier": settings.model_dump(),
        "seed": seed,
        "selection": selecting.fingerprint,
        "start": start.name if start else "",
        "fading": arm.fading,
    }
    place = run.artifact(
        "arm",
        dataset,
        made_from,
        [CLASSIFIER, "ecgrepro.classifier.augmentation.draw_fading"],
        make,
    )
    return Outcome(*(np.load(place / f"{name}.npy") for name in ("validation", "test")))


def probabilities(run: Run, dataset: str, arm: Arm, fraction: float = 1.0) -> np.ndarray:
    """Test probabilities of an arm, shape (seeds, test records, classes)."""
    return np.stack([run_arm(run, dataset, arm, s, fraction).test for s in run.profile.seeds])


def arm_settings(run: Run, arm: Arm) -> ClassifierConfig:
    """The classifier's settings in an arm: those of the profile but for what the arm changes."""
    changes = dict(CONTROLS.get(arm.control, {}))
    if arm.gentle:
        changes["learning_rate"] = GENTLE * run.profile.classifier.learning_rate
    if arm.start:
        left = run.profile.classifier.updates - run.profile.transfer.pretrain_updates
        changes["updates"] = left
    return run.profile.classifier.model_copy(update=changes)


def training_set(run: Run, dataset: str, arm: Arm, seed: int, fraction: float = 1.0) -> Cohort:
    """A share of the real training records, and what the arm adds to them."""
    train = run.splits(arm.trained_in or dataset)["train"]
    real = share(train, fraction, seed) if fraction else None
    if arm.control == OVERSAMPLING:
        return oversampled(real, run.profile.seeds[0])
    if not arm.generator:
        return real
    hospitals = HOSPITALS if dataset == MERGED else (arm.hospital or dataset,)
    name = f"{dataset}, {arm.name}"
    own = None if dataset == MERGED else real  # merged, each hospital fills its own rhythms
    added = [_added(run, hospital, arm, own) for hospital in hospitals]
    return Cohort.concat([real, *added] if real else added, name=name)


def _added(run: Run, hospital: str, arm: Arm, real: Cohort | None) -> Cohort:
    """The synthetic records that an arm adds to ``real``, or to all of a hospital's records."""
    pool = kept_pool(run, hospital, arm.generator, arm.guidance, arm.keep)
    everything = run.splits(hospital)["train"].counts()
    if arm.balanced:
        return draw(pool, lacking((real.counts() if real else everything), pool.counts()), 1.0)
    if arm.keep:  # what is left of the pool may be fewer
        wanted = {code: round(arm.ratio * n) for code, n in everything.items() if n}
        return draw(pool, {c: min(n, pool.counts()[c]) for c, n in wanted.items()}, 1.0)
    return draw(pool, everything, arm.ratio)
