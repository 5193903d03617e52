import os
import shutil
from pathlib import Path

import pytest
from helpers.recordings import link_ptbxl
from helpers.runs import update_smoke_run

from ecgrepro.datasets import FOLDERS
from ecgrepro.support.provenance import PROJECT


@pytest.fixture
def one_thread():
    """PyTorch on one thread, as the profiles of the tests have it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Root of the real recordings; tests that need them are skipped where they are absent."""
    root = Path(os.environ.get("ECGREPRO_DATA") or PROJECT / "data").resolve()
    missing = [name for name in FOLDERS.values() if not (root / name).is_dir()]
    if missing:
        pytest.skip(
            f"no real recordings: {root} lacks {' and '.join(missing)}; get them with `make data`, "
            "or set ECGREPRO_DATA to the folder that holds them"
        )
    return root


@pytest.fixture(scope="session")
def some_recordings(recordings, tmp_path_factory) -> Path:
    """As `recordings`, with the first 200 records of each fold of PTB-XL: where minutes count."""
    root = tmp_path_factory.mktemp("some-recordings")
    link_ptbxl(recordings / FOLDERS["ptb-xl"], root / FOLDERS["ptb-xl"], per_fold=200)
    (root / FOLDERS["chapman"]).symlink_to(recordings / FOLDERS["chapman"])
    return root


def pytest_addoption(parser):
    """How long the harnesses that repeat something go on."""
    parser.addoption(
        "--stress", type=int, default=1, metavar="N", help="repeat the long harnesses N times"
    )


@pytest.fixture(scope="session")
def stress(request) -> int:
    """How often the long harnesses repeat what they do."""
    return request.config.getoption("--stress")


@pytest.fixture(scope="session")
def smoke_run() -> Path:
    """The folder of the smoke run."""
    return update_smoke_run()


@pytest.fixture(scope="session")
def smoke_book(smoke_run) -> Path:
    """The folder of the smoke run's rendered book."""
    return smoke_run / "book"


def chromium() -> str:
    """A Chromium or Chrome of the system; the test is skipped without one, but never in CI."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        reason = f"none of {', '.join(names)} on PATH"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return found


@pytest.fixture(scope="module")
def browser():
    """A headless browser that starts no connection of its own."""
    from playwright.sync_api import sync_playwright

    flags = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"]
    flags += ["disable-background-networking", "disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=[f"--{f}" for f in flags]
        )
        yield browser
        browser.close()
