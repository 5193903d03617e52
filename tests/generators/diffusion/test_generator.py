"""The three diffusion generators, end to end on small signals."""

import copy
import json

import numpy as np
import pytest
import torch
from helpers.cohorts import sines as cohort

from ecgrepro.cohort.cohort import LEADS
from ecgrepro.errors import EcgreproError
from ecgrepro.generators import load_generator, make_generator
from ecgrepro.generators.diffusion.samplers import SAMPLERS
from ecgrepro.generators.saved import read_saved, write_saved

COMMON = {"steps": 20, "batch_size": 8, "components": 20, "sampling_steps": 4, "embedding": 16}
SMALL = {
    "diffwave": COMMON | {"channels": 16, "blocks": 4, "cycle": 2},
    "timediffusion": COMMON | {"channels": 16, "causal": False},
    "unet": COMMON | {"widths": (16, 24), "head_width": 8},
}
pytestmark = pytest.mark.usefixtures("one_thread")
every_model = pytest.mark.parametrize("name", sorted(SMALL))


def train(name, data, seed=3, **changes):
    settings = SMALL[name] | changes
    return make_generator(name, settings, seed=seed, device="cpu").fit(data)


@pytest.fixture(scope="module")
def fitted():
    """The three, trained briefly; each is made when it is first asked for."""
    torch.set_num_threads(1)
    made = {}

    def get(name):
        if name not in made:
            made[name] = train(name, cohort())
        return made[name]

    return get


def with_settings(generator, **changes):
    """The same weights under other settings of the sampler."""
    other = copy.copy(generator)
    other.settings = generator.settings.model_copy(update=changes)
    return other


@every_model
def test_fit_and_sample(fitted, name):
    generator = fitted(name)
    pool = generator.sample({"AFIB": 2, "SR": 3}, seed=5)
    assert pool.counts() == {"SR": 3, "SB": 0, "ST": 0, "AFIB": 2, "AFL": 0, "SA": 0, "SVT": 0}
    assert pool.table["record_id"].tolist()[-1] == f"{name}-AFIB-000001"
    assert pool.signals.shape == (5, 12, 200)
    assert pool.leads == LEADS
    assert generator.history[-1]["step"] == 20
    assert generator.facts["parameters"] > 1000
    assert generator.facts["evaluations"] == 8  # four steps, each with and without the class


@every_model
def test_save_and_load(fitted, name, tmp_path):
    fitted(name).save(tmp_path / "model")
    assert {p.suffix for p in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}
    loaded = load_generator(tmp_path / "model", device="cpu")
    assert loaded.history == fitted(name).history
    assert loaded.settings == fitted(name).settings
    counts = {"SR": 2, "AFIB": 1}
    again = loaded.sample(counts, seed=9)
    assert again.fingerprint == fitted(name).sample(counts, seed=9).fingerprint


@every_model
def test_same_seed_gives_the_same_weights(fitted, name):
    twin, other = train(name, cohort(), steps=20), train(name, cohort(), seed=4)
    wanted = fitted(name).sample({"SR": 2}, seed=0)
    assert twin.sample({"SR": 2}, seed=0).fingerprint == wanted.fingerprint
    assert not np.allclose(other.sample({"SR": 2}, seed=0).signals, wanted.signals)


@every_model
def test_guidance_and_steps_change_the_samples(fitted, name):
    base = fitted(name).sample({"SR": 2}, seed=0)
    for change in ({"guidance": 5.0}, {"guidance": 1.0}, {"steps": 8}):
        changed = fitted(name).sample({"SR": 2}, seed=0, **change)
        assert not np.allclose(changed.signals, base.signals, atol=1e-4)


def assert_independent_of_batches(generator):
    counts = {"SR": 5, "SB": 4, "AFIB": 1}
    whole = generator.sample(counts, seed=1, batch_size=64)
    small = generator.sample(counts, seed=1, batch_size=7)
    np.testing.assert_allclose(whole.signals, small.signals, atol=1e-4)
    alone = generator.sample({"SB": 2}, seed=1)
    np.testing.assert_allclose(alone.signals, whole.signals[5:7], atol=1e-4)
    again = generator.sample(counts, seed=1)
    assert again.fingerprint == whole.fingerprint
    assert not np.allclose(generator.sample(counts, seed=2).signals, whole.signals)


@every_model
def test_pool_does_not_depend_on_batch_size_or_on_other_classes(fitted, name):
    assert_independent_of_batches(fitted(name))


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_nor_does_it_with_any_sampler(fitted, sampler):
    assert_independent_of_batches(with_settings(fitted("unet"), sampler=sampler))


def test_nor_does_it_under_the_published_process():
    data = cohort(8, samples=60)
    generator = train("diffwave", data, process="ddpm", fold=2, modulated=False, steps=5)
    for sampler in ("ancestral", "ddim"):
        assert_independent_of_batches(with_settings(generator, sampler=sampler, sampling_steps=20))


@pytest.mark.parametrize(
    ("sampler", "guidance", "evaluations"),
    [("heun", 1.0, 7), ("heun", 2.0, 14), ("dpmpp_2m", 1.0, 4), ("ancestral", 2.0, 8)],
)
def test_evaluations_are_counted(fitted, sampler, guidance, evaluations):
    """Against the records that the network sees; two for one where both classes go at once."""
    generator = with_settings(fitted("diffwave"), sampler=sampler, guidance=guidance)
    sizes = []
    hook = generator.denoiser.network.register_forward_hook(
        lambda module, inputs, output: sizes.append(len(output))
    )
    generator.sample({"SR": 3}, seed=0)
    hook.remove()
    assert generator.evaluations() == sum(sizes) / 3 == evaluations


def test_weights_of_another_geometry_are_refused(fitted, tmp_path):
    directory = fitted("diffwave").save(tmp_path / "model")
    facts, tensors = read_saved(directory, "diffwave")
    facts = json.loads(json.dumps({k: facts[k] for k in facts}))
    facts["settings"]["channels"] = 24
    write_saved(tmp_path / "other", facts, tensors)
    with pytest.raises(EcgreproError, match="do not belong together"):
        load_generator(tmp_path / "other")


LEARNS = {
    "diffwave": {"channels": 32, "blocks": 6, "cycle": 3, "embedding": 32},
    "timediffusion": {"channels": 32, "embedding": 32},
    "unet": {"widths": (24, 32), "embedding": 32},
}


@pytest.mark.slow
@every_model
def test_overfits_to_one_record_repeated(name):
    """Every sample is that record, in every lead."""
    data = cohort(12, samples=60, classes=("SR",))
    data.signals[:] = data.signals[:1]
    budget = {"steps": 300, "batch_size": 16, "learning_rate": 5e-3, "ema": 0.95}
    levels = {
        "components": 6,
        "sigma_min": 0.3,
        "sigma_max": 10.0,
    }  # six patches, so six components
    generator = train(name, data, **LEARNS[name], **budget, **levels)
    pool = generator.sample({"SR": 3}, seed=0, steps=12, guidance=1.0)
    correlation = (pool.signals * data.signals[:1]).mean(-1)
    assert correlation.min() > 0.95


@pytest.mark.slow
@every_model
def test_learns_the_frequency_of_each_class(name):
    """Sines of 1, 2 and 4 Hz: samples have the frequency of their class."""
    budget = {"steps": 500, "learning_rate": 4e-3, "sampling_steps": 12}
    generator = train(name, cohort(90, samples=100), **LEARNS[name], **budget)
    pool = generator.sample({"SR": 10, "SB": 10, "AFIB": 10}, seed=0)
    peak = np.abs(np.fft.rfft(pool.signals[:, 5])).argmax(1)  # Hz
    wanted = pool.table["rhythm"].map({"SR": 2, "SB": 1, "AFIB": 4}).to_numpy()
    assert (peak == wanted).mean() > 0.8
    assert generator.history[-1]["loss"] < 0.7
