"""Records drawn for a comparison: equal numbers of each rhythm, and halves of them by patient."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.errors import EcgreproError

TRAIN, TEST, SYNTHETIC = SETS = ("real train", "real test", "synthetic")
HELD_OUT, OTHERS = "held-out", "other test"  # halves of the real test records, for privacy
EVERY = "every synthetic"  # up to as many of each rhythm as there are for training


@dataclass(frozen=True)
class Draw:
    """Sets of records, those of each set ordered by rhythm.

    Attributes
    ----------
    cohorts
        By name of the set.
    counts
        Of each set its records per rhythm; every set has the same rhythms.
    patients
        Of each set a number for the patient of each record, (records,).
    """

    cohorts: dict[str, Cohort]
    counts: dict[str, dict[str, int]]
    patients: dict[str, np.ndarray]

    @property
    def rhythms(self) -> list[str]:
        """The rhythms that the sets have in common."""
        return list(next(iter(self.counts.values())))

    def smallest(self, rhythm: str | None = None) -> int:
        """Records of the smallest set, of one rhythm or of all."""
        counts = self.counts.values()
        return min(sum(c.values()) if rhythm is None else c.get(rhythm, 0) for c in counts)

    def rows(self, rhythm: str | None = None) -> dict[str, np.ndarray]:
        """Positions of each set's records of one rhythm, or of all."""
        found = {}
        for name, counts in self.counts.items():
            if rhythm is None:
                found[name] = np.arange(sum(counts.values()))
            else:
                start = sum(list(counts.values())[: self.rhythms.index(rhythm)])
                found[name] = np.arange(start, start + counts[rhythm])
        return found

    def half(self, rng: np.random.Generator, rhythm: str | None = None) -> dict[str, np.ndarray]:
        """Positions of half of each rhythm's records, or of one rhythm's, by set.

        Patients come in random order until the half is full, so nearly all are whole. Of an odd
        number of records one more or one less is taken at random, so that none is ever left out.
        """
        halves = {}
        for name, patients in self.patients.items():
            key = rng.permutation(patients.max() + 1)[patients] + rng.random(len(patients))
            parts = [self.rows(r)[name] for r in ([rhythm] if rhythm else self.rhythms)]
            sizes = [(len(part) + rng.integers(2)) // 2 for part in parts]
            chosen = [p[np.argsort(key[p])[:n]] for p, n in zip(parts, sizes, strict=True)]
            halves[name] = np.sort(np.concatenate(chosen))
        return halves

    def some(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Positions of ``n`` records of each set at random, in its mix of rhythms."""
        found = {}
        for name, counts in self.counts.items():
            wanted = scaled(counts, n)
            parts = [rng.choice(self.rows(r)[name], m, replace=False) for r, m in wanted.items()]
            found[name] = np.sort(np.concatenate(parts))
        return found

    def fewer(self, most: int, rng: np.random.Generator) -> "Draw":
        """At most ``most`` records of each set, of the rhythms in the mix that they have."""
        if self.smallest() <= most:
            return self
        (counts,) = {tuple(c.items()) for c in self.counts.values()}
        fewer = scaled(dict(counts), most)
        return draw(dict(self.cohorts), fewer, rng)


def draw(cohorts: dict[str, Cohort], counts: dict[str, int], rng: np.random.Generator) -> Draw:
    """``counts`` records of each rhythm at random from every cohort."""
    return drawn({name: chosen(cohort, counts, rng) for name, cohort in cohorts.items()}, counts)


def drawn(cohorts: dict[str, Cohort], rhythms: dict[str, int] | list[str]) -> Draw:
    """A `Draw` of cohorts whose records stand in the order of ``rhythms`` already."""
    counts = {name: {r: cohort.counts()[r] for r in rhythms} for name, cohort in cohorts.items()}
    return Draw(cohorts, counts, {name: patients(cohort) for name, cohort in cohorts.items()})


def chosen(cohort: Cohort, counts: dict[str, int], rng: np.random.Generator) -> Cohort:
    """``counts`` records of each rhythm at random, ordered by rhythm."""
    rhythm = cohort.table["rhythm"].to_numpy()
    rows = [
        np.sort(rng.choice(np.flatnonzero(rhythm == r), n, replace=False))
        for r, n in counts.items()
    ]
    return cohort.select(np.concatenate(rows))


def matched_counts(cohorts: dict[str, Cohort], most: int) -> dict[str, int]:
    """Records per rhythm that every cohort has, scaled down to at most ``most`` in all."""
    found = [cohort.counts() for cohort in cohorts.values()]
    present = [r for r in found[0] if any(counts[r] for counts in found)]
    return scaled({r: min(c[r] for c in found) for r in present}, most)


def scaled(counts: dict[str, int], most: int) -> dict[str, int]:
    """The counts with their proportions kept, ``most`` in all if there are more."""
    total = sum(counts.values())
    if total <= most:
        return dict(counts)
    parts = {r: divmod(n * most, total) for r, n in counts.items()}
    left = most - sum(whole for whole, _ in parts.values())
    more = sorted(parts, key=lambda r: -parts[r][1])[:left]  # the largest remainders
    return {r: whole + (r in more) for r, (whole, _) in parts.items()}


def privacy_draw(
    cohorts: dict[str, Cohort], rhythms: list[str], most: int, rng: np.random.Generator
) -> Draw:
    """All training records, both halves of the test records by patient, and synthetic records.

    The halves and the synthetic records have one mix of rhythms, that of the smaller half; of
    synthetic records as many as that mix allows, at most ``most``. Beside them `EVERY` synthetic
    record, since fewer would not give away a memorizer's whole training set. All training records
    of these rhythms, because a copy may be of any.
    """
    first = _first_half(cohorts[TEST], rng)
    halves = {HELD_OUT: cohorts[TEST].select(first), OTHERS: cohorts[TEST].select(~first)}
    there = cohorts[SYNTHETIC].counts()
    least = {r: min(there[r], *(half.counts()[r] for half in halves.values())) for r in rhythms}
    mix = {r: n for r, n in least.items() if n}
    if not mix:
        raise EcgreproError("privacy: no rhythm has records in both halves of the test patients")
    times = min([there[r] / n for r, n in mix.items()] + [most / sum(mix.values())])
    made = {r: int(max(times, 1) * n) for r, n in mix.items()}
    train = {r: cohorts[TRAIN].counts()[r] for r in mix}
    sets = {
        TRAIN: chosen(cohorts[TRAIN], train, rng),
        SYNTHETIC: chosen(cohorts[SYNTHETIC], made, rng),
        EVERY: chosen(cohorts[SYNTHETIC], {r: min(there[r], train[r]) for r in mix}, rng),
        **{name: chosen(half, mix, rng) for name, half in halves.items()},
    }
    return drawn(sets, list(mix))


def _first_half(cohort: Cohort, rng: np.random.Generator) -> np.ndarray:
    """Every second patient of each rhythm (that of the patient's first record), bool (records,)."""
    who = patients(cohort)
    _, first = np.unique(who, return_index=True)
    order = rng.permutation(len(first))
    order = order[np.argsort(cohort.targets[first][order], kind="stable")]
    return np.isin(who, order[::2])


def patients(cohort: Cohort) -> np.ndarray:
    """Patient number of each record; a record without a patient id is its own patient."""
    own = "\0" + pd.Series(np.arange(len(cohort)).astype(str))
    known = cohort.table["patient_id"].fillna("").astype(str)
    patient = cohort.table["source"].astype(str) + "\0" + known.where(known != "", own)
    return pd.factorize(patient)[0]


def check_comparable(cohorts: dict[str, Cohort]) -> None:
    """Raise unless the sets go together, and real train and real test share no patient."""
    first = cohorts[TRAIN]
    for name, cohort in cohorts.items():
        if len(cohort) == 0:
            raise EcgreproError(f"the {name} cohort is empty: there is nothing to compare")
        if difference := first.difference(cohort):
            raise EcgreproError(f"real train and {name} differ in {difference}")
    train, test = (
        {p for p in zip(c.table["source"], c.table["patient_id"], strict=True) if p[1]}
        for c in (cohorts[TRAIN], cohorts[TEST])
    )
    if both := train & test:
        source, patient = min(both)
        raise EcgreproError(
            f"patient {patient} of {source} is in real train and in real test: the floor would "
            "be too good; split by patient"
        )


def check_finite(cohort: Cohort, name: str) -> None:
    """Raise if a record holds a sample that is no number, and name it."""
    bad = ~np.isfinite(cohort.signals).all(axis=(1, 2))
    if bad.any():
        record = cohort.table["record_id"].iloc[int(bad.argmax())]
        raise EcgreproError(
            f"{bad.sum()} of {len(cohort)} {name} records hold NaN or infinite samples "
            f"(record {record} is the first): remove or mend them"
        )
