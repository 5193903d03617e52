"""Intervals over training seeds and test patients, and differences between arms.

Everything works on per-record class probabilities of shape (seeds, records, classes): the same
test records, in the same order, for every seed and every arm.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ecgrepro.errors import EcgreproError
from ecgrepro.studies.statistics.metrics import METRICS, Metric

# The least that the seeds' variance is taken to be, in parts of what patients alone make of it. By
# simulation: without a floor differences cover too little, with a whole they cover too much.
AGREEING = 1 / 3
CHUNK = 250  # resamples at once, so that their weights stay in the processor's cache


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Of a difference, ``p_value`` is two-sided, and ``effect`` is Cohen's d for pairs: the mean over
    seeds in units of their standard deviation; None for one seed, or if all seeds agree.
    """

    value: float
    low: float
    high: float
    seeds: int
    records: int | None = None
    patients: int | None = None
    p_value: float | None = None
    effect: float | None = None


def bootstrap_interval(
    targets: np.ndarray,
    probabilities: np.ndarray,
    metric: str | Metric = "macro_f1",
    *,
    patients: np.ndarray | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Mean of a metric over seeds, with its hierarchical bootstrap interval.

    The two sources of chance are crossed: every seed is tested on the same patients.

    - Patients are resampled with replacement, all records of a patient together, the same for
      every seed.
    - Seeds are too few to be resampled: three drawn with replacement understate their variance
      by a third and know no tails (where seeds dominate, the "95 %" interval covered 75 % in
      simulation with three seeds, 84 % with five). Each resample instead adds a draw from
      Student's t with ``seeds - 1`` degrees of freedom, scaled to the seeds' standard error.
    - Seeds also differ because each errs on other patients. That part is in the spread between
      seeds already, so the patients' deviations are shrunk to what all seeds share, and the spread
      is taken to be a third of that part at least (`AGREEING`).

    The deviations are centred on the value from all records, and those of patients are expanded as
    Student's interval is wider than the normal one (Hesterberg 2015): few patients understate
    their own spread.

    With one seed the interval covers the choice of patients only; ``seeds`` says so.

    Parameters
    ----------
    targets
        Class index of each record, shape (records,).
    probabilities
        Shape (seeds, records, classes).
    metric
        A name in `METRICS`, or a function like those.
    patients
        Patient of each record, shape (records,); by default every record is its own patient.
    """
    (one,), facts, rng = _resampled(
        targets, {"arm": probabilities}, metric, patients, resamples, seed
    )
    return _estimate(*one, rng, level, difference=False, **facts)


def difference_interval(
    targets: np.ndarray,
    arm: np.ndarray,
    baseline: np.ndarray,
    metric: str | Metric = "macro_f1",
    *,
    patients: np.ndarray | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Arm minus baseline, paired by test patient and by seed, as in `bootstrap_interval`.

    Seed number i of one arm is paired with seed number i of the other: give both the same seeds
    in the same order. The p-value tests a difference of zero and agrees with the interval.
    """
    rows = compare_arms(
        targets,
        {"arm": arm, "baseline": baseline},
        "baseline",
        metric,
        patients=patients,
        resamples=resamples,
        seed=seed,
        level=level,
    )
    return rows["arm"][0]


def compare_arms(
    targets: np.ndarray,
    arms: Mapping[str, np.ndarray],
    baseline: str,
    metric: str | Metric = "macro_f1",
    *,
    patients: np.ndarray | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[Estimate, float]]:
    """Every arm against one: its `difference_interval`, and its p-value corrected over the family.

    Parameters
    ----------
    arms
        Probabilities of each arm, shape (seeds, records, classes), the baseline among them.

    Returns
    -------
    dict
        For each arm but the baseline: the estimate and Holm's adjusted p-value.
    """
    if baseline not in arms:
        raise EcgreproError(f"no arm {baseline!r}: choose one of {', '.join(map(repr, arms))}")
    found, facts, rng = _resampled(targets, arms, metric, patients, resamples, seed)
    by_name = dict(zip(arms, found, strict=True))
    base_values, base_draws = by_name.pop(baseline)
    estimates = {
        name: _estimate(
            values - base_values, draws - base_draws, rng, level, difference=True, **facts
        )
        for name, (values, draws) in by_name.items()
    }
    adjusted = holm([e.p_value for e in estimates.values() if e.p_value is not None])
    return {n: (e, float(p)) for (n, e), p in zip(estimates.items(), adjusted, strict=True)}


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's (1979) step-down adjusted p-values, in the order given.

    Rejecting where the adjusted value is at most alpha keeps the chance of any false rejection in
    the family at alpha, however the tests depend on each other.
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise EcgreproError(f"p-values must lie between 0 and 1, got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _resampled(
    targets: np.ndarray,
    arms: Mapping[str, np.ndarray],
    metric: str | Metric,
    patients: np.ndarray | None,
    resamples: int,
    seed: int,
) -> tuple[list[tuple[np.ndarray, np.ndarray]], dict[str, int], np.random.Generator]:
    """For each arm the metric per seed (seeds,) and per resample of patients (resamples, seeds)."""
    if isinstance(metric, str):
        if metric not in METRICS:
            raise EcgreproError(f"unknown metric {metric!r}: choose one of {', '.join(METRICS)}")
        metric = METRICS[metric]
    if resamples < 100:
        raise EcgreproError(f"resamples must be at least 100, not {resamples}")
    targets, stacks, patient = _checked(targets, arms, patients)
    rng = np.random.default_rng(seed)
    once = np.ones((1, len(targets)))
    values = [np.concatenate([metric(targets, run, once) for run in runs]) for runs in stacks]
    draws = [np.empty((resamples, len(runs))) for runs in stacks]
    for start, weights in _patient_weights(patient, resamples, rng):
        for runs, draw in zip(stacks, draws, strict=True):
            for s, run in enumerate(runs):
                draw[start : start + len(weights), s] = metric(targets, run, weights)
    for name, value in zip(arms, values, strict=True):
        if not np.isfinite(value).all():
            raise EcgreproError(f"the metric of {name!r} is not defined on these test records")
    facts = {"records": len(targets), "patients": int(patient.max()) + 1}
    return list(zip(values, draws, strict=True)), facts, rng


def _patient_weights(
    patient: np.ndarray, resamples: int, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray]]:
    """How often each record counts, in chunks of resamples: (first resample, (chunk, records))."""
    n = int(patient.max()) + 1
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        yield start, times[:, patient].astype(np.float64)


def _estimate(
    values: np.ndarray,
    draws: np.ndarray,
    rng: np.random.Generator,
    level: float,
    *,
    records: int,
    patients: int,
    difference: bool,
) -> Estimate:
    """Interval from the values per seed (seeds,) and the patient resamples (resamples, seeds)."""
    draws = draws[np.isfinite(draws).all(axis=1)]  # a resample may lack all classes but one
    seeds, value = len(values), float(values.mean())
    pooled = draws.mean(axis=1)
    deviation = _expansion(patients, level) * (pooled - pooled.mean())
    if seeds > 1:
        own = draws - pooled[:, None]
        interaction = own.var(axis=0).sum() / (seeds - 1) / seeds  # variance in the mean of seeds
        error = values.std(ddof=1) / np.sqrt(seeds)
        # Seeds that agree by chance must not hide that they differ: they do with patients at least.
        error = np.sqrt(max(error**2, AGREEING * interaction))
        shared = np.sqrt(max(0.0, 1 - interaction / max(deviation.var(), 1e-300)))
        deviation = shared * deviation + rng.standard_t(seeds - 1, len(pooled)) * error
    pooled = value + deviation
    # Weibull's quantiles leave out as much as they say, however few resamples there are.
    low, high = np.quantile(pooled, [(1 - level) / 2, (1 + level) / 2], method="weibull")
    p_value = effect = None
    if difference:
        spread = values.std(ddof=1) if seeds > 1 else 0.0
        effect = value / float(spread) if spread > 1e-12 else None
        tail = min((pooled <= 0).sum(), (pooled >= 0).sum())
        p_value = min(1.0, 2 * float(tail + 1) / (len(pooled) + 1))
    low, high = np.clip([low, high], -1.0 if difference else 0.0, 1.0)
    return Estimate(value, float(low), float(high), seeds, records, patients, p_value, effect)


def _expansion(patients: int, level: float) -> float:
    """By how much deviations of a bootstrap over so many patients are too small."""
    if patients < 2:
        return 1.0
    tail = (1 + level) / 2
    wider = special.stdtrit(patients - 1, tail) / special.ndtri(tail)
    return float(wider * np.sqrt(patients / (patients - 1)))


def _checked(
    targets: np.ndarray, arms: Mapping[str, np.ndarray], patients: np.ndarray | None
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Targets, the probabilities of each arm, and the patient number of each record."""
    targets = np.asarray(targets)
    if targets.ndim != 1 or len(targets) == 0 or targets.dtype.kind not in "iu":
        raise EcgreproError(
            "targets must be class indices of shape (records,), not "
            f"{targets.dtype} of shape {targets.shape}"
        )
    stacks = {name: np.asarray(stack, np.float64) for name, stack in arms.items()}
    shape = next(iter(stacks.values())).shape
    for name, stack in stacks.items():
        if stack.ndim != 3 or stack.shape[1] != len(targets) or 0 in stack.shape:
            raise EcgreproError(
                f"the probabilities of {name!r} must have shape (seeds, {len(targets)} records, "
                f"classes), not {stack.shape}"
            )
        if stack.shape != shape:
            raise EcgreproError(
                f"arms are compared over the same seeds and classes, but {name!r} has shape "
                f"{stack.shape} and another {shape}"
            )
        if not np.isfinite(stack).all() or stack.min() < 0 or stack.max() > 1 + 1e-6:
            raise EcgreproError(f"the probabilities of {name!r} are not all between 0 and 1")
    if targets.min() < 0 or targets.max() >= shape[2]:
        raise EcgreproError(
            f"targets run from {targets.min()} to {targets.max()}, but there are {shape[2]} classes"
        )
    own = np.arange(len(targets)) if patients is None else np.asarray(patients)
    if own.shape != targets.shape:
        raise EcgreproError(f"{own.shape} patients for {len(targets)} records")
    return targets, list(stacks.values()), np.unique(own, return_inverse=True)[1]
