"""Records that a generator draws at other settings than the study's, and its published form.

Seconds are measured while records are drawn: they are shown beside the machine, but are no results.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.generators import load_generator, make_generator
from ecgrepro.generators.base import Generator
from ecgrepro.generators.registry import GENERATORS
from ecgrepro.studies.experiments.sweeps import (
    MODERNIZED,
    PROXIMITIES,
    PUBLISHED,
    Setting,
    Trial,
    evaluations,
    guidance_settings,
    matched_counts,
    step_settings,
)
from ecgrepro.studies.selection import first_of_each
from ecgrepro.support.results import required
from ecgrepro.workflow.plans import generator_code
from ecgrepro.workflow.products import synthetic_pool, trained_generator
from ecgrepro.workflow.run import Run

ONE_SERIES = "timediffusion"  # the generator that replaces the procedure fitted to one record
OWN = Setting()


@dataclass(frozen=True)
class Side:
    """A generator of one of two kinds that are compared, records of it, and their seconds."""

    model: Generator
    cohort: Cohort
    seconds: float


def draw_trials(run: Run, dataset: str, name: str) -> list[Trial]:
    """Draw everything that a generator's page shows beside its pool."""
    if name == ONE_SERIES:
        one_series(run, dataset)
    own = trial(run, dataset, name)
    return [own, *guidance_trials(run, dataset, name), *step_trials(run, dataset, name)]


def guidance_trials(run: Run, dataset: str, name: str) -> list[Trial]:
    """A trial at each guidance scale of the profile and the generator's own; none without one."""
    settings = trained_generator(run, dataset, name).settings
    chosen = guidance_settings(settings, run.profile.quality)
    return [trial(run, dataset, name, setting) for setting in chosen]


def step_trials(run: Run, dataset: str, name: str) -> list[Trial]:
    """A trial at each number of steps, then ancestral sampling; none without steps."""
    settings = trained_generator(run, dataset, name).settings
    chosen = step_settings(settings, run.profile.quality)
    return [trial(run, dataset, name, setting) for setting in chosen]


def trial(run: Run, dataset: str, name: str, setting: Setting = OWN) -> Trial:
    """``quality.records`` records of a generator at a setting."""
    model, parts = trained_generator(run, dataset, name), run.splits(dataset)
    counts = matched_counts(parts["train"], parts["test"], run.profile.quality.records)
    if setting.sampler:
        model.settings = model.settings.model_copy(update={"sampler": setting.sampler})
    asked = {
        "seed": run.profile.pool.seed,
        "guidance": setting.guidance,
        "steps": setting.steps,
    }

    def make(folder: Path) -> None:
        if (folder / "cohort").exists():
            return
        began = time.perf_counter()
        cohort = model.sample(counts, **asked)
        _write_seconds(folder, time.perf_counter() - began)
        cohort.save(folder / "cohort")

    made_from = {"generator": name, **model.plan(counts, **asked).identity}
    place = run.artifact(f"trial-{name}", dataset, made_from, generator_code(name), make)
    own = model.settings
    return Trial(
        Cohort.open(place / "cohort"),
        _read_seconds(place),
        evaluations(model, setting),
        getattr(own, "guidance", None) if setting.guidance is None else setting.guidance,
        setting.steps or getattr(own, "sampling_steps", None),
        getattr(own, "sampler", ""),
    )


def as_published(run: Run, dataset: str, name: str) -> dict[str, Side]:
    """A generator as published and as it is in the study; empty where the former is not known.

    The published one is trained with ``quality.published``; both have as many records of each
    rhythm, the first of those that the study uses.
    """
    if GENERATORS[name].published is None:
        return {}
    pool = synthetic_pool(run, dataset, name)
    modern = first_of_each(pool, run.profile.quality.published.per_class)
    usual = trial(run, dataset, name)
    seconds = usual.seconds / len(usual.cohort) * len(modern)
    return {
        PUBLISHED: _published(run, dataset, name, modern.counts()),
        MODERNIZED: Side(trained_generator(run, dataset, name), modern, seconds),
    }


def _published(run: Run, dataset: str, name: str, counts: dict[str, int]) -> Side:
    settings, seed = run.profile.quality.published, run.profile.pool.seed
    changes = settings.model_dump(include={"steps", "batch_size", "sampling_steps"})
    used = {**required(GENERATORS[name].published), **changes}
    counts = {code: n for code, n in counts.items() if n}
    train = run.splits(dataset)["train"]

    def make(folder: Path) -> None:
        if not (folder / "model").exists():
            model = make_generator(name, used, seed=seed)
            model.fit(train, checkpoint_dir=folder / "training").save(folder / "model")
        model = load_generator(folder / "model")
        began = time.perf_counter()
        cohort = model.sample(counts, seed=seed)
        _write_seconds(folder, time.perf_counter() - began)
        if not (folder / "cohort").exists():
            cohort.save(folder / "cohort")

    made_from = {"generator": name, "settings": used, "counts": counts, "seed": seed}
    place = run.artifact(f"published-{name}", dataset, made_from, generator_code(name), make)
    model = load_generator(place / "model")
    return Side(model, Cohort.open(place / "cohort"), _read_seconds(place))


def one_series(run: Run, dataset: str) -> dict[float, np.ndarray]:
    """Series of the procedure that is fitted to one record, by proximity: 0 noise, 1 the record.

    The record is the first training record; it stands under the key infinity. Each has shape
    (leads, samples).
    """
    from ecgrepro.generators.diffusion.one_series import fit_one_series

    record, seed = run.splits(dataset)["train"].signals[0], run.profile.pool.seed
    settings = run.profile.quality.one_series.model_dump()

    def make(folder: Path) -> None:
        fitted = fit_one_series(np.asarray(record), **settings, seed=seed)
        made = [fitted.synthesize(proximity, seed=seed) for proximity in PROXIMITIES]
        np.save(folder / "series.npy", np.stack(made))

    made_from = {"settings": settings, "seed": seed, "proximities": PROXIMITIES}
    code = ["ecgrepro.generators.diffusion.one_series.fit_one_series"]
    place = run.artifact("one-series", dataset, made_from, code, make)
    series = dict(zip(PROXIMITIES, np.load(place / "series.npy"), strict=True))
    return {**series, math.inf: np.asarray(record)}


def _write_seconds(folder: Path, seconds: float) -> None:
    (folder / "seconds.json").write_text(json.dumps(seconds))


def _read_seconds(place: Path) -> float:
    return json.loads((place / "seconds.json").read_text())
