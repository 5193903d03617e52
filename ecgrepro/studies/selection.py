"""Which records an arm is trained on: fractions of real records, filtered pools, mixtures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecgrepro.closeness.metrics.privacy import authentic
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.studies.arms import CONFIDENT, OVERSAMPLING, Arm

if TYPE_CHECKING:
    from ecgrepro.classifier.classifier import Classifier

CONFIDENCE = 0.8  # least probability of its own rhythm that a confident record has


@dataclass(frozen=True)
class Source:
    """A pool of synthetic records that an arm draws from.

    Attributes
    ----------
    pool
        Synthetic records of one hospital's generator, filtered already.
    real
        Real training records of the hospital by rhythm, which ``ratio`` refers to.
    balance
        Real records by rhythm that a balanced arm fills up.
    """

    pool: Cohort
    real: dict[str, int]
    balance: dict[str, int]


def training_set(
    arm: Arm, real: Cohort | None, sources: Sequence[Source], name: str, seed: int
) -> Cohort:
    """The records that an arm is trained on.

    Parameters
    ----------
    real
        The fraction of the real training records that there is; None for none.
    sources
        One for each hospital whose generator adds records; empty for an arm without any.
    name
        Of the mixture.
    seed
        Of oversampling.
    """
    if arm.control == OVERSAMPLING or not arm.generator:
        assert real is not None, f"{arm.name} has no records to train on"
        return oversample(real, seed) if arm.control == OVERSAMPLING else real
    added = [_added(arm, source) for source in sources]
    return Cohort.concat([real, *added] if real else added, name=name)


def _added(arm: Arm, source: Source) -> Cohort:
    available = source.pool.counts()
    if arm.balanced:
        return draw(source.pool, missing_counts(source.balance, available), 1.0)
    if arm.keep:  # what a filter leaves of the pool may be fewer
        wanted = {code: round(arm.ratio * n) for code, n in source.real.items() if n}
        return draw(source.pool, {c: min(n, available[c]) for c, n in wanted.items()}, 1.0)
    return draw(source.pool, source.real, arm.ratio)


def subsample_patients(train: Cohort, fraction: float, seed: int) -> Cohort:
    """A fraction of the patients of each rhythm, at least one each; larger contain smaller ones.

    A patient is kept or left out with all records, and counted under the rhythm of the first.
    """
    if fraction == 1:
        return train
    patients = train.table.groupby("patient_id", sort=False)["rhythm"].first()
    order = patients.sample(frac=1, random_state=np.random.default_rng(seed))
    rank = order.groupby(order).cumcount()
    size = order.groupby(order).transform("size")
    chosen = order[rank < np.maximum(1, np.round(fraction * size))].index
    return train.select(train.table["patient_id"].isin(chosen).to_numpy())


def hold_out_last(pool: Cohort) -> tuple[Cohort, Cohort]:
    """A pool without the last tenth of each rhythm, and that tenth."""
    rank = pool.table.groupby("rhythm").cumcount(ascending=False)
    size = pool.table.groupby("rhythm")["rhythm"].transform("size")
    held_out = (rank < np.ceil(size / 10)).to_numpy()
    return pool.select(~held_out), pool.select(held_out)


def filter_pool(pool: Cohort, keep: str, judge: Classifier, train: Cohort) -> Cohort:
    """The records of a pool that a filter keeps; of each rhythm the best tenth in any case.

    Whoever makes the pool can apply the filter: it uses no validation or test record.

    Parameters
    ----------
    keep
        `CONFIDENT`: records to which ``judge`` gives at least `CONFIDENCE` of their own rhythm.
        `AUTHENTIC`: records that lie no nearer to a training record, in the embedding of ``judge``,
        than other training records do.
    judge
        A classifier of the hospital's real training records.
    train
        Those records.
    """
    if keep == CONFIDENT:
        score = judge.predict_proba(pool)[np.arange(len(pool)), pool.targets]
        return pool.select(at_least(score, CONFIDENCE, pool.targets))
    real = judge.embed(train)
    return pool.select(at_least(authentic(real, judge.embed(pool)), True, pool.targets))


def at_least(score: np.ndarray, least: float, targets: np.ndarray) -> np.ndarray:
    """Mask of the records that score at least ``least`` or are among their class's best tenth."""
    kept = score >= least
    for target in np.unique(targets):
        rows = np.flatnonzero(targets == target)
        first = rows[np.argsort(-score[rows].astype(float), kind="stable")]
        kept[first[: math.ceil(len(rows) / 10)]] = True
    return kept


def oversample(train: Cohort, seed: int) -> Cohort:
    """All records, and random ones again until each rhythm is as frequent as the most common."""
    rng, most = np.random.default_rng(seed), max(train.counts().values())
    rhythm = train.table["rhythm"].to_numpy()
    rows = [np.arange(len(train))]
    for code, n in train.counts().items():
        if n:
            rows.append(rng.choice(np.flatnonzero(rhythm == code), most - n))
    return train.select(np.concatenate(rows))


def missing_counts(real: dict[str, int], pool: dict[str, int]) -> dict[str, int]:
    """How many records each rhythm lacks to the most common one, at most what the pool holds."""
    most = max(real.values())
    return {code: min(most - n, pool[code]) for code, n in real.items() if n}


def draw(pool: Cohort, counts: dict[str, int], ratio: float) -> Cohort:
    """The first ``ratio * count`` records of each rhythm.

    Raises
    ------
    EcgreproError
        The pool has fewer records of a rhythm, or nothing would be drawn.
    """
    rhythm = pool.table["rhythm"].to_numpy()
    chosen = []
    for code, count in counts.items():
        wanted = round(ratio * count)
        found = np.flatnonzero(rhythm == code)
        if len(found) < wanted:
            raise EcgreproError(
                f"the pool {pool.name!r} has {len(found)} records of {code}, {wanted} are needed"
            )
        chosen.append(found[:wanted])
    which = np.sort(np.concatenate(chosen))
    if not len(which):
        raise EcgreproError(f"nothing to draw from the pool {pool.name!r} at ratio {ratio:g}")
    return pool.select(which)


def first_of_each(cohort: Cohort, n: int) -> Cohort:
    """The first ``n`` records of each rhythm, or as many as the rarest of them has."""
    n = min(n, *(count for count in cohort.counts().values() if count))
    return cohort.select((cohort.table.groupby("rhythm").cumcount() < n).to_numpy())


def in_real_mix(
    pool: Cohort, train: Cohort, largest_ratio: float, most: int | None = None
) -> Cohort:
    """Synthetic records in the training records' mix of rhythms.

    Parameters
    ----------
    largest_ratio
        The most synthetic records that the pool has for each training record; one is enough.
    most
        Upper limit of the number of records.
    """
    fraction = min(1.0, largest_ratio)
    if most is not None:
        fraction = min(fraction, most / len(train))
    return draw(pool, train.counts(), fraction)
