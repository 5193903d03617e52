"""All metrics of a synthetic cohort at once, with floors, intervals and rhythms."""

import time
from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ecgrepro.closeness.catalogue import FAMILIES, METRICS
from ecgrepro.closeness.families import (
    Embedded,
    Heart,
    Privacy,
    Signals,
    Use,
    Warping,
    lacking_heart,
    lacking_residual,
)
from ecgrepro.closeness.intervals import Budget, Sampling, Work, rows_of, without_value
from ecgrepro.closeness.matching import (
    SETS,
    TEST,
    check_comparable,
    check_finite,
    draw,
    matched_counts,
    privacy_draw,
)
from ecgrepro.closeness.metrics.dtw import dtw_distances
from ecgrepro.closeness.metrics.frechet import checked_embedding
from ecgrepro.closeness.metrics.heart import measures
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.support.results import Result

FEWEST = 20  # records of a rhythm in the smallest set, for metrics on neighbours
FEW = 10  # the same for all others


def compare(
    real_train: Cohort,
    real_test: Cohort,
    synthetic: Cohort,
    *,
    embed: Callable[[Cohort], np.ndarray],
    predict: Callable[[Cohort], np.ndarray] | None = None,
    measure: Callable[[Cohort], pd.DataFrame] | None = None,
    families: Iterable[str] = tuple(FAMILIES),
    by_rhythm: bool = True,
    k: int = 5,
    budget: Budget | None = None,
    seed: int = 0,
) -> list[Result]:
    """Closeness of a synthetic to a real cohort: every metric with its floor, by rhythm too.

    Every value compares the synthetic records with ``real_test``; its floor compares
    ``real_train`` with the same ``real_test`` records: what a perfect generator would get. The
    three sets are drawn to the same number of records of each rhythm (the smallest of the three),
    so neither size nor class mix can differ. A rhythm that one set lacks is therefore in none of
    the overall values; it is reported as too few. Three floors are of another kind: what the
    detector and the classifier make of the real test records (failures, agreement, macro-F1), and,
    for the family privacy, what one half of the test patients get as if they were synthetic, with
    the other half held out. Privacy is judged on all training records, since a copy may be of any.
    The floor is a little lenient where the classifier that embeds was trained on ``real_train``:
    it knows those records, as it would not know a perfect generator's.

    **Intervals** (95 %) come from half-sampling, the delete-half jackknife (Shao & Wu 1989): each
    resample takes half of every set *without* replacement, by patient, within each rhythm. A
    bootstrap with replacement would be wrong here: its duplicates lie at distance zero, which
    shrinks every k-nearest-neighbour ball, and its fewer distinct records inflate the Fréchet
    distance. A half-sample has its own sample-size bias, so only the spread of the resamples
    around their mean is used, centred on the value from all records; half-sampling is the choice
    for which that spread needs no rescaling. The interval is for the metric's expectation at this
    set size. For the Fréchet distance and MMD² of two sets from one distribution (a good floor),
    the spread is overstated by up to two times: the interval errs on the wide side. A share of none
    or all, which does not vary, has Wilson's bound. The discriminator is not trained again in
    resamples, and nearest training records stay what they are.

    Parameters
    ----------
    real_train, real_test
        Real cohorts without a patient in common.
    synthetic
        The cohort to judge; same fs, leads, samples, units and label map.
    embed
        From a cohort to its embedding, shape (records, dimensions), by a classifier that never
        saw synthetic records: ``classifier.embed``.
    predict
        From a cohort to the rhythms that the same classifier reads, shape (records,):
        ``classifier.predict``. Without it, two metrics of the family use have no value.
    measure
        From a cohort to its `closeness.metrics.heart.measures`, which are computed without.
    families
        Some of `FAMILIES`.
    by_rhythm
        Each rhythm on its own, too.
    k
        Neighbours for precision, recall, density and coverage.

    Returns
    -------
    list of Result
        For each rhythm (empty first: all together) and metric of `METRICS` the value, and the same
        with ``comparison="floor"``; ``n`` is the number of records of the smallest set. Where there
        is no value, or no floor, one row says why in ``note``; so does what cannot be worked out in
        these records, unless nothing can: then it raises.
    """
    task = _Comparison(
        dict(zip(SETS, (real_train, real_test, synthetic), strict=True)),
        embed, predict, measure or _measured, _checked_neighbours(k), budget or Budget(), seed,
    )  # fmt: skip
    wanted = _checked_families(families)
    units = {name: (make, of.metrics) for name, (make, of) in _UNITS.items()
             if wanted & {METRICS[m].family for m in of.metrics}}  # fmt: skip
    rhythms: list[str | None] = [None, *task.base.rhythms] if by_rhythm else [None]
    found: dict[tuple[str | None, str], list[Result]] = {}
    # The matrices are small: more BLAS threads than one cost more than they bring.
    steps = len(units) * len(rhythms) * task.budget.resamples
    with (
        threadpool_limits(1, user_api="blas"),
        tqdm(total=steps, desc="closeness", disable=None) as bar,
    ):
        for name, (make, metrics) in units.items():
            bar.set_postfix_str(name)
            rng = np.random.default_rng([seed, 1 + list(_UNITS).index(name)])
            try:
                work = make(task, rng)
                sampling = Sampling(task.budget, len(rhythms), rng, bar)
                for rhythm in rhythms:
                    found |= rows_of(work, rhythm, sampling)
            except EcgreproError as error:
                if make is _Comparison.embedded or len(units) == 1:
                    raise
                found |= without_value(metrics, rhythms, task.base, str(error))
    names = [m for m in METRICS if METRICS[m].family in wanted]
    return [row for r in rhythms for name in names for row in found.get((r, name), [])]


class _Comparison:
    """The sets, and what is worked out of them for each unit of metrics."""

    def __init__(
        self,
        cohorts: dict[str, Cohort],
        embed: Callable[[Cohort], np.ndarray],
        predict: Callable[[Cohort], np.ndarray] | None,
        measure: Callable[[Cohort], pd.DataFrame],
        k: int,
        budget: Budget,
        seed: int,
    ):
        check_comparable(cohorts)
        self.cohorts, self.embed, self.predict, self.measure = cohorts, embed, predict, measure
        self.k, self.budget = k, budget
        self.least = max(FEWEST, 2 * (k + 1))  # half of a set must hold more than k records
        rng = np.random.default_rng(seed)
        counts = matched_counts(cohorts, budget.records)
        if (total := sum(counts.values())) < self.least:
            sizes = ", ".join(f"{name} ({len(cohort)} records)" for name, cohort in cohorts.items())
            raise EcgreproError(
                f"only {total} records per set are left once the rhythms of {sizes} are matched: "
                f"at least {self.least} are needed for k = {k}"
            )
        self.base = draw(cohorts, counts, rng)
        for name, cohort in self.base.cohorts.items():
            check_finite(cohort, name)

    @cached_property
    def embeddings(self) -> dict[str, np.ndarray]:
        found = {name: _embedded(self.embed, c, name) for name, c in self.base.cohorts.items()}
        if len({e.shape[1] for e in found.values()}) > 1:
            raise EcgreproError(
                "the embeddings differ in dimensions: "
                + ", ".join(f"{name} {e.shape[1]}" for name, e in found.items())
            )
        return found

    def embedded(self, rng: np.random.Generator) -> Work:
        return Work(self.base, Embedded(self.embeddings, self.k), self.least)

    def signals(self, rng: np.random.Generator) -> Work:
        one = self.base.cohorts[TEST]
        lacking = {"lead_residual": lacking_residual(one)}
        if len(one.leads) < 2:
            lacking["lead_correlation_distance"] = "there is only one lead"
        return Work(self.base, Signals(self.base), FEW, lacking)

    def warping(self, rng: np.random.Generator) -> Work:
        def pilot(cohort: Cohort) -> float:
            return _seconds(lambda: dtw_distances(cohort.signals, cohort.signals, cohort.fs)) / 16

        most = self.budget.dtw
        if self.budget.seconds:
            pair = pilot(self.base.cohorts[TEST].select(np.arange(4)))
            most = min(most, max(FEW, int(np.sqrt(self.budget.seconds / pair / 2))))
        few = self.base.fewer(most, rng)
        return Work(few, Warping(few), FEW)

    def heart(self, rng: np.random.Generator) -> Work:
        if reason := lacking_heart(self.base.cohorts[TEST]):
            return Work(self.base, None, FEW, dict.fromkeys(Heart.metrics, reason))
        most = self.budget.heart
        if self.budget.seconds:
            one = self.base.cohorts[TEST].select([0])
            self.measure(one)  # what is slow the first time
            most = min(most, max(FEW, int(self.budget.seconds / _seconds(self.measure, one) / 3)))
        few = self.base.fewer(most, rng)
        found = {name: self.measure(cohort) for name, cohort in few.cohorts.items()}
        return Work(few, Heart(found), FEW)

    def use(self, rng: np.random.Generator) -> Work:
        read, lacking = None, dict[str, str]()
        if self.predict is None:
            reason = "no classifier was given that reads rhythms"
            lacking = {"rhythm_agreement": reason, "trts": reason}
        else:
            read = {name: np.asarray(self.predict(c)) for name, c in self.base.cohorts.items()}
        one = {"trts": "F1 of a rhythm depends on records of the others, too"}
        return Work(self.base, Use(self.base, self.embeddings, read), FEW, lacking, one)

    def privacy(self, rng: np.random.Generator) -> Work:
        sets = privacy_draw(self.cohorts, self.base.rhythms, self.budget.records, rng)
        for name, cohort in sets.cohorts.items():
            check_finite(cohort, name)
        embeddings = {name: _embedded(self.embed, c, name) for name, c in sets.cohorts.items()}
        return Work(sets, Privacy(sets, embeddings), FEW)


# Units of work, and the classes that hold their metrics.
_UNITS = {
    "embeddings": (_Comparison.embedded, Embedded),
    "signals": (_Comparison.signals, Signals),
    "warping": (_Comparison.warping, Warping),
    "heart": (_Comparison.heart, Heart),
    "use": (_Comparison.use, Use),
    "privacy": (_Comparison.privacy, Privacy),
}


def _measured(cohort: Cohort) -> pd.DataFrame:
    return measures(cohort.signals, cohort.fs)


def _seconds(function: Callable[..., object], *given: object) -> float:
    began = time.perf_counter()
    function(*given)
    return max(time.perf_counter() - began, 1e-6)


def _checked_neighbours(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise EcgreproError(f"k is the number of neighbours, a whole number from 1, not {k!r}")
    return int(k)


def _checked_families(families: Iterable[str]) -> set[str]:
    families = set([families] if isinstance(families, str) else families)
    if unknown := sorted(families - set(FAMILIES)):
        raise EcgreproError(f"unknown family {unknown[0]!r}: choose from {', '.join(FAMILIES)}")
    if not families:
        raise EcgreproError(f"no family of metrics: choose from {', '.join(FAMILIES)}")
    return families


def _embedded(embed: Callable[[Cohort], np.ndarray], cohort: Cohort, name: str) -> np.ndarray:
    embedding = checked_embedding(embed(cohort), name)
    if len(embedding) != len(cohort):
        raise EcgreproError(f"embed gave {len(embedding)} rows for {len(cohort)} {name} records")
    return embedding
