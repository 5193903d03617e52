import numpy as np
import pandas as pd
import pytest
from helpers.cohorts import a_cohort
from hypothesis import given
from hypothesis import strategies as st

from ecgrepro import Cohort, EcgreproError
from ecgrepro.cohort.rhythms import LABEL_MAPS, RHYTHMS, classes, shared_rhythm


def test_a_saved_cohort_opens_as_it_was(tmp_path):
    cohort = a_cohort(name="some", report={"found": 12})
    opened = Cohort.open(cohort.save(tmp_path / "c"))
    np.testing.assert_array_equal(opened.signals, cohort.signals)
    pd.testing.assert_frame_equal(opened.table, cohort.table)
    assert opened.fingerprint == cohort.fingerprint and opened.report == cohort.report
    assert opened.leads == cohort.leads and isinstance(opened.signals, np.memmap)
    with pytest.raises(EcgreproError, match="already exists"):
        cohort.save(tmp_path / "c")


def test_an_incomplete_folder_is_no_cohort(tmp_path):
    path = a_cohort().save(tmp_path / "c")
    (path / "signals.npy").unlink()
    with pytest.raises(EcgreproError, match="not a complete cohort"):
        Cohort.open(path)


@given(st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_mask_and_its_indices_select_the_same(mask):
    cohort = a_cohort()
    by_mask, by_index = cohort.select(np.array(mask)), cohort.select(np.flatnonzero(mask))
    assert by_mask.fingerprint == by_index.fingerprint
    assert list(by_mask.table["record_id"]) == [str(i) for i in np.flatnonzero(mask)]
    np.testing.assert_array_equal(by_mask.signals, cohort.signals[np.array(mask)])


def test_splits_refuse_a_patient_or_a_fold_twice():
    cohort = a_cohort()
    parts = cohort.split(train=[1, 2, 3], test=[4])
    assert len(parts["train"]) == 6 and len(parts["test"]) == 2
    with pytest.raises(EcgreproError, match="a fold stands in two splits"):
        cohort.split(train=[1, 2], test=[2])
    moved = cohort.table.assign(fold=range(1, 13))
    straddling = Cohort(cohort.signals, moved, fs=100.0)
    with pytest.raises(EcgreproError, match="patient 0 of test is in both train and test"):
        straddling.split(train=[1], test=[2])


def test_concatenation_needs_one_kind_of_signal():
    both = Cohort.concat([a_cohort(), a_cohort(seed=1)])
    assert len(both) == 24
    with pytest.raises(EcgreproError, match="differ in shape"):
        Cohort.concat([a_cohort(), a_cohort(samples=60)])
    with pytest.raises(EcgreproError, match="differ in units"):
        Cohort.concat([a_cohort(), a_cohort(units="mV")])
    with pytest.raises(EcgreproError, match="nothing to concatenate"):
        Cohort.concat([])


def test_targets_and_counts_follow_the_label_map():
    four = a_cohort().relabel("rhythm4")
    assert four.classes == ("SR", "SB", "GSVT", "AFIB")
    assert [four.classes[i] for i in four.targets] == list(four.table["rhythm"])
    assert sum(four.counts().values()) == 12
    with pytest.raises(EcgreproError, match="cannot go from label map 'rhythm4'"):
        four.relabel("rhythm7")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"signals": np.zeros((12, 12))}, "must have shape"),
        ({"signals": np.zeros((3, 12, 5))}, "3 signals but 12 table rows"),
        ({"signals": np.zeros((12, 8, 5))}, "8 leads"),
        ({"units": "uV"}, "unknown units 'uV'"),
        ({"labels": "rhythm4"}, "not classes of label map 'rhythm4'"),
    ],
)
def test_a_cohort_that_contradicts_itself_is_refused(change, said):
    good = a_cohort()
    with pytest.raises(EcgreproError, match=said):
        Cohort(**{"signals": good.signals, "table": good.table, "fs": 100.0, **change})


def test_a_table_without_a_column_is_refused():
    good = a_cohort()
    with pytest.raises(EcgreproError, match="lacks the columns age"):
        Cohort(good.signals, good.table.drop(columns="age"), fs=100.0)
    with pytest.raises(EcgreproError, match="unknown column 'hospital'"):
        good.where(hospital="x")


def test_both_label_maps_cover_the_seven_rhythms():
    for name, mapping in LABEL_MAPS.items():
        assert set(mapping) == set(RHYTHMS) and set(classes(name)) == set(mapping.values())


@given(st.lists(st.sampled_from([*RHYTHMS, None])))
def test_a_record_has_a_rhythm_or_a_reason(found):
    rhythm, reason = shared_rhythm(found)
    assert (rhythm is None) == (reason is not None)
    if rhythm:
        assert set(found) == {rhythm}
