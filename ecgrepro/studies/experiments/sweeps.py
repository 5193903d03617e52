"""A generator's records at other settings than the study's: guidance, sampler steps, as published.

Each trial draws the same numbers of records with the same seed from the same weights; what a killed
run has drawn is found again. Seconds are measured, so they belong to a machine and are shown, but
are no results.
"""

import importlib
import json
import math
import time
from dataclasses import dataclass

import numpy as np

from ecgrepro.closeness import frechet_distance
from ecgrepro.cohort import Cohort
from ecgrepro.generators import load_generator, make_generator
from ecgrepro.generators.base import Generator
from ecgrepro.studies.classifiers import real_classifier
from ecgrepro.studies.experiments.closeness import FLOOR
from ecgrepro.studies.experiments.quality import agreement, first_of_each
from ecgrepro.studies.selection import draw
from ecgrepro.studies.synthesis import generator_code, synthetic_pool, trained_generator
from ecgrepro.support.results import Result
from ecgrepro.workflow.run import Run

ANCESTRAL = "ancestral"


@dataclass(frozen=True)
class Trial:
    """Records drawn at one setting; ``evaluations`` of the network for each, ``seconds`` for all.

    A ``guidance``, ``steps`` or ``sampler`` that the generator does not have is None or empty.
    """

    cohort: Cohort
    seconds: float
    evaluations: int
    guidance: float | None
    steps: int | None
    sampler: str

    @property
    def name(self) -> str:
        """What tells it from the other trials of a curve."""
        return f"{self.sampler} {self.steps}".strip()


@dataclass(frozen=True)
class Side:
    """A generator of one of two kinds that are compared, and records of it."""

    model: Generator
    cohort: Cohort
    seconds: float  # for all records of the cohort

    def facts(self) -> dict[str, str]:
        """Size and cost in words and numbers, for a table."""
        n = len(self.cohort)
        return {
            "parameters": f"{self.model.facts['parameters']:,}",
            "training steps": f"{self.model.settings.steps:,}",
            "batch": str(self.model.settings.batch_size),
            "training, s": f"{self.model.facts['training_seconds']:.1f}",
            "evaluations per record": f"{self.model.facts['evaluations']:,}",
            "s per record": f"{self.seconds / n:.3f}",
        }


def trial(
    run: Run,
    dataset: str,
    name: str,
    *,
    guidance: float | None = None,
    steps: int | None = None,
    sampler: str = "",
) -> Trial:
    """``quality.records`` records of a generator at a setting; its own settings where not given."""
    model, counts = trained_generator(run, dataset, name), matched_counts(run, dataset)
    settings, seed = model.settings, run.profile.pool.seed
    if sampler:
        model.settings = settings = settings.model_copy(update={"sampler": sampler})

    def make(folder):
        if (folder / "cohort").exists():
            return
        began = time.perf_counter()
        cohort = model.sample(counts, seed=seed, guidance=guidance, steps=steps)
        seconds = time.perf_counter() - began
        (folder / "seconds.json").write_text(json.dumps(seconds))
        cohort.save(folder / "cohort")

    made_from = {"generator": name, **model.plan(
        counts, seed=seed, guidance=guidance, steps=steps).identity}  # fmt: skip
    place = run.artifact(f"trial-{name}", dataset, made_from, [generator_code(name)], make)
    return Trial(
        Cohort.open(place / "cohort"),
        json.loads((place / "seconds.json").read_text()),
        evaluations(model, steps, guidance),
        getattr(settings, "guidance", None) if guidance is None else guidance,
        steps or getattr(settings, "sampling_steps", None),
        getattr(settings, "sampler", ""),
    )


def evaluations(model: Generator, steps: int | None = None, guidance: float | None = None) -> int:
    """Evaluations of the network for one sample; one where there is no choice."""
    count = getattr(model, "evaluations", None)
    return count(steps, guidance) if count else model.facts["evaluations"]


def guidance_trials(run: Run, dataset: str, name: str) -> list[Trial]:
    """A trial at each guidance scale of the profile and the generator's own; none without one."""
    own = getattr(trained_generator(run, dataset, name).settings, "guidance", None)
    if own is None:
        return []
    scales = sorted({float(own), *map(float, run.profile.quality.guidance)})
    return [trial(run, dataset, name, guidance=scale) for scale in scales]


def step_trials(run: Run, dataset: str, name: str) -> list[Trial]:
    """A trial at each number of steps, the generator's own among them, then ancestral sampling.

    None where a generator has no steps; ancestral sampling where it is a diffusion model.
    """
    settings = trained_generator(run, dataset, name).settings
    own = getattr(settings, "sampling_steps", None)
    if own is None:
        return []
    quality = run.profile.quality
    trials = [trial(run, dataset, name, steps=n) for n in sorted({own, *quality.steps})]
    if hasattr(settings, "sampler"):
        slow = {"steps": quality.ancestral_steps, "sampler": ANCESTRAL}
        trials.append(trial(run, dataset, name, **slow))
    return trials


def trial_results(run: Run, dataset: str, name: str, trials: list[Trial]) -> list[Result]:
    """Rhythm agreement (mean over rhythms), Fréchet distance and its floor for each trial.

    Distances are to the same real test records, equal in number and mix of rhythms; the floor is
    that of as many real training records. ``arm`` says guidance and ``scope`` the sampler and its
    steps.
    """
    if not trials:
        return []
    judge, counts = real_classifier(run, dataset), matched_counts(run, dataset)
    rng = np.random.default_rng(run.profile.pool.seed)
    parts = run.splits(dataset)
    test, train = (judge.embed(chosen(parts[part], counts, rng)) for part in ("test", "train"))
    floor, n = frechet_distance(train, test), len(test)
    rows = []
    for one in trials:
        keys = {"dataset": dataset, "generator": name, "n": n, "scope": one.name}
        keys["arm"] = "" if one.guidance is None else f"guidance {one.guidance:g}"
        distance = frechet_distance(judge.embed(one.cohort), test)
        rows += [
            Result("rhythm_agreement", agreement(judge, one.cohort)[0].value, **keys),
            Result("frechet_distance", distance, **keys),
            Result("frechet_distance", floor, comparison=FLOOR, **keys),
            Result("frechet_over_floor", distance / floor if floor else None, **keys),
            Result("evaluations", one.evaluations, **keys),
        ]
    return rows


def sampler_results(run: Run, dataset: str, name: str, trials: list[Trial]) -> list[Result]:
    """The default sampler against the ancestral one of `step_trials`: evaluations and distance.

    ``evaluations_saved`` is how many times fewer evaluations the default takes;
    ``frechet_to_ancestral`` its Fréchet distance over that of ancestral sampling.
    """
    slow = next((t for t in trials if t.sampler == ANCESTRAL), None)
    if slow is None or len(trials) < 2:
        return []
    own = trained_generator(run, dataset, name).settings
    fast = next(t for t in trials if t is not slow and t.steps == own.sampling_steps)
    distance = {
        row.scope: row.value
        for row in trial_results(run, dataset, name, [fast, slow])
        if row.metric == "frechet_distance" and not row.comparison
    }
    keys = {"dataset": dataset, "generator": name, "comparison": slow.name, "scope": fast.name}
    ratio = distance[fast.name] / distance[slow.name] if distance[slow.name] else None
    return [
        Result("evaluations_saved", slow.evaluations / fast.evaluations, **keys),
        Result("frechet_to_ancestral", ratio, n=len(fast.cohort), **keys),
    ]


def published_settings(name: str) -> dict | None:
    """Settings of a generator as it was published, where they are known."""
    module = importlib.import_module(f"ecgrepro.generators.{name}")
    return getattr(module, "PUBLISHED", None)


def as_published(run: Run, dataset: str, name: str) -> dict[str, Side]:
    """A generator as published and as it is in the study; empty where the former is not known.

    The published one is trained with ``quality.published``; both have as many records of each
    rhythm, the first of those that the study uses.
    """
    if published_settings(name) is None:
        return {}
    published = run.profile.quality.published
    n, pool = published.per_class, synthetic_pool(run, dataset, name)
    modern = first_of_each(pool, n)
    usual = trial(run, dataset, name)
    per_record = usual.seconds / len(usual.cohort)
    return {
        "as published": _published(run, dataset, name, modern.counts()),
        "modernized": Side(trained_generator(run, dataset, name), modern, per_record * len(modern)),
    }


def _published(run: Run, dataset: str, name: str, counts: dict[str, int]) -> Side:
    settings, seed = run.profile.quality.published, run.profile.pool.seed
    changes = settings.model_dump(include={"steps", "batch_size", "sampling_steps"})
    used = {**published_settings(name), **changes}
    counts = {code: n for code, n in counts.items() if n}
    train = run.splits(dataset)["train"]

    def make(folder):
        if not (folder / "model").exists():
            model = make_generator(name, used, seed=seed)
            model.fit(train, checkpoint_dir=folder / "training").save(folder / "model")
        model = load_generator(folder / "model")
        began = time.perf_counter()
        cohort = model.sample(counts, seed=seed)
        (folder / "seconds.json").write_text(json.dumps(time.perf_counter() - began))
        if not (folder / "cohort").exists():
            cohort.save(folder / "cohort")

    made_from = {"generator": name, "settings": used, "counts": counts, "seed": seed}
    where = f"published-{name}"
    place = run.artifact(where, dataset, made_from, [generator_code(name)], make)
    seconds = json.loads((place / "seconds.json").read_text())
    return Side(load_generator(place / "model"), Cohort.open(place / "cohort"), seconds)


def published_results(run: Run, dataset: str, name: str, sides: dict[str, Side]) -> list[Result]:
    """Rhythm agreement of both sides; ``arm`` says which."""
    judge = real_classifier(run, dataset)
    keys = {"dataset": dataset, "generator": name}
    return [agreement(judge, s.cohort, arm=arm, **keys)[0] for arm, s in sides.items()]


def matched_counts(run: Run, dataset: str) -> dict[str, int]:
    """About ``quality.records`` records in the test records' mix of rhythms.

    At most as many of a rhythm as both test and training records have, at least one.
    """
    parts = run.splits(dataset)
    train, test = parts["train"].counts(), parts["test"].counts()
    both = {code: min(n, train[code]) for code, n in test.items() if min(n, train[code])}
    share = min(1.0, run.profile.quality.records / sum(both.values()))
    return {code: max(1, math.floor(share * n)) for code, n in both.items()}


def chosen(cohort: Cohort, counts: dict[str, int], rng: np.random.Generator) -> Cohort:
    """``counts`` records of each rhythm, in random choice."""
    return draw(cohort.select(rng.permutation(len(cohort))), counts, 1.0)


def one_series(run: Run, dataset: str) -> dict[float, np.ndarray]:
    """Series of the procedure that is fitted to one record, by proximity: 0 noise, 1 the record.

    The record is the first training record; it stands under the key infinity. Each has shape
    (leads, samples).
    """
    from ecgrepro.generators.diffusion.one_series import fit_one_series

    record, seed = run.splits(dataset)["train"].signals[0], run.profile.pool.seed
    settings = run.profile.quality.one_series.model_dump()
    proximities = (0.0, 0.5, 0.9, 1.0)

    def make(folder):
        fitted = fit_one_series(np.asarray(record), **settings, seed=seed)
        made = [fitted.synthesize(proximity, seed=seed) for proximity in proximities]
        np.save(folder / "series.npy", np.stack(made))

    made_from = {"settings": settings, "seed": seed, "proximities": proximities}
    code = ["ecgrepro.generators.diffusion.one_series.fit_one_series"]
    place = run.artifact("one-series", dataset, made_from, code, make)
    series = dict(zip(proximities, np.load(place / "series.npy"), strict=True))
    return {**series, math.inf: np.asarray(record)}
