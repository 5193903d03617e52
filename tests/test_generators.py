"""The protocol that all generators share: registry, checks, saved form, the simulator."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_diffwave import cohort

from ecgrepro.errors import EcgreproError
from ecgrepro.generators import GENERATORS, generator_class, load_generator, make_generator
from ecgrepro.generators.base import CLAMP
from ecgrepro.generators.settings import SETTINGS
from ecgrepro.preprocess import standardize


def simulator(**facts):
    return make_generator("simulator").fit(cohort(samples=1000, **facts))


def test_registry_and_settings_name_the_same_generators():
    assert set(GENERATORS) == set(SETTINGS)
    for name in GENERATORS:
        assert generator_class(name).name == name
        assert make_generator(name).settings == SETTINGS[name]()


def test_unknown_generator():
    with pytest.raises(EcgreproError, match="'wavegan'.*'diffwave', 'simulator'"):
        make_generator("wavegan")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("chanels", 64, "unknown key 'chanels': choose from .*channels"),
        ("channels", -1, "channels: .*greater than 0.*-1"),
        ("steps", "many", "steps: .*valid integer.*'many'"),
        ("sampler", "dopri5", "sampler: .*'dpmpp_2m'"),
    ],
)
def test_wrong_settings_are_named(key, value, message):
    with pytest.raises(EcgreproError, match=message):
        make_generator("diffwave", {key: value})


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_untrained_generators_say_so(name, tmp_path):
    generator = make_generator(name)
    for use in (
        lambda: generator.sample({"SR": 1}, seed=0),
        lambda: generator.save(tmp_path / "m"),
    ):
        with pytest.raises(EcgreproError, match="call fit first"):
            use()


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_cohorts_that_cannot_be_trained_on(name):
    good = cohort(6)
    broken = cohort(6)
    broken.signals[4, 2, 7] = np.nan
    with pytest.raises(EcgreproError, match="record r4 .*not finite"):
        make_generator(name).fit(broken)
    with pytest.raises(EcgreproError, match="record r4 .*not finite"):
        make_generator(name).fit(good, validation=broken)
    with pytest.raises(EcgreproError, match="no records"):
        make_generator(name).fit(good.where(fold=9))
    object.__setattr__(good, "units", "mV")
    with pytest.raises(EcgreproError, match="scale='z'"):
        make_generator(name).fit(good)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"SVT": 3}, "without a record of SVT: it can sample SR, SB, AFIB"),
        ({"VT": 3}, "unknown class 'VT'"),
        ({"SR": 0}, "cannot sample 0 records of SR"),
        ({"SR": -2}, "cannot sample -2 records of SR"),
        ({"SR": 1.5}, "cannot sample 1.5 records of SR"),
        ({}, "no class asked for"),
    ],
)
def test_counts_that_cannot_be_sampled(counts, message):
    with pytest.raises(EcgreproError, match=message):
        simulator().sample(counts, seed=0)


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"batch_size": 0}, {"steps": 0}, {"steps": 2.5}, {"guidance": -1.0}]
)
def test_sampling_settings_out_of_range(wrong):
    with pytest.raises(EcgreproError, match=f"{next(iter(wrong))} must be"):
        simulator().sample({"SR": 1}, **({"seed": 0} | wrong))


@settings(deadline=None)
@given(arrays(np.float32, (2, 3, 30), elements=st.floats(-1e4, 1e4, width=32)))
def test_standardize_bounds_and_scale(signals):
    z = np.clip(standardize(signals), -CLAMP, CLAMP)
    assert np.isfinite(z).all()
    assert np.abs(z).max() <= CLAMP
    spread = signals.astype(np.float64).std(-1)
    normal = (spread > 1) & (np.abs(z).max(-1) < CLAMP)
    np.testing.assert_allclose(z.std(-1)[normal], 1, atol=1e-2)


def test_simulator_is_a_generator(tmp_path):
    generator = simulator()
    pool = generator.sample({"SB": 3, "AFIB": 2}, seed=7)
    assert pool.signals.shape == (5, 12, 1000)
    assert set(pool.table["origin"]) == {"simulator"}
    assert set(pool.table["source"]) == {"chapman"}
    assert set(pool.table["fold"]) == {0}
    assert pool.table["patient_id"].tolist() == pool.table["record_id"].tolist()
    np.testing.assert_allclose(pool.signals.std(-1), 1, atol=0.02)
    generator.save(tmp_path / "model")
    loaded = load_generator(tmp_path / "model")
    again = loaded.sample({"AFIB": 1, "SB": 3}, seed=7, batch_size=2)
    np.testing.assert_array_equal(again.signals, pool.signals[:4])


def test_saved_generators_that_cannot_be_loaded(tmp_path):
    directory = simulator().save(tmp_path / "model")
    with pytest.raises(EcgreproError, match="already exists"):
        simulator().save(directory)
    with pytest.raises(EcgreproError, match="holds a simulator generator, not diffwave"):
        generator_class("diffwave").load(directory)
    facts = json.loads((directory / "generator.json").read_text())
    (directory / "generator.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(EcgreproError, match="format 99, this version reads 1"):
        load_generator(directory)
    (directory / "generator.json").write_text(json.dumps(facts))
    weights = directory / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(EcgreproError, match="truncated or altered"):
        load_generator(directory)
    with pytest.raises(EcgreproError, match="not a saved generator"):
        load_generator(tmp_path)
