"""What classifiers say: rhythms that are read, and whether a record is real."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import f1_score, recall_score

from ecgrepro.closeness.metrics.use import discriminator_auc, discriminator_scores, reading_scores
from ecgrepro.errors import EcgreproError

labels = st.integers(0, 3)


@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=60))
def test_what_is_read_is_scored_as_scikit_learn_does(pairs):
    asked, read = np.array(pairs).T
    found = reading_scores(asked, read)
    settings = {"labels": np.unique(asked), "average": "macro", "zero_division": 0}
    assert found["rhythm_agreement"] == pytest.approx(recall_score(asked, read, **settings))
    assert found["macro_f1"] == pytest.approx(f1_score(asked, read, **settings))


def test_nothing_to_read_is_named():
    for asked, read in (([], []), ([0, 1], [0])):
        with pytest.raises(EcgreproError, match="records were asked for"):
            reading_scores(np.array(asked, int), np.array(read, int))


def normal(seed, n, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, 4)) + np.array([shift, 0, 0, 0])


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_gaussians_are_told_apart_as_well_as_can_be(shift):
    """P(u > v) of u ~ N(s, 1) and v ~ N(0, 1): the best linear rule."""
    found = discriminator_auc(normal(0, 2000), normal(1, 2000, shift))
    assert found == pytest.approx(norm.cdf(shift / np.sqrt(2)), abs=0.02)


def test_records_of_one_patient_do_not_teach_each_other():
    """Of each patient many copies: known again if copies are in training and test."""
    real = np.repeat(5 * np.random.default_rng(0).normal(size=(20, 60)), 10, axis=0)
    made = 5 * np.random.default_rng(1).normal(size=(200, 60))
    patients = np.repeat([f"p{i}" for i in range(20)], 10)
    assert discriminator_auc(real, made) > 0.8
    assert discriminator_auc(real, made, patients=patients) < 0.7


def test_scores_stand_in_the_order_of_the_records():
    a, b = discriminator_scores(normal(0, 200, 3), normal(1, 150))
    assert (len(a), len(b)) == (200, 150)
    assert np.corrcoef(a, normal(0, 200, 3)[:, 0])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("patients", "said"),
    [
        (["a", "b"], "2 patients for 40 real records"),
        (["a"] * 40, "real records are of fewer than 5 patients"),
    ],
)
def test_wrong_patients_are_said(patients, said):
    with pytest.raises(EcgreproError, match=said):
        discriminator_scores(normal(0, 40), normal(1, 40), patients=patients)
