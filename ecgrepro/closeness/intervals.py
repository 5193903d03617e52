"""Values of ready metrics and their intervals from half-samples, within a budget."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from ecgrepro.closeness.catalogue import FLOOR, METRICS
from ecgrepro.closeness.families import Embedded, Heart, Privacy, Signals, Use, Warping
from ecgrepro.closeness.matching import Draw
from ecgrepro.errors import EcgreproError
from ecgrepro.support.results import Result

SIDES = ("synthetic", "real")  # whose value is missing
LEAST_HALVES = 20  # half-samples that are taken whatever the time
_LEAST = {"records": 20, "heart": 10, "dtw": 10, "resamples": 2}  # that a budget may allow


@dataclass(frozen=True)
class Budget:
    """How much work a comparison may be.

    Attributes
    ----------
    records
        Of a set: beyond some thousands, intervals are narrow and the time grows with their square.
    heart
        Records of a set in which waves are delineated, about a tenth of a second each.
    dtw
        Records of a set that are warped, about a third of a millisecond each pair.
    resamples
        Half-samples for the intervals.
    seconds
        At most about so long for each family's half-samples, shared by the rhythms (no less than
        `LEAST_HALVES` are taken), and for each of the slow ones: fewer records are delineated and
        warped. Results then depend on the machine.
    """

    records: int = 2000
    heart: int = 200
    dtw: int = 100
    resamples: int = 200
    seconds: float | None = None

    def __post_init__(self):
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise EcgreproError(f"{name} must be a whole number of at least {least}: {value!r}")
        if self.seconds is not None and not self.seconds > 0:
            raise EcgreproError(f"seconds must be a positive number, not {self.seconds!r}")


@dataclass
class Work:
    """A unit of metrics that is ready to be measured on subsets of a draw."""

    draw: Draw
    family: Embedded | Signals | Warping | Heart | Use | Privacy | None
    least: int  # records that it needs of the smallest set
    lacking: dict[str, str] = field(default_factory=dict)  # metrics without value, and why
    overall: dict[str, str] = field(default_factory=dict)  # those without one for a rhythm alone


def without_value(
    metrics: tuple[str, ...], rhythms: list[str | None], base: Draw, note: str
) -> dict[tuple[str | None, str], list[Result]]:
    """A row without value for each metric of a unit that could not be worked out."""
    return {
        (r, m): [Result(m, None, n=base.smallest(r), rhythm=r or "", note=note)]
        for r in rhythms
        for m in metrics
    }


@dataclass
class Sampling:
    """How half-samples are taken: each of ``parts`` rhythms has its share of the time."""

    budget: Budget
    parts: int
    rng: np.random.Generator
    bar: tqdm


def rows_of(
    work: Work, rhythm: str | None, sampling: Sampling
) -> dict[tuple[str | None, str], list[Result]]:
    """The rows of one rhythm, or of all: values of all records, and half-samples."""
    smallest = work.draw.smallest(rhythm)
    lacking = {name: reason for name, reason in work.lacking.items() if reason}
    lacking |= work.overall if rhythm is not None else {}
    if work.family is not None and smallest < work.least:
        note = f"too few records in the smallest set: {work.least} are needed"
        lacking = dict.fromkeys(work.family.metrics, note)
    found = {
        (rhythm, name): [Result(name, None, n=smallest, rhythm=rhythm or "", note=reason)]
        for name, reason in lacking.items()
    }
    if work.family is None or len(lacking) == len(work.family.metrics):
        sampling.bar.update(sampling.budget.resamples)
        return found
    values, reach, note = _measured_with_reach(work, rhythm, sampling)
    keys = {"n": smallest, "rhythm": rhythm or ""}
    for i, name in enumerate(work.family.metrics):
        if name in lacking:
            continue
        if missing := [s for s, v in zip(SIDES, values[:, i], strict=True) if not np.isfinite(v)]:
            reason = f"it cannot be measured in {' or '.join(missing)} records"
            found[rhythm, name] = [Result(name, None, note=reason, **keys)]
            continue
        found[rhythm, name] = [
            _result(name, values[side, i], reach[side, i], comparison=comparison, note=note, **keys)
            for side, comparison in enumerate(("", FLOOR))
        ]
    return found


def _measured_with_reach(
    work: Work, rhythm: str | None, sampling: Sampling
) -> tuple[np.ndarray, np.ndarray, str]:
    """Values (2, metrics), half the widths of their intervals, and a note if time ran out."""
    assert work.family is not None  # without one there is nothing to measure
    rows = work.draw.rows(rhythm)
    everything = rhythm is None or len(work.draw.rhythms) == 1
    part = work.family if everything else work.family.part(rows)
    place = {name: np.zeros(len(p), int) for name, p in work.draw.patients.items()}
    for name, at in rows.items():
        place[name][at] = np.arange(len(at)) if part is not work.family else at
    values = part.measure({name: place[name][at] for name, at in rows.items()})
    budget, halves, began = sampling.budget, [], time.perf_counter()
    for done in range(1, budget.resamples + 1):
        half = work.draw.half(sampling.rng, rhythm)
        halves.append(part.measure({name: place[name][at] for name, at in half.items()}))
        sampling.bar.update()
        late = budget.seconds and time.perf_counter() - began > budget.seconds / sampling.parts
        if late and done >= LEAST_HALVES:
            break
    sampling.bar.update(budget.resamples - done)
    note = f"{done} half-samples for lack of time" if done < budget.resamples else ""
    # Var(half) = (n - h) / h Var(whole), which is 1 for even counts (Shao & Wu 1989).
    share = np.mean([len(half[name]) / (len(at) - len(half[name])) for name, at in rows.items()])
    return values, 1.96 * _spread(np.array(halves)) * np.sqrt(share), note


def _spread(halves: np.ndarray) -> np.ndarray:
    """Standard deviation over half-samples, of those in which there is a value."""
    known = np.isfinite(halves)
    count = known.sum(axis=0)
    mean = np.where(known, halves, 0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(known, (halves - mean) ** 2, 0).sum(axis=0)
    return np.sqrt(np.where(count > 1, squares / np.maximum(count - 1, 1), np.nan))


def _result(name: str, value: float, reach: float, *, note: str, **keys: Any) -> Result:
    metric = METRICS[name]
    if metric.high == 1 and value in (0, 1) and np.isfinite(reach):
        # Nothing varies among half-samples of a share of none or all: Wilson's (1927) bound.
        reach = max(reach, 1.96**2 / (keys["n"] + 1.96**2))
    low, high = max(value - reach, metric.low), min(value + reach, metric.high)
    bounds = (float(low), float(high)) if np.isfinite(reach) else (None, None)
    return Result(name, float(value), *bounds, note=note, **keys)
