"""DiffWave: the network's geometry, its plain form, and the published settings end to end."""

import numpy as np
import pytest
import torch
from helpers.cohorts import sines as cohort
from helpers.oracles import assert_equal_to_plain

from ecgrepro.generators import GENERATORS, make_generator
from ecgrepro.generators.diffusion.denoiser import DiscreteDenoiser
from ecgrepro.generators.diffusion.diffwave import DiffWave, GatedBlock, Modulate

PUBLISHED = GENERATORS["diffwave"].published
pytestmark = pytest.mark.usefixtures("one_thread")


def published_network():
    keys = ("channels", "blocks", "cycle", "embedding", "modulated")
    return DiffWave(12, 8, **{k: PUBLISHED[k] for k in keys})


def test_published_geometry():
    """30 blocks of 64 channels, dilations 1 to 512, one sample a position; 2.3 million weights."""
    network = published_network()
    assert [b.convolve.convolution.dilation[-1] for b in network.blocks] == [
        2 ** (i % 10) for i in range(30)
    ]
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(2.3e6, rel=0.1)
    x = torch.randn(1, 1000, 12)
    y = network(x, torch.zeros(1), torch.tensor([7]))
    assert y.shape == x.shape
    assert torch.count_nonzero(y) == 0  # the last layer starts at zero


@pytest.mark.parametrize("modulated", [True, False])
def test_outputs_and_gradients_equal_those_of_the_plain_network(modulated):
    """Also where the dilation reaches beyond the record."""
    network = DiffWave(5, 3, channels=8, blocks=6, cycle=5, embedding=16, modulated=modulated)
    assert_equal_to_plain(network, positions=13)


def test_block_is_a_dilated_convolution_with_a_gate():
    """Against torch's own conv1d, with the same weights."""
    block = GatedBlock(6, 4, Modulate(6, 5))
    torch.nn.init.normal_(block.entry.project.weight)
    h, condition = torch.randn(3, 20, 6), torch.randn(3, 5)
    found, skip = block(h, condition)
    scale, shift = block.entry.project(condition)[:, :, None].chunk(2, dim=1)
    y = torch.nn.functional.layer_norm(h, (6,)).transpose(1, 2) * (1 + scale) + shift
    dilated = block.convolve.convolution
    y = torch.conv1d(y, dilated.weight.squeeze(2), dilated.bias, padding=4, dilation=4)
    gated = y[:, :6].sigmoid() * y[:, 6:].tanh()
    out = torch.conv1d(gated, block.split.weight[..., None], block.split.bias).transpose(1, 2)
    assert torch.allclose(found, (h + out[..., :6]) / 2**0.5, atol=1e-5)
    assert torch.allclose(skip, out[..., 6:], atol=1e-5)


def test_receptive_field_covers_a_record_with_the_default_settings():
    torch.manual_seed(0)
    network = DiffWave(4, 2, channels=32, blocks=10, cycle=5, embedding=8, modulated=True)
    torch.nn.init.normal_(network.out.weight)
    x = torch.randn(1, 100, 4, requires_grad=True)
    network(x, torch.zeros(1), torch.zeros(1, dtype=torch.int64))[0, 50].sum().backward()
    assert (x.grad[0].abs().sum(1) > 0).all()


def test_as_published_it_trains_and_samples():
    """All of `PUBLISHED` but for the number of blocks and of sampling steps."""
    settings = PUBLISHED | {"blocks": 3, "steps": 4, "batch_size": 4, "sampling_steps": 6}
    generator = make_generator("diffwave", settings, device="cpu").fit(cohort(6, samples=100))
    assert isinstance(generator.denoiser, DiscreteDenoiser)
    assert generator.facts["evaluations"] == 6
    assert generator.history[0]["loss"] == pytest.approx(1, abs=0.3)  # of the noise's variance
    pool = generator.sample({"SR": 2, "AFIB": 1}, seed=0)
    assert pool.signals.shape == (3, 12, 100)
    np.testing.assert_allclose(pool.signals.std(-1), 1, atol=0.05)
