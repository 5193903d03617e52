"""Asking for a section's results: read if they are there, made if not, named if damaged."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from ecgrepro import EcgreproError
from ecgrepro.studies.profiles import FOLDER
from ecgrepro.support.results import Result, read_content
from ecgrepro.workflow import runner
from ecgrepro.workflow.jobs import Graph
from ecgrepro.workflow.pages import MADE_BY
from ecgrepro.workflow.results import ask, is_current, read_section, stored_run, write_section
from ecgrepro.workflow.sections import Section, for_figure

FACTS = {"profile": "tiny", "data": "simulated", "seeds": [0]}
ROWS = [Result("macro_f1", 0.5, 0.4, 0.6, n=7, dataset="chapman", rhythm="SR")]
CONTENT = {"classes": ["SR", "SB"], "people": {"age": [1, None]}}
ARRAYS = {"signals": for_figure(np.linspace(-1, 1, 24).reshape(2, 12)), "counts": np.arange(4)}


def tiny(folder, **changes):
    """Path of a profile in which everything is short."""
    smoke = yaml.safe_load((FOLDER / "smoke.yaml").read_text())
    path = folder / "tiny.yaml"
    few = {"generators": {"diffwave": {"steps": 3}}, "pool": {"minimum": 8}}
    path.write_text(yaml.safe_dump({**smoke, **few, **changes}))
    return str(path)


def test_what_is_written_is_read_again(tmp_path):
    """Rows, facts and arrays, none of them pickled."""
    section = Section(ROWS, CONTENT, ARRAYS, {"data": "full real"})
    written = write_section(tmp_path, "01_data/chapman", section, FACTS)
    assert all(path.is_file() for path in written)
    found = read_section(tmp_path, "01_data", "chapman")
    assert (found.section, found.instance) == ("01_data", "chapman")
    assert found.rows == ROWS and found.facts == CONTENT and set(found.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array)
    assert found.status == "full real"
    assert found.provenance == {**FACTS, "section": "01_data", "data": "full real"}


def test_python_objects_are_not_read(tmp_path):
    section = Section(ROWS, {}, {"objects": np.array([{}, []], dtype=object)})
    write_section(tmp_path, "01_data/chapman", section, FACTS)
    with pytest.raises(EcgreproError, match=r"chapman\.npz is damaged"):
        read_section(tmp_path, "01_data", "chapman")


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("figures/01_data/chapman.npz", lambda whole: whole[: len(whole) // 2]),
        ("figures/01_data/chapman.npz", lambda whole: b"no archive"),
        ("figures/01_data/chapman.npz", lambda whole: b""),
        ("figures/01_data/chapman.npz", lambda whole: whole[:60] + bytes(20) + whole[80:]),
        ("results/01_data/chapman.json", lambda whole: whole[: len(whole) // 2]),
        ("results/01_data/chapman.json", lambda whole: b"{}"),
        ("results/01_data/chapman.json", lambda whole: b"\xff"),
        ("results/01_data/chapman.json", lambda whole: whole.replace(b"metric", b"score")),
    ],
    ids=["npz cut", "npz other", "npz empty", "npz bytes", "json cut", "json other", "json no text",
         "json other rows"],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path, file, damage):
    write_section(tmp_path, "01_data/chapman", Section(ROWS, CONTENT, ARRAYS), FACTS)
    path = tmp_path / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(EcgreproError, match=f"{path} is .*: remove it and run again"):
        read_section(tmp_path, "01_data", "chapman")


def test_an_archive_without_facts_is_named(tmp_path):
    write_section(tmp_path, "01_data/chapman", Section(ROWS), FACTS)
    np.savez(tmp_path / "figures" / "01_data" / "chapman.npz", signals=np.zeros(3))
    with pytest.raises(EcgreproError, match=r"chapman\.npz is damaged"):
        read_section(tmp_path, "01_data", "chapman")


def test_an_unknown_run_lists_the_known():
    with pytest.raises(EcgreproError, match="unknown run 'full': choose 'own', .*'partial'"):
        ask("05_transfer", "chapman", run="full")
    assert (stored_run("partial") / "results").is_dir()


def test_a_section_that_a_stored_run_lacks_says_to_show_ones_own():
    lacking = "no results of 01_data/chapman in partial: show a run of your own with run = 'own'"
    with pytest.raises(EcgreproError, match=lacking):
        ask("01_data", "chapman", run="partial")


def test_an_unknown_page_of_ones_own_run_lists_the_known(tmp_path):
    with pytest.raises(EcgreproError, match="unknown page '01_data/mit': choose one of 01_data/"):
        ask("01_data", "mit", run_dir=tmp_path)


READER = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "lightning", "lightning_fabric", "wfdb", "neurokit2"}:
            raise ImportError(f"{name} is not for a reader")

sys.meta_path.insert(0, Refused())
from ecgrepro.workflow.results import ask

found = ask("05_transfer", "chapman", run="partial")
print(found.status, len(found.rows), sep=";")
"""


def test_a_stored_run_is_read_without_recordings_and_without_torch(tmp_path):
    environment = {**os.environ, "ECGREPRO_DATA": str(tmp_path), "ECGREPRO_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", READER], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    status, rows = done.stdout.strip().split(";")
    assert status == "partial real" and int(rows) > 100
    assert not list(tmp_path.iterdir())


def test_results_of_another_key_are_not_current(tmp_path):
    """Those of other settings or other code, and those that lack their figure data."""
    graph = Graph(tiny(tmp_path), "simulated", tmp_path / "run")
    name = "01_data/chapman"
    assert not is_current(graph, name)
    facts = {**FACTS, "key": graph.section_key(name)}
    _, figures = write_section(graph.directory, name, Section(ROWS), facts)
    assert is_current(graph, name)
    classifier = {"widths": [16, 32], "updates": 31, "batch_size": 32, "evaluate_every": 10}
    other = Graph(tiny(tmp_path, classifier=classifier), "simulated", graph.directory)
    assert not is_current(other, name)
    figures.unlink()
    assert not is_current(graph, name)


def test_a_page_shows_the_run_that_executes_it_whatever_code_changes_meanwhile(
    tmp_path, monkeypatch
):
    def run_study(*_, **__):
        raise AssertionError("a page of a run asks for a run")

    monkeypatch.setattr(runner, "run_study", run_study)
    own = {"profile": tiny(tmp_path), "run_dir": tmp_path / "run"}
    write_section(
        own["run_dir"], "01_data/chapman", Section(ROWS), {**FACTS, "key": "of other code"}
    )
    with pytest.raises(AssertionError):
        ask("01_data", "chapman", **own)
    monkeypatch.setenv(MADE_BY, str(own["run_dir"]))
    assert ask("01_data", "chapman", **own).rows == ROWS


@pytest.mark.slow
def test_what_is_missing_is_made_and_what_is_there_is_not(tmp_path, monkeypatch):
    calls, run_study = [], runner.run_study

    def counted(*arguments, **more):
        calls.append(more["results"])
        return run_study(*arguments, cores=2, **more)

    monkeypatch.setattr(runner, "run_study", counted)
    own = {"profile": tiny(tmp_path), "run_dir": tmp_path / "run"}
    found = ask("01_data", "chapman", **own)
    assert calls == ["01_data/chapman"]
    assert found.status == "simulated" and found.facts["patients"] > 0
    assert {"records", "macro_f1"} <= {row.metric for row in found.rows}
    assert found.arrays["examples"].dtype == np.float16
    again = ask("01_data", "chapman", **own)
    assert calls == ["01_data/chapman"] and again.rows == found.rows
    content = read_content(tmp_path / "run" / "results" / "01_data" / "chapman.json")
    graph = Graph(own["profile"], "simulated", own["run_dir"])
    assert content["provenance"]["key"] == graph.section_key("01_data/chapman")
    done = {p.relative_to(own["run_dir"] / "jobs").as_posix()
            for p in (own["run_dir"] / "jobs").rglob("*.json")}  # fmt: skip
    assert done == {"cohort/ptb-xl.json", "cohort/chapman.json", "classifier/chapman.json"}
    cohort = json.loads((own["run_dir"] / "jobs" / "cohort" / "chapman.json").read_text())
    assert cohort["records"] == found.facts["report"]["kept"] and cohort["seconds"] > 0
    for log in (own["run_dir"] / "logs").rglob("*.log"):
        assert "Warning" not in log.read_text(), log
