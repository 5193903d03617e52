"""One arm of a study: a classifier that is trained, selected, and scored on test records."""

import json

import numpy as np

from ecgrepro.classifier import Classifier
from ecgrepro.cohort import Cohort
from ecgrepro.studies.leakage import check_apart
from ecgrepro.studies.run import Run


def test_probabilities(
    run: Run,
    dataset: str,
    train: Cohort,
    seed: int,
    *,
    start: Classifier | None = None,
    start_from: str = "",
    changes: dict | None = None,
    selected_in: str = "",
) -> np.ndarray:
    """Train on ``train``, select on real validation records, predict the real test records.

    ``start_from`` says what the weights of ``start`` were made from; ``changes`` are settings of
    the classifier that differ from the profile's, never its number of updates; ``selected_in``
    names the data set whose validation records select, by default that of the test records.
    Returns probabilities of shape (test records, classes). A training record that is a test
    record, or of a patient of one, raises.
    """
    parts, selecting = run.splits(dataset), run.splits(selected_in or dataset)["validation"]
    settings = run.profile.classifier.model_copy(update=changes or {})

    def make(folder):
        check_apart(train, parts["test"])
        classifier = Classifier(settings, seed=seed)
        classifier.fit(train, selecting, initial=start)
        np.save(folder / "probabilities.npy", classifier.predict_proba(parts["test"]))
        (folder / "updates.json").write_text(json.dumps(classifier.updates))

    made_from = {
        "train": train.fingerprint,
        "classifier": settings.model_dump(),
        "seed": seed,
        "start": start_from,
        "selection": selecting.fingerprint,
    }
    place = run.artifact("arm", dataset, made_from, "ecgrepro.classifier", make)
    return np.load(place / "probabilities.npy")
