"""Arms of the study: what a classifier is trained on and how. Read without torch.

Every arm has the same number of optimizer updates, pre-training included, is selected on real
validation records and scored on the same real test records. Only a pre-trained classifier that is
not fine-tuned has the updates of pre-training alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecgrepro.classifier.config import ClassifierConfig

HOSPITALS = ("ptb-xl", "chapman")
MERGED = "merged"
REAL = "real only"
SCRATCH = "from scratch"
SCRATCH_ALL = "from scratch on all real records"
WITHIN, ACROSS, BOTH = "trained at home", "trained in the other hospital", "trained in both"
CROSSING = "crossing"  # scope of what is scored across hospitals
SIMULATOR = "simulator"
OVERSAMPLING = "oversampling"
# Arms without synthetic records: how each changes the classifier's settings in the arm `REAL`;
# oversampling changes the records instead.
CONTROLS = {
    "no augmentation": {"augment": "none"},
    "class weights": {"class_weights": True},
    OVERSAMPLING: {},
}
CONFIDENT, AUTHENTIC = "confident", "authentic"  # how a pool may be filtered
GENTLE = 0.1  # factor on the learning rate of a gentle fine-tuning


@dataclass(frozen=True)
class Arm:
    """What a classifier is trained on, and how.

    Attributes
    ----------
    name
        Unique in its experiment.
    control
        One of `CONTROLS`; then there are no synthetic records.
    generator, hospital, guidance, keep
        Whose synthetic records are added: of this generator, trained on this hospital (by default
        on the data set itself, or on both hospitals if merged), at this guidance scale (by default
        that of its settings); all of them, or only those that `CONFIDENT` or `AUTHENTIC` keeps.
    ratio, balanced
        How many: ``ratio`` for each real training record of the hospital, whatever fraction of them
        the classifier is given; or, if ``balanced``, of each rhythm as many as it lacks to the most
        common one, as far as the pool goes.
    fading
        Batches begin synthetic and end real, instead of mixing all records.
    trained_in
        The hospital whose real records train and select, by default that of the data set.
    start, gentle
        A generator whose records pre-train the classifier, or a hospital whose real records do, in
        a part of the updates; with ``gentle`` fine-tuned at a tenth of the learning rate.
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

    def settings(self, classifier: ClassifierConfig, pretrain_updates: int) -> ClassifierConfig:
        """The classifier's settings in this arm.

        Parameters
        ----------
        classifier
            Settings of the profile.
        pretrain_updates
            Updates that pre-training takes from ``classifier.updates``.
        """
        changes = dict(CONTROLS.get(self.control, {}))
        if self.gentle:
            changes["learning_rate"] = GENTLE * classifier.learning_rate
        if self.start:
            changes["updates"] = classifier.updates - pretrain_updates
        return classifier.model_copy(update=changes)

    def generator_hospitals(self, dataset: str) -> tuple[str, ...]:
        """The hospitals whose generators make this arm's synthetic records."""
        if dataset == MERGED:
            return HOSPITALS
        return (self.hospital or dataset,)


@dataclass(frozen=True)
class Task:
    """One training run: an arm on a data set, with a seed and a fraction of the real records."""

    dataset: str
    arm: Arm
    seed: int
    fraction: float = 1.0


def other_hospital(dataset: str) -> str:
    """The hospital that ``dataset`` is not."""
    return next(name for name in HOSPITALS if name != dataset)
