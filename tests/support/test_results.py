import json
import math

import numpy as np
import pytest

from ecgrepro import EcgreproError
from ecgrepro.report.tables import flagged, markdown_rows, number, results_frame
from ecgrepro.support.results import COLUMNS, Result, read_results, write_results
from ecgrepro.workflow.artifacts import artifact

PROVENANCE = {"profile": "smoke", "data": "simulated", "section": "01_data"}


def test_results_come_back_as_a_tidy_table(tmp_path):
    rows = [
        Result("macro_f1", np.float64(0.5), 0.4, 0.6, 10, dataset="ptb-xl", seed=1),
        Result("macro_f1", math.nan, rhythm="SR"),
    ]
    write_results(tmp_path / "01_data" / "ptb-xl.json", rows, PROVENANCE)
    table = read_results(tmp_path)
    assert tuple(table.columns) == COLUMNS and len(table) == 2
    assert table.loc[0, ["value", "low", "high", "n"]].tolist() == [0.5, 0.4, 0.6, 10]
    assert np.isnan(table.loc[1, "value"])
    text = (tmp_path / "01_data" / "ptb-xl.json").read_text()
    assert "NaN" not in text and json.loads(text)["provenance"] == PROVENANCE


def test_a_damaged_results_file_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(EcgreproError, match="x.json is not a results file"):
        read_results(tmp_path)


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


def test_changing_how_work_is_done_makes_it_anew(tmp_path):
    one = artifact(tmp_path, "w", {}, ["ecgrepro.cohort.rhythms"], lambda folder: None)
    two = artifact(
        tmp_path, "w", {}, ["ecgrepro.cohort.rhythms"], lambda folder: (folder / "x").touch()
    )
    assert one != two


def test_code_that_is_nothing_is_named(tmp_path):
    with pytest.raises(EcgreproError, match="ecgrepro.nothing is no module"):
        artifact(tmp_path, "w", {}, ["ecgrepro.nothing"], lambda folder: None)


def test_numbers_are_shown_with_their_interval():
    assert number(0.12345) == "0.123"
    assert number(0.5, 0.4, 0.6) == "0.500 [0.400, 0.600]"
    assert number(None) == number(math.nan) == "–"
    frame = results_frame([Result("m", 0.5, 0.4, 0.6)])
    assert frame["shown"].tolist() == ["0.500 [0.400, 0.600]"]
    assert markdown_rows(frame[["metric", "value"]]).splitlines()[2] == "| m | 0.5 |"
    assert flagged("AFL", 9) == "AFL †" and flagged("AFL", 10) == "AFL"
