"""The classifier on real recordings: the bars that every later change has to stay above."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from scipy import stats

from ecgrepro.classifier.classifier import Classifier
from ecgrepro.classifier.scores import scores
from ecgrepro.datasets import load_cohort

SEEDS = (0, 1, 2)
ROOTS = {"ptb-xl": "ptb-xl", "chapman": "ecg-arrhythmia"}
BARS = {
    "ptb-xl": {"accuracy": 0.95, "macro_f1": 0.82},
    "chapman": {"accuracy": 0.95, "macro_f1": 0.93},
}


def one_run(name: str, root: str, seed: int) -> dict:
    torch.set_num_threads(1)
    cohort = load_cohort(name, root=root, labels="rhythm4", jobs=1)
    parts = cohort.split(train=range(1, 8), validation=[8], test=[9, 10])
    began = time.process_time()  # of one thread: the machine's other work does not count
    classifier = Classifier(seed=seed, device="cpu").fit(parts["train"], parts["validation"])
    seconds = time.process_time() - began
    found = scores(
        classifier.predict_proba(parts["test"]), parts["test"].targets, classifier.classes
    )
    return {"dataset": name, "seed": seed, "seconds": seconds, **found}


@pytest.fixture(scope="module")
def runs(recordings) -> list[dict]:
    # Two processes of one thread each: on two cores faster than one of two threads.
    jobs = [(name, str(recordings / ROOTS[name]), seed) for name in BARS for seed in SEEDS]
    for name in BARS:  # built once, not by both processes
        load_cohort(name, root=recordings / ROOTS[name], labels="rhythm4")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(one_run, *zip(*jobs, strict=True)))


@pytest.mark.slow
@pytest.mark.parametrize("name", BARS)
def test_real_recordings(name, runs):
    mine = [run for run in runs if run["dataset"] == name]
    for metric, bar in BARS[name].items():
        values = np.array([run[metric] for run in mine])
        half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        print(
            f"{name} {metric}: {values.round(4).tolist()} mean {values.mean():.4f} "
            f"[{values.mean() - half:.4f}, {values.mean() + half:.4f}] (t, 95 %), bar {bar}"
        )
        assert values.mean() >= bar
    seconds = [run["seconds"] for run in mine]
    print(f"{name} seconds per run: {np.round(seconds, 1).tolist()}; F1 {mine[0]['f1']}")
    assert np.mean(seconds) < 180
