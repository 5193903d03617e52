import os
from pathlib import Path

import filelock
import pytest

from ecgrepro.pipeline import run_directory, run_study
from ecgrepro.provenance import PROJECT


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Root of the real recordings; tests that need them are skipped where they are absent."""
    root = Path(os.environ.get("ECGREPRO_DATA") or PROJECT.parent / "shared" / "data")
    if not (root / "ptb-xl" / "ptbxl_database.csv").is_file():
        pytest.skip(f"no real recordings under {root}: set ECGREPRO_DATA to their root")
    return root.resolve()


@pytest.fixture(scope="session")
def smoke_run() -> Path:
    """The run of the smoke profile, brought up to date once for all test processes."""
    directory = run_directory("smoke", "simulated")
    directory.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(directory / ".tests.lock"):
        run_study("smoke", "simulated", directory=directory, cores=2)
    return directory


@pytest.fixture(scope="session")
def smoke_book(smoke_run) -> Path:
    """The folder of the smoke run's rendered book."""
    return smoke_run / "book"
