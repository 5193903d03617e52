"""Runs that come with the project: what is taken over from a finished run, and what is not."""

import errno
import json
import os

import numpy as np
import pytest

from ecgrepro import EcgreproError
from ecgrepro.support.results import Result
from ecgrepro.workflow.reference import (
    SEARCH,
    freeze,
    reference_facts,
    reference_results,
    store_smoke,
)
from ecgrepro.workflow.results import ask, write_section
from ecgrepro.workflow.sections import Section

FACTS = {"profile": "partial", "data": "partial real", "commit": "c" * 40, "dirty": False,
         "device": "cpu", "seeds": [0, 1],
         "generators_trained_on": {"unet of chapman": "a GPU"}}  # fmt: skip
SECTIONS = ("03_closeness", "04_augmentation", "05_transfer", "07_helping")


@pytest.fixture
def reference(tmp_path, monkeypatch):
    """An empty folder of runs that come with the project."""
    monkeypatch.setattr("ecgrepro.workflow.results.STORED", tmp_path / "reference")
    return tmp_path / "reference"


def write(folder, section, **changes):
    found = Section([Result("macro_f1", 0.5)], {"n": 1}, {"drawn": np.zeros(3, np.float16)})
    return write_section(folder, f"{section}/chapman", found, {**FACTS, **changes})


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_frozen_run_is_of_real_recordings_and_committed_code(tmp_path, reference, monkeypatch):
    run = tmp_path / "run"
    for section in SECTIONS[:-1]:
        write(run, section)
    with pytest.raises(EcgreproError, match="no results of 07_helping"):
        freeze(run, folder=reference)
    for change in ({"data": "simulated"}, {"dirty": True}):
        write(run, "07_helping", **change)
        with pytest.raises(EcgreproError, match="only a run on real recordings by committed code"):
            freeze(run, folder=reference)
    assert not reference.exists()
    write(run, "07_helping")
    frozen = freeze(run, folder=reference)
    assert len(frozen) == 4 and all(path.is_file() for path in frozen)
    with monkeypatch.context() as patch:  # what was frozen before outlives a full disk
        patch.setattr("shutil.copyfile", full_disk)
        with pytest.raises(EcgreproError, match="No space left on device; free some space"):
            freeze(run, folder=reference)
    assert all(path.is_file() for path in frozen)
    (run / "results" / "04_augmentation" / "chapman.json").write_text("[1]")
    with pytest.raises(EcgreproError, match=r"chapman.json is not a results file .* run again"):
        freeze(run, folder=reference)
    found = reference_results()
    assert list(found["section"]) == list(SECTIONS[:-1])  # what helps is no evidence for a claim
    assert ask("07_helping", "chapman", run="partial").rows == [Result("macro_f1", 0.5)]
    with pytest.raises(EcgreproError, match="no results of 07_helping/ptb-xl in partial"):
        ask("07_helping", "ptb-xl", run="partial")
    facts = reference_facts()
    assert facts["seeds"] == ["0, 1"] and facts["generators"] == ["a GPU (unet)"]


def test_a_confirmation_stands_beside_the_reference_run(tmp_path, reference):
    for section in SECTIONS:
        write(tmp_path / "run", section)
    frozen = freeze(tmp_path / "run", folder=reference)
    write(tmp_path / "again", "07_helping", profile="confirm")
    beside = freeze(tmp_path / "again", SEARCH, reference)
    assert [path.relative_to(reference).parts[:-1] for path in beside] == [
        ("confirm", "results", "07_helping")
    ]
    assert all(path.is_file() for path in frozen)
    assert ask("07_helping", "chapman", run="confirm").rows == [Result("macro_f1", 0.5)]


def test_figure_data_that_hold_recordings_are_not_taken_over(tmp_path, reference):
    """Nothing of a patient's recording comes with the project."""
    for section in SECTIONS:
        write(tmp_path / "run", section)
    freeze(tmp_path / "run", folder=reference)
    kept = {path.parent.name for path in (reference / "partial" / "figures").rglob("*.npz")}
    assert kept == {"04_augmentation", "05_transfer", "07_helping"}
    assert ask("03_closeness", "chapman", run="partial").arrays == {}


def test_pages_of_the_smoke_run_are_taken_over_whole(tmp_path, reference):
    pages = ["01_data/chapman", "03_closeness/chapman"]
    run = tmp_path / "run"
    write(run, "01_data", data="simulated")
    with pytest.raises(EcgreproError, match="no simulated results of 03_closeness/chapman"):
        store_smoke(run, pages, reference)
    write(run, "03_closeness")
    with pytest.raises(EcgreproError, match="no simulated results of 03_closeness/chapman"):
        store_smoke(run, pages, reference)
    write(run, "03_closeness", data="simulated")
    assert len(store_smoke(run, pages, reference)) == 2
    assert list(ask("03_closeness", "chapman", run="smoke").arrays) == ["drawn"]
    store_smoke(run, pages[:1], reference)  # replaces what was there
    with pytest.raises(EcgreproError, match="no results of 03_closeness/chapman in smoke"):
        ask("03_closeness", "chapman", run="smoke")


def test_the_projects_own_reference_run_says_what_made_it():
    facts = reference_facts()
    assert facts["generators"] and facts["data"] == ["partial real"]
    assert json.dumps(facts)
    assert set(reference_results()["section"]) == set(SECTIONS[:-1])
