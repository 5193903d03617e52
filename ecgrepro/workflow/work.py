"""Doing one job of the study, in the process that Snakemake has started for it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from ecgrepro.studies.arms import Task
from ecgrepro.support.files import write_whole
from ecgrepro.workflow.jobs import RECIPE, RESOURCES, Graph, Job
from ecgrepro.workflow.plans import Start

if TYPE_CHECKING:
    from ecgrepro.workflow.pages import Page
    from ecgrepro.workflow.run import Run


def do(kind: str, name: str, profile: str, data: str, run_dir: Path, key: str) -> None:
    """Do a job and write the files that say that it is done, by code and settings of ``key``."""
    graph = Graph(profile, data, run_dir)
    job = graph.job(kind, name)
    started = time.perf_counter()
    if kind in ("page", "book"):
        _SHOWING[kind](graph, job, profile)
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic on a GPU
    with _one_gpu() if RESOURCES[kind].uses_gpu and kind != "generator" else _nothing():
        from ecgrepro.workflow.run import Run, prepare_process

        prepare_process(graph.profile.threads)
        run = Run(profile, data, run_dir)
        if kind == "section":
            _section(run, graph.pages[name], key)
            return
        facts = _COMPUTING[kind](run, job, graph)
    facts = {**(facts or {}), "key": key, "seconds": _seconds_since(started)}
    (path,) = graph.outputs(job)
    write_whole(path, json.dumps(facts, indent=1) + "\n")


def _seconds_since(started: float) -> float:
    return round(time.perf_counter() - started, 1)


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextlib.contextmanager
def _one_gpu() -> Iterator[None]:
    """Hold one of several GPUs for this job, unless a scheduler has chosen one already."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        yield
        return
    import torch

    count = torch.cuda.device_count()
    names = [torch.cuda.get_device_name(i) for i in range(count)]
    alike = [i for i, name in enumerate(names) if name == names[0]]  # it is part of a result
    if len(alike) < 2:
        yield
        return
    for index in alike:
        lock = filelock.FileLock(Path(tempfile.gettempdir()) / f"ecgrepro-gpu-{index}.lock")
        with contextlib.suppress(filelock.Timeout), lock.acquire(timeout=0):
            torch.cuda.set_device(index)
            yield
            return
    torch.cuda.set_device(alike[os.getpid() % len(alike)])  # more jobs than GPUs share them
    yield


def _cohort(run: Run, job: Job, graph: Graph) -> dict:
    cohort = run.cohort(job.name)
    return {"records": len(cohort), "fingerprint": cohort.fingerprint}


def _classifier(run: Run, job: Job, graph: Graph) -> None:
    from ecgrepro.workflow import products

    if not job.tasks:
        products.judge(run, job.name)
    for task in job.tasks:
        assert isinstance(task, Start)
        products.pretrained(run, task.dataset, task.source, task.seed, task.hospital)


def _generator(run: Run, job: Job, graph: Graph) -> dict:
    from ecgrepro.workflow import products, trials

    hospital, name, form = graph.generator_of(job)
    if form == "published":
        trials.as_published(run, hospital, name)
    else:
        products.trained_generator(run, hospital, name)
    return {"trained_on": dict(run.trained_on)}


def _pool(run: Run, job: Job, graph: Graph) -> None:
    from ecgrepro.workflow import products, trials

    hospital, name, form = graph.generator_of(job)
    if form == "trials":
        trials.draw_trials(run, hospital, name)
    else:
        guidance = float(form.removeprefix("guidance")) if form else None
        products.synthetic_pool(run, hospital, name, guidance)


def _arms(run: Run, job: Job, graph: Graph) -> None:
    from ecgrepro.workflow import products

    for task in job.tasks:
        assert isinstance(task, Task)
        products.arm_outcome(run, task)


def _closeness(run: Run, job: Job, graph: Graph) -> None:
    from ecgrepro.workflow import closeness

    if job.name.endswith("-checked"):
        closeness.check_metrics(run, job.name.removesuffix("-checked"))
    else:
        hospital, name, _ = graph.generator_of(job)
        closeness.pool_closeness(run, hospital, name)


def _recipe(run: Run, job: Job, graph: Graph) -> dict:
    from ecgrepro.workflow.sections import recipes

    chosen = recipes.choose(run, job.name)
    return {"chosen": {str(fraction): asdict(arm) for fraction, arm in chosen.items()}}


def _section(run: Run, page: Page, key: str) -> None:
    from ecgrepro.workflow.results import write_section
    from ecgrepro.workflow.sections import compute

    section = compute(run, page.section, page.parameters)
    write_section(run.directory, page.name, section, {**run.provenance(), "key": key})


_COMPUTING: dict[str, Callable[[Run, Job, Graph], dict | None]] = {
    "cohort": _cohort,
    "classifier": _classifier,
    "generator": _generator,
    "pool": _pool,
    "arms": _arms,
    "closeness": _closeness,
    RECIPE: _recipe,
}


def _page(graph: Graph, job: Job, profile: str) -> None:
    from ecgrepro.workflow.pages import execute

    page = graph.pages[job.name]
    execute(page, profile=profile, data=graph.data, run_dir=graph.directory)


def _book(graph: Graph, job: Job, profile: str) -> None:
    from ecgrepro.workflow.book import build, write_run_facts

    write_run_facts(graph.directory)
    build(graph.directory)


_SHOWING: dict[str, Callable[[Graph, Job, str], None]] = {"page": _page, "book": _book}
