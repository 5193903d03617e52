"""DiffWave: the network's geometry, and the generator end to end on small signals."""

import numpy as np
import pandas as pd
import pytest
import torch

from ecgrepro.cohort import LEADS, Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.generators import load_generator, make_generator
from ecgrepro.generators.diffwave import DiffWave, GatedBlock

SMALL = {
    "steps": 30,
    "batch_size": 8,
    "channels": 16,
    "blocks": 4,
    "cycle": 2,
    "embedding": 16,
    "components": 20,
    "sampling_steps": 4,
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cohort(n=24, samples=200, classes=("SR", "SB", "AFIB"), seed=0):
    """Twelve scaled copies of a sine whose frequency is the class's own, z-scored."""
    rng = np.random.default_rng(seed)
    rhythms = [classes[i % len(classes)] for i in range(n)]
    t = np.arange(samples) / 100
    rate = np.array([{"SR": 2.0, "SB": 1.0, "AFIB": 4.0}[r] for r in rhythms])
    phase = rng.uniform(0, 2 * np.pi, n)
    wave = np.sin(2 * np.pi * rate[:, None] * t + phase[:, None])
    signals = wave[:, None] * np.linspace(0.5, 1.5, 12)[:, None]
    signals = signals + 0.1 * rng.normal(size=signals.shape)
    signals -= signals.mean(-1, keepdims=True)
    signals /= signals.std(-1, keepdims=True)
    table = pd.DataFrame(
        {
            "record_id": [f"r{i}" for i in range(n)],
            "patient_id": [f"p{i}" for i in range(n)],
            "source": "chapman",
            "rhythm": rhythms,
            "fold": 1,
            "age": 50.0,
            "sex": "",
            "origin": "real",
        }
    )
    return Cohort(signals=signals.astype(np.float32), table=table, fs=100, name="sines")


@pytest.fixture(scope="module")
def fitted():
    torch.set_num_threads(1)
    return make_generator("diffwave", SMALL, seed=3, device="cpu").fit(cohort())


def test_published_geometry_can_be_expressed():
    network = DiffWave(12, 8, channels=64, blocks=30, cycle=10, embedding=512)
    assert [b.dilation for b in network.blocks] == [2 ** (i % 10) for i in range(30)]
    x = torch.randn(2, 1000, 12)
    y = network(x, torch.zeros(2), torch.tensor([0, 7]))
    assert y.shape == x.shape
    assert torch.count_nonzero(y) == 0  # the last layer starts at zero


def test_block_is_a_dilated_convolution_with_a_gate():
    """Against torch's own conv1d, with the same weights."""
    block = GatedBlock(channels=6, dilation=4, embedding=5)
    torch.nn.init.normal_(block.modulate.weight)
    h, condition = torch.randn(3, 20, 6), torch.randn(3, 5)
    found, skip = block(h, condition)
    scale, shift = block.modulate(condition)[:, :, None].chunk(2, dim=1)
    y = torch.nn.functional.layer_norm(h, (6,)).transpose(1, 2) * (1 + scale) + shift
    kernel = block.convolve.weight.unflatten(1, (3, 6)).transpose(1, 2)
    y = torch.conv1d(y, kernel, block.convolve.bias, padding=4, dilation=4)
    gated = y[:, :6].sigmoid() * y[:, 6:].tanh()
    out = torch.conv1d(gated, block.split.weight[..., None], block.split.bias).transpose(1, 2)
    assert torch.allclose(found, (h + out[..., :6]) / 2**0.5, atol=1e-5)
    assert torch.allclose(skip, out[..., 6:], atol=1e-5)


def test_receptive_field_covers_a_record_with_the_default_settings():
    network = DiffWave(4, 2, channels=8, blocks=10, cycle=5, embedding=8)
    torch.nn.init.normal_(network.out.weight)
    x = torch.randn(1, 100, 4, requires_grad=True)
    network(x, torch.zeros(1), torch.zeros(1, dtype=torch.int64))[0, 50].sum().backward()
    assert (x.grad[0].abs().sum(1) > 0).all()


def test_fit_and_sample(fitted):
    pool = fitted.sample({"AFIB": 2, "SR": 3}, seed=5)
    assert pool.counts() == {"SR": 3, "SB": 0, "ST": 0, "AFIB": 2, "AFL": 0, "SA": 0, "SVT": 0}
    assert pool.table["record_id"].tolist()[-1] == "diffwave-AFIB-000001"
    assert pool.signals.shape == (5, 12, 200)
    assert pool.leads == LEADS
    assert fitted.history[-1]["step"] == 30
    assert fitted.facts["parameters"] > 1000


def test_pool_does_not_depend_on_batch_size_or_on_other_classes(fitted):
    whole = fitted.sample({"SR": 5, "SB": 4}, seed=1, batch_size=64)
    small = fitted.sample({"SR": 5, "SB": 4}, seed=1, batch_size=2)
    np.testing.assert_allclose(whole.signals, small.signals, atol=1e-3)
    alone = fitted.sample({"SB": 2}, seed=1)
    np.testing.assert_allclose(alone.signals, whole.signals[5:7], atol=1e-3)
    again = fitted.sample({"SR": 5, "SB": 4}, seed=1)
    assert again.fingerprint == whole.fingerprint
    assert fitted.sample({"SR": 5, "SB": 4}, seed=2).fingerprint != whole.fingerprint


def test_same_seed_gives_the_same_weights(fitted):
    twin = make_generator("diffwave", SMALL, seed=3, device="cpu").fit(cohort())
    assert (
        twin.sample({"SR": 2}, seed=0).fingerprint == fitted.sample({"SR": 2}, seed=0).fingerprint
    )
    other = make_generator("diffwave", SMALL, seed=4, device="cpu").fit(cohort())
    assert not np.array_equal(
        other.sample({"SR": 2}, seed=0).signals, fitted.sample({"SR": 2}, seed=0).signals
    )


def test_save_and_load(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    assert {p.suffix for p in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}
    loaded = load_generator(tmp_path / "model", device="cpu")
    assert loaded.history == fitted.history
    assert loaded.settings == fitted.settings
    counts = {"SR": 2, "AFIB": 1}
    assert loaded.sample(counts, seed=9).fingerprint == fitted.sample(counts, seed=9).fingerprint


def test_weights_of_another_geometry_are_refused(fitted, tmp_path):
    directory = fitted.save(tmp_path / "model")
    path = directory / "generator.json"
    path.write_text(path.read_text().replace('"channels": 16', '"channels": 24'))
    with pytest.raises(EcgreproError, match="do not belong together"):
        load_generator(directory)


def test_guidance_and_steps_change_the_samples(fitted):
    base = fitted.sample({"SR": 2}, seed=0)
    for change in ({"guidance": 3.0}, {"steps": 8}):
        assert not np.allclose(fitted.sample({"SR": 2}, seed=0, **change).signals, base.signals)


def test_resumes_from_its_checkpoint_and_refuses_that_of_other_data(tmp_path):
    make_generator("diffwave", SMALL, device="cpu").fit(cohort(), checkpoint_dir=tmp_path)
    with pytest.raises(EcgreproError, match="other data"):
        make_generator("diffwave", SMALL, device="cpu").fit(cohort(seed=1), checkpoint_dir=tmp_path)


@pytest.mark.slow
def test_learns_the_frequency_of_each_class():
    """Sines of 1, 2 and 4 Hz: samples have the frequency of their class."""
    settings = SMALL | {"steps": 1000, "channels": 48, "blocks": 6, "cycle": 3,
                        "learning_rate": 4e-3, "sampling_steps": 16}  # fmt: skip
    generator = make_generator("diffwave", settings, device="cpu").fit(cohort(90))
    pool = generator.sample({"SR": 10, "SB": 10, "AFIB": 10}, seed=0)
    peak = np.abs(np.fft.rfft(pool.signals[:, 5])).argmax(1) / 2  # Hz
    wanted = pool.table["rhythm"].map({"SR": 2.0, "SB": 1.0, "AFIB": 4.0}).to_numpy()
    assert (peak == wanted).mean() > 0.8
    assert generator.history[-1]["loss"] < 0.7
