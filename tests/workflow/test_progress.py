"""How far the work in a kernel is reaches the process that executes the notebook."""

import subprocess
import sys
import time

from tqdm import tqdm

from ecgrepro.workflow import progress
from ecgrepro.workflow.runner import _show

WORK = """
import time
from ecgrepro.workflow.progress import report
for done in range(1, 4):
    report(done, 3, "arms")
    time.sleep(0.3)
"""


def test_what_another_process_reports_is_told_once(monkeypatch):
    monkeypatch.setattr(progress, "POLL", 0.05)
    told = []
    with progress.followed(told.append):
        subprocess.run([sys.executable, "-c", WORK], check=True)
        time.sleep(0.2)
    assert told == ["1/3 arms", "2/3 arms", "3/3 arms"]
    subprocess.run([sys.executable, "-c", WORK], check=True)  # nobody follows: nothing happens


def test_the_bar_shows_cell_and_arms():
    at = {}
    with tqdm(disable=True) as bar:
        _show("page-status: 04_augmentation/chapman 5/12", bar, at, [])
        assert at == {"04_augmentation/chapman": "5/12"}
        _show("page-status: 04_augmentation/chapman 5/12, 31/240 arms", bar, at, [])
    assert at == {"04_augmentation/chapman": "5/12, 31/240 arms"}
