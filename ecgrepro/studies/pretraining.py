"""Pre-trained classifiers, and the shares of real records that they are fine-tuned on."""

from dataclasses import dataclass

import numpy as np

from ecgrepro.classifier.classifier import Classifier
from ecgrepro.cohort import Cohort
from ecgrepro.studies.classifiers import CLASSIFIER
from ecgrepro.studies.leakage import check_apart
from ecgrepro.studies.synthesis import synthetic_pool
from ecgrepro.workflow.run import HOSPITALS, Run


@dataclass(frozen=True)
class Pretrained:
    """A classifier and the name of the artifact that it is."""

    classifier: Classifier
    name: str


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
    """The hospital that a hospital's data set is not of."""
    return next(name for name in HOSPITALS if name != dataset)


def pretrained(run: Run, dataset: str, source: str, seed: int, hospital: str = "") -> Pretrained:
    """A classifier that has seen nothing but a generator's records.

    Its validation records are synthetic too: the last tenth of each rhythm of the pool.

    Parameters
    ----------
    source
        The generator; or a hospital: then the classifier has seen its real training records, and
        the last tenth of them is held out.
    hospital
        Whose generator, by default that of the data set.
    """
    if source in HOSPITALS:
        pool = run.splits(source)["train"]
    else:
        pool = synthetic_pool(run, hospital or dataset, source)
    settings = run.profile.classifier.model_copy(
        update={"updates": run.profile.transfer.pretrain_updates}
    )

    def make(folder):
        check_apart(pool, run.splits(dataset)["test"])
        rank = pool.table.groupby("rhythm").cumcount(ascending=False)
        size = pool.table.groupby("rhythm")["rhythm"].transform("size")
        held_out = (rank < np.ceil(size / 10)).to_numpy()
        classifier = Classifier(settings, seed=seed)
        classifier.fit(pool.select(~held_out), pool.select(held_out)).save(folder / "model")

    made_from = {"pool": pool.fingerprint, "classifier": settings.model_dump(), "seed": seed}
    place = run.artifact("pretrained", dataset, made_from, [CLASSIFIER], make)
    return Pretrained(Classifier.load(place / "model"), place.name)
