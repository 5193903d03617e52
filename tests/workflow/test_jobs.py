"""The graph of jobs: complete, in order, as large as a job should be, done again when needed."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml

from ecgrepro import EcgreproError
from ecgrepro.studies.arms import HOSPITALS, MERGED, Arm, Task
from ecgrepro.studies.classifiers import Outcome
from ecgrepro.studies.experiments.recipes import Search, recipes
from ecgrepro.studies.profiles import FOLDER, load_profile
from ecgrepro.support.provenance import PROJECT
from ecgrepro.workflow import jobs, plans
from ecgrepro.workflow.jobs import RESOURCES, UPDATES_A_JOB, Graph, Job
from ecgrepro.workflow.pages import pages
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import augmentation, transfer
from ecgrepro.workflow.sections import recipes as recipes_section

SMOKE = yaml.safe_load((FOLDER / "smoke.yaml").read_text())


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Graph:
    return Graph("smoke", "simulated", tmp_path_factory.mktemp("run"))


def of_profile(folder: Path, **changes) -> Graph:
    """The graph of the smoke profile with changes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "smoke.yaml").write_text(yaml.safe_dump(SMOKE | changes))
    return Graph(str(folder / "smoke.yaml"), "simulated", folder / "run")


def before(graph: Graph, job: Job) -> dict[str, Job]:
    """All jobs that come before one."""
    found, todo = {}, list(job.needs)
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = graph.job(*name.split("/", 1))
            todo += found[name].needs
    return found


def test_every_section_page_and_kind_is_there(graph):
    names = [page.name for page in pages(graph.profile)]
    for kind in ("section", "page"):
        assert [job.name for job in graph.jobs.values() if job.kind == kind] == names
    assert {job.kind for job in graph.jobs.values()} == set(RESOURCES)
    assert all(name == job.id for name, job in graph.jobs.items())
    for hospital in HOSPITALS:
        for name in graph.profile.generators:
            assert f"generator/{hospital}-{name}-seed0" in graph.jobs
            for made in (f"pool/{hospital}-{name}", f"closeness/{hospital}-{name}"):
                assert made in graph.jobs
    assert {f"classifier/{name}" for name in (*HOSPITALS, MERGED)} <= set(graph.jobs)


def test_jobs_need_jobs_that_there_are_and_none_needs_itself(graph):
    for job in graph.jobs.values():
        assert set(job.needs) <= set(graph.jobs), job.id
        assert job.id not in before(graph, job), job.id
    assert set(before(graph, graph.jobs["book/index"])) | {"book/index"} == set(graph.jobs)


def test_a_section_needs_what_it_shows_and_nothing_else(graph):
    def needed(section: str) -> set[str]:
        return set(before(graph, graph.jobs[f"section/{section}"]))

    assert needed("01_data/ptb-xl") == {"cohort/ptb-xl", "cohort/chapman", "classifier/ptb-xl"}
    closeness = needed("03_closeness/ptb-xl-diffwave")
    assert {"pool/ptb-xl-diffwave", "generator/ptb-xl-diffwave-seed0",
            "closeness/ptb-xl-diffwave", "classifier/ptb-xl"} <= closeness  # fmt: skip
    assert not {name for name in closeness if "unet" in name or "04_" in name or "05_" in name}
    assert not needed("03_closeness_explained/all")
    everything = {f"section/{page.name}" for page in pages(graph.profile)}
    recipes = {f"section/07_recipes/{hospital}" for hospital in HOSPITALS}
    assert everything - recipes - {"section/06_claims/all"} <= needed("06_claims/all")
    assert not recipes & needed("06_claims/all")


def test_an_unknown_job_is_named(graph):
    with pytest.raises(EcgreproError, match="profile 'smoke' has no job arms/05_transfer-mit-0"):
        graph.job("arms", "05_transfer-mit-0")


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_a_job_of_training_runs_is_worth_its_start_and_no_longer(profile, tmp_path):
    graph = Graph(profile, "simulated", tmp_path)
    updates = graph.profile.classifier.updates
    arms = [job for job in graph.jobs.values() if job.kind == "arms"]
    most = max(1, UPDATES_A_JOB // updates)
    assert all(1 <= len(job.tasks) <= most for job in arms)
    groups = {job.id.rsplit("-", 1)[0] for job in arms}
    for group in groups:  # all but the last of a group are full
        sizes = [len(job.tasks) for job in arms if job.id.rsplit("-", 1)[0] == group]
        assert all(size == most for size in sizes[:-1])
        assert [job.id for job in arms if job.id.rsplit("-", 1)[0] == group] == [
            f"{group}-{i}" for i in range(len(sizes))
        ]


def test_what_a_training_run_takes_is_there_before_it(graph):
    """Cohorts, pools, judges and pre-trained classifiers."""
    for job in graph.jobs.values():
        if job.kind != "arms":
            continue
        known = before(graph, job)
        started = [start for other in known.values() for start in other.tasks]
        for task in job.tasks:
            for hospital, name, guidance in plans.pools_of(task):
                scale = "" if guidance is None else f"-guidance{guidance:g}"
                assert f"pool/{hospital}-{name}{scale}" in known
            hospitals = HOSPITALS if task.dataset == MERGED else (task.dataset,)
            hospitals += (task.arm.trained_in,) if task.arm.trained_in else ()
            assert all(f"cohort/{hospital}" in known for hospital in hospitals)
            assert all(f"classifier/{h}" in known for h in plans.judges_of(task))
            assert all(start in started for start in plans.starts([task]))


@pytest.fixture
def read(monkeypatch):
    """Training runs that sections ask for, none of which is trained."""
    asked: dict[Task, None] = {}

    def fake(run, task):
        asked[task] = None
        parts = run.splits(task.dataset)
        return Outcome(*(np.full((len(parts[n]), 7), 1 / 7) for n in ("validation", "test")), 30)

    monkeypatch.setattr("ecgrepro.workflow.products.arm_outcome", fake)
    monkeypatch.setattr(recipes_section, "arm_outcome", fake)
    for module, names in (
        (augmentation, ("augmentation_results", "source_shift", "crossing_results")),
        (transfer, ("transfer_results",)),
        (recipes_section, ("confirmation_results",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, lambda *_, **__: [])
    monkeypatch.setattr(augmentation, "judge", lambda *_: None)
    monkeypatch.setattr(
        augmentation, "arm_training_set", lambda run, task: run.splits(task.dataset)["train"]
    )
    return asked


@pytest.mark.parametrize(
    ("section", "dataset"),
    [(s, d) for s, d in (
        *(("04_augmentation", d) for d in (*HOSPITALS, MERGED)),
        *(("05_transfer", d) for d in HOSPITALS),
    )],
)  # fmt: skip
def test_what_a_section_reads_was_trained_by_jobs_that_it_needs(graph, read, section, dataset):
    module = {"04_augmentation": augmentation, "05_transfer": transfer}[section]
    module.compute(Run("smoke", "simulated", graph.directory), dataset)
    needed = [graph.jobs[name] for name in graph.jobs[f"section/{section}/{dataset}"].needs]
    trained = {task for job in needed for task in job.tasks if isinstance(task, Task)}
    assert read and set(read) <= trained
    alike = {f"real-{name}" for name in (*HOSPITALS, MERGED)}
    own = {t for job in needed if job.kind == "arms" and job.name[:-2] not in alike
           for t in job.tasks}  # fmt: skip
    assert own <= set(read)  # nothing is trained for it in vain


def test_recipes_are_tried_before_one_is_chosen_and_confirmed_afterwards(tmp_path, read):
    graph = Graph("smoke", "simulated", tmp_path)
    run = Run("smoke", "simulated", tmp_path)
    chosen = recipes_section.choose(run, "chapman")
    recipe = graph.jobs["recipe/chapman"]
    searched = {task for name in recipe.needs for task in graph.jobs[name].tasks}
    assert set(read) == {task for task in searched if isinstance(task, Task)}
    (marker,) = graph.outputs(recipe)
    marker.parent.mkdir(parents=True)
    content = {str(fraction): asdict(arm) for fraction, arm in chosen.items()}
    marker.write_text(json.dumps({"chosen": content}))
    assert graph.chosen("chapman") == chosen
    read.clear()
    recipes_section.compute(run, "chapman")
    confirmed = graph.confirmations("chapman")
    tasks = {task for job in confirmed for task in job.tasks if isinstance(task, Task)}
    assert {task for task in read if task not in searched} == tasks - searched
    assert {task.seed for task in tasks} == set(graph.profile.seeds)
    for job in confirmed:
        assert graph.job(job.kind, job.name) == job and len(graph.key(job)) == 64
        assert all(graph.job(*name.split("/", 1)) for name in job.needs)


def test_another_recipe_makes_other_jobs(tmp_path):
    graph = Graph("smoke", "simulated", tmp_path)
    (marker,) = graph.outputs(graph.jobs["recipe/chapman"])
    marker.parent.mkdir(parents=True)
    found = []
    for arm in recipes(Search.of(graph.profile), "chapman", 0.25)[:2]:
        marker.write_text(json.dumps({"chosen": {"0.25": asdict(arm)}}))
        graph = Graph("smoke", "simulated", tmp_path)
        found.append([graph.key(job) for job in graph.confirmations("chapman")])
    assert found[0] != found[1]


@pytest.fixture
def same_code(monkeypatch):
    """The code of jobs counts by its name alone and packages not at all, which is quicker."""
    monkeypatch.setattr(jobs, "code_fingerprint", lambda *names: " ".join(names))
    monkeypatch.setattr(jobs, "versions", dict)


def keys(graph: Graph) -> dict[str, str]:
    return {name: graph.key(job) for name, job in graph.jobs.items()}


def test_every_job_has_a_key(graph):
    """So all code that jobs name is there; what differs in settings or in what it needs differs."""
    found = keys(graph)
    assert set(found) == set(graph.jobs) and all(len(key) == 64 for key in found.values())
    shown = [key for name, key in found.items() if name.startswith(("page/", "section/", "arms/"))]
    assert len(set(shown)) == len(shown)


def changed(one: Graph, other: Graph) -> set[str]:
    first, second = keys(one), keys(other)
    return {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}


@pytest.mark.usefixtures("same_code")
def test_a_changed_setting_does_again_what_it_decides_and_nothing_else(tmp_path):
    plain = of_profile(tmp_path / "plain")
    assert not changed(plain, of_profile(tmp_path / "same"))
    fractions = {**SMOKE["transfer"], "fractions": [0, 0.5, 1]}
    again = changed(plain, of_profile(tmp_path / "other", transfer=fractions))
    for hospital in HOSPITALS:
        assert {f"section/05_transfer/{hospital}", f"page/05_transfer/{hospital}"} <= again
        assert any(name.startswith(f"arms/05_transfer-{hospital}") for name in again)
    assert {"section/06_claims/all", "page/06_claims/all", "book/index"} <= again
    untouched = ("cohort/", "generator/", "pool/", "closeness/", "recipe/", "arms/04", "arms/real")
    untouched += ("arms/07", "arms/02", "classifier/")
    untouched += tuple(f"{k}/{s}" for k in ("section", "page") for s in ("01", "02", "03", "04"))
    assert not {name for name in again if name.startswith(untouched)}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"resamples": 300}, ("cohort/", "classifier/", "generator/", "pool/", "arms/")),
        ({"pool": {"minimum": 9}}, ("cohort/", "classifier/ptb-xl", "generator/", "arms/real")),
        ({"simulation": {"records": 160, "seed": 0}}, ()),
        ({"gpus": 2}, ("cohort/", "generator/", "arms/", "section/", "page/")),
    ],
    ids=["resamples", "pool", "simulation", "gpus"],
)
@pytest.mark.usefixtures("same_code")
def test_what_stays_when_a_setting_changes(tmp_path, change, same):
    again = changed(of_profile(tmp_path / "plain"), of_profile(tmp_path / "other", **change))
    assert not {name for name in again if name.startswith(tuple(same))} or not same
    expected = {"resamples": "section/04_augmentation/chapman", "pool": "pool/chapman-unet",
                "simulation": "cohort/chapman"}.get(next(iter(change)))  # fmt: skip
    assert expected in again if expected else not again


@pytest.mark.usefixtures("same_code")
def test_a_changed_generator_leaves_the_others_as_they_are(tmp_path):
    settings = {**SMOKE["generators"], "unet": {**SMOKE["generators"]["unet"], "steps": 21}}
    again = changed(of_profile(tmp_path / "a"), of_profile(tmp_path / "b", generators=settings))
    assert {"generator/chapman-unet-seed0", "pool/chapman-unet", "arms/05_transfer-chapman-0",
            "section/02_generators/chapman-unet"} <= again  # fmt: skip
    assert not {"generator/chapman-diffwave-seed0", "pool/chapman-diffwave", "cohort/chapman",
                "arms/02_generators-chapman-diffwave-0", "arms/real-chapman-0"} & again  # fmt: skip


@pytest.mark.usefixtures("same_code")
def test_changed_code_does_again_what_it_makes(tmp_path, monkeypatch):
    first = keys(of_profile(tmp_path))

    def fingerprint(*names):
        changed = any(name.endswith("products.synthetic_pool") for name in names)
        return "changed" if changed else " ".join(names)

    monkeypatch.setattr(jobs, "code_fingerprint", fingerprint)
    second = keys(of_profile(tmp_path))
    again = {name for name in first if first[name] != second[name]}
    assert "pool/chapman-unet" in again and "section/05_transfer/chapman" in again
    assert not {name for name in again if name.startswith(("cohort/", "generator/", "arms/real"))}


def test_generators_are_read_from_the_names_of_jobs(graph):
    jobs = [job for job in graph.jobs.values() if job.kind in ("pool", "closeness")]
    found = {j.id: graph.generator_of(j) for j in jobs if not j.name.endswith("-checked")}
    assert found["pool/ptb-xl-diffwave"] == ("ptb-xl", "diffwave", "")
    assert found["pool/chapman-timediffusion-trials"] == ("chapman", "timediffusion", "trials")
    assert found["pool/chapman-unet-guidance1"] == ("chapman", "unet", "guidance1")
    assert found["closeness/ptb-xl-simulator"] == ("ptb-xl", "simulator", "")
    published = graph.jobs["generator/chapman-diffwave-published"]
    assert graph.generator_of(published) == ("chapman", "diffwave", "published")


def test_every_kind_of_job_says_how_much_it_asks_for():
    """In MB and minutes, as a cluster wants it."""
    for kind, asked in RESOURCES.items():
        assert asked.mem_mb >= 1000 and asked.runtime >= 10, kind
    heavy = {kind for kind, asked in RESOURCES.items() if asked.uses_gpu}
    assert {"generator", "pool", "arms", "classifier"} <= heavy
    assert not {"cohort", "page", "book"} & heavy


def rules(folder: Path, monkeypatch, **changes) -> dict:
    """The rules that Snakemake reads from the Snakefile, by name, for a profile with changes."""
    from snakemake.api import OutputSettings, SnakemakeApi
    from snakemake.settings.types import ConfigSettings, Quietness, ResourceSettings

    monkeypatch.chdir(folder)
    of_profile(folder, **changes)
    config = {"profile": str(folder / "smoke.yaml"), "data": "simulated",
              "run_dir": str(folder / "run")}  # fmt: skip
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            ResourceSettings(cores=1),
            ConfigSettings(config=config),
            snakefile=PROJECT / "Snakefile",
            workdir=folder,
        )._workflow
        return {rule.name: rule for rule in workflow.rules}


def test_a_cluster_is_asked_for_what_a_job_takes(tmp_path, monkeypatch):
    """Memory and time for each kind; GPUs for what computes, if the profile has any."""
    found = rules(tmp_path, monkeypatch, gpus=2)
    assert set(found) == set(RESOURCES)
    for kind, rule in found.items():
        assert rule.resources["mem_mb"] == RESOURCES[kind].mem_mb
        assert rule.resources["runtime"] == RESOURCES[kind].runtime
        assert rule.resources["gpu"] == (2 if RESOURCES[kind].uses_gpu else 0)
    assert found["generator"].resources["gpu"] == found["arms"].resources["gpu"] == 2
    assert found["page"].resources["gpu"] == 0


def test_the_longest_jobs_start_first(tmp_path, monkeypatch):
    priority = {kind: rule.priority for kind, rule in rules(tmp_path, monkeypatch).items()}
    ahead = ["cohort", "generator", "pool", "classifier", "arms"]
    assert sorted(ahead, key=lambda kind: -priority[kind]) == ahead


def test_every_profile_has_a_graph():
    for path in sorted(FOLDER.glob("*.yaml")):
        for data in ("simulated", "real"):
            graph = Graph(path.stem, data, "nowhere")
            assert graph.profile == load_profile(path.stem, data)
            assert all(set(job.needs) <= set(graph.jobs) for job in graph.jobs.values())


def test_arms_are_rebuilt_from_what_a_job_wrote():
    arm = Arm("a", "unet", 1.0, guidance=2.0, keep="confident", fading=True)
    assert Arm(**json.loads(json.dumps(asdict(arm)))) == arm


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "[1]", "3"])
def test_a_damaged_file_of_a_job_is_named_with_the_way_out(tmp_path, content):
    graph = Graph("smoke", "simulated", tmp_path)
    (path,) = graph.outputs(graph.jobs["recipe/chapman"])
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(EcgreproError, match=r"chapman\.json is damaged: delete it"):
        graph.chosen("chapman")
