"""Privacy: whether synthetic records give away the training records that they were learned from.

All work on distances between embeddings, or between signals flattened to (records, values), and
compare how near the synthetic records are to training records with how near they are to *held-out*
records of other patients. Without memorization the two are alike.
"""

from dataclasses import dataclass

import numpy as np

from ecgrepro.closeness.metrics.frechet import checked_embedding
from ecgrepro.closeness.metrics.prdc import distance_blocks, radii
from ecgrepro.errors import EcgreproError


def nearest_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distance of each of ``points`` (n, d) to the nearest of ``others`` (m, d), (n,)."""
    return nearest_of(points, others)[0]


def nearest_of(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each of ``points`` the distance to the nearest of ``others``, and its position."""
    found = [(b.min(axis=1), b.argmin(axis=1)) for _, b in distance_blocks(points, others)]
    distances, positions = zip(*found, strict=True)
    return np.concatenate(distances), np.concatenate(positions)


def distance_ratio(train: np.ndarray, held_out: np.ndarray, synthetic: np.ndarray) -> float:
    """Median distance of synthetic records to the nearest training over that to held-out records.

    In [0, ∞); 0 for copies; higher is safer. Without memorization it is 1 for as many training as
    held-out records, and below for more training records, since more records lie nearer: read it
    beside its floor, what real records of other patients get in place of the synthetic ones. It
    sees memorization by most synthetic records, not by a few: for those there is `near_copies`.

    Parameters
    ----------
    train, held_out, synthetic
        Shape (records, dimensions); held-out records are of other patients than those of ``train``.
    """
    train, held_out, synthetic = _checked(train, held_out, synthetic)
    near, far = (float(np.median(nearest_distances(synthetic, real))) for real in (train, held_out))
    if not far:
        raise EcgreproError(
            "more than half of the synthetic records are copies of held-out records: the ratio "
            "has no denominator (was the generator trained on them?)"
        )
    return near / far


@dataclass(frozen=True)
class NearCopies:
    """Which synthetic records lie nearer to a training record than nearly all held-out ones do."""

    near: np.ndarray  # bool, (synthetic records,)
    threshold: float

    @property
    def share(self) -> float:
        """About ``percentile / 100`` for a perfect generator."""
        return float(self.near.mean())


def near_copies(
    train: np.ndarray, held_out: np.ndarray, synthetic: np.ndarray, percentile: float = 1.0
) -> NearCopies:
    """Synthetic records that lie nearer to a training record than real ones do.

    Nearer than ``percentile`` of the held-out records' distances to their nearest training record.
    """
    train, held_out, synthetic = _checked(train, held_out, synthetic)
    if not 0 < percentile < 100:
        raise EcgreproError(f"the percentile must lie between 0 and 100, not {percentile!r}")
    threshold = float(np.percentile(nearest_distances(held_out, train), percentile))
    return NearCopies(nearest_distances(synthetic, train) < threshold, threshold)


def authenticity(train: np.ndarray, synthetic: np.ndarray) -> float:
    """Share of synthetic records that are authentic (Alaa et al. 2022, section 3.3).

    One is not, if it lies nearer to its nearest training record than that record lies to any other
    training record. In [0, 1]; 0 for copies. What real held-out records get is its floor: in many
    dimensions it can be anything from a half to one.
    """
    train, synthetic = _checked(train, synthetic)
    return float(authentic(train, synthetic).mean())


def authentic(train: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Which synthetic records count as authentic, bool (synthetic,); see `authenticity`."""
    own = radii(train, 1)
    found = []
    for _, block in distance_blocks(synthetic, train):
        nearest = block.argmin(axis=1)
        found.append(block[np.arange(len(block)), nearest] > own[nearest])
    return np.concatenate(found)


def membership_auc(
    train: np.ndarray,
    held_out: np.ndarray,
    synthetic: np.ndarray,
    *,
    train_patients: np.ndarray,
    held_out_patients: np.ndarray,
    resamples: int = 500,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Area under the ROC curve of guessing from the synthetic records who was trained on.

    The attack of Hilprecht et al. 2019 in its simplest form: a patient is the more suspect, the
    nearer one of their records lies to a synthetic one. 0.5: nothing to be learned; 1: all found
    out. A patient, not a record, is guessed, because it is a patient who has something to lose.

    Returns
    -------
    The area and its 95 % interval, from a bootstrap over patients.

    Parameters
    ----------
    train_patients, held_out_patients
        The patient of each record. No patient may be in both.
    """
    train, held_out, synthetic = _checked(train, held_out, synthetic)
    groups = []
    for real, patients, name in (
        (train, train_patients, "training"), (held_out, held_out_patients, "held-out")
    ):  # fmt: skip
        if len(patients) != len(real):
            raise EcgreproError(f"{len(patients)} patients for {len(real)} {name} records")
        names, index = np.unique(np.asarray(patients), return_inverse=True)
        nearest = np.full(len(names), np.inf)
        np.minimum.at(nearest, index, nearest_distances(real, synthetic))
        groups.append((set(names.tolist()), nearest))
    (members, inside), (others, outside) = groups
    if both := members & others:
        raise EcgreproError(f"patient {min(both)} is in training and in held-out records")
    rng = np.random.default_rng(seed)
    draws = [
        share_below(rng.choice(inside, len(inside)), rng.choice(outside, len(outside)))
        for _ in range(resamples)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return share_below(inside, outside), float(low), float(high)


def share_below(first: np.ndarray, second: np.ndarray) -> float:
    """Probability that one of ``first`` is smaller than one of ``second``; a tie counts half.

    The area under the ROC curve of telling them by a threshold.
    """
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, side="left")
    upto = np.searchsorted(ordered, first, side="right")
    return float(1 - (below + upto).mean() / (2 * len(second)))


def _checked(*sets: np.ndarray) -> list[np.ndarray]:
    names = ("training", "held-out", "synthetic") if len(sets) == 3 else ("training", "synthetic")
    checked = [checked_embedding(x, name) for x, name in zip(sets, names, strict=True)]
    widths = [x.shape[1] for x in checked]
    if len(set(widths)) > 1:
        raise EcgreproError(f"the sets differ in dimensions: {', '.join(map(str, widths))}")
    return checked
