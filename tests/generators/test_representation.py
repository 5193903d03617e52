"""What models learn of a record: clamps, scales, and leads that follow from others."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.cohorts import POSITIONS, millivolts
from helpers.cohorts import sines as cohort
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecgrepro.cohort.cohort import LEADS
from ecgrepro.cohort.leads import INDEPENDENT, TWELVE, twelve_leads
from ecgrepro.errors import EcgreproError
from ecgrepro.generators import make_generator
from ecgrepro.generators.representation import (
    CLAMP,
    CLAMP_MV,
    check_cohort,
    shape_of,
    to_channels,
    to_leads,
)


def assert_exact(signals: np.ndarray) -> None:
    one, two = signals[..., 0, :], signals[..., 1, :]
    expected = [two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    np.testing.assert_array_equal(signals[..., 2:6, :], np.stack(expected, axis=-2))


def test_twelve_leads_are_those_of_the_simulator():
    independent = np.random.default_rng(0).normal(size=(5, 8, 30))
    np.testing.assert_allclose(twelve_leads(independent), TWELVE @ independent, atol=1e-12)


@given(arrays(np.int64, (8, 5), elements=st.integers(-(2**14), 2**14)))
def test_derived_integers_are_exact_where_two_leads_are_even(integers):
    integers[:2] *= 2
    twelve = twelve_leads(integers)
    assert twelve.dtype == np.int64
    np.testing.assert_array_equal(twelve, TWELVE @ integers)


@given(arrays(np.float32, (3, 8, 20), elements=st.floats(-40, 40, width=32)))
def test_any_drawn_values_become_a_heart_in_millivolts(drawn):
    shape = shape_of(millivolts())
    signals = to_leads(shape, drawn)
    assert signals.shape == (3, 12, 20) and signals.dtype == np.float32
    assert_exact(signals)
    reach = CLAMP_MV * np.array(shape.scales)
    assert (np.abs(signals[:, POSITIONS]).max(-1) <= 2 * reach + 1e-3).all()
    np.testing.assert_allclose(signals.mean(-1), 0, atol=1e-4)


@given(arrays(np.float32, (2, 12, 30), elements=st.floats(-1e4, 1e4, width=32)))
@settings(deadline=None)
def test_any_drawn_values_become_a_z_scored_record(drawn):
    signals = to_leads(shape_of(cohort()), drawn)
    assert np.isfinite(signals).all() and np.abs(signals).max() <= CLAMP


@pytest.mark.parametrize("make", [cohort, millivolts])
def test_there_and_back(make):
    whole = make()
    shape = shape_of(whole)
    channels = to_channels(shape, whole.signals)
    assert channels.shape[1] == shape.channels == (12 if whole.units == "z" else 8)
    assert channels.dtype == np.float32
    np.testing.assert_allclose(to_leads(shape, channels), whole.signals, atol=1e-5)
    np.testing.assert_allclose(channels.std(axis=(0, 2)), 1, atol=1e-3)


def test_scales_are_the_spread_over_all_records():
    whole = millivolts(300)  # more than one chunk
    expected = whole.signals[:, POSITIONS].astype(np.float64).std(axis=(0, 2))
    np.testing.assert_allclose(shape_of(whole).scales, expected, rtol=1e-6)


def test_a_lead_without_signal_cannot_be_learned_in_millivolts():
    flat = millivolts()
    flat.signals[:, LEADS.index("V3")] = 0
    with pytest.raises(EcgreproError, match="is zero in V3"):
        make_generator("simulator").fit(flat)


def test_artefacts_are_clamped_and_qrs_is_not():
    whole = millivolts(100)
    whole.signals[0, LEADS.index("V2"), 5] = 3.0  # a tall R
    whole.signals[1, LEADS.index("V2"), 5] = 50.0  # no heart
    shape = shape_of(whole)
    channels = to_channels(shape, whole.signals)[:, INDEPENDENT.index("V2")]
    assert channels[0].max() == pytest.approx(3.0 / shape.scales[3], rel=1e-6)
    assert channels[1].max() == CLAMP_MV


def test_real_qrs_fits_below_the_clamp(recordings):
    from ecgrepro.datasets import FOLDERS, load_cohort

    whole = load_cohort("chapman", recordings / FOLDERS["chapman"], scale="mV")
    channels = to_channels(shape_of(whole), whole.signals)
    clamped = (np.abs(channels) == CLAMP_MV).any(axis=(1, 2))
    assert clamped.mean() < 0.005


def test_other_leads_cannot_be_learned_in_millivolts():
    whole = millivolts()
    other = replace(whole, leads=LEADS[::-1])
    with pytest.raises(EcgreproError, match="in mV has the leads V6, "):
        check_cohort(other, "unet")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"units": "mV"}, "units: z and mV"),
        ({"fs": 500.0}, "fs: 100 and 500"),
        ({"samples": 100}, "length: 200 and 100 samples"),
    ],
)
def test_validation_of_another_kind_is_refused(change, said):
    validation = cohort(6, samples=change.pop("samples", 200))
    validation = replace(validation, **change)
    with pytest.raises(EcgreproError, match=f"differ in {said}"):
        make_generator("simulator").fit(cohort(), validation=validation)


def test_a_deep_generator_in_millivolts():
    small = {"steps": 2, "batch_size": 4, "channels": 8, "blocks": 2, "sampling_steps": 2}
    generator = make_generator("diffwave", small, device="cpu").fit(millivolts())
    signals, targets = generator._tensors(millivolts())
    assert signals.shape == (12, 8, 200) and targets.shape == (12,)
    pool = generator.sample({"SR": 3}, seed=0)
    assert pool.units == "mV" and pool.leads == LEADS
    assert_exact(pool.signals)
    assert 0.02 < pool.signals[:, LEADS.index("V6")].std() < 2.5


def test_the_simulator_in_millivolts():
    generator = make_generator("simulator").fit(millivolts(samples=1000))
    pool = generator.sample({"SR": 4, "AFIB": 2}, seed=0)
    assert_exact(pool.signals)
    height = np.abs(pool.signals[:, LEADS.index("II")]).max(-1)
    assert ((height > 0.1) & (height < 4)).all()
