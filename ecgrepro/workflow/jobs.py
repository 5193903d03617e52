"""The study as a graph of jobs: what there is to do, on what each job depends, what it asks for.

The Snakefile makes one rule of each kind of job. A job is known by ``<kind>/<name>`` and has a key,
a digest of the settings and the code that decide its outcome and of the keys of the jobs that it
needs: a job whose key changes is done again, nothing else is. Read without torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ecgrepro.errors import EcgreproError
from ecgrepro.studies.arms import HOSPITALS, MERGED, Arm, Task
from ecgrepro.studies.profiles import Profile, load_profile
from ecgrepro.support.code import code_fingerprint
from ecgrepro.support.digests import json_digest
from ecgrepro.support.provenance import PROJECT, versions
from ecgrepro.workflow import plans
from ecgrepro.workflow.pages import Page, notebook_code, notebook_digest, pages
from ecgrepro.workflow.plans import Start
from ecgrepro.workflow.sections import module_name

UPDATES_A_JOB = 3000  # a job imports torch first, seconds: it should train for longer than that
RECIPE = "recipe"  # the kind of job that decides which jobs come after it
_PRODUCTS = "ecgrepro.workflow.products"
_TRIALS = "ecgrepro.workflow.trials"
_CLOSENESS = "ecgrepro.workflow.closeness"


@dataclass(frozen=True)
class Resources:
    """What a job asks a cluster for: memory in MB, run time in minutes, whether it uses a GPU."""

    mem_mb: int
    runtime: int
    uses_gpu: bool = False


RESOURCES = {
    "cohort": Resources(4000, 120),
    "classifier": Resources(6000, 240, uses_gpu=True),
    "generator": Resources(12000, 1440, uses_gpu=True),
    "pool": Resources(6000, 480, uses_gpu=True),
    "arms": Resources(6000, 480, uses_gpu=True),
    "closeness": Resources(8000, 480, uses_gpu=True),
    RECIPE: Resources(6000, 120, uses_gpu=True),
    "section": Resources(8000, 240, uses_gpu=True),
    "page": Resources(2000, 30),
    "book": Resources(2000, 60),
}


@dataclass(frozen=True)
class Job:
    """One job of a study.

    Attributes
    ----------
    kind, name
        A key of `RESOURCES`, and what is made.
    settings
        What decides the outcome beside the jobs that it needs, as JSON values.
    code
        Dotted names of the functions that do the work.
    needs
        Names of the jobs that come before it.
    tasks
        Training runs that it consists of.
    """

    kind: str
    name: str
    settings: Any = None
    code: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    tasks: tuple[Task | Start, ...] = ()

    @property
    def id(self) -> str:
        """``<kind>/<name>``."""
        return f"{self.kind}/{self.name}"


class Graph:
    """All jobs of a run.

    Parameters
    ----------
    profile, data
        See `ecgrepro.workflow.run.Run`.
    directory
        The run's folder.
    """

    def __init__(self, profile: str, data: str, directory: str | Path):
        self.profile: Profile = load_profile(profile, data)
        self.data, self.directory = data, Path(directory)
        self.pages: dict[str, Page] = {page.name: page for page in pages(self.profile)}
        self._keys: dict[str, str] = {}

    @cached_property
    def jobs(self) -> dict[str, Job]:
        """Every job that is known before recipes are chosen, by ``<kind>/<name>``."""
        found = [*self._cohorts(), *self._judges(), *self._generators(), *self._pools()]
        found += [*self._arms(), *self._closeness(), *self._recipes()]
        found += [*self._sections(), *self._pages(), self._book()]
        return {job.id: job for job in found}

    def job(self, kind: str, name: str) -> Job:
        """One job; those that follow a chosen recipe are known once it is chosen."""
        known = self.jobs
        for hospital in HOSPITALS:
            if name.startswith(_confirmation(hospital)):
                known = {job.id: job for job in self.confirmations(hospital)}
        if f"{kind}/{name}" not in known:
            raise EcgreproError(f"profile {self.profile.name!r} has no job {kind}/{name}")
        return known[f"{kind}/{name}"]

    def key(self, job: Job) -> str:
        """Digest of everything that decides a job's outcome, but for the recordings."""
        if job.id not in self._keys:
            needs = [self.key(self.job(*name.split("/", 1))) for name in job.needs]
            tasks = [asdict(task) for task in job.tasks]
            content = [job.settings, tasks, code_fingerprint(*job.code), versions(), needs]
            self._keys[job.id] = json_digest(content)
        return self._keys[job.id]

    def section_key(self, name: str) -> str:
        """Key of a section's compute half, ``<section>/<instance>``."""
        return self.key(self.jobs[f"section/{name}"])

    def outputs(self, job: Job) -> list[Path]:
        """The files that say that a job is done."""
        if job.kind == "section":
            return [
                self.directory / "results" / f"{job.name}.json",
                self.directory / "figures" / f"{job.name}.npz",
            ]
        if job.kind == "page":
            return [self.directory / "notebooks" / f"{job.name}.ipynb"]
        if job.kind == "book":
            return [self.directory / "book" / "index.html"]
        return [self.directory / "jobs" / job.kind / f"{job.name}.json"]

    def inputs(self, job: Job) -> list[Path]:
        """The files of the jobs that a job needs."""
        needed = [self.job(*name.split("/", 1)) for name in job.needs]
        return [path for other in needed for path in self.outputs(other)]

    def generator_of(self, job: Job) -> tuple[str, str, str]:
        """Hospital, generator and form of a job of a generator: ``chapman``, ``unet``, ``trials``.

        The form of a generator or a pool as the study uses it is empty.
        """
        hospital = next(h for h in HOSPITALS if job.name.startswith(f"{h}-"))
        rest = job.name.removeprefix(f"{hospital}-")
        name = max((g for g in self.profile.generators if rest.startswith(g)), key=len)
        return hospital, name, rest.removeprefix(name).removeprefix("-")

    def chosen(self, hospital: str) -> dict[float, Arm]:
        """The recipe that was chosen at each fraction; None is there before the job has run."""
        content = self.done(self.jobs[f"{RECIPE}/{hospital}"], "chosen")
        return {float(fraction): Arm(**arm) for fraction, arm in content.items()}

    def done(self, job: Job, entry: str) -> Any:
        """An entry of what a job that is done has written of itself; a damaged file raises."""
        (path,) = self.outputs(job)
        try:
            return json.loads(path.read_text())[entry]
        except (ValueError, TypeError, KeyError) as error:
            raise EcgreproError(f"{path} is damaged: delete it and run again") from error

    def confirmations(self, hospital: str) -> list[Job]:
        """Jobs that run the chosen recipes and their opponents with the seeds of the study."""
        tasks = plans.confirmation_tasks(self.profile, hospital, self.chosen(hospital))
        return self._training_jobs(_confirmation(hospital), tasks)

    # ------------------------------------------------------------------ kinds of jobs, in order

    def _cohorts(self) -> list[Job]:
        profile = self.profile
        simulation = profile.simulation.model_dump() if self.data == "simulated" else None
        settings = [self.data, profile.labels, profile.fs, simulation]
        return [
            Job("cohort", hospital, settings, ("ecgrepro.datasets.load_cohort",))
            for hospital in HOSPITALS
        ]

    def _shared(self) -> list[Any]:
        """Settings that everything that learns from recordings depends on."""
        return [self.profile.folds.model_dump(), self.profile.threads]

    def _cohorts_of(self, dataset: str) -> tuple[str, ...]:
        return tuple(f"cohort/{h}" for h in (HOSPITALS if dataset == MERGED else (dataset,)))

    def _judges(self) -> list[Job]:
        settings = [*self._shared(), self.profile.classifier.model_dump(), self.profile.seeds[0]]
        return [
            Job("classifier", name, settings, (f"{_PRODUCTS}.judge",), self._cohorts_of(name))
            for name in (*HOSPITALS, MERGED)
        ]

    def _generator_name(self, hospital: str, name: str) -> str:
        return f"{hospital}-{name}-seed{self.profile.pool.seed}"

    def _generators(self) -> list[Job]:
        jobs, seed = [], self.profile.pool.seed
        for hospital in HOSPITALS:
            for name, settings in self.profile.generators.items():
                used = [*self._shared(), settings, seed]
                code = (f"{_PRODUCTS}.trained_generator", *plans.generator_code(name))
                place = self._generator_name(hospital, name)
                needs = (f"cohort/{hospital}",)
                jobs.append(Job("generator", place, used, code, needs))
                if plans.has_published_form(name):
                    used = [*self._shared(), self.profile.quality.published.model_dump(), seed]
                    code = (f"{_TRIALS}.as_published", *plans.generator_code(name))
                    jobs.append(Job("generator", f"{hospital}-{name}-published", used, code, needs))
        return jobs

    def _pools(self) -> list[Job]:
        jobs, profile = [], self.profile
        for hospital in HOSPITALS:
            for name in profile.generators:
                used = [profile.pool.model_dump(), profile.augmentation.ratios]
                code = (f"{_PRODUCTS}.synthetic_pool", *plans.generator_code(name))
                needs = (f"generator/{self._generator_name(hospital, name)}",)
                jobs.append(Job("pool", f"{hospital}-{name}", used, code, needs))
                trials = [profile.pool.seed, profile.quality.model_dump()]
                code = (f"{_TRIALS}.draw_trials", *plans.generator_code(name))
                jobs.append(Job("pool", f"{hospital}-{name}-trials", trials, code, needs))
            for scale in profile.recipes.guidance:
                used = [profile.pool.model_dump(), profile.augmentation.ratios, scale]
                name = profile.recipe_generator
                code = (f"{_PRODUCTS}.synthetic_pool", *plans.generator_code(name))
                needs = (f"generator/{self._generator_name(hospital, name)}",)
                jobs.append(Job("pool", f"{hospital}-{name}-guidance{scale:g}", used, code, needs))
        return jobs

    def _arms(self) -> list[Job]:
        jobs = []
        for dataset in (*HOSPITALS, MERGED):
            tasks = plans.real_tasks(self.profile, dataset)
            jobs += self._training_jobs(f"real-{dataset}", tasks)
        for group, tasks in plans.training_groups(self.profile).items():
            jobs += self._training_jobs(group, tasks)
        return jobs

    def _training_jobs(self, group: str, tasks: Sequence[Task]) -> list[Job]:
        """Jobs that pre-train and train everything of a group, each worth its start."""
        transfer, classifier = self.profile.transfer, self.profile.classifier
        settings = [*self._shared(), classifier.model_dump(), transfer.pretrain_updates]
        settings.append(self.profile.seeds[0])  # of oversampling
        jobs = []
        starts = plans.starts(tasks)
        needs = self._training_needs(starts)
        for i, part in enumerate(_chunks(starts, transfer.pretrain_updates)):
            code = (f"{_PRODUCTS}.pretrained",)
            jobs.append(Job("classifier", f"{group}-{i}", settings, code, needs, part))
        pretrained = tuple(job.id for job in jobs)
        needs = (*self._training_needs(tasks), *pretrained)
        if not group.startswith("real-"):
            for dataset in dict.fromkeys(task.dataset for task in tasks):
                parts = len(_chunks(plans.real_tasks(self.profile, dataset), classifier.updates))
                needs += tuple(f"arms/real-{dataset}-{i}" for i in range(parts))
        for i, part in enumerate(_chunks(tasks, classifier.updates)):
            code = (f"{_PRODUCTS}.arm_outcome",)
            jobs.append(Job("arms", f"{group}-{i}", settings, code, needs, part))
        return jobs

    def _training_needs(self, tasks: Iterable[Task | Start]) -> tuple[str, ...]:
        """Cohorts, pools and judges that training runs take."""
        found: dict[str, None] = {}
        for task in tasks:
            found |= dict.fromkeys(self._cohorts_of(task.dataset))
            for hospital, name, guidance in plans.pools_of(task):
                scale = "" if guidance is None else f"-guidance{guidance:g}"
                found[f"pool/{hospital}-{name}{scale}"] = None
            found |= dict.fromkeys(f"cohort/{h}" for h in plans.other_cohorts_of(task))
            found |= dict.fromkeys(f"classifier/{h}" for h in plans.judges_of(task))
        return tuple(found)

    def _closeness(self) -> list[Job]:
        jobs, settings = [], self.profile.closeness.model_dump()
        for hospital in HOSPITALS:
            judge = f"classifier/{hospital}"
            for name in self.profile.generators:
                code, needs = (f"{_CLOSENESS}.pool_closeness",), (judge, f"pool/{hospital}-{name}")
                jobs.append(Job("closeness", f"{hospital}-{name}", settings, code, needs))
            code = (f"{_CLOSENESS}.check_metrics",)
            jobs.append(Job("closeness", f"{hospital}-checked", settings, code, (judge,)))
        return jobs

    def _recipes(self) -> list[Job]:
        jobs, profile = [], self.profile
        for hospital in HOSPITALS:
            group = f"07_recipes-{hospital}-search"
            tasks = plans.search_tasks(profile, hospital)
            searching = self._training_jobs(group, tasks)
            settings = [profile.recipes.model_dump(), profile.augmentation.model_dump()]
            code = ("ecgrepro.workflow.sections.recipes.choose",)
            needs = tuple(job.id for job in searching)
            jobs += [*searching, Job(RECIPE, hospital, settings, code, needs)]
        return jobs

    def _sections(self) -> list[Job]:
        return [
            Job(
                "section",
                page.name,
                [page.parameters, plans.section_settings(self.profile, page.section)],
                (f"{module_name(page.section)}.compute",),
                tuple(self._section_needs(page)),
            )
            for page in self.pages.values()
        ]

    def _section_needs(self, page: Page) -> list[str]:
        dataset, name = page.parameters.get("dataset", ""), page.parameters.get("generator", "")
        if page.section == "03_closeness_explained":
            return []
        if page.section == "06_claims":
            return [f"section/{other}" for other in page.after]
        needs = list(self._cohorts_of(dataset))
        needs += [f"cohort/{h}" for h in HOSPITALS]  # provenance names both
        groups = plans.groups_of(page)
        prefixes = tuple(f"{kind}/{g}-" for kind in ("arms", "classifier") for g in groups)
        needs += [job.id for job in self._arms_by_id if job.id.startswith(prefixes)]
        needs += [f"section/{other}" for other in page.after]
        judged = ("01_data", "02_generators", "03_closeness", "03_closeness_checked")
        if page.section in judged or dataset == MERGED:
            needs.append(f"classifier/{dataset}")
        if page.section == "02_generators":
            needs += [f"pool/{dataset}-{name}", f"pool/{dataset}-{name}-trials"]
            needs += [f"closeness/{dataset}-{name}"]
            if plans.has_published_form(name):
                needs.append(f"generator/{dataset}-{name}-published")
        if page.section == "03_closeness":
            needs += [f"pool/{dataset}-{name}", f"closeness/{dataset}-{name}"]
        if page.section == "03_closeness_checked":
            needs.append(f"closeness/{dataset}-checked")
        if page.section == "07_recipes":
            needs.append(f"{RECIPE}/{dataset}")
        return list(dict.fromkeys(needs))

    @cached_property
    def _arms_by_id(self) -> list[Job]:
        return self._arms()

    def _pages(self) -> list[Job]:
        return [
            Job(
                "page",
                page.name,
                [page.title, notebook_digest(page.section), page.section],
                tuple(notebook_code(page.section)),
                (f"section/{page.name}",),
            )
            for page in self.pages.values()
        ]

    def _book(self) -> Job:
        needs = tuple(f"page/{name}" for name in self.pages)
        return Job("book", "index", plans.book_digest(), ("ecgrepro.workflow.book",), needs)


def _confirmation(hospital: str) -> str:
    """The group of training runs that confirm the chosen recipes."""
    return f"07_recipes-{hospital}-test"


def _chunks(tasks: Sequence, updates: int) -> list[tuple]:
    """Training runs in groups of about `UPDATES_A_JOB` optimizer updates."""
    size = max(1, UPDATES_A_JOB // updates)
    return [tuple(tasks[i : i + size]) for i in range(0, len(tasks), size)]


def run_directory(profile: str, data: str) -> Path:
    """Where a run goes by default: ``runs/<profile>-<data>`` in the checkout."""
    return PROJECT / "runs" / f"{load_profile(profile, data).name}-{data}"
