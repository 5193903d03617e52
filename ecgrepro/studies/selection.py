"""Which records an arm is given: of a pool those that are kept, and as many as it asks for."""

import math

import numpy as np

from ecgrepro.closeness.metrics.privacy import authentic
from ecgrepro.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.studies.classifiers import real_classifier
from ecgrepro.studies.synthesis import synthetic_pool
from ecgrepro.workflow.run import Run

CONFIDENT, AUTHENTIC = "confident", "authentic"
SURE = 0.8  # least probability of its own rhythm that a confident record has


def kept_pool(
    run: Run, hospital: str, generator: str, guidance: float | None = None, keep: str = ""
) -> Cohort:
    """The synthetic pool of a generator of a hospital, or the part of it that is kept.

    ``keep``: all records; `CONFIDENT`, those that the classifier of the hospital's real training
    records gives at least `SURE` of their own rhythm; or `AUTHENTIC`, those that lie no nearer to
    a training record than other training records do, in that classifier's embedding. Whoever makes
    the pool can tell, without a test record. Of each rhythm the best tenth stays in any case.
    """
    pool = synthetic_pool(run, hospital, generator, guidance)
    if not keep:
        return pool
    judge = real_classifier(run, hospital)
    if keep == CONFIDENT:
        score = judge.predict_proba(pool)[np.arange(len(pool)), pool.targets]
        return pool.select(best(score, SURE, pool.targets))
    real = judge.embed(run.splits(hospital)["train"])
    return pool.select(best(authentic(real, judge.embed(pool)), True, pool.targets))


def best(score: np.ndarray, least: float, targets: np.ndarray) -> np.ndarray:
    """Which records have at least the score ``least``, or are of their class's best tenth."""
    kept = score >= least
    for target in np.unique(targets):
        rows = np.flatnonzero(targets == target)
        first = rows[np.argsort(-score[rows].astype(float), kind="stable")]
        kept[first[: math.ceil(len(rows) / 10)]] = True
    return kept


def oversampled(train: Cohort, seed: int) -> Cohort:
    """The records, and of each rhythm random ones again until it is as common as the commonest."""
    rng, most = np.random.default_rng(seed), max(train.counts().values())
    rhythm = train.table["rhythm"].to_numpy()
    rows = [np.arange(len(train))]
    for code, n in train.counts().items():
        if n:
            rows.append(rng.choice(np.flatnonzero(rhythm == code), most - n))
    return train.select(np.concatenate(rows))


def lacking(real: dict[str, int], pool: dict[str, int]) -> dict[str, int]:
    """How many records each rhythm lacks to the commonest, at most what the pool holds."""
    most = max(real.values())
    return {code: min(most - n, pool[code]) for code, n in real.items() if n}


def draw(pool: Cohort, counts: dict[str, int], ratio: float) -> Cohort:
    """The first ``ratio * count`` records of each rhythm; a pool with fewer raises."""
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
