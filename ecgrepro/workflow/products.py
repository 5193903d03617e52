"""What the jobs of a run make and share: judges, generators, pools, arms.

Each is made when it is first asked for and found again afterwards (`workflow.artifacts`): a job
makes what it is named after, later jobs read it. Each function resolves what is needed from the
run and hands it to the study's own functions, which know nothing of runs.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgrepro.classifier.classifier import Classifier
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.generators import load_generator, make_generator
from ecgrepro.generators.base import Generator
from ecgrepro.generators.registry import GENERATORS
from ecgrepro.generators.saved import saved_digest
from ecgrepro.studies.arms import HOSPITALS, MERGED, REAL, Arm, Task
from ecgrepro.studies.classifiers import ArmInputs, Outcome, predict, pretrain, run_arm, train_judge
from ecgrepro.studies.leakage import check_trained_on
from ecgrepro.studies.selection import Source, filter_pool, subsample_patients, training_set
from ecgrepro.workflow.artifacts import made_on
from ecgrepro.workflow.plans import generator_code
from ecgrepro.workflow.run import Run

CLASSIFIERS = "ecgrepro.studies.classifiers"


def judge(run: Run, dataset: str) -> Classifier:
    """The classifier trained on a data set's real training folds, with the first seed.

    It judges synthetic records (rhythm agreement) and embeds records for closeness; it has never
    seen a synthetic record.
    """
    settings, seed, parts = run.profile.classifier, run.profile.seeds[0], run.splits(dataset)

    def make(folder: Path) -> None:
        trained = train_judge(parts["train"], parts["validation"], settings, seed)
        trained.save(folder / "model")

    made_from = {"classifier": settings.model_dump(), "seed": seed}
    place = run.artifact("classifier", dataset, made_from, [f"{CLASSIFIERS}.train_judge"], make)
    return Classifier.load(place / "model")


def settings_of(run: Run, name: str) -> dict:
    """The settings that the profile gives a generator; one that it has not raises."""
    if name not in run.profile.generators:
        known = ", ".join(run.profile.generators)
        raise EcgreproError(
            f"profile {run.profile.name!r} has no generator {name!r}: it has {known}"
        )
    return run.profile.generators[name]


def trained_generator(run: Run, dataset: str, name: str) -> Generator:
    """The generator ``name`` fitted to a hospital's training folds.

    It may have been trained on another machine, a cluster for example: copy its folder from the
    run's ``artifacts`` there to those here. Other settings, seed, records or code train anew.
    """
    generator = load_generator(_generator_folder(run, dataset, name) / "model")
    check_trained_on(generator, run.splits(dataset)["train"], dataset)
    return generator


def _generator_folder(run: Run, dataset: str, name: str) -> Path:
    """The artifact of a generator; the run notes the device that trained it, for provenance."""
    settings, parts, seed = settings_of(run, name), run.splits(dataset), run.profile.pool.seed

    def make(folder: Path) -> None:
        if (folder / "model").exists():  # complete: it appears by rename
            return
        generator = make_generator(name, settings, seed=seed)
        generator.fit(
            parts["train"], validation=parts["validation"], checkpoint_dir=folder / "training"
        )
        generator.save(folder / "model")

    made_from = {"generator": name, "settings": settings, "seed": seed}
    place = run.artifact(name, dataset, made_from, generator_code(name), make, portable=True)
    if GENERATORS[name].learns:
        run.trained_on[f"{name} of {dataset}"] = made_on(place)
    return place


def pool_counts(run: Run, dataset: str) -> dict[str, int]:
    """Records of each rhythm in a pool: for the largest ratio, and one for each real record.

    Rhythms without a training record are left out.
    """
    largest = max(1, *run.profile.augmentation.ratios)
    return {
        rhythm: max(run.profile.pool.minimum, math.ceil(largest * count))
        for rhythm, count in run.splits(dataset)["train"].counts().items()
        if count
    }


def synthetic_pool(run: Run, dataset: str, name: str, guidance: float | None = None) -> Cohort:
    """Synthetic records of a generator; another ``guidance`` than its own makes another pool."""
    settings, seed, counts = (
        settings_of(run, name),
        run.profile.pool.seed,
        pool_counts(run, dataset),
    )

    def make(folder: Path) -> None:
        generator = trained_generator(run, dataset, name)
        generator.sample(counts, seed=seed, guidance=guidance, directory=folder / "cohort")

    made_from = {
        "generator": name,
        "settings": settings,
        "counts": counts,
        "seed": seed,
        "guidance": guidance,
        "weights": saved_digest(_generator_folder(run, dataset, name) / "model"),
    }
    place = run.artifact(f"pool-{name}", dataset, made_from, generator_code(name), make)
    return Cohort.open(place / "cohort")


@dataclass(frozen=True)
class Pretrained:
    """A pre-trained classifier and the name of its artifact."""

    classifier: Classifier
    name: str


def pretrained(run: Run, dataset: str, source: str, seed: int, hospital: str = "") -> Pretrained:
    """A classifier that has seen nothing but a generator's records.

    Parameters
    ----------
    source
        The generator; or a hospital, whose real training records it has seen then.
    hospital
        Whose generator, by default that of the data set.
    """
    if source in HOSPITALS:
        pool = run.splits(source)["train"]
    else:
        pool = synthetic_pool(run, hospital or dataset, source)
    updates = run.profile.transfer.pretrain_updates
    settings = run.profile.classifier.model_copy(update={"updates": updates})

    def make(folder: Path) -> None:
        pretrain(pool, run.splits(dataset)["test"], settings, seed).save(folder / "model")

    made_from = {"pool": pool.fingerprint, "classifier": settings.model_dump(), "seed": seed}
    place = run.artifact("pretrained", dataset, made_from, [f"{CLASSIFIERS}.pretrain"], make)
    return Pretrained(Classifier.load(place / "model"), place.name)


def arm_training_set(run: Run, task: Task) -> Cohort:
    """The records that an arm is trained on: a fraction of the real ones, and what it adds."""
    arm, dataset = task.arm, task.dataset
    train = run.splits(arm.trained_in or dataset)["train"]
    real = subsample_patients(train, task.fraction, task.seed) if task.fraction else None
    sources = []
    for hospital in arm.generator_hospitals(dataset) if arm.generator else ():
        everything = run.splits(hospital)["train"].counts()
        # merged, each hospital fills up its own rhythms
        balance = everything if real is None or dataset == MERGED else real.counts()
        sources.append(Source(_arm_pool(run, hospital, arm), everything, balance))
    return training_set(arm, real, sources, f"{dataset}, {arm.name}", run.profile.seeds[0])


def _arm_pool(run: Run, hospital: str, arm: Arm) -> Cohort:
    pool = synthetic_pool(run, hospital, arm.generator, arm.guidance)
    if not arm.keep:
        return pool
    return filter_pool(pool, arm.keep, judge(run, hospital), run.splits(hospital)["train"])


def arm_outcome(run: Run, task: Task) -> Outcome:
    """Validation and test probabilities of one training run."""
    arm, dataset, seed = task.arm, task.dataset, task.seed
    parts = run.splits(dataset)
    start = pretrained(run, dataset, arm.start, seed, arm.hospital) if arm.start else None
    tuned = bool(task.fraction or not start)  # a pre-trained classifier at 0 is left as it is
    settings = arm.settings(run.profile.classifier, run.profile.transfer.pretrain_updates)
    made_from = {
        "start": start.name if start else "",
        "validation": parts["validation"].fingerprint,
    }
    if tuned:
        train = arm_training_set(run, task)
        selection = run.splits(arm.trained_in or dataset)["validation"]
        made_from |= {
            "train": train.fingerprint,
            "classifier": settings.model_dump(),
            "seed": seed,
            "selection": selection.fingerprint,
            "fading": arm.fading,
        }

    def make(folder: Path) -> None:
        if tuned:
            first = start.classifier if start else None
            inputs = ArmInputs(
                train, selection, parts["validation"], parts["test"], first, arm.fading
            )
            outcome = run_arm(inputs, settings, seed)
        else:
            assert start is not None  # or it would be tuned
            outcome = predict(start.classifier, parts["validation"], parts["test"])
        for name in ("validation", "test"):
            np.save(folder / f"{name}.npy", getattr(outcome, name))
        (folder / "updates.json").write_text(json.dumps(outcome.updates))

    code = [f"{CLASSIFIERS}.run_arm" if tuned else f"{CLASSIFIERS}.predict"]
    place = run.artifact("arm", dataset, made_from, code, make)
    validation, test = (np.load(place / f"{name}.npy") for name in ("validation", "test"))
    return Outcome(validation, test, json.loads((place / "updates.json").read_text()))


def arm_probabilities(run: Run, dataset: str, arm: Arm, fraction: float = 1.0) -> np.ndarray:
    """Test probabilities of an arm, shape (seeds, test records, classes)."""
    seeds = run.profile.seeds
    return np.stack([arm_outcome(run, Task(dataset, arm, s, fraction)).test for s in seeds])


def real_probabilities(run: Run, dataset: str) -> np.ndarray:
    """Test probabilities of training on all real records, shape (seeds, records, classes)."""
    return arm_probabilities(run, dataset, Arm(REAL))
