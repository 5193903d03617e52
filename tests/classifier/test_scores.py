import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from ecgrepro.classifier.scores import calibration_error, scores
from ecgrepro.errors import EcgreproError

CLASSES = ("SR", "SB", "ST", "AFIB")


def predictions(seed: int, n: int, ties: bool, present: int):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, present, n)
    raw = rng.random((n, len(CLASSES))) + 0.8 * np.eye(len(CLASSES))[targets]
    if ties:  # coarse values, so that many scores of a column are equal
        raw = np.ceil(raw * 4)
    return raw / raw.sum(1, keepdims=True), targets


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 80), st.booleans(), st.integers(2, 4))
def test_agrees_with_scikit_learn(seed, n, ties, present):
    p, y = predictions(seed, n, ties, present)
    y[:2] = 0, 1  # at least two classes, so that every AUROC exists
    found, predicted, there = scores(p, y, CLASSES), p.argmax(1), np.unique(y)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # predicted classes that are not in y
        recall = metrics.balanced_accuracy_score(y, predicted)
    assert found["balanced_accuracy"] == pytest.approx(recall)
    f1 = metrics.f1_score(y, predicted, labels=there, average=None, zero_division=0)
    assert [found["f1"][CLASSES[k]] for k in there] == pytest.approx(f1.tolist())
    assert found["macro_f1"] == pytest.approx(f1.mean())
    auroc = [metrics.roc_auc_score(y == k, p[:, k]) for k in there]
    assert found["macro_auroc"] == pytest.approx(np.mean(auroc))
    auprc = [metrics.average_precision_score(y == k, p[:, k]) for k in there]
    assert found["macro_auprc"] == pytest.approx(np.mean(auprc))
    assert found["n"] == n == sum(found["support"].values())


def test_classes_without_a_record_stay_out_of_the_macro_averages():
    p = np.eye(4)[[0, 0, 1, 3]]
    found = scores(p, np.array([0, 0, 1, 1]), CLASSES)
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(found["f1"]["ST"]) and np.isnan(found["f1"]["AFIB"])
    assert found["support"] == {"SR": 2, "SB": 2, "ST": 0, "AFIB": 0}


def test_one_class_only_has_no_auroc():
    found = scores(np.full((3, 4), 0.25), np.zeros(3, int), CLASSES)
    assert np.isnan(found["macro_auroc"]) and found["macro_auprc"] == 1


def test_calibration_error_by_hand():
    # Three records of confidence .8 (two right), one of .6 (wrong).
    p = np.array([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8], [0.6, 0.4]])
    assert calibration_error(p, np.array([0, 0, 0, 1])) == pytest.approx(
        abs(2 / 3 - 0.8) * 3 / 4 + 0.6 / 4
    )
    assert calibration_error(np.eye(3), np.arange(3)) == 0


@given(st.integers(0, 10**6))
def test_calibrated_predictions_have_little_calibration_error(seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), 20_000)
    y = (rng.random((len(p), 1)) > p.cumsum(1)).sum(1).clip(max=2)
    assert calibration_error(p, y) < 0.02


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        (np.ones((2, 3)), [0, 1], r"shape \(2, 3\)"),
        (np.ones((0, 4)), [], "no record"),
        (np.full((2, 4), np.nan), [0, 1], "not finite"),
        (np.ones((2, 4)), [0, 4], "from 0 to 3"),
    ],
)
def test_bad_input(p, y, message):
    with pytest.raises(EcgreproError, match=message):
        scores(p, np.array(y, int), CLASSES)
