"""What figures show of cohorts: kept as JSON values and small arrays, and found again."""

import json

import numpy as np
import pytest
from helpers.cohorts import a_cohort

from ecgrepro import EcgreproError
from ecgrepro.closeness import views


@pytest.fixture
def cohort():
    return a_cohort(n=21)


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(2, 21, 5))


def kept(name, view, folder):
    """The view after a round trip through JSON and a file of arrays."""
    facts, arrays = views.pack(name, view)
    np.savez(folder / "kept.npz", **arrays)
    with np.load(folder / "kept.npz", allow_pickle=False) as stored:
        return views.unpack(type(view), name, json.loads(json.dumps(facts)), dict(stored))


def test_a_plane_has_at_most_so_many_points_of_a_set_and_knows_how_many_there_are(
    cohort, points, tmp_path
):
    sets = {"real": (points[0], cohort), "made": (points[1], cohort)}
    plane = kept("plane", views.plane(sets, most=7), tmp_path)
    assert plane.names == ["real", "made"] and plane.totals == [21, 21]
    for name in plane.names:
        own, rhythms = plane.of(name)
        assert own.shape == (7, 2)
        assert set(rhythms) <= set(range(len(plane.classes)))
    whole, _ = views.plane(sets).of("real")
    assert whole.mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert 0 < plane.variance < 1


def test_the_closest_are_nearest_first_and_the_farthest_last(cohort, points, tmp_path):
    train, made = points
    made[5], made[9] = train[3], 50.0
    strips = kept("closest", views.closest((made, cohort), (train, cohort)), tmp_path)
    assert strips.signals.shape == (6, 2, cohort.signals.shape[2])
    assert strips.signals.dtype == np.float16
    ids = cohort.table["record_id"]
    assert strips.records[:2] == [ids[5], ids[3]] and strips.distances[0] == 0
    assert strips.distances == sorted(strips.distances) and strips.distances[2] < strips.typical
    far = views.farthest((made, cohort), train, count=1)
    assert far.records == [ids[9]] and far.distances[0] > far.typical
    lead = cohort.leads.index("V1")
    assert far.signals[0, 1] == pytest.approx(cohort.signals[9, lead], abs=0.01)


def test_spectra_are_of_the_leads_asked_for_up_to_what_is_shown(cohort, tmp_path):
    spectra = kept(
        "spectra", views.spectra({"real": cohort, "made": cohort}, ("II", "V1")), tmp_path
    )
    assert spectra.power.shape == (2, 2, len(spectra.frequencies))
    assert spectra.frequencies[-1] <= views.HIGHEST
    assert np.array_equal(spectra.power[0], spectra.power[1])
    with pytest.raises(EcgreproError, match="made has no lead V9"):
        views.spectra({"made": cohort}, ("V9",))
