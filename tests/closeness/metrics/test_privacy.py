"""Privacy metrics find what was planted, and nothing where there is nothing."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from ecgrepro.closeness.metrics.privacy import (
    authenticity,
    distance_ratio,
    membership_auc,
    near_copies,
    nearest_distances,
)
from ecgrepro.errors import EcgreproError

D = 8


def normal(seed, n):
    return np.random.default_rng(seed).normal(size=(n, D))


def membership(train, held_out, synthetic, per_patient=1, **settings):
    return membership_auc(
        train,
        held_out,
        synthetic,
        train_patients=np.array([f"a{i // per_patient}" for i in range(len(train))]),
        held_out_patients=np.array([f"b{i // per_patient}" for i in range(len(held_out))]),
        **settings,
    )


def test_nearest_distances_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    points, others = rng.normal(size=(700, 30)), rng.normal(size=(1100, 30))
    expected = NearestNeighbors(n_neighbors=1).fit(others).kneighbors(points)[0][:, 0]
    assert nearest_distances(points, others) == pytest.approx(expected, rel=1e-9)
    assert nearest_distances(others[:3], others) == pytest.approx(0, abs=1e-9)


def test_an_honest_generator_gives_nothing_away():
    train, held_out, honest = normal(0, 400), normal(1, 400), normal(2, 400)
    area, low, high = membership(train, held_out, honest)
    assert low < 0.5 < high and high - low < 0.15
    assert distance_ratio(train, held_out, honest) == pytest.approx(1, abs=0.05)
    assert near_copies(train, held_out, honest).share < 0.03


@pytest.mark.parametrize("blur", [0.0, 0.05])
def test_a_generator_that_memorizes_is_found_out(blur):
    train, held_out = normal(0, 400), normal(1, 400)
    memorized = train + blur * normal(3, 400)
    area, low, _ = membership(train, held_out, memorized)
    assert area >= 0.95 and low > 0.9
    assert distance_ratio(train, held_out, memorized) < 0.2
    assert near_copies(train, held_out, memorized).share > 0.95
    assert authenticity(train, memorized) < 0.02


def test_planted_copies_are_the_ones_that_are_found():
    train, held_out, pool = normal(0, 400), normal(1, 200), normal(2, 300)
    pool[[7, 100, 250]] = train[[3, 30, 300]]
    found = near_copies(train, held_out, pool)
    assert set(np.flatnonzero(found.near)) >= {7, 100, 250}
    assert found.near.sum() < 12
    assert found.share == pytest.approx(found.near.mean())


def test_a_patient_is_as_suspect_as_the_nearest_record_and_the_area_is_sklearns():
    train, held_out, pool = normal(0, 60), normal(1, 40), normal(2, 50)
    area, *_ = membership(train, held_out, pool, per_patient=2)
    near = [nearest_distances(real, pool).reshape(-1, 2).min(1) for real in (train, held_out)]
    truth = np.repeat([1, 0], [len(n) for n in near])
    assert area == pytest.approx(roc_auc_score(truth, -np.concatenate(near)))


def test_ties_count_half():
    x = np.eye(D)
    assert membership(x, x[:4] * 1.0, x + 0.5)[0] == pytest.approx(0.5)


def test_authenticity_is_that_of_its_definition():
    train, pool = normal(0, 30), 0.7 * normal(1, 20)
    apart = np.linalg.norm(pool[:, None] - train, axis=2)
    own = np.linalg.norm(train[:, None] - train, axis=2) + np.diag([np.inf] * 30)
    expected = np.mean([apart[j].min() > own[apart[j].argmin()].min() for j in range(20)])
    assert authenticity(train, pool) == expected


def test_more_training_records_lie_nearer_to_synthetic_and_to_real_ones_alike():
    train, held_out = normal(0, 2000), normal(1, 200)
    value, floor = (distance_ratio(train, held_out, normal(s, 300)) for s in (2, 3))
    assert value < 0.9 and value == pytest.approx(floor, abs=0.06)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda a, b, s: membership_auc(a, b, s, train_patients=["x"], held_out_patients=["y"] * 9),
         "1 patients for 9 training records"),
        (lambda a, b, s: membership_auc(a, b, s, train_patients=["x"] * 9,
                                        held_out_patients=["x"] * 9),
         "patient x is in training and in held-out"),
        (lambda a, b, s: near_copies(a, b, s, 0), "percentile must lie between 0 and 100"),
        (lambda a, b, s: authenticity(a, s[:, :3]), "differ in dimensions: 8, 3"),
        (lambda a, b, s: distance_ratio(a, b, b), "copies of held-out records"),
        (lambda a, b, s: distance_ratio(a, b * np.nan, s), "held-out embedding are NaN"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_said(call, said):
    with pytest.raises(EcgreproError, match=said):
        call(normal(0, 9), normal(1, 9), normal(2, 9))
