"""How good a generator's records are: rhythm, heart rate, use for training, copies, distance, cost.

Every measure is of the pool that the rest of the study uses (`synthetic_pool`), never of records
chosen for it, and stands beside the same measure of real records.
"""

from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pandas as pd
from scipy import stats

from ecgrepro.classifier.classifier import Classifier
from ecgrepro.closeness.metrics.privacy import near_copies
from ecgrepro.cohort import Cohort
from ecgrepro.cohort.rpeaks import rates_and_variability
from ecgrepro.studies.arms import REAL as TRAINED_ON_REAL
from ecgrepro.studies.arms import Arm, run_arm
from ecgrepro.studies.classifiers import real_classifier
from ecgrepro.studies.experiments.closeness import FLOOR, closeness_results
from ecgrepro.studies.scoring import patients_of
from ecgrepro.studies.selection import draw
from ecgrepro.studies.statistics.bootstrap import bootstrap_interval, difference_interval
from ecgrepro.studies.synthesis import synthetic_pool, trained_generator
from ecgrepro.support.results import Result
from ecgrepro.workflow.run import Run

REAL = "real"  # what a row with this comparison is of
SINUS = ("SB", "SR", "ST", "GSVT")  # rhythms that are told apart by their rate
COPY_PERCENTILE = 1.0  # of the real test records' distances to the nearest training record
LARGEST = 2000  # synthetic records that are searched for copies


def quality_results(run: Run, dataset: str, name: str) -> list[Result]:
    """Every measure of this module for a generator, the numbers of its page."""
    return [
        *rhythm_agreement(run, dataset, name),
        *heart_rate_results(run, dataset, name),
        *pace_results(run, dataset, name),
        *usefulness(run, dataset, name),
        *distance_results(run, dataset, name),
        *copies(run, dataset, name),
        *size(run, dataset, name),
    ]


def rhythm_agreement(run: Run, dataset: str, name: str) -> list[Result]:
    """Share of records in which the real-trained classifier reads the rhythm that was asked for.

    Of the first ``quality.per_class`` synthetic records of each rhythm (as many of each); and of
    all real test records, where the overall value is the mean over rhythms too. Intervals are
    Wilson's.
    """
    judge = real_classifier(run, dataset)
    pool = synthetic_pool(run, dataset, name)
    return agreement(
        judge, first_of_each(pool, run.profile.quality.per_class), dataset=dataset, generator=name
    ) + agreement(
        judge, run.splits(dataset)["test"], dataset=dataset, generator=name, comparison=REAL
    )


def agreement(judge: Classifier, cohort: Cohort, **keys) -> list[Result]:
    """Agreement of ``judge`` with the labels of ``cohort``: the mean over rhythms, and each."""
    right = judge.predict(cohort) == cohort.table["rhythm"].to_numpy()
    by_rhythm = {
        code: right[(cohort.table["rhythm"] == code).to_numpy()]
        for code, n in cohort.counts().items()
        if n
    }
    mean = float(np.mean([hits.mean() for hits in by_rhythm.values()]))
    bounds = wilson(mean * len(right), len(right))
    rows = [Result("rhythm_agreement", mean, *bounds, n=len(right), **keys)]
    for code, hits in by_rhythm.items():
        bounds = wilson(hits.sum(), len(hits))
        rows.append(
            Result("rhythm_agreement", hits.mean(), *bounds, n=len(hits), rhythm=code, **keys)
        )
    return rows


def heart_rate_results(run: Run, dataset: str, name: str) -> list[Result]:
    """Median heart rate and RR variability of each rhythm, and how often the detector fails.

    Real are all recordings of the hospital. ``heart_rate_gap`` is synthetic minus real; without a
    rhythm it is the largest absolute gap among the rhythms that are told apart by rate.
    ``detector_failures`` are of synthetic records in the real mix of rhythms; their ratio to the
    real ones counts at least one real failure, so that it always exists.
    """
    keys = {"dataset": dataset, "generator": name}
    real, pool = run.cohort(dataset), synthetic_pool(run, dataset, name)
    rows, gaps = [], []
    for code, n in pool.counts().items():
        if not n:
            continue
        medians = {}
        for cohort, comparison in ((pool, ""), (real, REAL)):
            of_rhythm = (cohort.table["rhythm"] == code).to_numpy()
            where = {**keys, "rhythm": code, "comparison": comparison}
            for metric, values in zip(
                ("heart_rate", "rr_variability"), heart(run, dataset, cohort), strict=True
            ):
                found = values[of_rhythm & np.isfinite(values)]
                median = float(np.median(found)) if len(found) else None
                rows.append(Result(metric, median, *median_bounds(found), n=len(found), **where))
                medians[metric, comparison] = median
        here, there = medians["heart_rate", ""], medians["heart_rate", REAL]
        if here is not None and there is not None:
            rows.append(Result("heart_rate_gap", here - there, rhythm=code, **keys))
        if code in SINUS:  # a rhythm that the detector never finds is not near the real one
            gaps.append(np.inf if here is None or there is None else abs(here - there))
    rows.append(Result("heart_rate_gap", max(gaps, default=None), **keys))
    return rows + _failures(run, dataset, name, keys)


def _failures(run: Run, dataset: str, name: str, keys: dict) -> list[Result]:
    rows = []
    for cohort, comparison in ((in_real_mix(run, dataset, name), ""), (run.cohort(dataset), REAL)):
        failed = np.isnan(heart(run, dataset, cohort)[0])
        bounds = wilson(failed.sum(), len(failed))
        rows.append(
            Result("detector_failures", failed.mean(), *bounds, n=len(failed),
                   comparison=comparison, **keys)
        )  # fmt: skip
    least = max(rows[1].value, 1 / rows[1].n)
    scaled = (x / least for x in (rows[0].value, rows[0].low, rows[0].high))
    return [*rows, Result("failures_over_real", *scaled, n=rows[0].n, **keys)]


def heart(run: Run, dataset: str, cohort: Cohort) -> tuple[np.ndarray, np.ndarray]:
    """Heart rates and RR variability of a cohort's records, NaN where the detector fails."""

    def make(folder):
        found = rates_and_variability(cohort.signals, cohort.fs)
        np.save(folder / "heart.npy", np.stack(found))

    made_from = {"cohort": cohort.fingerprint, "neurokit2": version("neurokit2")}
    code = ["ecgrepro.cohort.rpeaks.rates_and_variability"]
    place = run.artifact("heart", dataset, made_from, code, make)
    rates, variability = np.load(place / "heart.npy")
    return rates, variability


def asked_rates(run: Run, dataset: str, name: str) -> pd.DataFrame | None:
    """Of each record of the pool ``rhythm``, and heart rates ``asked`` for and ``found``.

    Only records in which both are known; None for a generator that is not told a pace.
    """
    model = trained_generator(run, dataset, name)
    if not getattr(model.settings, "pace", False):
        return None
    pool = synthetic_pool(run, dataset, name)
    counts = {code: n for code, n in pool.counts().items() if n}
    columns = {
        "rhythm": pool.table["rhythm"].to_numpy(),
        "asked": model.asked_rates(counts, seed=run.profile.pool.seed),
        "found": heart(run, dataset, pool)[0],
    }
    return pd.DataFrame(columns).dropna()


def pace_results(run: Run, dataset: str, name: str) -> list[Result]:
    """How far a sample's heart rate lies from the one asked for: the median, in beats a minute."""
    rates = asked_rates(run, dataset, name)
    if rates is None or rates.empty:
        return []
    apart = (rates["found"] - rates["asked"]).abs().to_numpy()
    bounds = median_bounds(apart)
    keys = {"dataset": dataset, "generator": name}
    return [Result("rate_error", float(np.median(apart)), *bounds, n=len(apart), **keys)]


def usefulness(run: Run, dataset: str, name: str) -> list[Result]:
    """Macro-F1 on real test records of classifiers trained on synthetic records only (TSTR).

    As many synthetic as real training records, in the same mix of rhythms, with the same updates.
    As in every arm of the study, the weights kept are those that are best on the real validation
    records. Beside it the classifiers trained on real records (TRTR), and the ratio of the two,
    whose interval is that of their paired difference.
    """
    test, keys = run.splits(dataset)["test"], {"dataset": dataset, "generator": name}
    seeds = run.profile.seeds[: run.profile.quality.seeds]
    only = Arm(f"{name} only", name, ratio=1), 0.0
    synthetic, real = (
        np.stack([run_arm(run, dataset, arm, seed, fraction).test for seed in seeds])
        for arm, fraction in (only, (Arm(TRAINED_ON_REAL), 1.0))
    )
    settings = {"patients": patients_of(test), "resamples": run.profile.resamples}
    tstr = bootstrap_interval(test.targets, synthetic, "macro_f1", **settings)
    trtr = bootstrap_interval(test.targets, real, "macro_f1", **settings)
    gap = difference_interval(test.targets, synthetic, real, "macro_f1", **settings)
    ratio = [1 + x / trtr.value for x in (gap.value, gap.low, gap.high)]
    return [
        Result("tstr", tstr.value, tstr.low, tstr.high, len(test), **keys),
        Result("tstr", trtr.value, trtr.low, trtr.high, len(test), comparison=REAL, **keys),
        Result("tstr_over_trtr", *ratio, n=len(test), **keys),
    ]


def trained_on_synthetic(run: Run, dataset: str, name: str) -> list[Result]:
    """TSTR beside its floor, TRTR: the rows of `usefulness` that stand among the closeness."""
    rows = [row for row in usefulness(run, dataset, name) if row.metric == "tstr"]
    return [replace(row, comparison=FLOOR if row.comparison else "") for row in rows]


def distance_results(run: Run, dataset: str, name: str) -> list[Result]:
    """Fréchet distance to real test records, over its floor, and coverage: all rhythms together.

    The interval of the ratio is that of the distance; the floor is taken as it is.
    """
    rows = [row for row in closeness_results(run, dataset, name) if not row.rhythm]
    found = {(row.metric, row.comparison): row for row in rows}
    keys = {"dataset": dataset, "generator": name}
    chosen = [found[m, c] for m in ("frechet_distance", "coverage") for c in ("", FLOOR)]
    far, floor = chosen[0], chosen[1].value
    ratio = [x / floor for x in (far.value, far.low, far.high)] if floor else [None]
    return [*chosen, Result("frechet_over_floor", *ratio, n=far.n, **keys)]


def copies(run: Run, dataset: str, name: str) -> list[Result]:
    """Share of synthetic records that lie nearer to a training record than real ones do.

    Nearer than `COPY_PERCENTILE` of the test records' distances to their nearest training record;
    so a perfect generator has about 1 %. Measured between signals (Euclidean, all leads; a copy
    that is moved in time escapes) and between the real-trained classifier's embeddings, which
    hardly see such a move. Synthetic records are in the real mix of rhythms.
    """
    parts, judge = run.splits(dataset), real_classifier(run, dataset)
    keys = {"dataset": dataset, "generator": name}
    chosen = in_real_mix(run, dataset, name, most=LARGEST)
    spaces = {
        "signal": lambda cohort: cohort.signals.reshape(len(cohort), -1),
        "embedding": judge.embed,
    }
    rows = []
    for space, place in spaces.items():
        sets = (place(c) for c in (parts["train"], parts["test"], chosen))
        found = near_copies(*sets, COPY_PERCENTILE)
        where = {**keys, "scope": space}
        bounds = wilson(found.near.sum(), len(found.near))
        rows.append(Result("copies", found.share, *bounds, n=len(found.near), **where))
        rows.append(Result("copy_threshold", found.threshold, n=len(parts["test"]), **where))
    return rows


def size(run: Run, dataset: str, name: str) -> list[Result]:
    """Parameters, and evaluations of the network per sample; times depend on the machine."""
    facts, keys = trained_generator(run, dataset, name).facts, {"dataset": dataset}
    return [Result(m, facts[m], generator=name, **keys) for m in ("parameters", "evaluations")]


def in_real_mix(run: Run, dataset: str, name: str, most: int | None = None) -> Cohort:
    """Synthetic records in the training records' mix of rhythms: as many, or at most ``most``."""
    train = run.splits(dataset)["train"]
    share = min(1.0, max(run.profile.augmentation.ratios))
    if most is not None:
        share = min(share, most / len(train))
    return draw(synthetic_pool(run, dataset, name), train.counts(), share)


def first_of_each(cohort: Cohort, n: int) -> Cohort:
    """The first ``n`` records of each rhythm, or as many as the rarest of them has."""
    n = min(n, min(count for count in cohort.counts().values() if count))
    return cohort.select((cohort.table.groupby("rhythm").cumcount() < n).to_numpy())


def wilson(hits: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's (1927) score interval of a share, ``hits`` of ``n``."""
    z = stats.norm.ppf((1 + level) / 2)
    share, scale = hits / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / scale
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / scale
    return float(max(0.0, middle - reach)), float(min(1.0, middle + reach))


def median_bounds(values: np.ndarray, level: float = 0.95) -> tuple[float | None, float | None]:
    """Distribution-free interval of a median: two of the sorted values; None for fewer than six."""
    if len(values) < 6:
        return None, None
    k = int(stats.binom.ppf((1 - level) / 2, len(values), 0.5))
    ordered = np.sort(values)
    low = max(k - 1, 0)
    return float(ordered[low]), float(ordered[len(values) - 1 - low])
