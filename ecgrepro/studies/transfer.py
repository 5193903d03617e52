"""Transfer: pre-train a classifier on synthetic records, fine-tune it on a share of real ones."""

import numpy as np

from ecgrepro.classifier import Classifier
from ecgrepro.cohort import Cohort
from ecgrepro.results import Result
from ecgrepro.studies.arms import test_probabilities
from ecgrepro.studies.augmentation import arm_results, corrected, differences, patients_of
from ecgrepro.studies.run import HOSPITALS, Run
from ecgrepro.studies.synthesis import synthetic_pool

SCRATCH = "from scratch"
ALL_REAL = "from scratch on all real records"


def pretrained_arm(generator: str) -> str:
    """Name of the arm that is pre-trained on a generator's records, or on another hospital's."""
    real = " (real records)" if generator in HOSPITALS else ""
    return f"pre-trained on {generator}{real}"


def share(train: Cohort, fraction: float, seed: int) -> Cohort:
    """A share of the patients of each rhythm, at least one each; larger shares contain smaller.

    A patient stands with all of their records under the rhythm of the first of them.
    """
    if fraction == 1:
        return train
    patients = train.table.groupby("patient_id", sort=False)["rhythm"].first()
    order = patients.sample(frac=1, random_state=np.random.default_rng(seed))
    rank = order.groupby(order).cumcount()
    size = order.groupby(order).transform("size")
    chosen = order[rank < np.maximum(1, np.round(fraction * size))].index
    return train.select(train.table["patient_id"].isin(chosen).to_numpy())


def other_hospital(dataset: str) -> str:
    """The hospital whose real records are the upper control of pre-training."""
    return next(name for name in HOSPITALS if name != dataset)


def pretrained(run: Run, dataset: str, source: str, seed: int) -> tuple[Classifier, str]:
    """A classifier that has seen nothing but a generator's records, and its name.

    Its validation records are synthetic too: the last tenth of each rhythm of the pool. ``source``
    may also be the other hospital: then it has seen its real training records, and the last tenth
    of them is held out.
    """
    if source in HOSPITALS:
        pool = run.splits(source)["train"]
    else:
        pool = synthetic_pool(run, dataset, source)
    settings = run.profile.classifier.model_copy(
        update={"updates": run.profile.transfer.pretrain_updates}
    )

    def make(folder):
        rank = pool.table.groupby("rhythm").cumcount(ascending=False)
        size = pool.table.groupby("rhythm")["rhythm"].transform("size")
        held_out = (rank < np.ceil(size / 10)).to_numpy()
        classifier = Classifier(settings, seed=seed)
        classifier.fit(pool.select(~held_out), pool.select(held_out)).save(folder / "model")

    made_from = {"pool": pool.fingerprint, "classifier": settings.model_dump(), "seed": seed}
    place = run.artifact("pretrained", dataset, made_from, "ecgrepro.classifier", make)
    return Classifier.load(place / "model"), place.name


def probabilities(run: Run, dataset: str, source: str | None, fraction: float) -> np.ndarray:
    """Test probabilities after fine-tuning, shape (seeds, test records, classes).

    Without a source the classifier starts from random weights; with fraction 0 it is not
    fine-tuned at all.
    """
    parts = run.splits(dataset)
    stack = []
    for seed in run.profile.seeds:
        start, name = pretrained(run, dataset, source, seed) if source else (None, "")
        if fraction == 0:
            stack.append(start.predict_proba(parts["test"]))
            continue
        train = share(parts["train"], fraction, seed)
        stack.append(test_probabilities(run, dataset, train, seed, start=start, start_from=name))
    return np.stack(stack)


def transfer_results(run: Run, dataset: str) -> list[Result]:
    """Scores of every arm at every share, with differences to the classifier from scratch.

    Where all real records are a share of the profile, every pre-trained arm is also compared with
    the classifier from scratch on all of them.
    """
    test, resamples = run.splits(dataset)["test"], run.profile.resamples
    scratch = {f: probabilities(run, dataset, None, f) for f in run.profile.transfer.fractions if f}
    rows = []
    for fraction in run.profile.transfer.fractions:
        tuned = {
            pretrained_arm(name): probabilities(run, dataset, name, fraction)
            for name in (*run.profile.generators, other_hospital(dataset))
        }
        by_arm = {SCRATCH: scratch[fraction], **tuned} if fraction else tuned
        keys = {"dataset": dataset, "fraction": fraction}
        rows += arm_results(test, by_arm, SCRATCH, resamples=resamples, **keys)
        if fraction < 1 and 1 in scratch:
            settings = {"patients": patients_of(test), "resamples": resamples}
            rows += differences(test, {ALL_REAL: scratch[1], **tuned}, ALL_REAL, settings, keys)
    return corrected(rows)
