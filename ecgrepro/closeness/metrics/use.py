"""What classifiers say: the rhythm that they read, and whether a record is real."""

import numpy as np

from ecgrepro.closeness.metrics.frechet import checked_pair
from ecgrepro.errors import EcgreproError

FOLDS = 5


def reading_scores(asked: np.ndarray, read: np.ndarray) -> dict[str, float]:
    """Agreement of what a classifier reads with what was asked for, and macro-F1.

    ``rhythm_agreement``, the mean over rhythms of the share of their records that are read as such;
    ``macro_f1``, the mean of their F1, to which a rhythm that is read too often costs as well. Both
    in [0, 1] over the rhythms asked for; higher is closer. Blind to diversity.

    Parameters
    ----------
    asked, read
        Class indices, (records,).
    """
    if len(asked) != len(read) or not len(asked):
        raise EcgreproError(f"{len(asked)} records were asked for and {len(read)} read")
    classes = int(max(np.max(asked), np.max(read))) + 1
    support, claims, hits = (
        np.bincount(x, minlength=classes) for x in (asked, read, asked[asked == read])
    )
    there = support > 0
    return {
        "rhythm_agreement": float((hits[there] / support[there]).mean()),
        "macro_f1": float((2 * hits[there] / (support + claims)[there]).mean()),
    }


def discriminator_scores(
    real: np.ndarray,
    synthetic: np.ndarray,
    *,
    patients: np.ndarray | None = None,
    synthetic_patients: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """How real each record looks to a logistic regression that was trained on the others.

    Scores (real,) and (synthetic,), from `FOLDS`-fold cross-validation; records of one patient
    are in one fold.

    Parameters
    ----------
    real, synthetic
        Embeddings of shape (records, dimensions), about as many of each.
    patients, synthetic_patients
        The patient of each record, if one has several; every record is its own without.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import, as are the next
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    real, synthetic = checked_pair(real, synthetic, ("real", "synthetic"), least=2 * FOLDS)
    n, x = len(real), np.concatenate([real, synthetic])
    y = np.repeat([1, 0], [n, len(synthetic)])
    first = _groups(patients, n, "real")
    groups = np.concatenate([first, n + _groups(synthetic_patients, len(synthetic), "synthetic")])
    scores = np.empty(len(x))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(x, y, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        scores[test] = model.fit(x[train], y[train]).decision_function(x[test])
    return scores[:n], scores[n:]


def _groups(patients: np.ndarray | None, n: int, name: str) -> np.ndarray:
    """The number of each record's patient, below ``n``."""
    groups = np.arange(n) if patients is None else np.unique(patients, return_inverse=True)[1]
    if len(groups) != n:
        raise EcgreproError(f"{len(groups)} patients for {n} {name} records")
    if len(np.unique(groups)) < FOLDS:
        raise EcgreproError(f"the {name} records are of fewer than {FOLDS} patients")
    return groups


def discriminator_auc(
    real: np.ndarray, synthetic: np.ndarray, *, patients: np.ndarray | None = None, seed: int = 0
) -> float:
    """Area under the ROC curve of telling real from synthetic: see `discriminator_scores`.

    0.5: it cannot; 1: always. Lower is closer; a little below 0.5 is chance. It sees what is linear
    in the embedding; copies look real to it.
    """
    from sklearn.metrics import roc_auc_score

    a, b = discriminator_scores(real, synthetic, patients=patients, seed=seed)
    return float(roc_auc_score(np.repeat([1, 0], [len(a), len(b)]), np.concatenate([a, b])))
