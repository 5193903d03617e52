"""How close synthetic recordings are to real ones, always beside the real-against-real floor."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ecgrepro.closeness.coverage import (
    distances,
    nearest_others,
    prdc,
    prdc_of,
    subset_radii,
)
from ecgrepro.closeness.distance import (
    checked_embedding,
    fit_gaussian,
    frechet_distance,
    gaussian_distance,
)
from ecgrepro.cohort import Cohort
from ecgrepro.errors import EcgreproError

__all__ = ["METRICS", "compare", "frechet_distance", "prdc"]

METRICS = ("frechet_distance", "precision", "recall", "density", "coverage")
LARGEST = 2000  # records per set: beyond it the intervals are narrow and the time grows with n²
FEWEST = 20  # records of a rhythm in the smallest of the three sets
SETS = ("real train", "real test", "synthetic")


def compare(
    real_train: Cohort,
    real_test: Cohort,
    synthetic: Cohort,
    *,
    embed: Callable[[Cohort], np.ndarray],
    k: int = 5,
    resamples: int = 200,
    seed: int = 0,
) -> list[dict]:
    """Closeness of a synthetic to a real cohort, with its floor, overall and per rhythm.

    Every value compares the synthetic records with ``real_test``; its floor compares
    ``real_train`` with the same ``real_test`` records: what a perfect generator would get. The
    three sets are drawn to the same number of records of each rhythm (the smallest of the three,
    at most `LARGEST` in all), so neither size nor class mix can differ. A rhythm that one set
    lacks is therefore in none of the overall values; it is reported as too few.

    **Intervals** (95 %) come from half-sampling, the delete-half jackknife (Shao & Wu 1989): each
    resample takes half of every set *without* replacement, by patient, within each rhythm. A
    bootstrap with replacement would be wrong here: its duplicates lie at distance zero, which
    shrinks every k-nearest-neighbour ball, and its fewer distinct records inflate the Fréchet
    distance. A half-sample has its own sample-size bias, so only the spread of the resamples
    around their mean is used, centred on the value from all records; half-sampling is the choice
    for which that spread needs no rescaling. The interval is for the metric's expectation at this
    set size. For the Fréchet distance of two sets from one distribution (a good floor), the
    spread is overstated by up to two times: the interval errs on the wide side.

    Parameters
    ----------
    real_train, real_test
        Real cohorts without a patient in common.
    synthetic
        The cohort to judge; same fs, leads, samples, units and label map.
    embed
        From a cohort to its embedding, shape (records, dimensions), by a classifier that never
        saw synthetic records: ``classifier.embed``.
    k
        Neighbours for precision, recall, density and coverage.

    Returns
    -------
    list of dict
        One row per rhythm (``"all"`` first) and metric: ``rhythm, metric, n`` (records per set),
        ``value, low, high, floor, floor_low, floor_high, note``. Numbers are None where ``note``
        says that there are too few records.
    """
    if resamples < 2:
        raise EcgreproError(f"resamples must be at least 2, not {resamples}")
    if k < 1:
        raise EcgreproError(f"k is the number of neighbours, a whole number from 1, not {k}")
    cohorts = dict(zip(SETS, (real_train, real_test, synthetic), strict=True))
    _check_comparable(cohorts)
    rng = np.random.default_rng(seed)
    counts = _matched_counts(cohorts)
    least = max(FEWEST, 2 * (k + 1))  # half of a set must hold more than k records
    total = sum(counts.values())
    if total < least:
        raise EcgreproError(
            f"only {total} records per set are left once the rhythms of real train "
            f"({len(real_train)} records), real test ({len(real_test)}) and synthetic "
            f"({len(synthetic)}) are matched: at least {least} are needed for k = {k}"
        )
    chosen = {name: _draw(cohort, counts, rng) for name, cohort in cohorts.items()}
    embeddings = {name: _embedded(embed, cohort, name) for name, cohort in chosen.items()}
    if len({e.shape[1] for e in embeddings.values()}) > 1:
        raise EcgreproError(
            "the embeddings differ in dimensions: "
            + ", ".join(f"{name} {e.shape[1]}" for name, e in embeddings.items())
        )
    whole = _Group(
        embeddings,
        {name: distances(e, e) for name, e in embeddings.items()},
        {o: distances(embeddings["real test"], embeddings[o]) for o in ("synthetic", "real train")},
        {name: _patients(cohort) for name, cohort in chosen.items()},
        counts,
    )
    groups = {"all": whole} | {
        rhythm: whole.part(rhythm) for rhythm, n in counts.items() if n >= least
    }
    rows = []
    # The matrices are small: more BLAS threads than one cost more than they bring.
    with (
        threadpool_limits(1, user_api="blas"),
        tqdm(total=len(groups) * resamples, desc="closeness", disable=None) as bar,
    ):
        for rhythm, n in {"all": total, **counts}.items():
            if rhythm in groups:
                rows += _rows(rhythm, groups[rhythm], k, resamples, rng, bar)
            else:
                rows += _too_few(rhythm, n, least)
    return rows


@dataclass
class _Group:
    """Embeddings and distances of the three sets; records stand in the order of ``counts``."""

    embeddings: dict[str, np.ndarray]
    within: dict[str, np.ndarray]
    across: dict[str, np.ndarray]  # real test (rows) to the other set (columns)
    patients: dict[str, np.ndarray]
    counts: dict[str, int]

    def part(self, rhythm: str) -> "_Group":
        """The records of one rhythm, as views."""
        before = list(self.counts)[: list(self.counts).index(rhythm)]
        start = sum(self.counts[r] for r in before)
        at = slice(start, start + self.counts[rhythm])
        return _Group(
            {name: e[at] for name, e in self.embeddings.items()},
            {name: d[at, at] for name, d in self.within.items()},
            {name: d[at, at] for name, d in self.across.items()},
            {name: p[at] for name, p in self.patients.items()},
            {rhythm: self.counts[rhythm]},
        )

    def half(self, name: str, rng: np.random.Generator) -> np.ndarray:
        """Half of each rhythm's records of a set: patients in random order until it is full."""
        patients = self.patients[name]
        key = rng.permutation(patients.max() + 1)[patients] + rng.random(len(patients))
        rows, start = [], 0
        for n in self.counts.values():
            rows.append(start + np.argsort(key[start : start + n])[: n // 2])
            start += n
        return np.sort(np.concatenate(rows))

    def measure(self, rows: dict[str, np.ndarray], nearest: dict, k: int) -> np.ndarray:
        """All metrics on a subset: shape (2, metrics), first the synthetic set, then the floor."""
        radius = {s: subset_radii(self.within[s], nearest[s], rows[s], k) for s in SETS}
        gaussian = {s: fit_gaussian(self.embeddings[s][rows[s]]) for s in SETS}
        values = []
        for other, across in self.across.items():
            block = across[np.ix_(rows["real test"], rows[other])]
            shares = prdc_of([(slice(None), block)], radius["real test"], radius[other], k)
            shares["frechet_distance"] = gaussian_distance(gaussian[other], gaussian["real test"])
            values.append([shares[metric] for metric in METRICS])
        return np.array(values)


def _rows(
    rhythm: str, group: _Group, k: int, resamples: int, rng: np.random.Generator, bar: tqdm
) -> list[dict]:
    """The rows of one rhythm: values from all its records, intervals from half-samples."""
    # Half of a record's neighbours are in a half-sample: 16 k hold k of them almost surely.
    nearest = {s: nearest_others(group.within[s], 16 * k) for s in SETS}
    n = sum(group.counts.values())
    values = group.measure({s: np.arange(n) for s in SETS}, nearest, k)
    halves = []
    for _ in range(resamples):
        rows = {s: group.half(s, rng) for s in SETS}
        halves.append(group.measure(rows, nearest, k))
        bar.update()
    h = len(rows["synthetic"])
    # Var(half) = (n - h) / h Var(whole), which is 1 for even counts (Shao & Wu 1989).
    reach = 1.96 * np.std(halves, axis=0, ddof=1) * np.sqrt(h / (n - h))
    highest = np.array([np.inf if m in ("frechet_distance", "density") else 1.0 for m in METRICS])
    low, high = np.maximum(values - reach, 0.0), np.minimum(values + reach, highest)
    return [
        {
            "rhythm": rhythm,
            "metric": metric,
            "n": n,
            **dict(zip(("value", "low", "high"), map(float, bounds[0]), strict=True)),
            **dict(zip(("floor", "floor_low", "floor_high"), map(float, bounds[1]), strict=True)),
            "note": "",
        }
        for metric, bounds in zip(
            METRICS, np.stack([values, low, high]).transpose(2, 1, 0), strict=True
        )
    ]


def _too_few(rhythm: str, n: int, least: int) -> list[dict]:
    empty = dict.fromkeys(("value", "low", "high", "floor", "floor_low", "floor_high"))
    note = f"too few: {n} records in the smallest of the three sets, {least} are needed"
    return [{"rhythm": rhythm, "metric": m, "n": n, **empty, "note": note} for m in METRICS]


def _check_comparable(cohorts: dict[str, Cohort]) -> None:
    first = cohorts["real train"]
    for name, cohort in cohorts.items():
        if len(cohort) == 0:
            raise EcgreproError(f"the {name} cohort is empty: there is nothing to compare")
        for what in ("fs", "leads", "units", "labels"):
            if getattr(cohort, what) != getattr(first, what):
                raise EcgreproError(
                    f"real train and {name} differ in {what}: {getattr(first, what)} and "
                    f"{getattr(cohort, what)}"
                )
        if cohort.signals.shape[1:] != first.signals.shape[1:]:
            raise EcgreproError(
                f"real train and {name} differ in (leads, samples): "
                f"{first.signals.shape[1:]} and {cohort.signals.shape[1:]}"
            )
    train, test = (
        {p for p in zip(c.table["source"], c.table["patient_id"], strict=True) if p[1]}
        for c in (cohorts["real train"], cohorts["real test"])
    )
    if both := train & test:
        source, patient = min(both)
        raise EcgreproError(
            f"patient {patient} of {source} is in real train and in real test: the floor would "
            "be too good; split by patient"
        )


def _matched_counts(cohorts: dict[str, Cohort]) -> dict[str, int]:
    """Records per rhythm that all three sets have, scaled down to at most `LARGEST` in all."""
    found = [cohort.counts() for cohort in cohorts.values()]
    present = [r for r in found[0] if any(counts[r] for counts in found)]
    counts = {r: min(c[r] for c in found) for r in present}
    share = min(1.0, LARGEST / max(1, sum(counts.values())))
    return {r: int(n * share) for r, n in counts.items()}


def _draw(cohort: Cohort, counts: dict[str, int], rng: np.random.Generator) -> Cohort:
    """``counts`` records of each rhythm at random, ordered by rhythm."""
    rhythm = cohort.table["rhythm"].to_numpy()
    rows = [
        np.sort(rng.choice(np.flatnonzero(rhythm == r), n, replace=False))
        for r, n in counts.items()
    ]
    return cohort.select(np.concatenate(rows))


def _embedded(embed: Callable[[Cohort], np.ndarray], cohort: Cohort, name: str) -> np.ndarray:
    bad = ~np.isfinite(cohort.signals).all(axis=(1, 2))
    if bad.any():
        record = cohort.table["record_id"].iloc[int(bad.argmax())]
        raise EcgreproError(
            f"{bad.sum()} of {len(cohort)} {name} records hold NaN or infinite samples "
            f"(record {record} is the first): remove or mend them"
        )
    embedding = checked_embedding(embed(cohort), name)
    if len(embedding) != len(cohort):
        raise EcgreproError(f"embed gave {len(embedding)} rows for {len(cohort)} {name} records")
    return embedding


def _patients(cohort: Cohort) -> np.ndarray:
    """Patient number of each record; a record without a patient id is its own patient."""
    own = "\0" + pd.Series(np.arange(len(cohort)).astype(str))
    known = cohort.table["patient_id"].fillna("").astype(str)
    patient = cohort.table["source"].astype(str) + "\0" + known.where(known != "", own)
    return pd.factorize(patient)[0]
