"""Small folders for ``ecgrepro closeness``: real records, synthetic ones, a classifier."""

from pathlib import Path

from helpers.cohorts import millivolts

from ecgrepro import load_cohort, make_generator
from ecgrepro.classifier.classifier import Classifier
from ecgrepro.classifier.config import ClassifierConfig
from ecgrepro.datasets.wfdb_export import export_wfdb

TINY = ClassifierConfig(widths=(8, 16), updates=20, evaluate_every=10)
RHYTHMS = {"SR": 60, "SB": 60, "AFIB": 60}
FOLDS = {"train": [1, 2, 3, 4], "validation": [5], "test": [6, 7, 8, 9, 10]}


def write_judged_folders(home: Path) -> None:
    """``real`` and ``made``, WFDB records in mV, and a ``classifier`` of the first."""
    simulator = make_generator("simulator").fit(millivolts(6, samples=1000))
    export_wfdb(simulator.sample(RHYTHMS, seed=0), home / "real")
    export_wfdb(simulator.sample(dict.fromkeys(RHYTHMS, 30), seed=1), home / "made")
    parts = load_cohort(str(home / "real"), scale="mV").split(**FOLDS)
    Classifier(TINY, seed=0).fit(parts["train"], parts["validation"]).save(home / "classifier")
