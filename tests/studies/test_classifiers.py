"""Training the arms' classifiers on records in memory."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.cohorts import planted, sines

from ecgrepro import Cohort, EcgreproError
from ecgrepro.classifier.config import ClassifierConfig
from ecgrepro.studies.arms import CONTROLS, Arm
from ecgrepro.studies.classifiers import ArmInputs, predict, pretrain, run_arm, train_judge

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = ClassifierConfig(widths=[8], updates=6, batch_size=8, evaluate_every=3)


def records(seed: int, n: int = 24) -> Cohort:
    """Of patients that no other seed has, and of two rhythms that differ in frequency."""
    found = sines(n, seed=seed)
    names = [f"{seed}-{i}" for i in range(n)]
    return replace(found, table=found.table.assign(record_id=names, patient_id=names))


@pytest.fixture
def inputs() -> ArmInputs:
    train, validation, test = (records(seed) for seed in range(3))
    return ArmInputs(train, validation, validation, test)


def test_an_arm_refuses_a_copy_of_a_test_record_before_it_trains(inputs, monkeypatch):
    monkeypatch.setattr("ecgrepro.studies.classifiers.Classifier", None)
    leaking = replace(inputs, train=planted(inputs.train, inputs.test))
    with pytest.raises(EcgreproError, match=r"training record made-7 \(unet\) is the test record"):
        run_arm(leaking, SETTINGS, 0)


def test_pretraining_on_a_copy_of_a_test_record_is_refused(inputs):
    test = inputs.test
    table = test.table.assign(patient_id="", fold=0, origin="simulator")
    copies = replace(test, table=table, fingerprint="copies")
    with pytest.raises(EcgreproError, match="is the test record"):
        pretrain(copies, test, SETTINGS, 0)


def test_an_arm_ends_in_probabilities_of_validation_and_test_records(inputs):
    outcome = run_arm(inputs, SETTINGS, 0)
    assert outcome.validation.shape == outcome.test.shape == (24, 7)
    assert np.allclose(outcome.test.sum(1), 1, atol=1e-5) and outcome.updates == 6
    assert np.array_equal(run_arm(inputs, SETTINGS, 0).test, outcome.test)
    assert not np.array_equal(run_arm(inputs, SETTINGS, 1).test, outcome.test)
    judge = train_judge(inputs.train, inputs.selection, SETTINGS, 0)
    assert np.array_equal(predict(judge, inputs.validation, inputs.test).test, outcome.test)


def test_updates_of_the_start_count(inputs):
    half = SETTINGS.model_copy(update={"updates": 3})
    start = pretrain(records(7), inputs.test, half, 0)
    assert predict(start, inputs.validation, inputs.test).updates == 3
    tuned = run_arm(replace(inputs, start=start), half, 0)
    assert tuned.updates == SETTINGS.updates
    assert not np.array_equal(tuned.test, run_arm(inputs, SETTINGS, 0).test)


def test_fading_changes_the_order_of_the_records(inputs):
    synthetic = records(9)
    synthetic = replace(synthetic, table=synthetic.table.assign(fold=0, origin="unet"))
    both = replace(inputs, train=Cohort.concat([inputs.train, synthetic], name="both"))
    mixed, fading = (run_arm(replace(both, fading=f), SETTINGS, 0) for f in (False, True))
    assert not np.array_equal(mixed.test, fading.test)


def test_controls_reach_the_classifier(inputs):
    kept = np.flatnonzero(np.arange(24) % 3 < 2)[:-5]  # rhythms of different frequency
    inputs = replace(inputs, train=inputs.train.select(kept))
    plain = run_arm(inputs, SETTINGS, 0)
    for name in ("no augmentation", "class weights"):
        assert name in CONTROLS
        settings = Arm(name, control=name).settings(SETTINGS, 3)
        assert not np.array_equal(run_arm(inputs, settings, 0).test, plain.test), name
