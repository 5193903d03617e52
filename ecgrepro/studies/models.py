"""The models of a run that several notebooks use: real-trained classifiers and generators."""

import numpy as np

from ecgrepro.classifier import Classifier
from ecgrepro.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.generators import load_generator, make_generator
from ecgrepro.generators.base import Generator
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


def trained_generator(run: Run, dataset: str, name: str) -> Generator:
    """The generator ``name`` fitted to a hospital's training folds."""
    settings, parts = _settings(run, name), run.splits(dataset)

    def make(folder):
        generator = make_generator(name, settings, seed=run.profile.pool.seed)
        generator.fit(
            parts["train"], validation=parts["validation"], checkpoint_dir=folder / "training"
        )
        generator.save(folder / "model")

    made_from = {"generator": name, "settings": settings, "seed": run.profile.pool.seed}
    place = run.artifact(name, dataset, made_from, f"ecgrepro.generators.{name}", make)
    return load_generator(place / "model")


def synthetic_pool(run: Run, dataset: str, name: str) -> Cohort:
    """Synthetic records of a generator, with rhythms about as in the training folds."""
    settings, pool = _settings(run, name), run.profile.pool
    real = run.splits(dataset)["train"].counts()
    counts = {
        rhythm: int(np.clip(count, pool.minimum, pool.maximum))
        for rhythm, count in real.items()
        if count
    }

    def make(folder):
        generator = trained_generator(run, dataset, name)
        generator.sample(counts, seed=pool.seed).save(folder / "cohort")

    made_from = {"generator": name, "settings": settings, "counts": counts, "seed": pool.seed}
    place = run.artifact(f"pool-{name}", dataset, made_from, f"ecgrepro.generators.{name}", make)
    return Cohort.open(place / "cohort")


def _settings(run: Run, name: str) -> dict:
    if name not in run.profile.generators:
        known = ", ".join(run.profile.generators)
        raise EcgreproError(
            f"profile {run.profile.name!r} has no generator {name!r}: it has {known}"
        )
    return run.profile.generators[name]
