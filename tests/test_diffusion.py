"""The diffusion process against distributions whose optimal denoiser is known in closed form."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ecgrepro.generators.diffusion import (
    SAMPLERS,
    Denoiser,
    DenoisingLoss,
    PatchDenoiser,
    fold_patches,
    guided,
    karras_sigmas,
    principal_components,
    unfold_patches,
)

SHAPE = (1, 2)  # leads, samples: the plane
WEIGHTS = torch.tensor([0.3, 0.7], dtype=torch.float64)
MEANS = torch.tensor([[-2.0, 1.0], [1.5, 0.5]], dtype=torch.float64)
SPREADS = torch.tensor([0.4, 0.7], dtype=torch.float64)


def mixture(x, sigma):
    """E[clean | x] for a mixture of two isotropic Gaussians in the plane."""
    y = x.flatten(1)[:, None]  # (B, 1, 2)
    variance = SPREADS**2 + sigma**2
    distance = ((y - MEANS) ** 2).sum(-1)
    logits = WEIGHTS.log() - variance.log() - distance / (2 * variance)
    shrunk = MEANS + (SPREADS**2 / variance)[:, None] * (y - MEANS)  # (B, 2, 2)
    return (logits.softmax(1)[..., None] * shrunk).sum(1).reshape(x.shape)


def gaussian(x, sigma):
    """E[clean | x] for a normal distribution with standard deviation 0.5."""
    return x * 0.25 / (0.25 + sigma**2)


def plane(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, *SHAPE, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_samplers_converge_at_their_order(name, order):
    """On a Gaussian the flow has the closed form x * sqrt((s1^2 + sd^2) / (s0^2 + sd^2))."""
    noise = plane(50)
    first, last = 10.0, 0.1
    exact = noise * first * math.sqrt((last**2 + 0.25) / (first**2 + 0.25))
    errors = []
    for steps in (64, 128, 256):
        sigmas = karras_sigmas(steps + 1, last, first)[:-1]
        errors.append((SAMPLERS[name](gaussian, noise, sigmas) - exact).abs().max().item())
    orders = [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert all(abs(found - order) < 0.25 for found in orders), orders


@pytest.mark.parametrize(
    ("name", "steps", "bias"), [("euler", 150, 0.06), ("heun", 40, 0.02), ("dpmpp_2m", 40, 0.02)]
)
def test_samplers_reproduce_a_mixture(name, steps, bias):
    """Weights, means and covariances of both components, to sampling error and ``bias``."""
    n = 8_000
    x = SAMPLERS[name](mixture, plane(n), karras_sigmas(steps, 0.002, 80.0)).flatten(1)
    which = ((x[:, None] - MEANS) ** 2).sum(-1).argmin(1)
    for k in range(2):
        part = x[which == k]
        assert len(part) / n == pytest.approx(WEIGHTS[k].item(), abs=bias)
        assert torch.allclose(part.mean(0), MEANS[k], atol=bias + 0.03)
        wanted = torch.eye(2, dtype=torch.float64) * SPREADS[k] ** 2
        assert torch.allclose(part.T.cov(), wanted, atol=bias + 0.03)


@settings(deadline=None)
@given(
    steps=st.integers(2, 60),
    low=st.floats(1e-3, 0.5),
    factor=st.floats(2, 1e4),
    rho=st.floats(1, 10),
)
def test_karras_sigmas_fall_from_max_to_min_to_zero(steps, low, factor, rho):
    sigmas = karras_sigmas(steps, low, low * factor, rho)
    assert sigmas.shape == (steps + 1,)
    assert sigmas[0].item() == pytest.approx(low * factor)
    assert sigmas[-2].item() == pytest.approx(low)
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()


@given(leads=st.integers(1, 12), samples=st.integers(1, 50), fold=st.integers(1, 12))
def test_folding_is_inverted(leads, samples, fold):
    x = torch.randn(2, leads, samples)
    y = fold_patches(x, fold)
    assert y.shape == (2, math.ceil(samples / fold), leads * fold)
    assert torch.equal(unfold_patches(y, leads, samples), x)


def test_principal_components_whiten_the_patches():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    signals = torch.tensor(np.einsum("ij,njt->nit", mixing, rng.normal(size=(300, 3, 40))))
    components, variances = principal_components(signals.float(), fold=4)
    assert torch.allclose(components.T @ components, torch.eye(12), atol=1e-5)
    assert (variances.diff() <= 0).all()
    y = fold_patches(signals.float(), 4).flatten(0, 1) @ components
    assert torch.allclose(y.T @ y / len(y), variances.diag(), atol=1e-3 * variances[0].item())


class Zero(nn.Module):
    def forward(self, x, noise_level, labels):
        return torch.zeros_like(x)


def test_untrained_patch_denoiser_is_the_wiener_filter():
    generator = torch.Generator().manual_seed(0)
    shape = torch.randn(6, 6, generator=generator)
    clean = (torch.randn(500, 10, 6, generator=generator) @ shape).flatten(1)
    clean = unfold_patches(clean.unflatten(1, (10, 6)), leads=2, samples=30)
    components, variances = principal_components(clean, fold=3)
    denoiser = PatchDenoiser(Zero(), components, variances, fold=3, kept=4)
    sigma, labels = torch.full((500,), 0.8), torch.zeros(500, dtype=torch.int64)
    noisy = clean + 0.8 * torch.randn(clean.shape, generator=generator)
    covariance = components * variances @ components.T
    wiener = torch.linalg.solve(covariance + 0.64 * torch.eye(6), covariance)
    expected = unfold_patches(fold_patches(noisy, 3) @ wiener, 2, 30)
    found = denoiser(noisy, sigma, labels)
    assert torch.allclose(found, expected, atol=1e-4)
    error = (found - clean).square().mean((1, 2))
    assert (denoiser.weight(sigma) * error).mean().item() == pytest.approx(1, abs=0.03)


def test_patch_denoiser_with_one_variance_is_edm():
    network = nn.Identity()
    network.forward = lambda x, level, labels: torch.tanh(x + level[:, None, None])
    plain = Denoiser(network, sigma_data=0.7)
    patches = PatchDenoiser(network, torch.eye(1), torch.tensor([0.49]), fold=1, kept=1)
    x, sigma = torch.randn(5, 1, 30), torch.rand(5) * 3 + 0.1
    labels = torch.zeros(5, dtype=torch.int64)
    flipped = patches(x, sigma, labels)
    assert torch.allclose(plain(x, sigma, labels), flipped, atol=1e-5)
    assert torch.allclose(plain.weight(sigma), patches.weight(sigma))


def test_loss_of_an_untrained_network_is_one_and_depends_on_the_generator_only():
    signals = torch.randn(4000, 2, 10, generator=torch.Generator().manual_seed(1))
    loss = DenoisingLoss(Denoiser(Zero(), 1.0), null_label=3)
    labels = torch.zeros(4000, dtype=torch.int64)
    values = [loss(signals, labels, torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert values[0].item() == pytest.approx(1, abs=0.05)
    assert values[0] == values[1] != values[2]


class ByLabel(nn.Module):
    """Denoises to a value of the label's own: 1 for the class, 0 for null (label 9)."""

    def forward(self, x, sigma, labels):
        scale = torch.where(labels == 9, 0.0, 1.0)[:, None, None]
        return scale * torch.linspace(-1, 1, x[0].numel()).reshape(x.shape[1:])


def test_guidance_extrapolates_and_rescale_keeps_the_spread():
    labels, x = torch.zeros(3, dtype=torch.int64), torch.zeros(3, 2, 8)
    sigma = torch.tensor(1.0)
    plain = guided(ByLabel(), labels, 9, scale=1)(x, sigma)
    strong = guided(ByLabel(), labels, 9, scale=3, rescale=0)(x, sigma)
    rescaled = guided(ByLabel(), labels, 9, scale=3, rescale=1)(x, sigma)
    assert torch.allclose(strong, 3 * plain)
    assert torch.allclose(rescaled, plain, atol=1e-6)
    assert torch.count_nonzero(guided(ByLabel(), labels, 9, scale=0, rescale=0)(x, sigma)) == 0
