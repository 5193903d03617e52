import os
from pathlib import Path

import filelock
import pytest

from ecgrepro.datasets import FOLDERS
from ecgrepro.pipeline import run_directory, run_study
from ecgrepro.provenance import PROJECT


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Root of the real recordings; tests that need them are skipped where they are absent."""
    named = os.environ.get("ECGREPRO_DATA")
    roots = [Path(named)] if named else []
    roots.append(PROJECT.parent / "shared" / "data")
    for root in roots:
        if all((root / name).is_dir() for name in FOLDERS.values()):
            return root.resolve()
    tried = " or ".join(map(str, roots))
    pytest.skip(f"no real recordings under {tried}: set ECGREPRO_DATA to their root")


def update_smoke_run() -> Path:
    """Bring the run of the smoke profile up to date; the test processes take turns."""
    directory = run_directory("smoke", "simulated")
    directory.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(directory / ".tests.lock"):
        run_study("smoke", "simulated", directory=directory, cores=2)
    return directory


@pytest.fixture(scope="session")
def smoke_run() -> Path:
    """The folder of the smoke run."""
    return update_smoke_run()


@pytest.fixture(scope="session")
def smoke_book(smoke_run) -> Path:
    """The folder of the smoke run's rendered book."""
    return smoke_run / "book"
