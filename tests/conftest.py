import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Root of the real recordings; tests that need them are skipped where they are absent."""
    root = Path(os.environ.get("ECGREPRO_DATA") or PROJECT.parent / "shared" / "data")
    if not (root / "ptb-xl" / "ptbxl_database.csv").is_file():
        pytest.skip(f"no real recordings under {root}: set ECGREPRO_DATA to their root")
    return root.resolve()
