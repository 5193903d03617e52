"""Faults that show only on a GPU, found without one.

torch's meta device stands for any that is not the CPU: it computes no value, but refuses to mix
tensors of two devices, as a GPU does.
"""

import copy

import pytest
import torch
from torch import nn

from ecgrepro.generators.diffusion.denoiser import (
    DenoisingLoss,
    DiscreteDenoiser,
    PatchDenoiser,
    guided,
)
from ecgrepro.generators.diffusion.samplers import SAMPLERS
from ecgrepro.generators.settings import TokenizerSettings
from ecgrepro.generators.timevqvae.tokenizer import Tokenizer, TokenizerLoss


class Network(nn.Module):
    """Stands for any network: it mixes all that it is given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, h, noise_level, labels):
        return h * self.weight * noise_level[:, None, None] * labels[:, None, None]


def denoisers():
    levels = {"p_mean": 1.0, "p_std": 1.0, "sigma_min": 0.1, "sigma_max": 80.0}
    basis = torch.eye(6), torch.ones(6)
    yield PatchDenoiser(Network(), *basis, fold=3, kept=4, **levels)
    yield DiscreteDenoiser(Network(), fold=3)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("denoiser", list(denoisers()), ids=lambda d: type(d).__name__)
def test_sampling_keeps_to_the_device(denoiser, scale, sampler):
    moved = copy.deepcopy(denoiser).to("meta")
    labels, null = torch.ones(5, device="meta"), torch.zeros((), device="meta")
    sigmas = moved.sampling_levels(4) if isinstance(moved, PatchDenoiser) else torch.ones(5)
    noise = torch.randn(5, 2, 30, device="meta")
    chance = {"draw_noise": lambda: torch.randn_like(noise)} if sampler == "ancestral" else {}
    denoise = guided(moved, labels, null, scale=scale)
    drawn = SAMPLERS[sampler](denoise, moved.start(noise, sigmas[0]), sigmas, **chance)
    assert drawn.device.type == "meta" and drawn.shape == noise.shape


def test_what_is_trained_can_be_moved_and_copied():
    """A tensor that asks for a gradient and is moved is the result of a computation: no copy."""
    settings = TokenizerSettings(codes=8, width=8, blocks=1, low_levels=1, high_levels=1)
    tokenizer = Tokenizer(2, 200, settings)
    tokenizer.start(torch.randn(20, 2, 200), 0)
    loss = TokenizerLoss(tokenizer, spectral=0.1).train()
    for _ in range(2):
        assert not [name for name, b in loss.named_buffers() if b.requires_grad]
        copy.deepcopy(loss.to(torch.float64).to(torch.float32))
        loss(torch.randn(20, 2, 200), torch.zeros(20), torch.Generator()).backward()


def test_the_label_of_any_class_is_on_the_device():
    loss = DenoisingLoss(next(denoisers()), null=torch.zeros(2)).to("meta")
    assert loss.null.device.type == "meta"
