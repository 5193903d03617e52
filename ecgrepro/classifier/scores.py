"""Scores of predicted class probabilities.

Plain numpy over scikit-learn's definitions (the tests compare the two), because the bootstrap
calls :func:`scores` thousands of times.

*Macro* averages run over the classes that occur in the truth. A class without a record there has
no recall, AUROC or average precision; predicting it still costs the class that was right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecgrepro.errors import EcgreproError

MACRO_SCORES = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "macro_auroc",
    "macro_auprc",
    "calibration_error",
)


def scores(probabilities: np.ndarray, targets: np.ndarray, classes: Sequence[str]) -> dict:
    """Every score of the study for one set of predictions.

    Parameters
    ----------
    probabilities
        Shape (records, classes), rows sum to one. The prediction is the largest of a row.
    targets
        Index of each record's true class, shape (records,).
    classes
        Class codes, in the order of the columns.

    Returns
    -------
    dict
        ``accuracy``, ``balanced_accuracy`` (mean recall), ``macro_f1``, ``macro_auroc``
        (one-vs-rest), ``macro_auprc`` (average precision), ``calibration_error`` (expected, 15
        bins) and ``n`` as numbers; ``f1`` and ``support`` as a dict by class. The F1 of a class
        without a record in ``targets`` is NaN, and so is an AUROC where all records are of one
        class.

    Raises
    ------
    EcgreproError
        If shapes disagree, there is no record, or a probability is not finite.
    """
    probabilities, targets = np.asarray(probabilities, np.float64), np.asarray(targets)
    if probabilities.shape != (len(targets), len(classes)):
        raise EcgreproError(
            f"probabilities of shape {probabilities.shape} for {len(targets)} records and "
            f"{len(classes)} classes"
        )
    if not len(targets):
        raise EcgreproError("cannot score predictions of no record")
    if not np.isfinite(probabilities).all():
        raise EcgreproError("cannot score probabilities that are not finite")
    if targets.min() < 0 or targets.max() >= len(classes):
        raise EcgreproError(f"targets must be class indices from 0 to {len(classes) - 1}")
    predicted = probabilities.argmax(1)
    support = np.bincount(targets, minlength=len(classes))
    hits = np.bincount(targets[predicted == targets], minlength=len(classes))
    claims = np.bincount(predicted, minlength=len(classes))
    present = np.flatnonzero(support)
    f1 = f1_of_counts(hits, support, claims)
    ranking = [_ranking_scores(probabilities[:, k], targets == k) for k in present]
    auroc, auprc = np.mean(ranking, axis=0)
    return {
        "accuracy": float(hits.sum() / len(targets)),
        "balanced_accuracy": float(np.mean(hits[present] / support[present])),
        "macro_f1": float(mean_over_classes(f1)),
        "macro_auroc": float(auroc),
        "macro_auprc": float(auprc),
        "calibration_error": calibration_error(probabilities, targets),
        "n": len(targets),
        "f1": dict(zip(classes, f1.tolist(), strict=True)),
        "support": dict(zip(classes, support.tolist(), strict=True)),
    }


def f1_of_counts(hits: np.ndarray, support: np.ndarray, claims: np.ndarray) -> np.ndarray:
    """F1 of each class from its numbers of records.

    Parameters
    ----------
    hits, support, claims
        Records (or their weights) of the class that are predicted right, all of the class, and all
        that are predicted to be of it; of one shape.

    Returns
    -------
    np.ndarray
        Of that shape; NaN for a class without a record.

    Examples
    --------
    >>> f1_of_counts(np.array([2, 0]), np.array([4, 0]), np.array([2, 2]))
    array([0.66666667,        nan])
    """
    return np.where(support > 0, 2 * hits / np.maximum(support + claims, 1), np.nan)


def mean_over_classes(values: np.ndarray) -> np.ndarray:
    """The macro average: mean over the last axis of what is defined there; NaN where nothing is."""
    defined = np.isfinite(values)
    count = defined.sum(axis=-1)
    total = np.where(defined, values, 0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def calibration_error(probabilities: np.ndarray, targets: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over equal-width bins.

    Guo et al. 2017 (arXiv 1706.04599); bins of the largest probability of each row, weighted by
    their records.
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == targets
    # Bins are open on the left, (0, 1/15], (1/15, 2/15], ..., as in the source.
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(which, confidence - correct, minlength=bins)
    return float(np.abs(gap).sum() / len(targets))


def _ranking_scores(score: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """AUROC and average precision of one class against the rest; ties count half, as one step."""
    order = np.argsort(-score, kind="stable")
    step = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    true = np.cumsum(positive[order])[step]  # positives at or above each distinct threshold
    false = step + 1 - true
    precision = np.sum(np.diff(true, prepend=0) * true / (step + 1)) / true[-1]
    if not false[-1]:
        return np.nan, float(precision)
    area = np.trapezoid(np.append(0, true), np.append(0, false)) / (true[-1] * false[-1])
    return float(area), float(precision)
