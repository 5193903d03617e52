"""Closeness of synthetic records to real test records with the settings of a study."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.studies.profiles import Closeness
from ecgrepro.support.results import Result

if TYPE_CHECKING:
    from ecgrepro.classifier.classifier import Classifier


def compare_records(
    train: Cohort,
    test: Cohort,
    synthetic: Cohort,
    judge: Classifier,
    settings: Closeness,
    measure: Callable[[Cohort], pd.DataFrame],
    **chosen: Any,
) -> list[Result]:
    """`ecgrepro.closeness.compare` with the judge and the settings of a study.

    Parameters
    ----------
    train, test, synthetic
        Real training and test records, and what takes the place of synthetic ones.
    judge
        Embeds the records and reads their rhythms; it has seen no synthetic record.
    measure
        From a cohort to its `ecgrepro.closeness.metrics.heart.measures`.
    **chosen
        More arguments of `compare`: ``families``, ``by_rhythm``, ``seed``.
    """
    # Slow to import, and not needed where the outcome is stored; so is the library below.
    from ecgrepro.closeness.compare import compare
    from ecgrepro.closeness.intervals import Budget

    return compare(
        train,
        test,
        synthetic,
        embed=judge.embed,
        predict=judge.predict,
        measure=measure,
        k=settings.neighbours,
        budget=Budget(heart=settings.heart, dtw=settings.dtw, resamples=settings.resamples),
        **chosen,
    )


def nearest_real(
    real: Cohort, synthetic: Cohort, embed: Callable[[Cohort], np.ndarray]
) -> list[int]:
    """For each synthetic record, the position of the real one nearest to it in the embedding."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=1).fit(embed(real))
    return search.kneighbors(embed(synthetic), return_distance=False)[:, 0].tolist()
