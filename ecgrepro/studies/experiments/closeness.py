"""Closeness of a run's synthetic records to the real test records, always beside its floor."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from ecgrepro.closeness import FLOOR, Budget, compare
from ecgrepro.closeness.metrics.heart import HeartLog, measures
from ecgrepro.cohort import Cohort
from ecgrepro.studies.classifiers import real_classifier
from ecgrepro.studies.synthesis import synthetic_pool
from ecgrepro.support.results import Result
from ecgrepro.workflow.run import Run

__all__ = ["FLOOR", "closeness_results", "compared", "heart_sample", "nearest_real", "physiology"]


def closeness_results(run: Run, dataset: str, generator: str) -> list[Result]:
    """Every metric of `ecgrepro.closeness.compare` for a generator's pool against test records.

    Embeddings are those of the classifier trained on real records only. Computed once for all the
    pages that show it.
    """
    place = _compared_pool(run, dataset, generator)
    return [replace(row, dataset=dataset, generator=generator) for row in read_rows(place)]


def heart_sample(run: Run, dataset: str, generator: str) -> pd.DataFrame:
    """What was measured for the family heart: a row a record, its ``set`` and ``rhythm`` first."""
    place = _compared_pool(run, dataset, generator)
    return pd.read_csv(place / "heart.csv", float_precision="round_trip")


def _compared_pool(run: Run, dataset: str, generator: str) -> Path:
    """The folder with the comparison of a generator's pool."""
    parts, pool = run.splits(dataset), synthetic_pool(run, dataset, generator)

    def make(folder: Path) -> None:
        log = HeartLog(lambda cohort: physiology(run, dataset, cohort))
        write_rows(folder, compared(run, dataset, parts["train"], parts["test"], pool, measure=log))
        log.table().to_csv(folder / "heart.csv", index=False)

    made_from = {"pool": pool.fingerprint, **judged_by(run)}
    code = [f"{__name__}._compared_pool"]
    return run.artifact(f"closeness-{generator}", dataset, made_from, code, make)


def compared(
    run: Run, dataset: str, train: Cohort, test: Cohort, synthetic: Cohort, **settings
) -> list[Result]:
    """`compare` with the run's real classifier, budget, and physiology that is measured once."""
    judge, chosen = real_classifier(run, dataset), run.profile.closeness
    settings.setdefault("measure", lambda cohort: physiology(run, dataset, cohort))
    return compare(
        train,
        test,
        synthetic,
        embed=judge.embed,
        predict=judge.predict,
        k=chosen.neighbours,
        budget=Budget(heart=chosen.heart, dtw=chosen.dtw, resamples=chosen.resamples),
        **settings,
    )


def judged_by(run: Run) -> dict:
    """What decides a comparison beside the records."""
    return {
        "closeness": run.profile.closeness.model_dump(),
        "classifier": run.profile.classifier.model_dump(),
        "seed": run.profile.seeds[0],
    }


def physiology(run: Run, dataset: str, cohort: Cohort) -> pd.DataFrame:
    """`ecgrepro.closeness.metrics.heart.measures` of a cohort's records."""

    def make(folder: Path) -> None:
        measures(cohort.signals, cohort.fs).to_csv(folder / "measures.csv", index=False)

    made_from = {"cohort": cohort.fingerprint, "neurokit2": version("neurokit2")}
    code = ["ecgrepro.closeness.metrics.heart.measures"]
    place = run.artifact("physiology", dataset, made_from, code, make)
    return pd.read_csv(place / "measures.csv", dtype=float, float_precision="round_trip")


def write_rows(folder: Path, rows: list[Result]) -> None:
    """Results as a step of an artifact."""
    (folder / "rows.json").write_text(json.dumps([asdict(row) for row in rows]))


def read_rows(folder: Path) -> list[Result]:
    """What `write_rows` wrote."""
    return [Result(**row) for row in json.loads((folder / "rows.json").read_text())]


def nearest_real(
    real: Cohort, synthetic: Cohort, embed: Callable[[Cohort], np.ndarray]
) -> list[int]:
    """For each synthetic record, the position of the real one nearest to it in the embedding."""
    search = NearestNeighbors(n_neighbors=1).fit(embed(real))
    return search.kneighbors(embed(synthetic), return_distance=False)[:, 0].tolist()
