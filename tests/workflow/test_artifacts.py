"""Finished work on disk."""

import json

import pytest

from ecgrepro import EcgreproError
from ecgrepro.support.provenance import versions
from ecgrepro.workflow.artifacts import artifact, made_on


def test_work_is_found_again_and_made_anew_when_something_changed(tmp_path):
    made = []

    def ask(**what):
        return artifact(
            tmp_path, "w", what, ["ecgrepro.cohort.rhythms"],
            lambda folder: made.append((folder / "x").write_text("x")),
        )  # fmt: skip

    assert ask(seed=1) == ask(seed=1) and len(made) == 1
    assert ask(seed=2) != ask(seed=1) and len(made) == 2


def test_interrupted_work_is_not_taken_for_finished_and_finds_its_checkpoint(tmp_path):
    def make(folder):
        if not (folder / "checkpoint").exists():
            (folder / "checkpoint").write_text("half")
            raise KeyboardInterrupt
        (folder / "done").write_text((folder / "checkpoint").read_text())

    with pytest.raises(KeyboardInterrupt):
        artifact(tmp_path, "w", {}, ["ecgrepro.cohort.rhythms"], make)
    assert not [path for path in tmp_path.iterdir() if path.is_dir() and path.suffix != ".partial"]
    place = artifact(tmp_path, "w", {}, ["ecgrepro.cohort.rhythms"], make)
    assert (place / "done").read_text() == "half" and not list(tmp_path.glob("*.partial"))


def test_changing_how_work_is_done_makes_it_anew(tmp_path, monkeypatch):
    def ask(*code):
        return artifact(tmp_path, "w", {}, code, lambda folder: None)

    one = ask("ecgrepro.cohort.rhythms")
    assert ask("ecgrepro.cohort.rhythms", "ecgrepro.cohort.rpeaks") != one
    monkeypatch.setattr("ecgrepro.workflow.artifacts.code_fingerprint", lambda *_: "another")
    assert ask("ecgrepro.cohort.rhythms") != one


def test_code_that_is_nothing_is_named(tmp_path):
    with pytest.raises(EcgreproError, match="ecgrepro.nothing is no module"):
        artifact(tmp_path, "w", {}, ["ecgrepro.nothing"], lambda folder: None)


def test_work_says_what_it_was_made_from_and_on(tmp_path):
    facts = {"device": "a GPU", "seed": 1}
    place = artifact(tmp_path, "w", facts, ["ecgrepro.cohort.rhythms"], lambda folder: None)
    assert json.loads((place / "made_from.json").read_text()) == {**facts, "versions": versions()}
    assert made_on(place) == "a GPU"
    (place / "made_from.json").unlink()
    with pytest.raises(EcgreproError, match="is incomplete .* copy it again, or remove it"):
        made_on(place)


def test_what_another_machine_made_counts_as_ours(tmp_path):
    def ask(device, machine):
        facts = {"device": device}
        return artifact(tmp_path, "w", facts, ["ecgrepro.cohort.rhythms"], lambda _: None, machine)

    assert ask("cpu", ()) != ask("gpu", ())
    assert ask("cpu", ("device",)) == ask("gpu", ("device",))
