import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
from helpers.processes import restore_signals
from helpers.runs import update_smoke_run

from ecgrepro import EcgreproError
from ecgrepro.studies.profiles import load_profile
from ecgrepro.support.provenance import PROJECT
from ecgrepro.support.results import read_results
from ecgrepro.workflow.jobs import Graph
from ecgrepro.workflow.pages import Page, execute, pages
from ecgrepro.workflow.runner import MARKER, _remove_stale_pages, run_study


def ecgrepro(*arguments, cwd=None, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "ecgrepro", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def results_of(run_dir: Path) -> dict[str, str]:
    folder = run_dir / "results"
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*.json")}


@pytest.mark.slow
def test_every_job_of_the_smoke_run_has_left_its_files(smoke_run):
    """Each section its results and figure data, each other job its mark with its key."""
    graph = Graph("smoke", "simulated", smoke_run)
    jobs = [*graph.jobs.values(), *graph.confirmations("ptb-xl"), *graph.confirmations("chapman")]
    lacking = [str(path) for job in jobs for path in graph.outputs(job) if not path.is_file()]
    assert not lacking
    for path in (smoke_run / "jobs").rglob("*.json"):
        kind, name = path.relative_to(smoke_run / "jobs").with_suffix("").as_posix().split("/", 1)
        assert json.loads(path.read_text())["key"] == graph.key(graph.job(kind, name)), path


@pytest.mark.slow
def test_every_page_of_the_smoke_run_has_results_and_provenance(smoke_run):
    found = results_of(smoke_run)
    assert set(found) == {f"{page.name}.json" for page in pages(load_profile("smoke"))}
    for name, text in found.items():
        provenance = json.loads(text)["provenance"]
        assert provenance["data"] == "simulated" and provenance["profile"] == "smoke"
        hospitals = 0 if name.startswith("03_closeness_explained") else 2
        assert len(provenance["fingerprints"]) == hospitals and provenance["versions"]["torch"]
    table = read_results(smoke_run / "results")
    assert {"real only", "real + diffwave x1"} <= set(table["arm"])
    assert {0.0, 0.25, 1.0} == set(table["fraction"].dropna())


@pytest.mark.slow
def test_no_page_and_no_job_shows_a_warning(smoke_run):
    for path in sorted((smoke_run / "notebooks").rglob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            said = [o.text for o in cell.get("outputs", []) if o.get("name") == "stderr"]
            assert "Warning" not in "".join(said), f"{path.name}: {said}"
    for path in sorted((smoke_run / "logs").rglob("*.log")):
        if not path.is_relative_to(smoke_run / "logs" / "page"):
            assert "Warning" not in path.read_text(), path


@pytest.mark.slow
def test_nothing_is_done_again_when_nothing_changed(smoke_run):
    def written() -> dict[Path, int]:
        kinds = (".ipynb", ".json", ".npz", ".npy", ".html")
        return {p: p.stat().st_mtime_ns for p in smoke_run.rglob("*") if p.suffix in kinds}

    before = written()
    update_smoke_run()
    assert written() == before


def numbers_of(run_dir: Path) -> dict[str, dict]:
    """The results without the state of the checkout, which may change between two runs.

    Keys stay: both runs have the same settings and the same code.
    """
    found = {name: json.loads(text) for name, text in results_of(run_dir).items()}
    for content in found.values():
        content["provenance"] = {
            key: value
            for key, value in content["provenance"].items()
            if key not in ("commit", "dirty")
        }
    return found


def start(*arguments, **environment) -> psutil.Popen:
    return psutil.Popen(
        [sys.executable, "-m", "ecgrepro", *map(str, arguments)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment}, preexec_fn=restore_signals,
    )  # fmt: skip


def wait_until(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(condition())


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def commands(processes: list[psutil.Process]) -> str:
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it has just ended
            found.append(" ".join(process.cmdline()))
    return "\n".join(found)


def ended(processes: list[psutil.Process]) -> bool:
    return all(
        not p.is_running() or p.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        for p in processes
    )


JOB = "-m ecgrepro job"  # a process that does a job of the study


def arrays_of(run_dir: Path) -> dict[str, np.ndarray]:
    """Every array of the run's figure data, and their facts but for what it cost, in seconds."""
    found = {}
    for path in (run_dir / "figures").rglob("*.npz"):
        with np.load(path) as stored:
            where = path.relative_to(run_dir).as_posix()
            found |= {f"{where} {name}": stored[name] for name in stored.files}
        facts = json.loads(str(found[f"{where} facts"]))
        found[f"{where} facts"] = np.array(json.dumps(facts | {"cost": None}))
    return found


def kill_all(child: psutil.Popen) -> str:
    """Kill a run with everything that it has started; the commands that were running."""
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: none starts another meanwhile
        processes = tree(child)
        found = commands(processes)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
    child.wait()
    assert wait_until(lambda: ended(processes), 20)
    return found


@pytest.mark.slow
@pytest.mark.stress
def test_killed_at_random_moments_a_run_ends_in_the_same_results(smoke_run, tmp_path, stress):
    """Its cohorts are built anew too: two runs of the same profile give identical numbers."""
    run_dir, rng = tmp_path / "a run", np.random.default_rng()
    command = ["run", "--profile", "smoke", "--run-dir", run_dir, "--cores", 2]
    # Ten kills want more work than one.
    page = "02_generators/chapman-unet" if stress == 1 else "04_augmentation/chapman"
    command += ["--page", page]
    interrupted = {"ECGREPRO_CACHE": str(tmp_path / "cache")}
    seen = ""
    for _ in range(stress):
        child = start(*command, **interrupted)
        time.sleep(rng.uniform(4, 20))
        assert child.poll() is None, "it ended before it was killed"
        seen += kill_all(child)
        done = {p: p.stat().st_mtime_ns for p in run_dir.glob("jobs/*/*.json")}
    assert "-m ecgrepro run" in seen
    again = ecgrepro(*command, **interrupted)
    assert again.returncode == 0, again.stderr
    kept = [path for path, written in done.items() if path.stat().st_mtime_ns == written]
    assert len(kept) >= len(done) - 2  # what was killed at its very end is done again
    ours, theirs = numbers_of(run_dir), numbers_of(smoke_run)
    assert ours and all(ours[name] == theirs[name] for name in ours)
    drawn, whole = arrays_of(run_dir), arrays_of(smoke_run)
    assert drawn and all(np.array_equal(drawn[name], whole[name]) for name in drawn)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_at_work(tmp_path, number):
    run_dir = tmp_path / "run"
    child = start("run", "--profile", "smoke", "--run-dir", run_dir, "--cores", 1,
                  ECGREPRO_CACHE=str(tmp_path / "cache"))  # fmt: skip
    assert wait_until(lambda: JOB in commands(tree(child)), 120)
    processes = tree(child)
    child.send_signal(number)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 1
    assert "interrupted; the same command continues where it stopped" in said
    assert wait_until(lambda: ended(processes), 10)


def test_a_dry_run_removes_nothing_and_makes_no_book(tmp_path):
    profile = tmp_path / "mine.yaml"
    profile.write_text((PROJECT / "profiles" / "smoke.yaml").read_text())
    run_dir = tmp_path / "a run"
    old = run_dir / "results" / "01_data" / "old.json"
    command = ["run", "--profile", "mine.yaml", "--run-dir", "a run", "--", "-n"]
    for _ in range(2):
        done = ecgrepro(*command, cwd=tmp_path)
        assert done.returncode == 0 and "ready" not in done.stdout, done.stderr
        assert "section/01_data/ptb-xl" in done.stdout and "generator/" in done.stdout
        old.parent.mkdir(parents=True, exist_ok=True)
        old.write_text("{}")
    assert old.exists()


@pytest.fixture
def page_of(tmp_path, monkeypatch):
    """A page whose notebook has one cell."""
    monkeypatch.setattr("ecgrepro.workflow.pages.FOLDER", tmp_path)

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
    mine = tmp_path / "notebooks" / "mine" / "notes.ipynb"
    mine.parent.mkdir(parents=True)
    mine.write_text("{}")
    _remove_stale_pages(tmp_path, {"02_generators/ptb-xl-x"})
    assert kept.exists() and mine.exists() and not old.exists()
    assert "the profile has no page 02_generators/ptb-xl-gan now" in capsys.readouterr().err


def test_two_runs_in_one_folder_refuse_each_other(tmp_path):
    (tmp_path / MARKER).touch()
    with (tmp_path / MARKER).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(EcgreproError, match="another run is at work"):
            run_study("smoke", "simulated", directory=tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.ipynb").touch()
    with pytest.raises(EcgreproError, match="files that are no run's"):
        run_study("smoke", "simulated", directory=tmp_path)
    for folder in (PROJECT, PROJECT.parent):
        with pytest.raises(EcgreproError, match="holds the project itself"):
            run_study("smoke", "simulated", directory=folder)
    with pytest.raises(EcgreproError, match="files that are no run's"):
        run_study("smoke", "simulated", directory=PROJECT / "notebooks")


def test_a_folder_of_another_run_is_refused(tmp_path):
    (tmp_path / MARKER).write_text("quick on real data\n")
    with pytest.raises(EcgreproError, match="quick on real data, not of smoke on simulated data"):
        run_study("smoke", "simulated", directory=tmp_path)
