"""Exported records: what wfdb and our own loader read back, exact integers, nothing overwritten."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import wfdb
from helpers.cohorts import assert_einthoven, millivolts
from helpers.cohorts import sines as cohort
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import ecgrepro.datasets.wfdb_export as export
from ecgrepro import Cohort, EcgreproError, load_cohort, make_generator
from ecgrepro.cohort.cohort import LEADS
from ecgrepro.cohort.leads import twelve_leads
from ecgrepro.cohort.preprocess import preprocess
from ecgrepro.datasets.wfdb_export import GAIN, digitize, export_wfdb, write_format16
from ecgrepro.support.folders import check_free


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ECGREPRO_CACHE", str(tmp_path_factory.mktemp("cache")))


def pool(units="mV", labels="rhythm7", seed=5) -> Cohort:
    """Records of the simulator: three AFIB and two of another class."""
    make = {"mV": millivolts, "z": cohort}[units]
    second = "SB"
    trained = make(6, samples=1000)
    if labels == "rhythm4":
        trained = trained.relabel(labels)
        rhythms = trained.table["rhythm"].replace("SB", "GSVT")
        trained = replace(trained, table=trained.table.assign(rhythm=rhythms))
        second = "GSVT"
    return make_generator("simulator").fit(trained).sample({"AFIB": 3, second: 2}, seed=seed)


def test_millivolts_open_with_wfdb(tmp_path):
    samples = pool()
    export_wfdb(samples, tmp_path / "out")
    record = wfdb.rdrecord(str(tmp_path / "out" / "AFIB_000001"))
    assert record.sig_name == list(LEADS) and record.units == ["mV"] * 12
    assert record.fs == 100 and record.sig_len == 1000 and record.fmt == ["16"] * 12
    row = samples.table.index[samples.table["record_id"] == "simulator-AFIB-000001"][0]
    np.testing.assert_allclose(record.p_signal.T, samples.signals[row], atol=1e-3)
    np.testing.assert_allclose(  # to one microvolt
        record.p_signal.T[[0, 1, 6]], samples.signals[row][[0, 1, 6]], atol=0.5e-3
    )
    integers = wfdb.rdrecord(str(tmp_path / "out" / "AFIB_000001"), physical=False)
    assert_einthoven(integers.d_signal.astype(int))
    said = "\n".join(record.comments)
    for part in ("SYNTHETIC", "not a patient", "Generator: simulator", "imitating chapman",
                 "Rhythm: AFIB (atrial fibrillation)", "Record: simulator-AFIB-000001",
                 "Seed: 5"):  # fmt: skip
        assert part in said


@pytest.mark.parametrize("fs", [100.0, 125.0, 128.5, 999.123456])
def test_files_are_those_of_wfdb(tmp_path, fs):
    rng = np.random.default_rng(0)
    digital = rng.integers(-32767, 32768, (1000, 12))
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
    comments = ["SYNTHETIC", "Rhythm: SR (sinus rhythm)"]
    write_format16(tmp_path / "ours" / "SR_000001", digital, fs, 1024, "mV", comments)
    wfdb.wrsamp(
        "SR_000001", fs=fs, units=["mV"] * 12, sig_name=list(LEADS), d_signal=digital,
        fmt=["16"] * 12, adc_gain=[1024.0] * 12, baseline=[0] * 12, comments=comments,
        write_dir=str(tmp_path / "theirs"),
    )  # fmt: skip
    for name in ("SR_000001.hea", "SR_000001.dat"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


def test_z_scores_carry_no_unit(tmp_path):
    samples = pool("z")
    export_wfdb(samples, tmp_path / "out")
    record = wfdb.rdrecord(str(tmp_path / "out" / "SB_000001"))
    assert record.units == ["NU"] * 12
    np.testing.assert_allclose(record.p_signal.T, samples.signals[1], atol=0.5 / GAIN + 1e-6)
    assert any("zero mean and unit variance" in line for line in record.comments)


def test_our_own_loader_reads_it_back_in_millivolts(tmp_path):
    samples = pool()
    export_wfdb(samples, tmp_path / "out")
    back = load_cohort(str(tmp_path / "out"), scale="mV", jobs=1)
    assert len(back) == len(samples) and back.report["dropped"] == {}
    assert set(back.table["origin"]) == {"simulator"}
    assert back.counts() == samples.counts()
    table = pd.read_csv(tmp_path / "out" / "labels.csv").set_index("record")
    of = samples.table.reset_index().set_index("record_id")["index"]
    for i, name in enumerate(back.table["record_id"]):
        signal = samples.signals[of[table.loc[name, "record_id"]]]
        expected = preprocess(signal.astype(float), 100, scale="mV")  # filtered once more
        np.testing.assert_allclose(back.signals[i], expected, atol=2e-3)


def test_our_own_loader_reads_z_scores_back(tmp_path):
    samples = pool("z")
    export_wfdb(samples, tmp_path / "out")
    back = load_cohort(str(tmp_path / "out"), scale="z", jobs=1)
    order = [f"SB_{i:06d}" for i in range(2)] + [f"AFIB_{i:06d}" for i in range(3)]
    which = [list(back.table["record_id"]).index(name) for name in order]
    clipped = np.abs(samples.signals).max(-1, keepdims=True) >= 8
    far = np.where(clipped, 0, back.signals[which] - samples.signals)
    np.testing.assert_allclose(far, 0, atol=2e-3)
    with pytest.raises(EcgreproError, match="no physical unit.*load them with scale='z'"):
        load_cohort(str(tmp_path / "out"), scale="mV", jobs=1)


def test_groups_come_back_with_their_own_label_map(tmp_path):
    samples = pool("z", "rhythm4")
    export_wfdb(samples, tmp_path / "out")
    back = load_cohort(str(tmp_path / "out"), labels="rhythm4", jobs=1)
    assert back.counts() == samples.counts()
    assert (tmp_path / "out" / "GSVT_000001.dat").exists()
    header = (tmp_path / "out" / "GSVT_000000.hea").read_text()
    assert "GSVT (sinus tachycardia or supraventricular tachycardia)" in header


@given(arrays(np.float32, (8, 12), elements=st.floats(-7.5, 7.5, width=32)))
def test_any_signal_is_exact_in_integers_and_near_in_millivolts(independent):
    signals = twelve_leads(independent)
    digital, gain = digitize(signals, "mV")
    assert_einthoven(digital.T)
    assert gain == GAIN and np.abs(digital).max() < 2**15
    np.testing.assert_allclose(digital / gain, signals, atol=1.5e-3)
    np.testing.assert_allclose(digital[[0, 1]] / gain, signals[[0, 1]], atol=0.51e-3)


def test_a_tall_record_gets_more_range_and_an_absurd_one_is_refused():
    signals = twelve_leads(np.full((8, 4), 20.0))
    digital, gain = digitize(signals, "mV")
    assert gain == GAIN // 2
    np.testing.assert_allclose(digital / gain, signals, atol=1e-3)
    with pytest.raises(EcgreproError, match="values up to 600 do not fit"):
        digitize(signals * 30, "mV")


def test_records_that_are_not_exported_are_named(tmp_path):
    samples = pool()
    broken = replace(samples, signals=samples.signals.copy())
    broken.signals[3, 2, 100] += 0.5
    with pytest.raises(EcgreproError, match="simulator-AFIB-000001 .*lead III is up to 0.500 mV"):
        export_wfdb(broken, tmp_path / "a")
    broken.signals[3, 2, 100] = np.nan
    with pytest.raises(EcgreproError, match="simulator-AFIB-000001: .*not finite"):
        export_wfdb(broken, tmp_path / "b")
    with pytest.raises(EcgreproError, match="record r0 .*recording of a patient"):
        export_wfdb(millivolts(), tmp_path / "c")
    with pytest.raises(EcgreproError, match="no records to export"):
        export_wfdb(samples.where(fold=9), tmp_path / "d")
    with pytest.raises(EcgreproError, match="has the leads V6"):
        export_wfdb(replace(samples, leads=LEADS[::-1]), tmp_path / "e")


def test_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    samples = pool()
    export_wfdb(samples, tmp_path / "whole")
    monkeypatch.setattr(export, "_CHUNK", 2)
    original, written = export._write_record, []

    def stop(cohort, i, *rest):
        if i == 3 and not written.count(3):
            written.append(i)
            raise KeyboardInterrupt
        written.append(i)
        original(cohort, i, *rest)

    monkeypatch.setattr(export, "_write_record", stop)
    with pytest.raises(KeyboardInterrupt):
        export_wfdb(samples, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(EcgreproError, match="unfinished export of other records"):
        export_wfdb(pool(seed=6), tmp_path / "out")
    export_wfdb(samples, tmp_path / "out")
    assert written == [0, 1, 2, 3, 2, 3, 4]
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    assert not (tmp_path / "out.partial").exists()


def test_nothing_is_overwritten_without_force(tmp_path):
    samples, other = pool(), pool(seed=6)
    place = tmp_path / "out"
    place.mkdir()
    export_wfdb(samples, place)  # empty: nothing is lost
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with pytest.raises(EcgreproError, match="already exists and is not empty: .*--force"):
        export_wfdb(other, place)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    export_wfdb(other, place, force=True)
    assert {path.name: path.read_bytes() for path in place.iterdir()} != before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_force_never_deletes_foreign_files(tmp_path):
    place = tmp_path / "out"
    export_wfdb(pool(), place)
    (place / "thesis.tex").write_text("years of work")
    with pytest.raises(EcgreproError, match="thesis.tex.*--force does not delete it"):
        export_wfdb(pool(), place, force=True)
    (place / "thesis.tex").unlink()
    (place / "AFIB_000999.hea").write_text("a record that is not in RECORDS")
    with pytest.raises(EcgreproError, match="AFIB_000999.hea"):
        export_wfdb(pool(), place, force=True)


def test_only_folders_of_ours_are_free_to_replace(tmp_path):
    check_free(tmp_path / "absent", force=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(EcgreproError, match="file is not a folder"):
        check_free(tmp_path / "file", force=True)
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "cohort.json").write_text("{}")
    check_free(tmp_path / "real", force=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(EcgreproError, match="link is not a folder"):
        check_free(tmp_path / "link", force=True)
    (tmp_path / "real" / "sub").mkdir()
    with pytest.raises(EcgreproError, match="holds sub"):
        check_free(tmp_path / "real", force=True)


def test_an_export_is_never_taken_for_recordings(tmp_path):
    export_wfdb(pool("z"), tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "export.json").read_text())
    assert facts["origin"] == "simulator"
    (tmp_path / "out" / "export.json").write_text("{}")
    with pytest.raises(EcgreproError, match="export.json cannot be read"):
        load_cohort(str(tmp_path / "out"), jobs=1)
