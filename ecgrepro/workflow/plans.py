"""Which training runs the sections of a study need, and what those runs need in turn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ecgrepro.generators.registry import GENERATORS
from ecgrepro.studies.arms import HOSPITALS, MERGED, REAL, Arm, Task
from ecgrepro.studies.experiments.designs import (
    augmentation_arms,
    crossing_tasks,
    transfer_tasks,
    tstr_arm,
)
from ecgrepro.studies.experiments.recipes import Search, opponents, recipes
from ecgrepro.studies.profiles import Profile
from ecgrepro.support.provenance import PROJECT
from ecgrepro.workflow.pages import Page


@dataclass(frozen=True)
class Start:
    """A pre-training: on the records of ``source``, a generator (of ``hospital``) or a hospital."""

    dataset: str
    source: str
    seed: int
    hospital: str = ""


def real_tasks(profile: Profile, dataset: str) -> list[Task]:
    """Training on all real records: what nearly every comparison needs."""
    return [Task(dataset, Arm(REAL), seed) for seed in profile.seeds]


def training_groups(profile: Profile) -> dict[str, list[Task]]:
    """Training runs that are known from the start, by group (see `groups_of`)."""
    generators, seeds = list(profile.generators), profile.seeds
    groups: dict[str, list[Task]] = {}
    for hospital in HOSPITALS:
        for name in generators:
            some = seeds[: profile.quality.seeds]
            tasks = [Task(hospital, tstr_arm(name), seed, 0.0) for seed in some]
            groups[f"02_generators-{hospital}-{name}"] = tasks
    for dataset in (*HOSPITALS, MERGED):
        arms = augmentation_arms(profile.augmentation, generators)
        groups[f"04_augmentation-{dataset}"] = [
            Task(dataset, arm, seed) for arm in arms if arm.name != REAL for seed in seeds
        ]
    groups["04_augmentation-merged"] += [t for t in crossing_tasks(seeds) if t.arm.name != REAL]
    for hospital in HOSPITALS:
        groups[f"05_transfer-{hospital}"] = transfer_tasks(
            generators, hospital, profile.transfer.fractions, seeds
        )
    return groups


def search_tasks(profile: Profile, hospital: str) -> list[Task]:
    """Every recipe at every fraction, with the seeds that choose."""
    search = Search.of(profile)
    return [
        Task(hospital, arm, seed, fraction)
        for fraction in profile.recipes.fractions
        for arm in recipes(search, hospital, fraction)
        for seed in profile.recipes.seeds
    ]


def confirmation_tasks(profile: Profile, hospital: str, chosen: dict[float, Arm]) -> list[Task]:
    """The chosen recipes and their opponents, with the seeds of the study."""
    search = Search.of(profile)
    return [
        Task(hospital, arm, seed, share)
        for fraction, best in chosen.items()
        for arm, share in opponents(search, fraction, best)
        for seed in profile.seeds
    ]


def groups_of(page: Page) -> list[str]:
    """The groups of training runs whose outcomes a page's section reads."""
    if page.section in ("02_generators", "03_closeness"):
        instance = f"02_generators-{page.instance}"
        return [instance, f"real-{page.parameters['dataset']}"]
    if page.section in ("04_augmentation", "05_transfer"):
        everywhere = (*HOSPITALS, MERGED) if page.instance == MERGED else (page.instance,)
        return [f"{page.section}-{page.instance}", *[f"real-{name}" for name in everywhere]]
    return []


def starts(tasks: Sequence[Task]) -> list[Start]:
    """Pre-trainings of the training runs, each once."""
    found = {
        Start(t.dataset, t.arm.start, t.seed, t.arm.hospital): None for t in tasks if t.arm.start
    }
    return list(found)


def pools_of(task: Task | Start) -> list[tuple[str, str, float | None]]:
    """Pools that a training run draws from: hospital, generator, guidance."""
    if isinstance(task, Start):
        hospital = task.hospital or task.dataset
        return [] if task.source in HOSPITALS else [(hospital, task.source, None)]
    arm = task.arm
    if not arm.generator:
        return []
    hospitals = arm.generator_hospitals(task.dataset)
    return [(hospital, arm.generator, arm.guidance) for hospital in hospitals]


def other_cohorts_of(task: Task | Start) -> list[str]:
    """Hospitals other than the data set whose real records a training run takes."""
    source = task.source if isinstance(task, Start) else task.arm.trained_in
    return [source] if source in HOSPITALS else []


def judges_of(task: Task | Start) -> list[str]:
    """Hospitals whose judge filters the pools of a training run."""
    if isinstance(task, Start) or not task.arm.keep:
        return []
    return list(task.arm.generator_hospitals(task.dataset))


def section_settings(profile: Profile, section: str) -> dict[str, Any]:
    """The settings of a profile that a section reads beside those of the jobs before it."""
    keys = {"seeds", "resamples", "classifier", "generators"}
    keys |= {
        "02_generators": {"quality", "pool", "augmentation"},
        "02_generators_compared": {"quality", "augmentation"},
        "03_closeness": {"quality", "closeness", "pool"},
        "03_closeness_checked": {"closeness", "folds"},
        "04_augmentation": {"augmentation"},
        "05_transfer": {"transfer"},
        "07_recipes": {"recipes", "augmentation"},
    }.get(section, set())
    return {"name": profile.name, **profile.model_dump(include=keys, mode="json")}


def generator_code(name: str) -> tuple[str, ...]:
    """Dotted names of the code that trains and samples a generator."""
    return (GENERATORS[name].definition, "ecgrepro.generators.base.Generator")


def has_published_form(name: str) -> bool:
    """Whether a generator is also trained in the form in which it was published."""
    return GENERATORS[name].published is not None


def book_digest() -> str:
    """Digest of the book's prose, settings and static files."""
    files = [PROJECT / "_config.yml", PROJECT / "_toc.yml"]
    files += sorted(
        path
        for path in (PROJECT / "book").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(PROJECT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
