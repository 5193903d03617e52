"""Section 02: how a generator trained, what it cost, and how its records compare with real ones."""

from typing import Any

import numpy as np
import pandas as pd

from ecgrepro.cohort.cohort import LEADS
from ecgrepro.generators.base import Generator
from ecgrepro.studies.experiments.closeness import nearest_real
from ecgrepro.studies.experiments.sweeps import (
    matched_records,
    published_results,
    sampler_results,
    trial_results,
)
from ecgrepro.studies.strips import Strips, first_records, first_strips
from ecgrepro.support.results import Result
from ecgrepro.workflow import trials
from ecgrepro.workflow.products import judge, synthetic_pool, trained_generator
from ecgrepro.workflow.quality import asked_rates, hearts, quality_results
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import Section, for_figure

POINTS = 200  # of a loss curve
RATES = 300  # records whose heart rates, asked for and found, are shown
SECONDS = 4.0  # of a strip
SERIES_LEADS = ("II", "V1")
CODES = ("codebook_perplexity", "codes_used", "prior_perplexity", "reconstruction_error")


def compute(run: Run, dataset: str, generator: str) -> Section:
    """Every measure of a generator, trials at other settings, and the records of its figures."""
    model, pool = (
        trained_generator(run, dataset, generator),
        synthetic_pool(run, dataset, generator),
    )
    usual = trials.trial(run, dataset, generator)
    published = trials.as_published(run, dataset, generator)
    rows = quality_results(run, dataset, generator)
    rows += _trial_rows(run, dataset, generator)
    keys = {"dataset": dataset, "generator": generator}
    records = {name: side.cohort for name, side in published.items()}
    rows += published_results(judge(run, dataset), records, **keys)
    facts: dict[str, Any] = {
        "fs": pool.fs,
        "units": pool.units,
        "records": pool.counts(),
        "training": training_curves(model.history),
        "cost": _cost(model, usual.seconds / len(usual.cohort)),
        "settings": _settings(model),
        "own": {"guidance": usual.guidance, "arm": usual.arm, "scope": usual.name},
        "codes": {key: model.facts[key] for key in CODES if key in model.facts},
        "hearts": _heart_quantiles(run, dataset, generator),
        "published": {name: _published_facts(side) for name, side in published.items()},
    }
    arrays: dict[str, np.ndarray] = {}
    for view in (_examples, _published_strips, _one_series, _rates):
        more, drawn = view(run, dataset, generator)
        facts |= more
        arrays |= drawn
    return Section(rows, facts, arrays)


View = tuple[dict[str, Any], dict[str, np.ndarray]]  # facts and arrays


def _trial_rows(run: Run, dataset: str, name: str) -> list[Result]:
    """Results at other guidance scales, at other steps, and of the sampler against ancestral."""
    keys = {"dataset": dataset, "generator": name}
    guided = trials.guidance_trials(run, dataset, name)
    stepped = trials.step_trials(run, dataset, name)
    if not (guided or stepped):
        return []
    counts = (guided or stepped)[0].cohort.counts()
    counts = {code: n for code, n in counts.items() if n}
    parts, seed = run.splits(dataset), run.profile.pool.seed
    train, test = matched_records(parts["train"], parts["test"], counts, seed)
    reader = judge(run, dataset)
    step_rows = trial_results(stepped, reader, train, test, **keys)
    settings = trained_generator(run, dataset, name).settings
    own = getattr(settings, "sampling_steps", None)
    return [
        *trial_results(guided, reader, train, test, **keys),
        *step_rows,
        *sampler_results(stepped, step_rows, own, **keys),
    ]


def training_curves(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Loss curves by stage, ``training`` and ``validation``, each steps and losses.

    A long training is thinned to `POINTS` points, its last among them.
    """
    if not history:
        return []
    frame = pd.DataFrame(history)
    frame["stage"] = frame.get("stage", "")
    curves = []
    for stage, part in frame.groupby("stage", sort=False):
        curve = {"stage": stage, "training": _thinned(part, "loss")}
        if "validation_loss" in part:
            curve["validation"] = _thinned(part.dropna(subset="validation_loss"), "validation_loss")
        curves.append(curve)
    return curves


def _thinned(part: pd.DataFrame, column: str) -> list[list[float]]:
    at = np.unique(np.linspace(0, len(part) - 1, min(POINTS, len(part))).round().astype(int))
    return [part[name].iloc[at].tolist() for name in ("step", column)]


def _cost(model: Generator, seconds: float) -> dict[str, float]:
    return {
        "parameters": model.facts["parameters"],
        "training_seconds": model.facts["training_seconds"],
        "evaluations": model.facts["evaluations"],
        "seconds_per_record": seconds,
    }


def _settings(model: Generator) -> list[tuple[str, str]]:
    """Every setting of a generator by its full name, in their order."""
    flat = pd.json_normalize(model.settings.model_dump(), sep=".").iloc[0]
    return [(key, str(value)) for key, value in flat.items()]


def _published_facts(side: trials.Side) -> dict[str, float]:
    settings: Any = side.model.settings  # of a generator that learns
    return {
        **_cost(side.model, side.seconds / len(side.cohort)),
        "steps": settings.steps,
        "batch_size": settings.batch_size,
    }


def _heart_quantiles(run: Run, dataset: str, name: str) -> dict[str, Any]:
    """Quantiles of heart rate and RR variability by rhythm, real and synthetic."""
    cohorts = {"real": run.cohort(dataset), "synthetic": synthetic_pool(run, dataset, name)}
    found = {of: hearts(run, dataset, cohort) for of, cohort in cohorts.items()}
    return {
        measure: {of: one.quantiles(measure) for of, one in found.items()}
        for measure in ("rates", "variability")
    }


def _examples(run: Run, dataset: str, name: str) -> View:
    """The first record of each rhythm and the training record that is nearest to it."""
    train, pool = run.splits(dataset)["train"], synthetic_pool(run, dataset, name)
    first = first_records(pool)
    examples = pool.select(np.array(list(first.values())))
    nearest = nearest_real(train, examples, judge(run, dataset).embed)
    table = train.table.iloc[nearest]
    facts = {
        "rhythms": list(first),
        "nearest": table[["rhythm", "record_id"]].to_dict("records"),
    }
    return facts, {
        "examples": for_figure(examples.signals),
        "nearest": for_figure(train.signals[nearest]),
    }


def _published_strips(run: Run, dataset: str, name: str) -> View:
    """Strips of the generator as published and modernized, below real ones."""
    sides = trials.as_published(run, dataset, name)
    if not sides:
        return {}, {}
    cohorts = {"real": run.splits(dataset)["test"]}
    cohorts |= {side: one.cohort for side, one in sides.items()}
    grid = {of: first_strips(cohort, SECONDS) for of, cohort in cohorts.items()}
    strips = Strips.of(grid, list(first_records(synthetic_pool(run, dataset, name))))
    facts = {"strips": {"rows": strips.rows, "columns": strips.columns}}
    return facts, {"strips": for_figure(strips.traces)}


def _one_series(run: Run, dataset: str, name: str) -> View:
    """What the procedure that is fitted to one record draws, two leads of it."""
    if name != trials.ONE_SERIES:
        return {}, {}
    series = trials.one_series(run, dataset)
    leads = [LEADS.index(lead) for lead in SERIES_LEADS]
    traces = np.stack([one[leads] for one in series.values()])
    proximities = [p if np.isfinite(p) else None for p in series]  # None: the record itself
    return {"one_series": proximities}, {"one_series": for_figure(traces)}


def _rates(run: Run, dataset: str, name: str) -> View:
    """Heart rates asked for and found, of at most `RATES` records."""
    settings = trained_generator(run, dataset, name).settings
    if not getattr(settings, "pace", False):
        return {}, {}
    rates = asked_rates(run, dataset, name)
    shown = rates.iloc[:: max(1, -(-len(rates) // RATES))]
    facts = {"paced": shown["rhythm"].tolist()}
    return facts, {"paced": shown[["asked", "found"]].to_numpy(np.float32)}
