"""The metrics of `ecgrepro.classifier.scores` over weighted records, for many resamples at once."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import sparse

from ecgrepro.classifier.scores import f1_of_counts, mean_over_classes

BINS = 15  # of confidence, for the calibration error

# A metric: (targets (n,), probabilities (n, classes), weights (resamples, n)) -> (resamples,).
# A record of weight w counts as w records.
Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def accuracy(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of records whose most probable class is right."""
    right = probabilities.argmax(axis=1) == targets
    return weights @ right / weights.sum(axis=1)


def balanced_accuracy(
    targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Mean recall of the classes that have records."""
    table = _confusion(targets, probabilities, weights)
    return mean_over_classes(_ratio(np.diagonal(table, axis1=1, axis2=2), table.sum(axis=2)))


def macro_f1(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that have records."""
    return mean_over_classes(class_f1(targets, probabilities, weights))


def class_f1(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 of every class, shape (resamples, classes); NaN for a class without a record."""
    table = _confusion(targets, probabilities, weights)
    true, predicted = table.sum(axis=2), table.sum(axis=1)
    hits = np.diagonal(table, axis1=1, axis2=2)
    return f1_of_counts(hits, true, predicted)


def macro_auroc(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean one-against-rest area under the ROC curve of the classes that have records."""
    areas = []
    for positives, negatives in _curves(targets, probabilities, weights):
        area = ((positives[:, 1:] + positives[:, :-1]) * np.diff(negatives)).sum(axis=1) / 2
        areas.append(_ratio(area, positives[:, -1] * negatives[:, -1]))
    return mean_over_classes(np.stack(areas, axis=1))


def macro_auprc(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean one-against-rest average precision of the classes that have records."""
    areas = []
    for positives, negatives in _curves(targets, probabilities, weights):
        precision = positives[:, 1:] / np.maximum(positives[:, 1:] + negatives[:, 1:], 1)
        area = (np.diff(positives) * precision).sum(axis=1)
        areas.append(_ratio(area, positives[:, -1]))
    return mean_over_classes(np.stack(areas, axis=1))


def calibration_error(
    targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Expected calibration error of the most probable class, `BINS` bins of equal width.

    Guo et al. 2017. In [0, 1], lower is better.
    """
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = (probabilities.argmax(axis=1) == targets) - confidence
    per_bin = sparse.csr_array((gap, (bins, np.arange(len(bins)))), shape=(BINS, len(bins)))
    return np.abs(per_bin @ weights.T).sum(axis=0) / weights.sum(axis=1)


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "macro_auroc": macro_auroc,
    "macro_auprc": macro_auprc,
    "calibration_error": calibration_error,
}


def _confusion(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted confusion tables, shape (resamples, true class, predicted class)."""
    n, classes = probabilities.shape
    cell = targets * classes + probabilities.argmax(axis=1)
    # One weighted bincount per resample, all at once: a product with a 0-1 matrix of n ones.
    place = sparse.csr_array((np.ones(n), (cell, np.arange(n))), shape=(classes**2, n))
    return (place @ weights.T).T.reshape(len(weights), classes, classes)


def _curves(
    targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Per class that has records: positives and negatives above each threshold, from none to all.

    Each of shape (resamples, distinct scores + 1).
    """
    for c in np.unique(targets):
        order = np.argsort(-probabilities[:, c], kind="stable")
        last = np.append(np.diff(probabilities[order, c]) != 0, True)  # of a run of equal scores
        sorted_weights, positive = weights[:, order], targets[order] == c
        yes, no = (
            np.pad(np.cumsum(sorted_weights * side, axis=1)[:, last], ((0, 0), (1, 0)))
            for side in (positive, ~positive)
        )
        yield yes, no


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
