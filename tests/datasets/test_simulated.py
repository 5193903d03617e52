import ast
import filecmp
import json

import numpy as np
import pandas as pd
import pytest
import wfdb

from ecgrepro.cohort.cohort import LEADS
from ecgrepro.cohort.rhythms import PTBXL_RHYTHMS, RHYTHMS, SNOMED_RHYTHMS, shared_rhythm
from ecgrepro.datasets.simulated import MARK, MIX, _simulated, plan_records, write_simulated
from ecgrepro.errors import EcgreproError
from ecgrepro.simulation.records import VERSION

RECORDS = 60


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp("simulated")
    return {h: write_simulated(root / h, h, RECORDS, seed=7, progress=False) for h in MIX}


@pytest.fixture(scope="module")
def ptbxl_table(trees):
    return pd.read_csv(trees["ptb-xl"] / "ptbxl_database.csv", index_col="ecg_id")


def chapman_headers(root):
    return sorted((root / "WFDBRecords").glob("*/*/*.hea"))


@pytest.mark.parametrize("hospital", list(MIX))
def test_the_tree_is_marked_and_complete(trees, hospital):
    facts = json.loads((trees[hospital] / MARK).read_text())
    assert facts == {"hospital": hospital, "records": RECORDS, "seed": 7, "simulator": VERSION}
    assert not list(trees[hospital].parent.glob("*.partial"))


def test_ptbxl_records_are_what_wfdb_reads(trees, ptbxl_table):
    plans = plan_records("ptb-xl", RECORDS, 7)
    for plan in plans[::6]:
        path = trees["ptb-xl"] / ptbxl_table.loc[plan.number, "filename_lr"]
        digital, _ = _simulated(plan, "ptb-xl", 7, 100)
        record = wfdb.rdrecord(str(path), physical=False)
        assert np.array_equal(record.d_signal, digital)
        assert record.sig_name == [lead.upper() for lead in LEADS]
        assert (record.fs, record.units[0], record.adc_gain[0]) == (100, "mV", 1000)
        assert record.checksum == record.calc_checksum()
        assert record.init_value == list(digital[0])


def test_chapman_records_are_what_wfdb_and_matlab_readers_read(trees):
    from scipy.io import loadmat

    plans = plan_records("chapman", RECORDS, 7)
    headers = chapman_headers(trees["chapman"])
    assert len(headers) == RECORDS
    for plan, header in list(zip(plans, headers, strict=True))[::10]:
        digital, _ = _simulated(plan, "chapman", 7, 500)
        record = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
        assert np.array_equal(record.d_signal, digital)
        assert record.sig_name == list(LEADS) and record.fs == 500
        assert [(a - b) % 2**16 for a, b in zip(record.checksum, record.calc_checksum(),
                                                strict=True)] == [0] * 12  # fmt: skip
        assert np.array_equal(loadmat(header.with_suffix(".mat"))["val"], digital.T)


def test_a_wfdb_writer_would_have_written_the_same_samples(trees, ptbxl_table, tmp_path):
    path = trees["ptb-xl"] / ptbxl_table["filename_lr"].iloc[0]
    record = wfdb.rdrecord(str(path), physical=False)
    wfdb.wrsamp("same", fs=100, units=record.units, sig_name=record.sig_name, fmt=["16"] * 12,
                d_signal=record.d_signal, adc_gain=record.adc_gain, baseline=record.baseline,
                write_dir=str(tmp_path))  # fmt: skip
    assert filecmp.cmp(tmp_path / "same.dat", f"{path}.dat", shallow=False)


def test_ptbxl_statements_lead_back_to_the_plan(ptbxl_table):
    reasons = {"none": "no rhythm", "several": "several rhythms", "other": "rhythm not shared"}
    for plan in plan_records("ptb-xl", RECORDS, 7):
        codes = ast.literal_eval(ptbxl_table.loc[plan.number, "scp_codes"])
        found = shared_rhythm(PTBXL_RHYTHMS[c] for c in codes if c in PTBXL_RHYTHMS)
        expected = (None, reasons[plan.dropped]) if plan.dropped else (plan.label, None)
        assert found == expected


def test_chapman_comments_lead_back_to_the_plan(trees):
    names = pd.read_csv(trees["chapman"] / "ConditionNames_SNOMED-CT.csv", encoding="utf-8-sig")
    plans = plan_records("chapman", RECORDS, 7)
    for plan, header in zip(plans, chapman_headers(trees["chapman"]), strict=True):
        comments = dict(c.split(": ") for c in wfdb.rdheader(str(header.with_suffix(""))).comments)
        codes = [int(code) for code in comments["Dx"].split(",")]
        assert set(codes) <= set(names["Snomed_CT"])
        rhythm, _ = shared_rhythm(SNOMED_RHYTHMS[c] for c in codes if c in SNOMED_RHYTHMS)
        assert rhythm == (None if plan.dropped else plan.label)
        assert comments["Sex"] in ("Male", "Female") and 18 <= int(comments["Age"]) <= 97


def test_the_statements_of_ptbxl_are_explained(trees, ptbxl_table):
    known = pd.read_csv(trees["ptb-xl"] / "scp_statements.csv", index_col=0)
    used = {code for text in ptbxl_table["scp_codes"] for code in ast.literal_eval(text)}
    assert used <= set(known.index)
    assert set(known.index[known["rhythm"] == 1]) == set(PTBXL_RHYTHMS)


def test_ptbxl_columns_are_the_published_ones(trees, recordings):
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        published = (recordings / "ptb-xl" / name).open().readline()
        assert (trees["ptb-xl"] / name).open().readline() == published


def test_condition_names_are_the_published_ones(trees, recordings):
    name = "ConditionNames_SNOMED-CT.csv"
    published = (recordings / "ecg-arrhythmia" / name).read_bytes().splitlines()
    assert set((trees["chapman"] / name).read_bytes().splitlines()) <= set(published)


@pytest.mark.parametrize("hospital", list(MIX))
@pytest.mark.parametrize("records", [100, 700])
def test_patients_stay_in_a_fold_and_rhythms_reach_every_held_out_fold(hospital, records):
    plans = pd.DataFrame([vars(plan) for plan in plan_records(hospital, records, 0)])
    assert plans.groupby("patient")[["fold", "label", "age"]].nunique().max().max() == 1
    counts = pd.crosstab(plans["label"], plans["fold"])
    assert (counts[[8, 9, 10]] > 0).all().all() and set(counts.index) == set(RHYTHMS)
    share = plans["label"].value_counts() / records
    mix = pd.Series(MIX[hospital]) / sum(MIX[hospital].values())
    assert (share - mix).abs().max() < 0.03
    assert 0 < (plans["dropped"] != "").mean() < 0.06
    assert (plans["label"] != plans["rhythm"]).mean() < 0.05


def test_some_ptbxl_patients_came_more_than_once():
    patients = pd.Series([plan.patient for plan in plan_records("ptb-xl", 700, 0)])
    assert 0.05 < (patients.value_counts() > 1).mean() < 0.3


@pytest.mark.parametrize("hospital", list(MIX))
def test_the_same_seed_writes_the_same_bytes(trees, tmp_path, hospital):
    again = write_simulated(tmp_path / "again", hospital, RECORDS, seed=7, progress=False)
    files = sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    assert files == sorted(
        p.relative_to(trees[hospital]) for p in trees[hospital].rglob("*") if p.is_file()
    )
    same, different, errors = filecmp.cmpfiles(again, trees[hospital], files, shallow=False)
    assert not different and not errors


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(EcgreproError, match="not empty"):
        write_simulated(tmp_path, "ptb-xl", RECORDS, seed=0, progress=False)
    assert (tmp_path / "mine").read_text() == "precious"


def test_an_interrupted_write_leaves_nothing_that_looks_complete(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("ecgrepro.datasets.simulated._write_scp_statements", fail)
    with pytest.raises(EcgreproError, match="No space left"):
        write_simulated(tmp_path / "tree", "ptb-xl", RECORDS, seed=0, progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("hospital", "records"), [("mayo", 100), ("ptb-xl", 3)])
def test_settings_that_make_no_sense_are_named(tmp_path, hospital, records):
    with pytest.raises(EcgreproError, match="mayo|at least 50, not 3"):
        write_simulated(tmp_path / "tree", hospital, records, seed=0)
    assert not list(tmp_path.iterdir())
