import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from ecgrepro import EcgreproError
from ecgrepro.support.results import (
    COLUMNS,
    Result,
    read_content,
    read_results,
    write_results,
    write_whole,
)

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


def test_the_content_of_a_file_is_plain_values(tmp_path):
    path = write_results(tmp_path / "x.json", [Result("n", np.int64(3), n=np.int32(7))], PROVENANCE)
    content = read_content(path)
    assert set(content) == {"provenance", "results"} and content["provenance"] == PROVENANCE
    assert content["results"][0]["value"] == 3 and content["results"][0]["low"] is None


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "x.txt", "old")
    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(EcgreproError, match="cannot write .*x.txt: No space left on device; free"):
        write_whole(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
