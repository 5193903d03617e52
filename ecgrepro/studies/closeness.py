"""Closeness of a run's synthetic records to the real test records, always beside its floor."""

import json
from collections.abc import Callable

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ecgrepro.closeness import METRICS, compare
from ecgrepro.cohort import Cohort
from ecgrepro.results import Result
from ecgrepro.studies.classifiers import real_classifier
from ecgrepro.studies.run import Run
from ecgrepro.studies.synthesis import synthetic_pool

FLOOR = "floor"
TOO_FEW = "too_few"
OVERALL = "all"  # what `compare` calls all rhythms together


def closeness_results(run: Run, dataset: str, generator: str) -> list[Result]:
    """Each metric of synthetic against test records, and of real training against test records.

    Embeddings are those of the classifier trained on real records only. A rhythm with too few
    records to be compared on its own has one row without a value, ``too_few``.
    """
    rows = _compared(run, dataset, generator)
    results = []
    for row in rows:
        keys = {"dataset": dataset, "generator": generator}
        keys["rhythm"] = "" if row["rhythm"] == OVERALL else row["rhythm"]
        if row["value"] is None:
            if row["metric"] == METRICS[0]:
                results.append(Result(TOO_FEW, None, n=row["n"], **keys))
            continue
        results.append(
            Result(row["metric"], row["value"], row["low"], row["high"], row["n"], **keys)
        )
        results.append(
            Result(
                row["metric"],
                row["floor"],
                row["floor_low"],
                row["floor_high"],
                row["n"],
                comparison=FLOOR,
                **keys,
            )
        )
    return results


def _compared(run: Run, dataset: str, generator: str) -> list[dict]:
    """`compare` of a generator's pool, once for all the pages that show it."""
    parts, settings = run.splits(dataset), run.profile.closeness
    pool = synthetic_pool(run, dataset, generator)

    def make(folder):
        rows = compare(
            parts["train"],
            parts["test"],
            pool,
            embed=real_classifier(run, dataset).embed,
            k=settings.neighbours,
            resamples=settings.resamples,
        )
        (folder / "rows.json").write_text(json.dumps(rows))

    judge = {"classifier": run.profile.classifier.model_dump(), "seed": run.profile.seeds[0]}
    made_from = {"pool": pool.fingerprint, "closeness": settings.model_dump(), "judge": judge}
    place = run.artifact(f"closeness-{generator}", dataset, made_from, __name__, make)
    return json.loads((place / "rows.json").read_text())


def nearest_real(
    real: Cohort, synthetic: Cohort, embed: Callable[[Cohort], np.ndarray]
) -> list[int]:
    """For each synthetic record, the position of the real one nearest to it in the embedding."""
    search = NearestNeighbors(n_neighbors=1).fit(embed(real))
    return search.kneighbors(embed(synthetic), return_distance=False)[:, 0].tolist()
