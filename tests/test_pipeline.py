import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from ecgrepro import EcgreproError, notebooks
from ecgrepro.notebooks import Page, execute, pages
from ecgrepro.pipeline import _remove_stale_pages, run_study
from ecgrepro.profiles import load_profile
from ecgrepro.results import read_results


def ecgrepro(*arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "ecgrepro", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def results_of(run_dir: Path) -> dict[str, str]:
    folder = run_dir / "results"
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*.json")}


@pytest.mark.slow
def test_every_page_of_the_smoke_run_has_results_and_provenance(smoke_run):
    found = results_of(smoke_run)
    assert set(found) == {f"{page.name}.json" for page in pages(load_profile("smoke"))}
    for text in found.values():
        provenance = json.loads(text)["provenance"]
        assert provenance["data"] == "simulated" and provenance["profile"] == "smoke"
        assert len(provenance["fingerprints"]) == 2 and provenance["versions"]["torch"]
    table = read_results(smoke_run / "results")
    assert {"real only", "real + diffwave x1"} <= set(table["arm"])
    assert {0.0, 0.25, 1.0} == set(table["fraction"].dropna())


@pytest.mark.slow
def test_nothing_is_done_again_when_nothing_changed(smoke_run):
    before = {
        p: p.stat().st_mtime_ns for p in smoke_run.rglob("*") if p.suffix in (".ipynb", ".json")
    }
    run_study("smoke", "simulated", directory=smoke_run)
    after = {
        p: p.stat().st_mtime_ns for p in smoke_run.rglob("*") if p.suffix in (".ipynb", ".json")
    }
    assert before == after


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_in_the_same_results(smoke_run, tmp_path):
    """Its cohorts are built anew too: two runs of the same profile give identical files."""
    command = [sys.executable, "-m", "ecgrepro", "run", "--profile", "smoke", "--run-dir", tmp_path]
    environment = {**os.environ, "ECGREPRO_CACHE": str(tmp_path / "cache")}
    child = subprocess.Popen(
        [*map(str, command), "--cores", "2"], env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not list(
        tmp_path.glob("notebooks/02_generators/*.ipynb")
    ):
        time.sleep(0.1)
    for line in subprocess.run(
        ["ps", "-eo", "pid,args"], capture_output=True, text=True
    ).stdout.splitlines():
        if str(tmp_path) in line:  # kernels and workers have sessions of their own
            os.kill(int(line.split()[0]), signal.SIGKILL)
    child.wait()
    done = {p: p.stat().st_mtime_ns for p in tmp_path.glob("notebooks/01_data/*.ipynb")}
    assert done and not (tmp_path / "book").exists()
    again = ecgrepro("run", "--profile", "smoke", "--run-dir", tmp_path, "--cores", 2,
                     ECGREPRO_CACHE=environment["ECGREPRO_CACHE"])  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert {p: p.stat().st_mtime_ns for p in done} == done
    assert results_of(tmp_path) == results_of(smoke_run)


@pytest.fixture
def page_of(tmp_path, monkeypatch):
    """A page whose notebook has one cell."""
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)

    def make(source: str) -> Page:
        cells = [nbformat.v4.new_code_cell('profile = "smoke"', metadata={"tags": ["parameters"]})]
        cells.append(nbformat.v4.new_code_cell(source))
        notebook = nbformat.v4.new_notebook(
            cells=cells, metadata={"language_info": {"name": "python"}}
        )
        nbformat.write(notebook, tmp_path / "01_data.ipynb")
        return Page("01_data", "ptb-xl", "Data", {"dataset": "ptb-xl"})

    return make


def test_a_failing_cell_is_shown_and_the_old_page_stays(page_of, tmp_path):
    page = page_of("saved = 1\nlen(saved)")
    old = tmp_path / "run" / "notebooks" / "01_data" / "ptb-xl.ipynb"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    with pytest.raises(EcgreproError) as caught:
        execute(page, profile="smoke", data="simulated", run_dir=tmp_path / "run")
    said = str(caught.value)
    assert "01_data/ptb-xl" in said and "len(saved)" in said and "TypeError" in said
    assert old.read_text() == "old"
    failed = nbformat.read(tmp_path / "run" / "failed" / "01_data" / "ptb-xl.ipynb", as_version=4)
    assert any(
        output.output_type == "error" for cell in failed.cells for output in cell.get("outputs", [])
    )


def test_an_executed_page_holds_no_path_of_the_machine(page_of, tmp_path):
    page = page_of(
        "from pathlib import Path\n"
        "folder = Path(run_dir, 'results', '01_data')\n"
        "folder.mkdir(parents=True)\n"
        'saved = (folder / \'ptb-xl.json\').write_text(\'{"provenance": {"data": "simulated"}}\')'
    )
    path = execute(page, profile="smoke", data="simulated", run_dir=tmp_path / "run")
    assert str(tmp_path) not in path.read_text()
    facts = nbformat.read(path, as_version=4).metadata["ecgrepro"]
    assert facts["title"] == "Data" and facts["data"] == "simulated" and facts["seconds"] > 0
    assert facts["command"].endswith("--page 01_data/ptb-xl")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--profile", "huge"], "unknown profile 'huge'"),
        (["run", "--page", "01_data/x"], "unknown page '01_data/x'"),
        (["run", "--data", "real"], "set ECGREPRO_DATA"),
        (["data", "describe", "mit-bih"], "unknown data set 'mit-bih'"),
        (["data", "describe", "ptb-xl", "--root", "nowhere"], "ecgrepro data download ptb-xl"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_a_sentence(arguments, said):
    done = ecgrepro(*arguments, ECGREPRO_DATA="")
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_help_shows_an_example():
    for command in (["run"], ["data", "describe"], ["data", "download"]):
        done = ecgrepro(*command, "--help")
        assert done.returncode == 0 and "Example: ecgrepro" in done.stdout


def test_describe_prints_json(tmp_path):
    done = ecgrepro("data", "describe", "simulated-chapman", "--json", "--labels", "rhythm4",
                    ECGREPRO_CACHE=str(tmp_path))  # fmt: skip
    facts = json.loads(done.stdout)
    assert facts["found"] == facts["kept"] + sum(facts["dropped"].values())
    assert set(facts["rhythms"]) == {"SR", "SB", "GSVT", "AFIB"}
    assert sum(map(sum, (fold.values() for fold in facts["folds"].values()))) == facts["kept"]


def test_pages_that_the_profile_no_longer_has_are_removed(tmp_path, capsys):
    old, kept = (tmp_path / "results" / "02_generators" / f"ptb-xl-{g}.json" for g in ("gan", "x"))
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    kept.write_text("{}")
    _remove_stale_pages(tmp_path, {"02_generators/ptb-xl-x"})
    assert kept.exists() and not old.exists()
    assert "the profile has no page 02_generators/ptb-xl-gan now" in capsys.readouterr().err


def test_two_runs_in_one_folder_refuse_each_other(tmp_path):
    import filelock

    with (
        filelock.FileLock(tmp_path / ".lock"),
        pytest.raises(EcgreproError, match="another run is at work"),
    ):
        run_study("smoke", "simulated", directory=tmp_path)
