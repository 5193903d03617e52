"""The classifiers of a run: the real-trained one that judges, and one for each arm."""

import numpy as np

from ecgrepro.classifier import Classifier
from ecgrepro.cohort import Cohort
from ecgrepro.studies.run import Run


def real_classifier(run: Run, dataset: str) -> Classifier:
    """The classifier trained on a data set's real training folds, with the first seed.

    It judges synthetic records (rhythm agreement) and embeds records for closeness; it has never
    seen a synthetic record.
    """
    settings, seed = run.profile.classifier, run.profile.seeds[0]
    parts = run.splits(dataset)

    def make(folder):
        classifier = Classifier(settings, seed=seed)
        classifier.fit(parts["train"], parts["validation"]).save(folder / "model")

    made_from = {"classifier": settings.model_dump(), "seed": seed}
    place = run.artifact("classifier", dataset, made_from, "ecgrepro.classifier", make)
    return Classifier.load(place / "model")


def test_probabilities(
    run: Run,
    dataset: str,
    train: Cohort,
    seed: int,
    *,
    start: Classifier | None = None,
    start_from: str = "",
) -> np.ndarray:
    """Train on ``train``, select on real validation records, predict the real test records.

    ``start_from`` says what the weights of ``start`` were made from. Returns probabilities of
    shape (test records, classes).
    """
    settings, parts = run.profile.classifier, run.splits(dataset)

    def make(folder):
        classifier = Classifier(settings, seed=seed)
        classifier.fit(train, parts["validation"], initial=start)
        np.save(folder / "probabilities.npy", classifier.predict_proba(parts["test"]))

    made_from = {
        "train": train.fingerprint,
        "classifier": settings.model_dump(),
        "seed": seed,
        "start": start_from,
    }
    place = run.artifact("arm", dataset, made_from, "ecgrepro.classifier", make)
    return np.load(place / "probabilities.npy")
