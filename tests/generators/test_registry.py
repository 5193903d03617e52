"""Another generator is one file and one entry: it is then trained, sampled, shown and told of."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from helpers.cohorts import millivolts, sines
from helpers.commands import run
from helpers.toy import ToyGenerator, ToySettings

from ecgrepro import Cohort, EcgreproError, load_generator, make_generator
from ecgrepro.datasets.wfdb_export import export_wfdb
from ecgrepro.generators.registry import GENERATORS, GeneratorInfo, learned_generators
from ecgrepro.studies.profiles import FOLDER, load_profile
from ecgrepro.support.provenance import PROJECT
from ecgrepro.workflow.pages import pages

TITLE = "Toy model (a test, not in the paper)"
ENTRY = GeneratorInfo(
    "toy", TITLE, "helpers.toy:ToyGenerator", "helpers.toy:ToySettings", "Records with noise."
)


@pytest.fixture
def entry(monkeypatch) -> GeneratorInfo:
    monkeypatch.setitem(GENERATORS, "toy", ENTRY)
    return ENTRY


def test_it_is_trained_saved_and_sampled(entry, tmp_path):
    assert learned_generators()[-1] == "toy" and entry.short_title == "Toy model"
    model = make_generator("toy", {"noise": 0.5}).fit(sines())
    assert model.settings == ToySettings(noise=0.5)
    again = load_generator(model.save(tmp_path / "toy"))
    pool = again.sample({"SR": 3, "AFIB": 2}, seed=0)
    assert pool.counts()["SR"] == 3 and pool.fingerprint == model.sample(
        {"SR": 3, "AFIB": 2}, seed=0).fingerprint  # fmt: skip
    with pytest.raises(EcgreproError, match="noise: .*greater than or equal to 0"):
        make_generator("toy", {"noise": -1})


def test_a_profile_and_its_pages_know_it(entry, tmp_path):
    content = yaml.safe_load((FOLDER / "smoke.yaml").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content | {"generators": {"toy": {"noise": 0.2}}}))
    titles = {page.name: page.title for page in pages(load_profile(path))}
    assert titles["02_generators/chapman-toy"] == f"Generator: {TITLE} on Chapman"
    path.write_text(yaml.safe_dump(content | {"generators": {"toy": {"nose": 0.2}}}))
    with pytest.raises(EcgreproError, match="nose: unknown key; allowed: noise"):
        load_profile(path)
    path.write_text(yaml.safe_dump(content | {"generators": {"gan": {}}}))
    with pytest.raises(EcgreproError, match="gan.*unknown generator; .*'toy'"):
        load_profile(path)


def test_the_command_line_and_the_documentation_tell_of_it(entry, monkeypatch):
    assert "toy (Toy model)" in " ".join(run("train", "--help").output.split())
    monkeypatch.syspath_prepend(str(PROJECT / "book" / "_ext"))
    import registry

    assert ("toy", "Toy model", "no", "yes", "Records with noise.") in registry.rows()


def test_the_command_line_trains_it_and_samples_from_it(entry, tmp_path, monkeypatch):
    monkeypatch.setenv("ECGREPRO_CACHE", str(tmp_path / "cache"))
    trained = make_generator("simulator").fit(millivolts(6, samples=1000))
    records = trained.sample({"SR": 12, "AFIB": 10}, seed=0)
    export_wfdb(records, tmp_path / "records")
    told = run("train", "toy", "--dataset", tmp_path / "records", "--scale", "mV", "--device",
               "cpu", "--set", "noise=0.5", "--out", tmp_path / "model")  # fmt: skip
    assert told.exit_code == 0 and "trained toy: " in told.output
    assert load_generator(tmp_path / "model").settings == ToySettings(noise=0.5)
    told = run("sample", tmp_path / "model", "--rhythm", "AFIB=2", "--format", "npy", "--out",
               tmp_path / "pool")  # fmt: skip
    assert told.exit_code == 0 and set(Cohort.open(tmp_path / "pool").table["origin"]) == {"toy"}
    with pytest.raises(EcgreproError, match="nose: unknown key; allowed: noise"):
        run("train", "toy", "--dataset", tmp_path / "records", "--set", "nose=1", "--out",
            tmp_path / "other")  # fmt: skip


def test_a_model_without_an_entry_says_so():
    with pytest.raises(EcgreproError, match="unknown generator 'toy': choose one of 'diffwave'"):
        ToyGenerator()


def test_names_titles_and_settings_are_read_without_torch():
    program = (
        "import sys\n"
        "from ecgrepro.generators.registry import GENERATORS\n"
        "for entry in GENERATORS.values(): entry.settings_class()()\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def copy_of_the_project(target: Path) -> Path:
    """The checkout with the toy model in one file and one entry."""
    skipped = shutil.ignore_patterns(".git", ".venv", "runs", "data", "__pycache__", ".*_cache")
    shutil.copytree(PROJECT, target, ignore=skipped)
    generators = target / "ecgrepro" / "generators"
    shutil.copy(PROJECT / "tests" / "helpers" / "toy.py", generators / "toy.py")
    source = (generators / "registry.py").read_text()
    line = (
        f'    GeneratorInfo("toy", {TITLE!r}, "ecgrepro.generators.toy:ToyGenerator",\n'
        '                  "ecgrepro.generators.toy:ToySettings", "Records with noise."),\n'
    )
    start = source.index("_ENTRIES = (\n") + len("_ENTRIES = (\n")
    (generators / "registry.py").write_text(source[:start] + line + source[start:])
    return target


@pytest.mark.slow
def test_its_page_is_made_in_a_checkout_that_has_it(tmp_path):
    project = copy_of_the_project(tmp_path / "project")
    content = yaml.safe_load((FOLDER / "smoke.yaml").read_text())
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(content | {"generators": {"toy": {}}}))
    command = [sys.executable, "-m", "ecgrepro", "run", "--profile", tmp_path / "toy.yaml"]
    command += ["--page", "02_generators/chapman-toy", "--run-dir", tmp_path / "run"]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(
        [*map(str, command)], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    page = tmp_path / "run" / "notebooks" / "02_generators" / "chapman-toy.ipynb"
    notebook = nbformat.read(page, as_version=4)
    assert notebook.metadata["ecgrepro"]["title"] == f"Generator: {TITLE} on Chapman"
    assert "Toy model: a generator beyond the paper" in str(notebook.cells).replace(
        " (a test, not in the paper)", ""
    )
