"""The protocol that all generators share: registry, checks, saved form, the simulator."""

import json

import numpy as np
import pytest
from helpers.cohorts import millivolts
from helpers.cohorts import sines as cohort
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecgrepro.cohort.preprocess import standardize
from ecgrepro.errors import EcgreproError
from ecgrepro.generators import GENERATORS, load_generator, make_generator
from ecgrepro.generators.representation import CLAMP
from ecgrepro.generators.saved import VERSION


def simulator(**facts):
    return make_generator("simulator").fit(cohort(samples=1000, **facts))


def test_every_entry_names_its_class_and_its_settings():
    for name, entry in GENERATORS.items():
        assert entry.name == entry.load_class().name == name
        assert make_generator(name).settings == entry.settings_class()()


def test_unknown_generator():
    with pytest.raises(EcgreproError, match="'wavegan'.*'diffwave', .*'simulator'"):
        make_generator("wavegan")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("chanels", 64, "chanels: unknown key; allowed: .*channels"),
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
    broken = cohort(6)
    broken.signals[0, 0, 0] = np.inf
    with pytest.raises(EcgreproError, match="record r0 .*not finite"):
        make_generator(name).fit(broken)


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


@pytest.fixture(scope="module")
def trained():
    small = {"steps": 2, "batch_size": 4, "channels": 8, "blocks": 2, "sampling_steps": 2}
    return make_generator("diffwave", small, device="cpu").fit(cohort(6, samples=60))


@pytest.fixture
def saved(trained, tmp_path):
    return trained.save(tmp_path / "model")


def edit(directory, **changes):
    path = directory / "generator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_saved_generator_is_never_overwritten(trained, saved):
    with pytest.raises(EcgreproError, match="already exists"):
        trained.save(saved)


def test_another_model_or_version_is_refused(saved):
    with pytest.raises(EcgreproError, match="holds a diffwave generator, not simulator"):
        GENERATORS["simulator"].load_class().load(saved)
    edit(saved, format=1)
    said = f"format 1, this version reads {VERSION}: train .* again"
    with pytest.raises(EcgreproError, match=said):
        load_generator(saved)
    edit(saved, format=VERSION, name="wavegan")
    with pytest.raises(EcgreproError, match="unknown generator 'wavegan'"):
        load_generator(saved)


@pytest.mark.parametrize("key", ["settings", "seed", "shape", "facts", "history", "sha256", "seal"])
def test_changed_facts_are_noticed(saved, key):
    facts = json.loads((saved / "generator.json").read_text())
    if isinstance(facts[key], dict):
        name = next(k for k, v in facts[key].items() if isinstance(v, int | float | tuple))
        facts[key][name] += 1
    elif isinstance(facts[key], list):
        facts[key].pop()
    else:
        facts[key] = facts[key] + (1 if key == "seed" else "0")
    edit(saved, **facts)
    with pytest.raises(EcgreproError, match="changed after it was saved"):
        load_generator(saved)


def test_facts_without_a_key_are_noticed(saved):
    path = saved / "generator.json"
    for key in json.loads(path.read_text()):
        before = path.read_text()
        facts = json.loads(before)
        del facts[key]
        path.write_text(json.dumps(facts))
        with pytest.raises(EcgreproError, match="not a saved generator|changed after"):
            load_generator(saved)
        path.write_text(before)
    load_generator(saved)


@pytest.mark.parametrize("name", ["weights.safetensors", "generator.json"])
@pytest.mark.parametrize("kept", [0, 0.5, -1])
def test_truncated_files_are_noticed(saved, name, kept):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[:-1] if kept == -1 else content[: int(len(content) * kept)])
    with pytest.raises(EcgreproError, match="truncated or altered|not a saved generator"):
        load_generator(saved)


def test_a_flipped_bit_is_noticed(saved):
    content = bytearray((saved / "weights.safetensors").read_bytes())
    content[-5] ^= 1
    (saved / "weights.safetensors").write_bytes(content)
    with pytest.raises(EcgreproError, match=r"weights\.safetensors is truncated or altered"):
        load_generator(saved)


@pytest.mark.parametrize("lost", ["weights.safetensors", "generator.json"])
def test_incomplete_folders_are_no_generators(saved, lost):
    (saved / lost).unlink()
    with pytest.raises(EcgreproError, match="not a saved generator"):
        load_generator(saved)


def test_weights_of_another_generator_are_noticed(saved, trained, tmp_path):
    """Both files intact, but not of one another."""
    other = make_generator("diffwave", trained.settings, seed=1, device="cpu")
    directory = other.fit(cohort(6, samples=60)).save(tmp_path / "other")
    (directory / "weights.safetensors").replace(saved / "weights.safetensors")
    with pytest.raises(EcgreproError, match="truncated or altered"):
        load_generator(saved)


def test_another_version_of_the_simulator_is_refused(tmp_path, monkeypatch):
    directory = simulator().save(tmp_path / "model")
    load_generator(directory)
    monkeypatch.setattr("ecgrepro.generators.simulator.VERSION", 99)
    with pytest.raises(EcgreproError, match="version 1 of the simulator, which is 99 now"):
        load_generator(directory)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "other data"),
        ({"samples": 80}, "other data"),
        ({"units": "mV"}, "other data"),
    ],
)
def test_a_checkpoint_of_other_data_is_refused(trained, tmp_path, change, said):
    settings = trained.settings
    make_generator("diffwave", settings, device="cpu").fit(
        cohort(6, samples=60), checkpoint_dir=tmp_path
    )
    units = change.pop("units", "z")
    make = {"z": cohort, "mV": millivolts}[units]
    with pytest.raises(EcgreproError, match=said):
        make_generator("diffwave", settings, device="cpu").fit(
            make(6, **{"samples": 60} | change), checkpoint_dir=tmp_path
        )


def test_a_checkpoint_of_another_version_is_refused(trained, tmp_path, monkeypatch):
    make_generator("diffwave", trained.settings, device="cpu").fit(
        cohort(6, samples=60), checkpoint_dir=tmp_path
    )
    monkeypatch.setattr("ecgrepro.generators.base.VERSION", VERSION + 1)
    with pytest.raises(EcgreproError, match="another training .other version"):
        make_generator("diffwave", trained.settings, device="cpu").fit(
            cohort(6, samples=60), checkpoint_dir=tmp_path
        )


def test_digest_tells_weights_settings_and_data_apart(trained, saved):
    same = load_generator(saved, device="cpu")
    assert same.digest() == trained.digest()
    again = make_generator("diffwave", trained.settings, device="cpu").fit(cohort(6, samples=60))
    assert again.digest() == trained.digest()
    for seed, data in ((1, 0), (0, 1)):
        other = make_generator("diffwave", trained.settings, seed=seed, device="cpu")
        assert other.fit(cohort(6, samples=60, seed=data)).digest() != trained.digest()
    sampling = trained.settings.model_copy(update={"guidance": 9.0})
    other = make_generator("diffwave", sampling, device="cpu").fit(cohort(6, samples=60))
    assert other.digest() != trained.digest()
