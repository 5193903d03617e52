"""Why merging helps, if it does: how far the hospitals differ, and what crosses the difference.

A classifier that is trained on two hospitals sees more records, and records of two kinds. Three
questions take this apart: whether a record tells which hospital it is from (`source_shift`), what a
model of one hospital is worth in the other (`crossing_results`), and whether a gain on the merged
data remains against oversampling, class weights and classical augmentation, and in each hospital
alone (`studies.experiments.augmentation`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ecgrepro.closeness.metrics.privacy import share_below
from ecgrepro.closeness.metrics.use import discriminator_scores
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.studies.arms import ACROSS, BOTH, CROSSING, HOSPITALS, MERGED, WITHIN
from ecgrepro.studies.scoring import arm_results, corrected, patients_of
from ecgrepro.support.results import Result

if TYPE_CHECKING:
    from ecgrepro.classifier.classifier import Classifier

FEWEST = 10  # records of a hospital and rhythm


def source_shift(test: Cohort, judge: Classifier) -> list[Result]:
    """How well a logistic regression tells the hospitals apart, by rhythm and over all.

    AUC over the real test records of both hospitals, cross-validated by patient, on embeddings;
    0.5 means that there is no shift that it could use. Over all rhythms the hospitals have their
    own mix of rhythms.

    Parameters
    ----------
    test
        Test records of both hospitals.
    judge
        A classifier that was trained on both.
    """
    embedded, source = judge.embed(test), test.table["source"].to_numpy()
    rows = []
    for rhythm in ("", *[code for code, n in test.counts().items() if n]):
        of_rhythm = (test.table["rhythm"] == rhythm).to_numpy() | (rhythm == "")
        first, second = (np.flatnonzero(of_rhythm & (source == name)) for name in HOSPITALS)
        n = min(len(first), len(second))
        keys = {"n": n, "dataset": MERGED, "rhythm": rhythm}
        if n < FEWEST:
            note = f"too few records of one hospital: {FEWEST} are needed"
            rows.append(Result("source_auc", None, note=note, **keys))
            continue
        scores = discriminator_scores(
            embedded[first], embedded[second], patients=patients_of(test)[first]
        )
        area = share_below(scores[1], scores[0])
        reach = 1.96 * _auc_standard_error(*scores)
        low, high = max(0.0, area - reach), min(1.0, area + reach)
        rows.append(Result("source_auc", area, low, high, **keys))
    return rows


def _auc_standard_error(first: np.ndarray, second: np.ndarray) -> float:
    """Standard error of the area under the curve (DeLong et al. 1988)."""
    above = [np.mean(second < x) + np.mean(second == x) / 2 for x in first]
    below = [np.mean(first > x) + np.mean(first == x) / 2 for x in second]
    parts = ((above, first), (below, second))
    return float(np.sqrt(sum(np.var(v, ddof=1) / len(x) for v, x in parts)))


def crossing_results(
    tests: Mapping[str, Cohort],
    within: Mapping[str, np.ndarray],
    across: Mapping[str, np.ndarray],
    both: Mapping[str, np.ndarray],
    resamples: int,
) -> list[Result]:
    """Classifiers of real records at home, from the other hospital, and trained on both.

    ``dataset`` of a result is the hospital of the test records; differences are to the classifier
    of that hospital's own records. All have the same number of updates.

    Parameters
    ----------
    tests
        Test records of each hospital.
    within, across, both
        For each hospital the probabilities of its test records, shape (seeds, records, classes).
    """
    rows = []
    for home in HOSPITALS:
        by_arm = {WITHIN: within[home], ACROSS: across[home], BOTH: both[home]}
        keys = {"dataset": home, "scope": CROSSING}
        rows += arm_results(tests[home], by_arm, WITHIN, resamples=resamples, **keys)
    return corrected(rows)
