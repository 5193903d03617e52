"""``ecgrepro closeness``: the report, the results beside it, and what is refused."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run
from helpers.judged import FOLDS, TINY, write_judged_folders

from ecgrepro import EcgreproError, load_cohort
from ecgrepro.classifier.classifier import Classifier
from ecgrepro.closeness import FLOOR, METRICS
from ecgrepro.datasets.wfdb_export import export_wfdb
from ecgrepro.studies import evaluation as folder
from ecgrepro.support.files import write_whole


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A cache, two folders of WFDB records in mV, and a classifier of the first."""
    home = tmp_path_factory.mktemp("closeness")
    before = os.environ.get("ECGREPRO_CACHE")
    os.environ["ECGREPRO_CACHE"] = str(home / "cache")
    write_judged_folders(home)
    yield home
    if before is None:
        del os.environ["ECGREPRO_CACHE"]
    else:
        os.environ["ECGREPRO_CACHE"] = before


def judge(home, out, *more, synthetic="made"):
    return run("closeness", "--real", home / "real", "--synthetic", home / synthetic, "--out", out,
               "--scale", "mV", "--train", "1-4", "--validation", "5", "--test", "6-10",
               "--classifier", home / "classifier", "--records", 45, "--resamples", 20,
               *more)  # fmt: skip


@pytest.fixture(scope="module")
def report(home):
    result = judge(home, home / "report.html", "--seconds", 5)
    assert result.exit_code == 0, result.output
    return home / "report.html"


def test_the_results_hold_every_metric_with_its_floor(report):
    found = json.loads(report.with_suffix(".json").read_text())
    rows = [row for row in found["results"] if not row["rhythm"]]
    values = {row["metric"]: row for row in rows if row["comparison"] != FLOOR}
    floors = {row["metric"]: row for row in rows if row["comparison"] == FLOOR}
    assert set(values) == set(floors) == set(METRICS)
    assert all(row["low"] <= row["value"] <= row["high"] for row in values.values())
    assert values["lead_residual"]["value"] < 0.01
    assert values["frechet_distance"]["n"] == 45
    facts = found["provenance"]
    assert facts["seed"] == 0 and facts["test folds"] == "6,7,8,9,10" and facts["numpy"]
    assert re.fullmatch("real, [0-9a-f]{12}", facts["real records"])


def test_the_report_is_one_file_that_says_what_was_compared(report):
    page = report.read_text()
    assert "<h1>Closeness: made to real</h1>" in page and str(report.parent) not in page
    assert "AFIB 30" in page and "marked as simulator" in page and "test folds: 6,7,8,9,10" in page
    for metric in METRICS.values():
        assert metric.words in page
    assert page.count("<figure>") == page.count("data:image/png;base64,") == 6
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_a_browser_shows_the_report(report, browser):
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    wrong, asked = [], []
    page.on("console", lambda said: wrong.append(said.text))
    page.on("request", lambda request: asked.append(request.url[:20]))
    page.goto(report.as_uri())
    assert not wrong and all(url.startswith(("file:", "data:")) for url in asked)
    sizes = page.eval_on_selector_all("img", "all => all.map(i => i.naturalWidth)")
    assert len(sizes) == 6 and min(sizes) > 400
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 1100
    page.close()


def test_an_interrupted_time_is_noted(report):
    rows = json.loads(report.with_suffix(".json").read_text())["results"]
    noted = {row["note"] for row in rows if row["value"] is not None}
    assert noted <= {"", "20 half-samples for lack of time"}


def test_a_saved_cohort_and_a_fresh_classifier_serve_as_well(home, tmp_path, monkeypatch):
    monkeypatch.setattr(
        folder, "Classifier", lambda config=TINY, **more: Classifier(config, **more)
    )
    made = load_cohort(str(home / "made"), scale="mV")
    made.save(home / "saved")
    cohort = load_cohort(str(home / "real"), scale="mV")
    found = folder.judge(cohort, made, FOLDS, budget=folder.Budget(records=45, heart=10, dtw=10,
                                                                   resamples=2))  # fmt: skip
    assert found.judge.config == TINY and found.judge.updates == 20
    assert set(found.hearts["set"]) == {"real train", "real test", "synthetic"}
    (value, floor) = (row for row in found.rows if row.metric == "tstr")
    assert floor.comparison == FLOOR and value.n == floor.n <= len(made)
    result = judge(home, tmp_path / "a.html", "--seconds", 0.001, synthetic="saved")
    assert result.exit_code == 0 and "synthetic: 90 records" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.json"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--out", "report.pdf"], "report.pdf: the report is HTML"),
        (["--test", "11"], "--test '11': expected folds from 1 to 10"),
        (["--test", "4,5"], "a fold stands in two splits"),
        (["--synthetic", "nowhere"], "nowhere: there is no such folder"),
        (["--labels", "rhythm9"], "unknown label map 'rhythm9'"),
        (["--scale", "z"], "differ in units: z and mV"),
        (["--classifier", "nowhere"], "nowhere holds no classifier"),
        (["--seconds", "0"], "seconds must be a positive number"),
    ],
)
def test_what_cannot_be_judged_is_said_at_once(home, tmp_path, more, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EcgreproError, match=said):
        judge(home, tmp_path / "r.html", *more)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["/proc/nowhere/r.html", "a file/r.html"])
def test_a_place_that_cannot_be_written_is_said_before_the_work(home, tmp_path, place, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_text("mine")
    monkeypatch.setattr(folder, "judge", None)
    with pytest.raises(EcgreproError, match=r"cannot write .*; free some space or name another"):
        judge(home, place)
    assert (tmp_path / "a file").read_text() == "mine"


def test_a_full_disk_is_one_sentence_and_keeps_the_old_report(tmp_path, monkeypatch):
    old = tmp_path / "results.json"
    old.write_text("old")

    def full(self, *_, **__):
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(EcgreproError, match="results.json: No space left on device; free some"):
        write_whole(old, "new")
    monkeypatch.undo()
    assert old.read_bytes() == b"old" and list(tmp_path.iterdir()) == [old]


def test_nothing_is_overwritten_and_records_are_not_judged_by_themselves(home, report, tmp_path):
    before = report.read_bytes()
    with pytest.raises(EcgreproError, match=r"report.html is there already: .* --force"):
        judge(home, report)
    assert report.read_bytes() == before
    with pytest.raises(EcgreproError, match="are the same records"):
        judge(home, tmp_path / "r.html", synthetic="real")


def test_a_split_without_records_is_named(home):
    cohort = load_cohort(str(home / "real"), scale="mV")
    some = cohort.select(np.flatnonzero(cohort.table["fold"] < 6))
    with pytest.raises(EcgreproError, match=r"is in the test folds .*: it has the folds 1, 2, 3"):
        folder.judge(some, some, FOLDS)


def test_records_of_merged_classes_are_not_taken_for_single_ones(home, tmp_path):
    merged = load_cohort(str(home / "made"), scale="mV", labels="rhythm4")
    export_wfdb(merged, tmp_path / "merged")
    with pytest.raises(
        EcgreproError, match="label map rhythm4, .* load them with labels='rhythm4'"
    ):
        judge(home, tmp_path / "r.html", "--synthetic", tmp_path / "merged")
    assert load_cohort(str(tmp_path / "merged"), labels="rhythm4").counts()["SR"] == 30


def test_a_classifier_of_other_classes_is_refused(home):
    cohort = load_cohort(str(home / "real"), scale="mV", labels="rhythm4")
    made = load_cohort(str(home / "made"), scale="mV", labels="rhythm4")
    wrong = Classifier.load(home / "classifier")
    with pytest.raises(EcgreproError, match="reads the classes of rhythm7, .* rhythm4"):
        folder.judge(cohort, made, FOLDS, classifier=wrong)


def test_a_mismatch_is_said_before_anything_is_trained(home, monkeypatch):
    monkeypatch.setattr(folder, "Classifier", None)
    cohort = load_cohort(str(home / "real"), scale="mV")
    with pytest.raises(EcgreproError, match="differ in units"):
        folder.judge(cohort, load_cohort(str(home / "made")), FOLDS)


def test_what_the_loader_left_out_is_said(home, tmp_path):
    shutil.copytree(home / "made", tmp_path / "made")
    for path in sorted((tmp_path / "made").glob("SR_*.dat"))[:4]:
        path.write_bytes(path.read_bytes()[:1000])
    result = judge(home, tmp_path / "r.html", "--seconds", 0.001, "--synthetic", tmp_path / "made")
    assert "left out of made 4 wrong length" in result.output + result.stderr
    assert "of made 4 wrong length" in (tmp_path / "r.html").read_text()


def test_names_are_shown_as_they_are_and_never_run(home, tmp_path):
    name = "<script>alert(1)<img src=x>"
    shutil.copytree(home / "made", tmp_path / name)
    path = next((tmp_path / name).glob("SR_*.dat"))
    path.write_bytes(path.read_bytes()[:1000])
    judge(home, tmp_path / "r.html", "--seconds", 0.001, "--synthetic", tmp_path / name)
    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page and "<img src=x" not in page
    assert "<h1>Closeness: &lt;script&gt;alert(1)&lt;img src=x&gt; to real</h1>" in page
    shown = "&lt;script&gt;alert(1)&lt;img src=x&gt;"
    assert f"<code>{shown}</code>" in page and f"of {shown} 1 wrong length" in page
    assert f"<li>synthetic records: {shown}, " in page


def test_tstr_and_its_floor_are_of_equal_numbers(home, report):
    rows = json.loads(report.with_suffix(".json").read_text())["results"]
    assert len({row["n"] for row in rows if row["metric"] == "tstr"}) == 1


def test_help_has_an_example():
    assert "Example: ecgrepro closeness --real chapman" in run("closeness", "--help").output
