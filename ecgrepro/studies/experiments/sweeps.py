"""A generator's records at other settings than the study's: guidance, sampler steps, as published.

Each trial draws the same numbers of records with the same seed from the same weights. Read without
torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgrepro.closeness import FLOOR
from ecgrepro.closeness.metrics.frechet import frechet_distance
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.studies.experiments.quality import agreement
from ecgrepro.studies.selection import draw
from ecgrepro.support.results import Result, required

if TYPE_CHECKING:
    from ecgrepro.classifier.classifier import Classifier
    from ecgrepro.generators.base import Generator
    from ecgrepro.generators.settings import GeneratorSettings
    from ecgrepro.studies.profiles import Quality

ANCESTRAL = "ancestral"
PUBLISHED, MODERNIZED = "as published", "modernized"  # arms of `published_results`
PROXIMITIES = (0.0, 0.5, 0.9, 1.0)  # of a series that is fitted to one record: from noise to it


@dataclass(frozen=True)
class Setting:
    """How a generator is sampled; its own settings hold where nothing is given."""

    guidance: float | None = None
    steps: int | None = None
    sampler: str = ""


@dataclass(frozen=True)
class Trial:
    """Records drawn at one setting.

    Attributes
    ----------
    cohort
        The records.
    seconds
        For all of them; they depend on the machine.
    evaluations
        Of the network, for each record.
    guidance, steps, sampler
        None or empty where the generator has no such thing.
    """

    cohort: Cohort
    seconds: float
    evaluations: int
    guidance: float | None
    steps: int | None
    sampler: str

    @property
    def name(self) -> str:
        """Sampler and steps: what tells a trial from others of the same guidance."""
        return f"{self.sampler} {self.steps}".strip()

    @property
    def arm(self) -> str:
        """Guidance in words; empty without."""
        return "" if self.guidance is None else f"guidance {self.guidance:g}"


def guidance_settings(settings: GeneratorSettings, quality: Quality) -> list[Setting]:
    """Each guidance scale of the profile and the generator's own; none without guidance."""
    own = getattr(settings, "guidance", None)
    if own is None:
        return []
    scales = sorted({float(own), *map(float, quality.guidance)})
    return [Setting(guidance=scale) for scale in scales]


def step_settings(settings: GeneratorSettings, quality: Quality) -> list[Setting]:
    """Each number of steps, the generator's own among them, then ancestral sampling.

    None where a generator has no steps; ancestral sampling where it is a diffusion model.
    """
    own = getattr(settings, "sampling_steps", None)
    if own is None:
        return []
    found = [Setting(steps=n) for n in sorted({own, *quality.steps})]
    if hasattr(settings, "sampler"):
        found.append(Setting(steps=quality.ancestral_steps, sampler=ANCESTRAL))
    return found


def evaluations(model: Generator, setting: Setting) -> int:
    """Evaluations of the network for one record; one where there is no choice."""
    count = getattr(model, "evaluations", None)
    return count(setting.steps, setting.guidance) if count else model.facts["evaluations"]


def matched_counts(train: Cohort, test: Cohort, records: int) -> dict[str, int]:
    """About ``records`` records in the test records' mix of rhythms.

    At most as many of a rhythm as both test and training records have, at least one.
    """
    available = train.counts()
    both = {c: min(n, available[c]) for c, n in test.counts().items() if min(n, available[c])}
    fraction = min(1.0, records / sum(both.values()))
    return {code: max(1, math.floor(fraction * n)) for code, n in both.items()}


def matched_records(
    train: Cohort, test: Cohort, counts: dict[str, int], seed: int
) -> tuple[Cohort, Cohort]:
    """Training and test records, ``counts`` of each rhythm, drawn at random."""
    rng = np.random.default_rng(seed)
    some_test, some_train = (
        draw(cohort.select(rng.permutation(len(cohort))), counts, 1.0) for cohort in (test, train)
    )
    return some_train, some_test


def trial_results(
    trials: Sequence[Trial], judge: Classifier, train: Cohort, test: Cohort, **keys: Any
) -> list[Result]:
    """Rhythm agreement (mean over rhythms), Fréchet distance and its floor for each trial.

    Distances are to the same real test records; the floor is that of the training records. ``arm``
    says guidance and ``scope`` the sampler and its steps.

    Parameters
    ----------
    train, test
        Real records, in number and mix of rhythms equal to those of a trial (`matched_records`).
    **keys
        Keys of each result.
    """
    if not trials:
        return []
    points, real = judge.embed(test), judge.embed(train)
    floor = frechet_distance(real, points)
    rows = []
    for one in trials:
        where = {**keys, "n": len(points), "scope": one.name, "arm": one.arm}
        distance = frechet_distance(judge.embed(one.cohort), points)
        rows += [
            Result("rhythm_agreement", agreement(judge, one.cohort)[0].value, **where),
            Result("frechet_distance", distance, **where),
            Result("frechet_distance", floor, comparison=FLOOR, **where),
            Result("frechet_over_floor", distance / floor if floor else None, **where),
            Result("evaluations", one.evaluations, **where),
        ]
    return rows


def sampler_results(
    trials: Sequence[Trial], rows: Sequence[Result], own_steps: int | None, **keys: Any
) -> list[Result]:
    """The default sampler against the ancestral one: evaluations and distance.

    ``evaluations_saved`` is how many times fewer evaluations the default takes;
    ``frechet_to_ancestral`` its Fréchet distance over that of ancestral sampling.

    Parameters
    ----------
    trials
        At the settings of `step_settings`.
    rows
        Their `trial_results`.
    own_steps
        Steps of the generator's settings.
    """
    slow = next((t for t in trials if t.sampler == ANCESTRAL), None)
    if slow is None or len(trials) < 2:
        return []
    fast = next(t for t in trials if t is not slow and t.steps == own_steps)
    distance = {
        row.scope: row.value
        for row in rows
        if row.metric == "frechet_distance" and not row.comparison
    }
    where = {**keys, "comparison": slow.name, "scope": fast.name}
    slowly = distance[slow.name]
    ratio = required(distance[fast.name]) / slowly if slowly else None
    return [
        Result("evaluations_saved", slow.evaluations / fast.evaluations, **where),
        Result("frechet_to_ancestral", ratio, n=len(fast.cohort), **where),
    ]


def published_results(
    judge: Classifier, records: Mapping[str, Cohort], **keys: Any
) -> list[Result]:
    """Rhythm agreement of a generator as published and as it is in the study; ``arm`` says which.

    Parameters
    ----------
    records
        Of `PUBLISHED` and `MODERNIZED`, as many of each rhythm.
    """
    return [agreement(judge, cohort, arm=arm, **keys)[0] for arm, cohort in records.items()]
