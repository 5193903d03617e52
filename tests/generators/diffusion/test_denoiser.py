"""The diffusion process: levels, preconditioning, loss and guidance, against literal forms."""

import math

import numpy as np
import pytest
import torch
from helpers.oracles import EDM
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ecgrepro.generators.diffusion.denoiser import (
    DenoisingLoss,
    DiscreteDenoiser,
    PatchDenoiser,
    fold_patches,
    guided,
    principal_components,
    unfold_patches,
)
from ecgrepro.generators.diffusion.samplers import SAMPLERS

LEVELS = {"p_mean": -0.4, "p_std": 1.2, "sigma_min": 0.02, "sigma_max": 40.0}


class Zero(nn.Module):
    def forward(self, x, noise_level, labels):
        return torch.zeros_like(x)


class Wavy(nn.Module):
    """Any function of all three arguments."""

    def forward(self, x, noise_level, labels):
        return torch.tanh(x + noise_level[:, None, None] + labels[:, None, None])


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


def test_untrained_patch_denoiser_is_the_wiener_filter():
    generator = torch.Generator().manual_seed(0)
    shape = torch.randn(6, 6, generator=generator)
    clean = (torch.randn(500, 10, 6, generator=generator) @ shape).flatten(1)
    clean = unfold_patches(clean.unflatten(1, (10, 6)), leads=2, samples=30)
    components, variances = principal_components(clean, fold=3)
    denoiser = PatchDenoiser(Zero(), components, variances, fold=3, kept=4, **LEVELS)
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
    plain = EDM(Wavy(), sigma_data=0.7)
    one = {"components": torch.eye(1), "variances": torch.tensor([0.49])}
    patches = PatchDenoiser(Wavy(), **one, fold=1, kept=1, **LEVELS)
    x, sigma = torch.randn(5, 1, 30), torch.rand(5) * 3 + 0.1
    labels = torch.arange(5)
    assert torch.allclose(plain(x, sigma, labels), patches(x, sigma, labels), atol=1e-5)
    assert torch.allclose(plain.weight(sigma), patches.weight(sigma))


def edm(network=None, variance=1.0):
    return PatchDenoiser(
        network or Zero(), torch.eye(2), torch.full((2,), variance), fold=1, kept=2, **LEVELS
    )


def test_levels_of_edm():
    """log(sigma) is normal in training, and sampling goes from sigma_max to sigma_min."""
    quantile = (torch.arange(10_000) + 0.5) / 10_000
    logs = edm().training_levels(quantile).log()
    assert logs.mean().item() == pytest.approx(-0.4, abs=1e-3)
    assert logs.std().item() == pytest.approx(1.2, rel=5e-3)
    sigmas = edm().sampling_levels(9)
    assert sigmas[[0, -2, -1]].tolist() == pytest.approx([40.0, 0.02, 0.0])
    assert edm().start(torch.ones(3), sigmas[0]).tolist() == pytest.approx([40.0] * 3)


# The published process.


@pytest.mark.parametrize(("levels", "last", "signal"), [(200, 0.02, 0.364), (50, 0.05, 0.529)])
def test_constants_of_the_published_process(levels, last, signal):
    """The last level of training still holds this share of the signal; see shared notes."""
    denoiser = DiscreteDenoiser(Zero(), fold=1, levels=levels, last=last)
    kept = 1 / (1 + denoiser.sigmas**2)  # the running products
    beta = 1 - kept[1:] / kept[:-1]
    assert kept[0].item() == pytest.approx(1 - 1e-4)
    assert torch.allclose(beta, torch.linspace(1e-4, last, levels).double()[1:], atol=1e-9)
    assert kept[-1].sqrt().item() == pytest.approx(signal, abs=5e-4)


def test_levels_of_the_published_process():
    denoiser = DiscreteDenoiser(Zero(), fold=1)
    quantile = (torch.arange(2000) + 0.5) / 2000
    found, counts = denoiser.training_levels(quantile).unique(return_counts=True)
    assert torch.allclose(found, denoiser.sigmas.float())
    assert set(counts.tolist()) == {10}
    assert denoiser.training_levels(torch.tensor([0.0, 1.0])).tolist() == pytest.approx(
        denoiser.sigmas[[0, -1]].tolist()
    )
    whole = denoiser.sampling_levels(200)
    assert torch.equal(whole[:-1], denoiser.sigmas.flip(0))
    assert whole[-1] == 0
    for steps, length in [(1, 2), (2, 3), (50, 51), (200, 201), (500, 201)]:
        sigmas = denoiser.sampling_levels(steps)
        assert len(sigmas) == length
        assert (sigmas.diff() < 0).all()
        assert sigmas[0] == denoiser.sigmas[-1]
        assert torch.isin(sigmas[:-1], denoiser.sigmas).all()


def test_published_loss_is_the_squared_error_of_the_predicted_noise():
    """Against Ho et al. 2020, algorithm 1, written out: x keeps the variance, t is uniform."""
    network = Wavy()
    loss = DenoisingLoss(DiscreteDenoiser(network, fold=3), null=torch.tensor(3), label_dropout=0.3)
    signals = torch.randn(40, 2, 30, generator=torch.Generator().manual_seed(5))
    labels = torch.arange(40) % 3
    found = loss(signals, labels, torch.Generator().manual_seed(0))

    chance = torch.Generator().manual_seed(0)  # in the order of `DenoisingLoss`
    offset = torch.rand((), generator=chance)
    t = ((torch.arange(40) + offset) / 40 * 200).long()
    dropped = torch.rand(40, generator=chance) < 0.3
    noise = torch.randn(signals.shape, generator=chance)
    alpha = (1 - torch.linspace(1e-4, 0.02, 200)).cumprod(0)[t]
    noisy = alpha.sqrt()[:, None, None] * signals + (1 - alpha).sqrt()[:, None, None] * noise
    level = (1 / alpha - 1).sqrt().log() / 4
    patches = fold_patches(noisy, 3)
    predicted = network(patches, level, torch.where(dropped, 3, labels))
    expected = (unfold_patches(predicted, 2, 30) - noise).square().mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


class NormalNoise(nn.Module):
    """Predicts the noise of a normal distribution of the given mean and SD, at level log(s) / 4."""

    def __init__(self, mean, spread):
        super().__init__()
        self.mean, self.spread = mean, spread

    def forward(self, scaled, noise_level, labels):
        s = (4 * noise_level).exp()[:, None, None]
        x = scaled * (1 + s**2).sqrt()
        return s * (x - self.mean) / (self.spread**2 + s**2)


@pytest.mark.parametrize(("name", "steps"), [("ancestral", 200), ("ddim", 200), ("dpmpp_2m", 30)])
def test_published_process_samples_a_standard_normal(name, steps):
    """For which its start from pure noise is right, at any step."""
    denoiser = DiscreteDenoiser(NormalNoise(0.0, 1.0), fold=2)
    chance = torch.Generator().manual_seed(0)
    noise = torch.randn(500, 1, 20, generator=chance)
    sigmas = denoiser.sampling_levels(steps)
    fresh = {"draw_noise": lambda: torch.randn(noise.shape, generator=chance)}
    denoise = guided(denoiser, torch.zeros(500, dtype=torch.int64), torch.tensor(1), scale=1)
    start = denoiser.start(noise, sigmas[0])
    x = SAMPLERS[name](denoise, start, sigmas, **(fresh if name == "ancestral" else {}))
    assert x.mean().item() == pytest.approx(0, abs=0.03)
    assert x.std().item() == pytest.approx(1, abs=0.03)


def test_published_start_misses_a_part_of_the_mean():
    """The known flaw, in closed form: 1 - s / sqrt(sigma_T^2 + s^2) of the mean is reached."""
    denoiser = DiscreteDenoiser(NormalNoise(2.0, 0.5), fold=1)
    noise = torch.randn(200, 1, 50, generator=torch.Generator().manual_seed(0))
    sigmas = denoiser.sampling_levels(200)
    denoise = guided(denoiser, torch.zeros(200, dtype=torch.int64), torch.tensor(1), scale=1)
    x = SAMPLERS["heun"](denoise, denoiser.start(noise, sigmas[0]), sigmas)
    reached = 1 - 0.5 / math.sqrt(sigmas[0].item() ** 2 + 0.25)
    assert reached == pytest.approx(0.81, abs=0.01)
    assert x.mean().item() == pytest.approx(2 * reached, abs=0.02)


# Loss and guidance.


@pytest.mark.parametrize("process", ["edm", "ddpm"])
def test_loss_of_an_untrained_network_is_one_and_depends_on_the_generator_only(process):
    signals = torch.randn(4000, 2, 10, generator=torch.Generator().manual_seed(1))
    denoiser = edm() if process == "edm" else DiscreteDenoiser(Zero(), fold=1)
    loss = DenoisingLoss(denoiser, null=torch.tensor(3))
    labels = torch.zeros(4000, dtype=torch.int64)
    values = [loss(signals, labels, torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert values[0].item() == pytest.approx(1, abs=0.05)
    assert values[0] == values[1] != values[2]


def test_labels_are_dropped_at_the_stated_rate():
    seen = []

    class Note(Zero):
        def forward(self, x, noise_level, labels):
            seen.append(labels)
            return torch.zeros_like(x)

    loss = DenoisingLoss(edm(Note()), null=torch.tensor(3), label_dropout=0.2)
    labels = torch.arange(9000) % 3
    loss(torch.randn(9000, 2, 4), labels, torch.Generator().manual_seed(0))
    dropped = seen[0] == 3
    assert dropped.float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(seen[0][~dropped], labels[~dropped])


class ByLabel(nn.Module):
    """Denoises to a value of the label's own: 1 for the class, 0 for null (label 9)."""

    def forward(self, x, sigma, labels):
        scale = torch.where(labels == 9, 0.0, 1.0)[:, None, None]
        return scale * torch.linspace(-1, 1, x[0].numel()).reshape(x.shape[1:])


def test_guidance_extrapolates_and_rescale_keeps_the_spread():
    labels, x = torch.zeros(3, dtype=torch.int64), torch.zeros(3, 2, 8)
    sigma = torch.tensor(1.0)
    plain = guided(ByLabel(), labels, torch.tensor(9), scale=1)(x, sigma)
    strong = guided(ByLabel(), labels, torch.tensor(9), scale=3, rescale=0)(x, sigma)
    rescaled = guided(ByLabel(), labels, torch.tensor(9), scale=3, rescale=1)(x, sigma)
    assert torch.allclose(strong, 3 * plain)
    assert torch.allclose(rescaled, plain, atol=1e-6)
    assert (
        torch.count_nonzero(
            guided(ByLabel(), labels, torch.tensor(9), scale=0, rescale=0)(x, sigma)
        )
        == 0
    )


def test_guidance_of_one_costs_one_evaluation_of_the_batch():
    sizes = []

    class Count(ByLabel):
        def forward(self, x, sigma, labels):
            sizes.append(len(x))
            return super().forward(x, sigma, labels)

    labels, x = torch.zeros(3, dtype=torch.int64), torch.zeros(3, 2, 8)
    for scale in (1, 2):
        guided(Count(), labels, torch.tensor(9), scale=scale)(x, torch.tensor(1.0))
    assert sizes == [3, 6]


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.5, 7.0])
@pytest.mark.parametrize("rescale", [0.0, 0.7, 1.0])
def test_guidance_equals_that_of_the_library(scale, rescale):
    """Of diffusers, applied to the same quantity: estimates of the clean signal."""
    guiders = pytest.importorskip("diffusers.guiders")
    denoiser = EDM(Wavy(), sigma_data=1.0)
    labels, x = torch.tensor([0, 1, 2]), torch.randn(3, 2, 50)
    sigma = torch.tensor(0.8)
    found = guided(denoiser, labels, torch.tensor(5), scale=scale, rescale=rescale)(x, sigma)
    theirs = guiders.ClassifierFreeGuidance(guidance_scale=scale, guidance_rescale=rescale)
    wanted = denoiser(x, sigma.expand(3), labels)
    null = denoiser(x, sigma.expand(3), torch.full((3,), 5))
    assert torch.allclose(found, theirs.forward(wanted, null).pred, atol=1e-5)
