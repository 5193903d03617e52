"""The generators of a run and the synthetic records that they make."""

import math
from pathlib import Path

from ecgrepro.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.generators import GENERATORS, load_generator, make_generator
from ecgrepro.generators.base import Generator
from ecgrepro.generators.saved import saved_digest
from ecgrepro.studies.profiles import LEARNED
from ecgrepro.workflow.artifacts import made_on
from ecgrepro.workflow.run import Run


def trained_generator(run: Run, dataset: str, name: str) -> Generator:
    """The generator ``name`` fitted to a hospital's training folds.

    It may have been trained on another machine, a cluster for example: copy its folder from the
    run's ``artifacts`` there to those here. Other settings, seed, records or code train anew.
    """
    generator = load_generator(_generator_folder(run, dataset, name) / "model")
    check_trained_on(generator, run.splits(dataset)["train"], dataset)
    return generator


def _generator_folder(run: Run, dataset: str, name: str) -> Path:
    """The artifact of a generator, trained first if it is not there.

    The run notes on what it was trained, for the provenance of results that it has a part in.
    """
    settings, parts = _settings(run, name), run.splits(dataset)

    def make(folder):
        if (folder / "model").exists():  # complete: it appears by rename
            return
        generator = make_generator(name, settings, seed=run.profile.pool.seed)
        generator.fit(
            parts["train"], validation=parts["validation"], checkpoint_dir=folder / "training"
        )
        generator.save(folder / "model")

    made_from = {"generator": name, "settings": settings, "seed": run.profile.pool.seed}
    place = run.artifact(name, dataset, made_from, [generator_code(name)], make, portable=True)
    if name in LEARNED:
        run.trained_on[f"{name} of {dataset}"] = made_on(place)
    return place


def check_trained_on(generator: Generator, train: Cohort, name: str) -> None:
    """Raise unless ``generator`` was fitted to exactly the training records of a data set."""
    seen = generator.shape.fingerprint
    if seen != train.fingerprint:
        raise EcgreproError(
            f"the generator {generator.name} was fitted to other records (fingerprint "
            f"{seen[:12]}) than the training folds of {name} ({train.fingerprint[:12]}): it may "
            "have seen test records; train it on these folds"
        )


def synthetic_pool(run: Run, dataset: str, name: str, guidance: float | None = None) -> Cohort:
    """Synthetic records of a generator: of each rhythm enough for the largest ratio of the study,
    and for one of each real record.

    Rhythms without a training record are left out. ``guidance`` other than that of the generator's
    settings makes a pool of its own.
    """
    settings, pool = _settings(run, name), run.profile.pool
    largest = max(1, *run.profile.augmentation.ratios)
    counts = {
        rhythm: max(pool.minimum, math.ceil(largest * count))
        for rhythm, count in run.splits(dataset)["train"].counts().items()
        if count
    }

    def make(folder):
        generator = trained_generator(run, dataset, name)
        generator.sample(counts, seed=pool.seed, guidance=guidance, directory=folder / "cohort")

    made_from = {"generator": name, "settings": settings, "counts": counts, "seed": pool.seed}
    made_from["guidance"] = guidance
    made_from["weights"] = saved_digest(_generator_folder(run, dataset, name) / "model")
    place = run.artifact(f"pool-{name}", dataset, made_from, [generator_code(name)], make)
    return Cohort.open(place / "cohort")


def generator_code(name: str) -> str:
    """The dotted name of a generator's class, for `ecgrepro.support.code.code_fingerprint`."""
    return GENERATORS[name].replace(":", ".")


def _settings(run: Run, name: str) -> dict:
    if name not in run.profile.generators:
        known = ", ".join(run.profile.generators)
        raise EcgreproError(
            f"profile {run.profile.name!r} has no generator {name!r}: it has {known}"
        )
    return run.profile.generators[name]
