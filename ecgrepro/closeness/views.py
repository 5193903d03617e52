"""What figures show of cohorts and embeddings: small arrays, apart from the cohorts themselves.

`pack` takes a view apart into JSON values and arrays, `unpack` puts it together again: so figures
can be drawn where there are neither recordings nor classifiers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd

from ecgrepro.closeness.metrics.heart import MEASURES
from ecgrepro.closeness.metrics.privacy import nearest_of
from ecgrepro.closeness.metrics.spectrum import mean_spectrum
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.errors import EcgreproError

STRIP_LEADS = ("II", "V1")
HIGHEST = 45.0  # Hz up to which spectra are shown
View = TypeVar("View")


def pack(name: str, view: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """JSON values and arrays of a view, the arrays by ``<name>.<field>``."""
    facts, arrays = {}, {}
    for field in fields(view):
        value = getattr(view, field.name)
        if isinstance(value, np.ndarray):
            arrays[f"{name}.{field.name}"] = value
        else:
            facts[field.name] = value
    return facts, arrays


def unpack(
    kind: type[View], name: str, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> View:
    """The view that `pack` took apart; tuples come back as lists."""
    own = {
        f.name: arrays[f"{name}.{f.name}"] for f in fields(cast(Any, kind)) if f.name not in facts
    }
    return kind(**facts, **own)


@dataclass(frozen=True)
class Plane:
    """Sets of embeddings in the plane of the first one's two principal components.

    Attributes
    ----------
    names, totals
        Of the sets, and how many records each has; not all of them need be among the points.
    classes
        Codes of the rhythms.
    variance
        Fraction of the first set's variance that the plane holds.
    points
        Shape (points, 2), of all sets.
    sets, rhythms
        Position of each point's set and class, (points,).
    """

    names: Sequence[str]
    totals: Sequence[int]
    classes: Sequence[str]
    variance: float
    points: np.ndarray
    sets: np.ndarray
    rhythms: np.ndarray

    def of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Points of a set, and the class of each."""
        own = self.sets == list(self.names).index(name)
        return self.points[own], self.rhythms[own]


def plane(sets: Mapping[str, tuple[np.ndarray, Cohort]], most: int | None = None) -> Plane:
    """Embeddings (records, dimensions) with their cohorts in a plane, at most ``most`` of a set."""
    from sklearn.decomposition import PCA  # slow to import, and not needed to show a view

    found = PCA(2, random_state=0).fit(next(iter(sets.values()))[0])
    points, of, rhythms = [], [], []
    for i, (embedded, cohort) in enumerate(sets.values()):
        kept = some(len(cohort), most)
        points.append(found.transform(embedded)[kept])
        of.append(np.full(len(kept), i, np.uint8))
        rhythms.append(cohort.targets[kept].astype(np.uint8))
    return Plane(
        list(sets),
        [len(cohort) for _, cohort in sets.values()],
        list(next(iter(sets.values()))[1].classes),
        float(found.explained_variance_ratio_.sum()),
        np.concatenate(points).astype(np.float32),
        np.concatenate(of),
        np.concatenate(rhythms),
    )


def some(n: int, most: int | None) -> np.ndarray:
    """Positions of at most ``most`` of ``n``, evenly chosen."""
    if most is None or n <= most:
        return np.arange(n)
    return np.linspace(0, n - 1, most).astype(int)


@dataclass(frozen=True)
class Spectra:
    """Mean normalized power spectra: ``power`` has shape (sets, leads, frequencies)."""

    names: Sequence[str]
    leads: Sequence[str]
    frequencies: np.ndarray
    power: np.ndarray


def spectra(sets: Mapping[str, Cohort], leads: Sequence[str]) -> Spectra:
    """Spectra of some leads up to `HIGHEST`; a cohort without one of them raises."""
    power = []
    for name, cohort in sets.items():
        for lead in leads:
            if lead not in cohort.leads:
                raise EcgreproError(f"{name} has no lead {lead}: {', '.join(cohort.leads)}")
        frequencies, found = mean_spectrum(cohort.signals, cohort.fs)
        shown = frequencies <= min(HIGHEST, cohort.fs / 2)
        power.append(found[[cohort.leads.index(lead) for lead in leads]][:, shown])
    return Spectra(
        list(sets),
        list(leads),
        frequencies[shown].astype(np.float32),
        np.asarray(power, np.float32),
    )


@dataclass(frozen=True)
class Strips:
    """A few leads of single records.

    Attributes
    ----------
    texts, records
        What stands beside each, and its ``record_id``.
    distances, typical
        Of each to the nearest record of the other set, in the embedding; the median of all
        synthetic records.
    leads, fs, units
        As of the cohorts.
    signals
        Shape (records, leads, samples), float16.
    """

    texts: Sequence[str]
    records: Sequence[str]
    distances: Sequence[float]
    typical: float
    leads: Sequence[str]
    fs: float
    units: str
    signals: np.ndarray


Embedded = tuple[np.ndarray, Cohort]  # embeddings (records, dimensions) and their cohort


def closest(made: Embedded, train: Embedded, count: int = 3) -> Strips:
    """The synthetic records nearest to a training record, each before that record."""
    distance, nearest = nearest_of(_doubles(made[0]), _doubles(train[0]))
    order = np.argsort(distance, kind="stable")[:count]
    chosen = []
    for rank, i in enumerate(order, 1):
        chosen.append((f"{rank}: synthetic", made[1], int(i), distance[i]))
        chosen.append((f"{rank}: training", train[1], int(nearest[i]), distance[i]))
    named = [(f"{word}, {c.table['rhythm'][i]}", c, i, far) for word, c, i, far in chosen]
    return _strips(named, np.median(distance))


def farthest(made: Embedded, real: np.ndarray, count: int = 4) -> Strips:
    """The synthetic records farthest from every real one, whose embeddings are ``real``."""
    distance = nearest_of(_doubles(made[0]), _doubles(real))[0]
    order = np.argsort(-distance, kind="stable")[:count]
    rhythm = made[1].table["rhythm"]
    named = [
        (f"{rhythm[i]}, farthest {rank}", made[1], int(i), float(distance[i]))
        for rank, i in enumerate(order, 1)
    ]
    return _strips(named, np.median(distance))


def _doubles(points: np.ndarray) -> np.ndarray:
    return np.asarray(points, np.float64)


def _strips(chosen: Sequence[tuple[str, Cohort, int, float]], typical: float) -> Strips:
    first = chosen[0][1]
    leads = [lead for lead in STRIP_LEADS if lead in first.leads] or list(first.leads[:1])
    at = [first.leads.index(lead) for lead in leads]
    return Strips(
        [text for text, *_ in chosen],
        [str(cohort.table["record_id"][i]) for _, cohort, i, _ in chosen],
        [float(distance) for *_, distance in chosen],
        float(typical),
        leads,
        float(first.fs),
        first.units,
        np.array([cohort.signals[i][at] for _, cohort, i, _ in chosen], np.float16),
    )


@dataclass(frozen=True)
class Hearts:
    """What was measured of the heart: ``values`` has shape (records, `MEASURES`), NaN if nothing.

    ``set_of`` and ``rhythm_of`` are each record's position in ``sets`` and ``rhythms``.
    """

    sets: Sequence[str]
    rhythms: Sequence[str]
    set_of: np.ndarray
    rhythm_of: np.ndarray
    values: np.ndarray

    def frame(self) -> pd.DataFrame:
        """A row a record: columns ``set``, ``rhythm`` and the measures."""
        frame = pd.DataFrame(self.values.astype(float), columns=list(MEASURES))
        frame.insert(0, "set", np.array(self.sets)[self.set_of])
        frame.insert(1, "rhythm", np.array(self.rhythms)[self.rhythm_of])
        return frame


def hearts(measured: pd.DataFrame) -> Hearts:
    """From a frame with the columns of `Hearts.frame`."""
    sets, rhythms = (list(dict.fromkeys(measured[c])) for c in ("set", "rhythm"))
    return Hearts(
        sets,
        rhythms,
        measured["set"].map(sets.index).to_numpy(np.uint8),
        measured["rhythm"].map(rhythms.index).to_numpy(np.uint8),
        measured[list(MEASURES)].to_numpy(np.float32),
    )


@dataclass(frozen=True)
class Rates:
    """Detected heart rates of records in bpm, and each record's position in ``rhythms``."""

    rhythms: Sequence[str]
    rhythm_of: np.ndarray
    rates: np.ndarray

    def by_rhythm(self) -> dict[str, np.ndarray]:
        """Rates of each rhythm."""
        return {code: self.rates[self.rhythm_of == i] for i, code in enumerate(self.rhythms)}


def detected_rates(rhythms: np.ndarray, rates: np.ndarray, most: int) -> Rates:
    """Rates that were found, at most ``most`` of each of the records' rhythms."""
    codes = list(dict.fromkeys(rhythms))
    of, kept = [], []
    for i, code in enumerate(codes):
        own = rates[(rhythms == code) & np.isfinite(rates)]
        own = own[some(len(own), most)]
        of.append(np.full(len(own), i, np.uint8))
        kept.append(own)
    return Rates(codes, np.concatenate(of), np.concatenate(kept).astype(np.float32))
