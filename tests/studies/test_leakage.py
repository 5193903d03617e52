"""Test records and test patients in a training set are refused."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.cohorts import a_cohort, planted

from ecgrepro import Cohort, EcgreproError, make_generator
from ecgrepro.datasets import load_cohort
from ecgrepro.datasets.wfdb_export import export_wfdb
from ecgrepro.studies.leakage import check_no_leakage, check_trained_on
from ecgrepro.workflow.run import Run


@pytest.fixture
def parts():
    cohort = a_cohort(n=40)
    table = cohort.table.assign(patient_id=[f"p{i}" for i in range(40)])
    cohort = replace(cohort, table=table)
    return cohort.select(np.arange(30)), cohort.select(np.arange(30, 40))


def test_strangers_pass(parts):
    check_no_leakage(*parts)


def test_a_patient_in_two_splits_is_refused(parts):
    train, test = parts
    table = train.table.copy()
    table.loc[5, "patient_id"] = test.table["patient_id"][2]
    with pytest.raises(EcgreproError, match="patient p32 of .* in the training and in the test"):
        check_no_leakage(replace(train, table=table), test)
    folds = np.where(np.arange(40) < 30, 1, 2)
    whole = Cohort.concat([replace(train, table=table), test])
    whole = replace(whole, table=whole.table.assign(fold=folds))
    with pytest.raises(EcgreproError, match="p32 .* is in both train and test"):
        whole.split(train=[1], test=[2])


def test_a_synthetic_copy_of_a_test_record_is_refused(parts):
    train, test = parts
    with pytest.raises(EcgreproError, match=r"training record made-7 \(unet\) is the test record"):
        check_no_leakage(planted(train, test), test)


def test_a_copy_that_was_written_and_read_again_is_refused(tmp_path, monkeypatch):
    """As WFDB integers, and under another patient."""
    monkeypatch.setenv("ECGREPRO_CACHE", str(tmp_path / "cache"))
    run = Run("smoke", "simulated", tmp_path / "run")
    made = make_generator("simulator").fit(run.splits("chapman")["train"]).sample({"SR": 3}, seed=0)
    again = load_cohort(str(export_wfdb(made, tmp_path / "made")))
    test = again.select([1])
    table = test.table.assign(patient_id="someone", source="chapman", origin="real")
    with pytest.raises(EcgreproError, match="is the test record"):
        check_no_leakage(made, replace(test, table=table, signals=np.array(test.signals)))


def test_a_generator_that_saw_other_folds_is_refused(tmp_path):
    run = Run("smoke", "simulated", tmp_path)
    parts = run.splits("chapman")
    generator = make_generator("simulator").fit(Cohort.concat([parts["train"], parts["test"]]))
    with pytest.raises(EcgreproError, match="simulator was fitted to other records .* of chapman"):
        check_trained_on(generator, parts["train"], "chapman")
    check_trained_on(make_generator("simulator").fit(parts["train"]), parts["train"], "chapman")
