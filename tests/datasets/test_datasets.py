import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import wfdb
from helpers.wfdbfiles import PTBXL_LEADS, edit_header, some_ecg, write_ptbxl, write_record
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as signal_

from ecgrepro import EcgreproError, load_cohort
from ecgrepro.cohort.cohort import LEADS, Cohort
from ecgrepro.cohort.filters import band_pass, decimate
from ecgrepro.cohort.preprocess import preprocess
from ecgrepro.datasets import cache as build
from ecgrepro.datasets.cache import _duplicates, file_listing, hashed_fold
from ecgrepro.datasets.chapman import read_comments
from ecgrepro.datasets.describe import describe_cohort, describe_text
from ecgrepro.datasets.wfdb_read import RecordError, _read_with_wfdb, read_header
from ecgrepro.datasets.wfdb_read import read_record as read_signals


def read_record(path):
    return read_signals(read_header(path))


@pytest.fixture(scope="module")
def real_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGREPRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ECGREPRO_DATA", raising=False)
    return tmp_path / "cache"


def record(i: int) -> str:
    return f"records100/00000/{i:05d}_lr"


def reasons(cohort: Cohort) -> dict:
    return {r["record_id"]: r["reason"] for r in cohort.report["dropped_records"]}


# --- reading one record


@pytest.mark.parametrize("fmt", ["16", "32", "212"])
def test_both_roads_read_what_wfdb_reads(tmp_path, fmt):
    write_record(tmp_path / "r", some_ecg(), fmt=fmt)
    expected = wfdb.rdrecord(str(tmp_path / "r")).p_signal.T
    np.testing.assert_allclose(read_record(tmp_path / "r").ecg, expected, atol=1e-12)


def test_fast_road_equals_wfdb_on_an_offset_and_other_baselines(tmp_path):
    write_record(tmp_path / "r", some_ecg())
    samples = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(b"\0" * 24 + samples)
    text = (tmp_path / "r.hea").read_text()
    lines = [
        line.replace(" 16 ", " 16+24 ", 1).replace("(0)/", "(-37)/", 1)
        for line in text.splitlines()
    ]
    (tmp_path / "r.hea").write_text("\n".join([text.splitlines()[0], *lines[1:]]) + "\n")
    expected = wfdb.rdrecord(str(tmp_path / "r")).p_signal.T
    np.testing.assert_allclose(read_record(tmp_path / "r").ecg, expected, atol=1e-12)


def test_real_records_read_as_wfdb_reads_them(recordings):
    paths = sorted((recordings / "ecg-arrhythmia/WFDBRecords/01/010").glob("*.hea"))[:5]
    paths += sorted((recordings / "ptb-xl/records100/00000").glob("*.hea"))[:5]
    paths += sorted((recordings / "ptb-xl/records500/00000").glob("*.hea"))[:5]
    for path in paths:
        base = str(path.with_suffix(""))
        expected = wfdb.rdrecord(base).p_signal.T
        np.testing.assert_allclose(read_record(base).ecg, expected, atol=1e-12)


def test_leads_come_in_order_whatever_the_file_says(tmp_path):
    ecg = some_ecg()
    shuffled = [7, 3, 0, 11, 2, 1, 10, 9, 4, 5, 6, 8]
    names = [LEADS[i].lower() for i in shuffled]
    write_record(tmp_path / "r", ecg[shuffled], leads=names)
    np.testing.assert_allclose(read_record(tmp_path / "r").ecg, ecg, atol=6e-4)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda p: os.truncate(p.parent / "r.dat", 23_900), "wrong length"),
        (lambda p: edit_header(p, "r 12 100 1000", "r 12 100 2000"), "wrong length"),
        (lambda p: edit_header(p, "r 12 100 1000", "r 13 100 1000"), "unreadable"),
        (lambda p: edit_header(p, "r 12 100 1000", "r 12 100 1000/mV"), "unreadable"),
        (lambda p: edit_header(p, "1000.0(0)/mV", "0(0)/mV"), "gain not positive"),
        (lambda p: edit_header(p, "1000.0(0)/mV", "-5(0)/mV"), "gain not positive"),
        (lambda p: edit_header(p, "/mV", "/furlong"), "unknown unit"),
        (lambda p: edit_header(p, "/mV", "/NU"), "unknown unit"),
        (lambda p: edit_header(p, " V6", " V7"), "other leads"),
        (lambda p: edit_header(p, " V6", " V5"), "other leads"),
        (lambda p: (p.parent / "r.dat").unlink(), "unreadable"),
        (lambda p: (p.parent / "r.hea").unlink(), "unreadable"),
        (lambda p: (p.parent / "r.hea").write_bytes(b"\xff\xfe\x00garbage"), "unreadable"),
        (lambda p: (p.parent / "r.hea").write_text(""), "unreadable"),
        (lambda p: edit_header(p, "r 12 100 1000", "r 12 . 1000"), "unreadable"),
        (lambda p: edit_header(p, "r 12 100 1000", "r 12 1.2.3 1000"), "unreadable"),
        (lambda p: edit_header(p, "r 12 100 1000", "r 12 0 1000"), "unreadable"),
        (lambda p: edit_header(p, "r 12 100 1000", f"r 12 {'9' * 400} 1000"), "unreadable"),
        (lambda p: edit_header(p, "r 12 100 1000", "r 12 100 -1000"), "unreadable"),
        (lambda p: edit_header(p, "r 12 100 1000", "r 12 100"), "unreadable"),
        (lambda p: edit_header(p, "r 12 100 1000", "r 12 100 0"), "wrong length"),
        (lambda p: edit_header(p, " 16 ", f" 16+{'9' * 30} "), "unreadable"),
        (lambda p: edit_header(p, "1000.0(0)/mV", "e(0)/mV"), "unreadable"),
        (lambda p: edit_header(p, "1000.0(0)/mV", "1e999(0)/mV"), "gain not positive"),
        (lambda p: edit_header(p, "1000.0(0)/mV", "1e-320(0)/mV"), "implausible amplitude"),
        (lambda p: edit_header(p, "1000.0(0)/mV", "1e300(0)/mV"), "implausible amplitude"),
        (lambda p: edit_header(p, "1000.0(0)/mV", ".001(0)/mV"), "implausible amplitude"),
        (lambda p: edit_header(p, "1000.0(0)/mV", f"1000({'9' * 30})/mV"), "implausible amplitude"),
        (lambda p: edit_header(p, "1000.0(0)/mV", f"1000({'9' * 400})/mV"), "unreadable"),
    ],
)  # fmt: skip
def test_a_broken_record_is_named_with_its_reason(tmp_path, break_it, reason):
    write_record(tmp_path / "r", some_ecg())
    break_it(tmp_path / "r")
    with pytest.raises(RecordError) as caught:
        read_record(tmp_path / "r")
    assert caught.value.reason == reason
    assert "r." in caught.value.detail


@pytest.mark.parametrize("samples", ["", " 0", " -1000", " ²"])
def test_other_formats_must_say_how_long_they_are_too(tmp_path, samples):
    write_record(tmp_path / "r", some_ecg(), fmt="212")
    edit_header(tmp_path / "r", "r 12 100 1000", f"r 12 100{samples}")
    with pytest.raises(RecordError, match="unreadable: r.hea"):
        read_record(tmp_path / "r")


def test_a_huge_checksum_is_compared_as_any_other(tmp_path):
    write_record(tmp_path / "r", some_ecg())
    header = (tmp_path / "r.hea").read_text().splitlines()
    fields = header[1].split(" ")
    fields[6] = str(int(fields[6]) + 2**16 * 10**30)
    (tmp_path / "r.hea").write_text("\n".join([header[0], " ".join(fields), *header[2:]]))
    assert read_record(tmp_path / "r").ecg.shape == (12, 1000)


@pytest.mark.parametrize("fmt", ["16", "212"])
def test_a_changed_sample_is_a_checksum_mismatch(tmp_path, fmt):
    write_record(tmp_path / "r", some_ecg(), fmt=fmt)
    content = bytearray((tmp_path / "r.dat").read_bytes())
    content[300] ^= 1
    (tmp_path / "r.dat").write_bytes(content)
    with pytest.raises(RecordError, match="checksum mismatch"):
        read_record(tmp_path / "r")


@pytest.mark.parametrize(
    ("ecg", "reason"),
    [
        (some_ecg(leads=11), "not 12 leads"),
        (some_ecg(samples=999), "shorter than 10 s"),
        (np.where(np.arange(12)[:, None] == 4, 0.0, some_ecg()), "flat lead"),
        (np.where(np.arange(1000) == 500, np.nan, some_ecg()), "missing samples"),
    ],
)
def test_an_unusable_signal_is_named_with_its_reason(tmp_path, ecg, reason):
    write_record(tmp_path / "r", ecg)
    with pytest.raises(RecordError) as caught:
        read_record(tmp_path / "r")
    assert caught.value.reason == reason


def test_thirteen_leads_are_refused(tmp_path):
    write_record(tmp_path / "r", some_ecg(leads=13), leads=[*PTBXL_LEADS, "X"])
    with pytest.raises(RecordError, match="not 12 leads"):
        read_record(tmp_path / "r")


@pytest.mark.parametrize(("unit", "factor"), [("uV", 1e-3), ("V", 1e3), ("mV", 1)])
def test_units_become_millivolts(tmp_path, unit, factor):
    ecg = 0.05 * some_ecg()
    write_record(tmp_path / "r", ecg, unit=unit)
    np.testing.assert_allclose(read_record(tmp_path / "r").ecg, ecg * factor, atol=1e-3 * factor)


# --- preprocessing


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([100, 250, 257, 360, 500, 1000]), st.floats(2, 25), st.floats(0.1, 5))
def test_a_sine_in_the_band_survives_any_rate(fs, frequency, amplitude):
    def burst(time_):
        return amplitude * np.sin(2 * np.pi * frequency * time_) * np.exp(-((time_ - 5) ** 2) / 2)

    out = preprocess(np.tile(burst(np.arange(10 * fs) / fs), (12, 1)), fs, fs=100, scale="mV")
    assert out.shape == (12, 1000)
    np.testing.assert_allclose(out[0], burst(np.arange(1000) / 100), atol=0.02 * amplitude)


@pytest.mark.parametrize("fs", [100, 257, 500])
def test_the_filters_designed_once_are_those_of_scipy(fs):
    ecg = some_ecg(samples=10 * fs)
    sections = signal_.butter(4, (0.5, 40), "bandpass", fs=fs, output="sos")
    expected = signal_.sosfiltfilt(sections, ecg, axis=-1)
    np.testing.assert_allclose(band_pass(ecg, fs), expected, atol=1e-12)
    resampled = signal_.resample_poly(expected, 100, fs, axis=-1) if fs != 100 else expected
    np.testing.assert_allclose(preprocess(ecg, fs, scale="mV"), resampled, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 10), st.integers(200, 3000))
def test_decimation_is_that_of_scipy(down, samples):
    ecg = some_ecg(samples=samples)
    expected = signal_.resample_poly(ecg, 1, down, axis=-1)
    np.testing.assert_allclose(decimate(ecg, down), expected, atol=1e-5)


def test_baseline_and_mains_are_removed():
    time_ = np.arange(5000) / 500
    wander = 2 * np.sin(2 * np.pi * 0.1 * time_) + 5
    mains = 0.5 * np.sin(2 * np.pi * 60 * time_)
    out = preprocess(np.tile(wander + mains, (12, 1)), 500, scale="mV")
    assert np.abs(out[:, 200:800]).max() < 0.05


def test_z_has_zero_mean_and_unit_variance():
    out = preprocess(some_ecg(samples=5000), 500)
    np.testing.assert_allclose(out.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(out.std(axis=1), 1, atol=1e-3)


def test_both_published_rates_lead_to_the_same_record(recordings, real_cache, monkeypatch):
    monkeypatch.setenv("ECGREPRO_CACHE", str(real_cache))
    low = load_cohort("ptb-xl", recordings / "ptb-xl")
    high = load_cohort("ptb-xl", recordings / "ptb-xl", rate=500)
    same = low.where(record_id=list(high.table["record_id"]))
    assert list(same.table["record_id"]) == list(high.table["record_id"])
    assert set(same.table["record_id"]) <= set(map(str, range(1, 41))) and len(high) >= 30
    correlation = (same.signals * high.signals).mean(axis=2)
    # not equal: the owners resampled in another way, before any band-pass
    assert np.median(correlation) > 0.98 and np.quantile(correlation, 0.05) > 0.85


# --- data sets


def test_ptbxl_keeps_one_shared_rhythm_and_says_what_it_drops(tmp_path):
    codes = [
        "{'SR': 0.0}", "{'SBRAD': 0.0, 'NORM': 80.0}", "{'STACH': 0}", "{'AFIB': 100.0}",
        "{'AFLT': 0}", "{'SARRH': 0}", "{'SVTAC': 0}", "{'PSVT': 0, 'SVTAC': 0}",
        "{'NORM': 100}", "{'SR': 0, 'AFIB': 0}", "{'PACE': 0}", "{'SR': 0, 'BIGU': 0}",
        "not a dictionary", "['SR']",
    ]  # fmt: skip
    root = write_ptbxl(tmp_path / "ptb-xl", [{"scp_codes": code} for code in codes])
    cohort = load_cohort("ptb-xl", root)
    assert list(cohort.table["rhythm"]) == ["SR", "SB", "ST", "AFIB", "AFL", "SA", "SVT", "SVT"]
    assert cohort.report["dropped"] == {
        "several rhythms": 2, "unparsable scp_codes": 2, "no rhythm": 1, "rhythm not shared": 1,
    }  # fmt: skip
    assert cohort.report["found"] == len(codes) == cohort.report["kept"] + 6
    four = load_cohort("ptb-xl", root, labels="rhythm4")
    assert list(four.table["rhythm"]) == ["SR", "SB", "GSVT", "AFIB", "AFIB", "SR", "GSVT", "GSVT"]


def test_a_bad_record_is_left_out_and_the_rest_loads(tmp_path):
    rows = [{}, {"ecg": some_ecg(leads=11)}, {}, {"present": False}, {}]
    root = write_ptbxl(tmp_path / "ptb-xl", rows)
    content = bytearray((root / f"{record(3)}.dat").read_bytes())
    content[10] ^= 1
    (root / f"{record(3)}.dat").write_bytes(content)
    cohort = load_cohort("ptb-xl", root)
    assert list(cohort.table["record_id"]) == ["1", "5"]
    assert reasons(cohort) == {"2": "not 12 leads", "3": "checksum mismatch"}
    assert cohort.report["missing"] == 1 and cohort.report["listed"] == 5


def test_a_record_without_its_signal_file_is_unreadable_not_missing(tmp_path):
    root = write_ptbxl(tmp_path / "ptb-xl", [{}, {}])
    (root / f"{record(2)}.dat").unlink()
    cohort = load_cohort("ptb-xl", root)
    assert reasons(cohort) == {"2": "unreadable"} and cohort.report["missing"] == 0


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.drop(columns="scp_codes"), "lacks the columns scp_codes"),
        (lambda t: t.assign(strat_fold=[1, 11]), "strat_fold must be 1 to 10"),
        (lambda t: t.assign(patient_id=["a", "b"]), "line 2: patient_id is not a number"),
        (lambda t: t.assign(ecg_id=[1, 1]), "ecg_id 1 stands there twice"),
        (lambda t: t.assign(patient_id=[1, "inf"]), "line 3: patient_id is not a whole number"),
        (lambda t: t.assign(patient_id=[1.5, 2]), "line 2: patient_id is not a whole number"),
        (lambda t: t.assign(filename_lr=""), "the column filename_lr is empty"),
        (lambda t: t.assign(filename_lr=record(1)), f"ecg_id 1 and 2 both name {record(1)}"),
    ],
)
def test_a_bad_index_is_refused_as_a_whole(tmp_path, edit, said):
    root = write_ptbxl(tmp_path / "ptb-xl", [{}, {}])
    edit(pd.read_csv(root / "ptbxl_database.csv")).to_csv(root / "ptbxl_database.csv", index=False)
    with pytest.raises(EcgreproError, match=said):
        load_cohort("ptb-xl", root)


def test_recordings_stored_twice_never_straddle_a_split(tmp_path):
    twice, nearly = some_ecg(1), some_ecg(1)
    nearly[:, -15:] += 0.01  # PTB-XL's own doubles differ in their last samples
    rows = [
        {"ecg": twice, "patient_id": 1, "strat_fold": 3},
        {"ecg": nearly, "patient_id": 2, "strat_fold": 10},
        {"patient_id": 2, "strat_fold": 10},
        {"patient_id": 3, "strat_fold": 10},
    ]
    cohort = load_cohort("ptb-xl", write_ptbxl(tmp_path / "ptb-xl", rows))
    assert list(cohort.table["fold"]) == [3, 3, 3, 10]
    assert list(cohort.table["duplicate_of"]) == ["", "1", "", ""]
    assert cohort.report["duplicates"] == [
        {"records": ["1", "2"], "patients": ["1", "2"], "fold": 3}
    ]
    cohort.split(train=[3], test=[10])


def test_a_chain_of_recordings_stored_twice_ends_in_one_fold(tmp_path):
    one, two = some_ecg(1), some_ecg(2)
    rows = [
        {"ecg": one, "patient_id": 1, "strat_fold": 1},
        {"ecg": one, "patient_id": 2, "strat_fold": 2},
        {"ecg": two, "patient_id": 3, "strat_fold": 9},
        {"ecg": two, "patient_id": 2, "strat_fold": 2},
        {"patient_id": 3, "strat_fold": 9},
        {"patient_id": 4, "strat_fold": 9},
    ]
    cohort = load_cohort("ptb-xl", write_ptbxl(tmp_path / "ptb-xl", rows))
    assert list(cohort.table["fold"]) == [1, 1, 1, 1, 1, 9]
    assert [group["fold"] for group in cohort.report["duplicates"]] == [1, 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=20))
def test_no_recording_and_no_patient_is_in_two_folds(records):
    """Whatever patients share whatever recordings; patient p starts in fold p + 1."""
    table = pd.DataFrame(records, columns=["patient_id", "digest"])
    table = table.assign(fold=table["patient_id"] + 1, record_id=range(len(table)))
    table = table.astype({"patient_id": str, "digest": str})
    placed, _ = _duplicates(table)
    for column in ("patient_id", "digest"):
        assert placed.groupby(column)["fold"].nunique().max() == 1
    alone = ~placed["patient_id"].isin(
        table[table.groupby("digest")["patient_id"].transform("nunique") > 1]["patient_id"]
    )
    assert (placed["fold"] == table["fold"])[alone].all()


def test_malformed_records_are_dropped_and_the_rest_is_built(tmp_path):
    root = write_ptbxl(tmp_path / "ptb-xl", [{} for _ in range(4)])
    edit_header(root / record(1), " 12 100 ", " 12 . ")
    edit_header(root / record(2), "1000.0(0)", "e(0)")
    edit_header(root / record(3), "1000.0(0)", f"1000({'9' * 400})")
    cohort = load_cohort("ptb-xl", root)
    assert list(cohort.table["record_id"]) == ["4"]
    assert reasons(cohort) == dict.fromkeys("123", "unreadable")


def test_ages_that_are_none_are_missing(tmp_path):
    ages = ["old", -3, "inf", 300, 40.5]
    cohort = load_cohort("ptb-xl", write_ptbxl(tmp_path / "ptb-xl", [{"age": a} for a in ages]))
    assert cohort.table["age"].fillna(-1).tolist() == [-1, -1, -1, 90, 40.5]
    assert read_comments(["Age: ²", "Dx: 426783006"])["age"] is None


def test_links_to_nowhere_and_in_circles_are_no_files(tmp_path):
    root = write_ptbxl(tmp_path / "ptb-xl", [{}, {}, {}])
    for name in (f"{record(2)}.hea", f"{record(3)}.hea", f"{record(3)}.dat"):
        (root / name).unlink()
        (root / name).symlink_to("nowhere.hea")
    (root / "records100/round").symlink_to(root / "records100")
    (root / "records100/self.hea").symlink_to("self.hea")
    (root / "records100/folder.hea").symlink_to(root)
    listing = file_listing(root, "records100", (".hea", ".dat"))
    assert list(listing) == [f"{record(1)}.dat", f"{record(1)}.hea", f"{record(2)}.dat"]
    cohort = load_cohort("ptb-xl", root)
    assert reasons(cohort) == {"2": "unreadable"} and cohort.report["missing"] == 1


def chapman_tree(root, records: dict[str, str]):
    for i, (name, codes) in enumerate(records.items()):
        comments = ["Age: 61" if i % 2 else "Age: NaN", "Sex: Female", f"Dx: {codes}"]
        path = root / "WFDBRecords/01/010" / name
        write_record(path, some_ecg(i, 5000), fs=500, leads=LEADS, comments=comments)
        path.with_suffix(".dat").rename(path.with_suffix(".mat"))
        edit_header(path, f"{name}.dat", f"{name}.mat")
    return root


def test_chapman_reads_labels_from_headers(tmp_path):
    codes = {"JS00001": "426783006,59118001", "JS00002": "164890007", "JS00003": "713422000",
             "JS00004": "59118001", "JS00005": "426783006,164889003", "JS00006": "195101003",
             "JS20000": "426177001"}  # fmt: skip
    root = chapman_tree(tmp_path / "ecg-arrhythmia", codes)
    cohort = load_cohort("chapman", root)
    assert list(cohort.table["rhythm"]) == ["SR", "AFL", "SVT"]
    assert reasons(cohort) == {
        "JS00004": "no rhythm", "JS00005": "several rhythms", "JS00006": "rhythm not shared",
    }  # fmt: skip
    assert list(cohort.table["age"].isna()) == [True, False, True]
    both = load_cohort("chapman", root, ningbo=True)
    assert list(both.table["rhythm"]) == ["SR", "AFL", "SVT", "SB"]
    shared = both.table.set_index("record_id")["fold"].loc[cohort.table["record_id"]]
    assert list(shared) == list(cohort.table["fold"])


@given(st.text(min_size=1), st.integers(0, 1000))
def test_a_hashed_fold_is_a_pure_function_in_range(identifier, seed):
    assert hashed_fold(identifier, seed) == hashed_fold(identifier, seed)
    assert 1 <= hashed_fold(identifier, seed) <= 10


def own_folder(root, table: str):
    for i, name in enumerate(("a/one", "a/two", "three")):
        write_record(root / name, some_ecg(i, 2500), fs=250)
    (root / "labels.csv").write_text(table)
    return root


def test_a_folder_of_ones_own(tmp_path):
    table = "record,rhythm,patient_id\na/one,SR,p\na/two,AFIB,p\nthree,,q\nfour,SB,r\n"
    cohort = load_cohort(str(own_folder(tmp_path / "mine", table)))
    assert list(cohort.table["record_id"]) == ["a/one", "a/two"]
    assert cohort.table["fold"].nunique() == 1
    assert cohort.report["missing"] == 1 and reasons(cohort) == {"three": "no rhythm"}


def test_spellings_in_a_table_of_ones_own_do_not_matter(tmp_path):
    table = (
        "record, rhythm,patient_id,age,sex\n ./a/one , SR , p ,-1, F\n"
        "a/two.hea,AFIB,p,7,Male\nthree,SB, ,x,?\n"
    )
    table = load_cohort(str(own_folder(tmp_path / "mine", table))).table
    assert list(table["record_id"]) == ["a/one", "a/two", "three"]
    assert list(table["patient_id"]) == ["p", "p", "three"]
    assert list(table["rhythm"]) == ["SR", "AFIB", "SB"]
    assert list(table["sex"]) == ["female", "male", ""]
    assert table["age"].fillna(-1).tolist() == [-1, 7, -1]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("record\na/one\n", "lacks the columns rhythm"),
        ("record,rhythm\na/one,VT\n", "unknown rhythm 'VT'; the codes are SR"),
        ("record,rhythm,fold\na/one,SR,0\n", "line 2: fold must be"),
        ("record,rhythm,fold,patient_id\na/one,SR,1,p\na/two,SR,2,p\n", "patient p stands in two"),
        ("record,rhythm\n../one,SR\n", "outside the folder"),
        ("record,rhythm\na/one,SR\na/one,SR\n", "stands there twice"),
        ("record,rhythm\nzero,SR\n", "no usable record"),
        ("record,rhythm\na/one,SR\n ./a/one.hea,SR\n", "a/one stands there twice"),
        ("record,rhythm\na/one,SR\na/two,SR,p,1\n", "line 3: 4 fields under 2 columns"),
        ("record,rhythm\n,SR\n", "line 2: the record has no name"),
        ("record,rhythm,rhythm\na/one,SR,SB\n", "two columns rhythm"),
        ("", "lacks the columns record, rhythm"),
    ],
)
def test_a_bad_table_of_ones_own_is_refused(tmp_path, table, said):
    with pytest.raises(EcgreproError, match=said):
        load_cohort(str(own_folder(tmp_path / "mine", table)))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mit-bih",), "unknown data set 'mit-bih': choose one of ptb-xl"),
        (("ptb-xl", "{tmp}/none"), r"no ptb-xl at .*none: there is no such folder"),
        (("ptb-xl", "{tmp}/empty"), "the folder is empty; expected ptbxl_database.csv"),
        (("chapman", "{tmp}/ptb-xl"), "that is the data set 'ptb-xl'"),
        (("ptb-xl",), "set ECGREPRO_DATA"),
        (("ptb-xl", "{tmp}/ptb-xl", "rhythm5"), "unknown label map 'rhythm5'"),
        (("ptb-xl", "{tmp}/ptb-xl", "rhythm7", "uV"), "unknown scale 'uV'"),
        (("ptb-xl", "{tmp}/ptb-xl", "rhythm7", "z", -100), "fs must be"),
        (("ptb-xl", "{tmp}/ptb-xl", "rhythm7", "z", "fast"), "fs must be"),
        (("{tmp}/none",), "there is no such folder"),
        (("ptb-xl", 5), "root must be the path of a folder, not 5"),
        (("ptb-xl", "{tmp}/ptb-xl", ["x"]), "labels must be the name of a label map"),
        (("ptb-xl", "{tmp}/ptb-xl", "rhythm7", "z", True), "fs must be"),
        (("ptb-xl", "{tmp}/ptb-xl", "rhythm7", "z", float("nan")), "fs must be"),
    ],
)
def test_wrong_arguments_say_what_is_right(tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    write_ptbxl(tmp_path / "ptb-xl", [{}])
    given_ = [a.format(tmp=tmp_path) if isinstance(a, str) else a for a in arguments]
    with pytest.raises(EcgreproError, match=said):
        load_cohort(*given_)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 250}, "rate cannot be 250"),
        ({"rate": 100.0}, "rate cannot be 100.0"),
        ({"rate": [100]}, "rate cannot be"),
        *(({"jobs": jobs}, "jobs must be a whole number") for jobs in (-1, 0, "2", 1.5, True)),
        ({"ningbo": True}, "has no option 'ningbo'"),
        ({"records": 100}, "has no option 'records'"),
    ],
)
def test_wrong_options_say_what_is_right(tmp_path, options, said):
    write_ptbxl(tmp_path / "ptb-xl", [{}])
    with pytest.raises(EcgreproError, match=said):
        load_cohort("ptb-xl", tmp_path / "ptb-xl", **options)


# --- the cache


def test_a_changed_input_or_setting_builds_anew_and_nothing_else_does(tmp_path, cache):
    root = write_ptbxl(tmp_path / "ptb-xl", [{}, {}, {}])
    first = load_cohort("ptb-xl", root)
    assert load_cohort("ptb-xl", root).fingerprint == first.fingerprint
    assert load_cohort("ptb-xl", root, labels="rhythm4").classes == ("SR", "SB", "GSVT", "AFIB")
    assert len(list((cache / "cohorts").glob("ptb-xl-*[!k]"))) == 1
    for fs in (100.0, np.int64(100), np.float32(100)):
        assert load_cohort("ptb-xl", root, fs=fs).fs == 100
    assert len(list((cache / "cohorts").glob("ptb-xl-*[!k]"))) == 1
    write_record(root / record(2), some_ecg(99))
    second = load_cohort("ptb-xl", root)
    assert second.fingerprint != first.fingerprint
    load_cohort("ptb-xl", root, fs=250)
    assert len([p for p in (cache / "cohorts").iterdir() if p.is_dir()]) == 3


def test_one_process_and_many_build_the_same(tmp_path, monkeypatch):
    root = write_ptbxl(tmp_path / "ptb-xl", [{} for _ in range(70)])
    many = load_cohort("ptb-xl", root, jobs=3)
    monkeypatch.setenv("ECGREPRO_CACHE", str(tmp_path / "other"))
    one = load_cohort("ptb-xl", root, jobs=1)
    assert one.fingerprint == many.fingerprint
    assert isinstance(many.signals, np.memmap) and not many.signals.flags.writeable


def test_the_fingerprint_is_the_same_on_another_cpu(tmp_path, monkeypatch):
    """A CPU with other vector units rounds the last bits of a filtered sample otherwise."""
    root = write_ptbxl(tmp_path / "ptb-xl", [{}, {}])
    first = load_cohort("ptb-xl", root, jobs=1)
    assert load_cohort("ptb-xl", root, jobs=1, scale="mV").fingerprint != first.fingerprint
    monkeypatch.setenv("ECGREPRO_CACHE", str(tmp_path / "other"))
    real = build.preprocess
    monkeypatch.setattr(build, "preprocess", lambda *a, **k: np.nextafter(real(*a, **k), 9))
    other = load_cohort("ptb-xl", root, jobs=1)
    assert not np.array_equal(other.signals, first.signals)
    assert other.fingerprint == first.fingerprint


LOAD = """
import sys
from ecgrepro import load_cohort
print(load_cohort("ptb-xl", sys.argv[1]).fingerprint)
"""


def test_a_killed_build_goes_on_where_it_was(tmp_path, cache):
    root = write_ptbxl(tmp_path / "ptb-xl", [{} for _ in range(300)])
    child = subprocess.Popen([sys.executable, "-c", LOAD, str(root)], start_new_session=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(cache.glob("cohorts/*.partial/*.json"))) < 3:
        time.sleep(0.002)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    (partial,) = cache.glob("cohorts/*.partial")
    kept = {path: path.stat().st_mtime_ns for path in partial.glob("*.npy")}
    assert kept and not [p for p in cache.glob("cohorts/*") if p.is_dir() and p != partial]
    with pytest.raises(EcgreproError, match="not a complete cohort"):
        Cohort.open(partial)
    np.save(next(iter(kept)), np.load(next(iter(kept))))  # a mark: an old shard must be used
    cohort = load_cohort("ptb-xl", root)
    assert len(cohort) == 300
    assert not list(cache.glob("cohorts/*.partial"))
    again = write_ptbxl(tmp_path / "again", [{} for _ in range(300)])
    assert load_cohort("ptb-xl", again).fingerprint == cohort.fingerprint


def test_two_builds_at_once_make_one_cohort(tmp_path, cache):
    root = write_ptbxl(tmp_path / "ptb-xl", [{} for _ in range(200)])
    children = [
        subprocess.Popen([sys.executable, "-c", LOAD, str(root)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    prints = [child.communicate(timeout=120)[0] for child in children]
    assert prints[0] == prints[1] and len(prints[0].strip()) == 64
    assert len([p for p in (cache / "cohorts").iterdir() if p.is_dir()]) == 1


def test_a_cache_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    root = write_ptbxl(tmp_path / "ptb-xl", [{}])
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ECGREPRO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(EcgreproError, match="cannot write to .*ECGREPRO_CACHE"):
        load_cohort("ptb-xl", root)


def test_a_full_disk_is_said_and_leaves_no_cohort(tmp_path, cache, monkeypatch):
    root = write_ptbxl(tmp_path / "ptb-xl", [{} for _ in range(3)])

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ecgrepro.datasets.cache.np.save", full)
        with pytest.raises(EcgreproError, match="No space left on device; free some space"):
            load_cohort("ptb-xl", root, jobs=1)
    assert not [p for p in cache.glob("cohorts/*") if p.is_dir() and p.suffix != ".partial"]
    assert len(load_cohort("ptb-xl", root)) == 3


# --- the real recordings


def test_ptbxl_counts_agree_with_its_table(recordings, real_cache, monkeypatch):
    monkeypatch.setenv("ECGREPRO_CACHE", str(real_cache))
    root = recordings / "ptb-xl"
    cohort = load_cohort("ptb-xl", root)
    table = pd.read_csv(root / "ptbxl_database.csv")
    here = table[[(root / f"{name}.hea").is_file() for name in table["filename_lr"]]]
    meaning = {"SR": "SR", "SBRAD": "SB", "STACH": "ST", "AFIB": "AFIB", "AFLT": "AFL",
               "SARRH": "SA", "SVTAC": "SVT", "PSVT": "SVT", "PACE": "x", "SVARR": "x",
               "BIGU": "x", "TRIGU": "x"}  # fmt: skip
    expected = dict.fromkeys(cohort.classes, 0)
    for codes in here["scp_codes"]:
        rhythms = {meaning[c] for c in json.loads(codes.replace("'", '"')) if c in meaning}
        if len(rhythms) == 1 and rhythms != {"x"}:
            expected[rhythms.pop()] += 1
    assert cohort.report["flat_leads"] == {"12722": "12722_lr.hea: V5"}
    expected["SB"] -= 1  # that one
    assert cohort.counts() == expected
    assert cohort.counts() == {
        "SR": 16_687, "SB": 628, "ST": 805, "AFIB": 1_484, "AFL": 36, "SA": 765, "SVT": 28,
    }  # fmt: skip
    assert cohort.report["found"] == cohort.report["listed"] == len(here) == 21_799
    assert cohort.report["missing"] == 0 and cohort.report["readable"] == 21_799
    assert sum(cohort.report["dropped"].values()) + len(cohort) == len(here)
    assert cohort.table.groupby("patient_id")["fold"].nunique().max() == 1
    assert cohort.report["duplicates"] == []  # version 1.0.3 withdrew those of 1.0.1


def test_chapman_reports_the_corrupt_header_and_flat_leads(recordings, real_cache, monkeypatch):
    monkeypatch.setenv("ECGREPRO_CACHE", str(real_cache))
    cohort = load_cohort("chapman", recordings / "ecg-arrhythmia")
    report = cohort.report
    assert report["readable"] == 2136 == report["found"] - 1
    assert set(report["flat_leads"]) == {"JS00459", "JS01040"}
    (broken,) = [r for r in report["dropped_records"] if r["reason"] == "unreadable"]
    assert broken["record_id"] == "JS01052" and "JS01052.hea" in broken["detail"]
    assert cohort.counts() == {
        "SR": 211, "SB": 952, "ST": 360, "AFIB": 434, "AFL": 70, "SA": 57, "SVT": 48,
    }  # fmt: skip
    assert report["listed"] is None and report["missing"] is None
    assert "no list" in describe_text(describe_cohort(cohort))
    assert _read_with_wfdb(read_header(recordings / "ecg-arrhythmia/WFDBRecords/01/010/JS00001"))


def test_snomed_codes_agree_with_the_data_sets_own_table(recordings):
    from ecgrepro.cohort.rhythms import SNOMED_RHYTHMS

    names = pd.read_csv(
        recordings / "ecg-arrhythmia/ConditionNames_SNOMED-CT.csv", encoding="utf-8-sig"
    )
    published = {(row["Acronym Name"], row["Snomed_CT"]) for _, row in names.iterrows()}
    ours = {"SR": "SR", "SB": "SB", "ST": "ST", "AFIB": "AFIB", "AF": "AFL", "SA": "SA",
            "SVT": "SVT", "AT": "SVT", "AVNRT": "SVT", "AVRT": "SVT", "SAAWR": None}  # fmt: skip
    assert {code for acronym, code in published if acronym in ours} == set(SNOMED_RHYTHMS)
    for acronym, code in published:
        if acronym in ours:
            assert SNOMED_RHYTHMS[code] == ours[acronym]


def test_opening_a_built_cohort_is_instant(recordings, real_cache, monkeypatch):
    """Not a race against the clock: what is opened must not be read."""
    monkeypatch.setenv("ECGREPRO_CACHE", str(real_cache))
    load_cohort("ptb-xl", recordings / "ptb-xl")
    read = []
    real_fingerprint = Cohort.__post_init__
    monkeypatch.setattr(
        "ecgrepro.cohort.cohort.content_fingerprint",
        lambda *a: read.append(a) or real_fingerprint(*a),
    )
    cohort = load_cohort("ptb-xl", recordings / "ptb-xl")
    assert isinstance(cohort.signals, np.memmap) and not read
