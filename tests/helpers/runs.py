"""The run that many tests read."""

from pathlib import Path

import filelock

from ecgrepro.workflow.runner import run_directory, run_study


def update_smoke_run() -> Path:
    """Bring the run of the smoke profile up to date; the test processes take turns."""
    directory = run_directory("smoke", "simulated")
    directory.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(directory / ".tests.lock"):
        run_study("smoke", "simulated", directory=directory, cores=2)
    return directory
