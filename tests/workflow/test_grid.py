"""Arms in parallel processes: the same numbers, once each, also after a kill."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ecgrepro import EcgreproError
from ecgrepro.studies.arms import REAL, Arm, run_arm
from ecgrepro.workflow import grid
from ecgrepro.workflow.grid import Cell, run_cells
from ecgrepro.workflow.run import Run

ARMS = [Arm(REAL), Arm("tuned", start="simulator"), Arm("more", "simulator", 1.0)]
CELLS = [Cell("chapman", arm, seed) for arm in ARMS for seed in (0, 1)]


def arm_folders(run: Run) -> dict:
    """Finished arms and when they were made."""
    found = (run.directory / "artifacts").glob("arm-*/made_from.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Run:
    run = Run("smoke", "simulated", tmp_path_factory.mktemp("alone"))
    for cell in CELLS:
        run_arm(run, cell.dataset, cell.arm, cell.seed)
    return run


def test_processes_find_the_same_numbers_as_one_alone_and_run_no_arm_twice(
    alone, tmp_path, monkeypatch
):
    run = Run("smoke", "simulated", tmp_path / "run", workers=2)
    monkeypatch.setenv("ECGREPRO_PROGRESS", str(tmp_path / "progress"))
    run_cells(run, CELLS + CELLS)
    shared = 1 + 2  # the pool, and a pre-trained classifier for each seed
    assert (tmp_path / "progress").read_text() == f"{6 + shared}/{6 + shared} arms"
    first = arm_folders(run)
    assert set(first) == set(arm_folders(alone)) and len(first) == len(CELLS)
    for cell in CELLS:
        one, other = (run_arm(r, cell.dataset, cell.arm, cell.seed) for r in (run, alone))
        np.testing.assert_array_equal(one.test, other.test)
        np.testing.assert_array_equal(one.validation, other.validation)
    run_cells(run, CELLS)
    assert arm_folders(run) == first


def test_one_worker_waits_until_an_arm_is_asked_for(tmp_path):
    run_cells(Run("smoke", "simulated", tmp_path), CELLS)
    assert not list(tmp_path.iterdir())


def test_an_error_in_a_process_is_the_error(tmp_path):
    run = Run("smoke", "simulated", tmp_path, workers=2)
    with pytest.raises(EcgreproError, match="has no generator 'unheard'"):
        run_cells(run, [Cell("chapman", Arm("x", "unheard", 1.0), 0)])


def stumble(run, dataset, arm, seed, fraction):
    """Stands for an arm: the first fails, each of the others leaves a mark."""
    if seed == 0:
        raise EcgreproError("the first has failed")
    time.sleep(0.2)
    (run.directory / f"mark-{seed}").touch()


def end_at_once(run, dataset, arm, seed, fraction):
    os._exit(1)


def test_after_an_error_nothing_new_begins_and_nothing_goes_on(tmp_path, monkeypatch):
    run = Run("smoke", "simulated", tmp_path, workers=2)
    cells = [Cell("chapman", Arm(REAL), seed) for seed in range(60)]
    monkeypatch.setattr(grid, "run_arm", stumble)
    with pytest.raises(EcgreproError, match="the first has failed"):
        run_cells(run, cells)
    marks = len(list(tmp_path.glob("mark-*")))
    assert marks < 30
    time.sleep(1)
    assert len(list(tmp_path.glob("mark-*"))) == marks
    monkeypatch.setattr(grid, "run_arm", end_at_once)
    with pytest.raises(EcgreproError, match="was ended, most often for want of memory"):
        run_cells(run, cells)


def test_what_arms_share_comes_first():
    cells = [
        Cell("merged", Arm("a", "unet", 1.0), 0),
        Cell("chapman", Arm("b", "unet", 1.0, hospital="ptb-xl", keep="confident"), 0),
        Cell("chapman", Arm("c", start="unet"), 0, 0.1),
        Cell("chapman", Arm("c", start="unet"), 0, 0.5),
        Cell("chapman", Arm("d", start="ptb-xl"), 1),
    ]
    pools = [arguments for function, arguments in grid._pools(cells)]
    assert pools == [
        ("ptb-xl", "unet", None), ("chapman", "unet", None), ("ptb-xl",)
    ]  # fmt: skip
    starts = [arguments for function, arguments in grid._starts(cells)]
    assert starts == [("chapman", "unet", 0, ""), ("chapman", "ptb-xl", 1, "")]


SCRIPT = """
from ecgrepro.workflow.grid import run_cells
from ecgrepro.workflow.run import Run
from test_grid import CELLS
if __name__ == "__main__":
    run_cells(Run("smoke", "simulated", {folder!r}, workers=2), CELLS)
"""


def session_of(process) -> list[str]:
    """The processes that it has started, by number."""
    command = ["ps", "-s", str(process.pid), "-o", "pid="]
    return subprocess.run(command, capture_output=True, text=True).stdout.split()


def test_a_killed_grid_goes_on_and_leaves_no_process_behind(alone, tmp_path):
    folder = tmp_path / "run"
    script = tmp_path / "grid.py"
    script.write_text(SCRIPT.format(folder=str(folder)))
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    process = subprocess.Popen([sys.executable, script], env=environment, start_new_session=True)
    run = Run("smoke", "simulated", folder)
    while not arm_folders(run):
        assert process.poll() is None, "ended before it was killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while left := session_of(process):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    before = arm_folders(run)
    run_cells(Run("smoke", "simulated", folder, workers=2), CELLS)
    after = arm_folders(run)
    assert set(after) == set(arm_folders(alone))
    assert {name: after[name] for name in before} == before
