"""The samplers: against distributions known in closed form, and against the library diffusers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgrepro.generators.diffusion.denoiser import guided
from ecgrepro.generators.diffusion.samplers import SAMPLERS, karras_sigmas

WEIGHTS = torch.tensor([0.3, 0.7], dtype=torch.float64)
MEANS = torch.tensor([[-2.0, 1.0], [1.5, 0.5]], dtype=torch.float64)
SPREADS = torch.tensor([0.4, 0.7], dtype=torch.float64)
NULL = torch.tensor(2)  # label of "any component"


def mixture(x, sigma):
    """E[clean | x] for a mixture of two isotropic Gaussians in the plane; x is (B, 1, 2)."""
    return by_component(x, sigma, NULL.expand(len(x)))


def by_component(x, sigma, labels):
    """E[clean | x, component]; the label `NULL` is the whole mixture."""
    y = x.flatten(1)[:, None]  # (B, 1, 2)
    variance = SPREADS**2 + sigma.reshape(-1, 1) ** 2  # (1 or B, 2)
    distance = ((y - MEANS) ** 2).sum(-1)
    logits = WEIGHTS.log() - variance.log() - distance / (2 * variance)
    other = torch.arange(2) != labels[:, None]
    logits = logits.masked_fill(other & (labels != NULL)[:, None], -torch.inf)
    shrunk = MEANS + (SPREADS**2 / variance)[..., None] * (y - MEANS)  # (B, 2, 2)
    return (logits.softmax(1)[..., None] * shrunk).sum(1).reshape(x.shape)


def gaussian(x, sigma):
    """E[clean | x] for a normal distribution with standard deviation 0.5."""
    return x * 0.25 / (0.25 + sigma**2)


def plane(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 2, dtype=torch.float64, generator=generator)


def fresh_noise(like, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(like.shape, dtype=like.dtype, generator=generator)


def sample(name, denoise, x, sigmas):
    chance = {"draw_noise": fresh_noise(x)} if name == "ancestral" else {}
    return SAMPLERS[name](denoise, x, sigmas, **chance)


def relative(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_samplers_converge_at_their_order(name, order):
    """On a Gaussian the flow has the closed form x * sqrt((s1^2 + sd^2) / (s0^2 + sd^2))."""
    first, last = 10.0, 0.1
    x = plane(50) * first
    exact = x * math.sqrt((last**2 + 0.25) / (first**2 + 0.25))
    errors = []
    for steps in (64, 128, 256):
        sigmas = karras_sigmas(steps + 1, last, first)[:-1]
        errors.append((SAMPLERS[name](gaussian, x, sigmas) - exact).abs().max().item())
    orders = [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert all(abs(found - order) < 0.25 for found in orders), orders


def test_variance_of_ancestral_sampling_converges_at_first_order():
    """On a Gaussian each step is linear, so the variance of the result is a recursion."""
    first, last = 10.0, 0.1
    errors = []
    for steps in (64, 128, 256):
        sigmas = karras_sigmas(steps + 1, last, first)[:-1]
        x = torch.tensor([[[1.0]]], dtype=torch.float64)
        variance = torch.tensor(first**2 + 0.25, dtype=torch.float64)
        for pair in zip(sigmas[:-1], sigmas[1:], strict=True):
            levels = torch.stack(pair)
            mean = SAMPLERS["ancestral"](gaussian, x, levels, draw_noise=lambda: torch.zeros(1))
            noisy = SAMPLERS["ancestral"](gaussian, x, levels, draw_noise=lambda: torch.ones(1))
            variance = mean.square() * variance + (noisy - mean).square()
        errors.append((variance.item() - (last**2 + 0.25)) / (last**2 + 0.25))
    orders = [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert all(abs(found - 1) < 0.25 for found in orders), orders


@pytest.mark.parametrize(
    ("name", "steps", "bias"),
    [
        ("ancestral", 200, 0.03),
        ("euler", 200, 0.03),
        ("ddim", 200, 0.03),
        ("heun", 40, 0.01),
        ("dpmpp_2m", 40, 0.01),
    ],
)
def test_samplers_reproduce_a_mixture(name, steps, bias):
    """Class weights, means and covariances of both components, to sampling error and ``bias``."""
    n = 5_000
    x = sample(name, mixture, 80 * plane(n), karras_sigmas(steps, 0.002, 80.0)).flatten(1)
    which = ((x[:, None] - MEANS) ** 2 / SPREADS[:, None] ** 2).sum(-1) + 4 * SPREADS.log()
    which = which.argmin(1)  # the likelier component
    for k in range(2):
        part = x[which == k]
        assert len(part) / n == pytest.approx(WEIGHTS[k].item(), abs=0.02 + bias)
        assert torch.allclose(part.mean(0), MEANS[k], atol=0.03 + bias)
        wanted = torch.eye(2, dtype=torch.float64) * SPREADS[k] ** 2
        assert torch.allclose(part.T.cov(), wanted, atol=0.03 + bias)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_conditional_samples_are_of_their_component_and_unguided_ones_of_the_mixture(name):
    labels = torch.arange(2).repeat(1000)
    steps = 40 if name in ("heun", "dpmpp_2m") else 150  # of second order, of first
    start, sigmas = 80 * plane(len(labels)), karras_sigmas(steps, 0.002, 80.0)
    denoise = guided(by_component, labels, NULL, scale=1)
    x = sample(name, denoise, start, sigmas).flatten(1)
    for k in range(2):
        part = x[labels == k]
        assert torch.allclose(part.mean(0), MEANS[k], atol=0.08)
        assert torch.allclose(part.std(0), SPREADS[k].expand(2), rtol=0.1)
    denoise = guided(by_component, labels, NULL, scale=0, rescale=0)
    x = sample(name, denoise, start, sigmas)
    assert torch.equal(x, sample(name, mixture, start, sigmas))


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_guidance_between_gaussians_has_a_closed_form(scale):
    """Two coordinates, each a Gaussian of the class and one of no class.

    In the first the means differ: the guided mean is null + scale * (class - null). In the second
    the spreads differ: the guided one is null ** (1 - scale) * class ** scale.
    """
    means = torch.tensor([[[3.0, 0.0]], [[1.0, 0.0]]], dtype=torch.float64)  # class, null
    spreads = torch.tensor([[[0.5, 0.4]], [[0.5, 0.8]]], dtype=torch.float64)

    def denoise(x, sigma, labels):
        m, variance = means[labels], spreads[labels] ** 2
        return m + variance / (variance + sigma[:, None, None] ** 2) * (x - m)

    labels = torch.zeros(100, dtype=torch.int64)
    pulled = guided(denoise, labels, torch.tensor(1), scale=scale, rescale=0)
    start = plane(100)
    start = (start - start.mean(0)) / start.std(0) * 1000
    x = SAMPLERS["heun"](pulled, start, karras_sigmas(150, 1e-3, 1000.0))[:, 0]
    wanted = [1 + scale * 2, 0.0]
    assert torch.allclose(x.mean(0), torch.tensor(wanted, dtype=torch.float64), atol=0.01)
    wanted = [0.5, 0.8 ** (1 - scale) * 0.4**scale]
    assert torch.allclose(x.std(0), torch.tensor(wanted, dtype=torch.float64), rtol=0.01)


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


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_one_step_is_one_estimate_and_types_stay(name):
    x = plane(3).float()
    found = sample(name, gaussian, x, karras_sigmas(1, 0.1, 5.0))
    assert torch.allclose(found, gaussian(x, 5.0))
    assert sample(name, gaussian, x, karras_sigmas(7, 0.1, 5.0)).dtype == torch.float32


# Against diffusers: the same noise levels (its own), the same starting point, the same estimates of
# the mixture, and, after every step, the same x.


def trajectory(name, x, sigmas, **chance):
    """Every x at which our sampler evaluates, and its result."""
    seen = []

    def watched(x, sigma):
        seen.append(x)
        return mixture(x, sigma)

    seen.append(SAMPLERS[name](watched, x, sigmas, **chance))
    return seen


def library_trajectory(scheduler, x, output):
    """The same of a scheduler of diffusers; ``output(x, sigma)`` is what its network would say."""
    seen = [x]
    for i, t in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[i].double()
        x = scheduler.step(output(x, sigma), t, x).prev_sample
        seen.append(x)
    return seen


def predicted_noise(x, sigma):
    return (x - mixture(x, sigma)) / sigma


def library(name, **facts):
    return getattr(pytest.importorskip("diffusers"), name)(**facts)


@pytest.mark.parametrize(
    ("name", "scheduler", "facts"),
    [
        ("euler", "EulerDiscreteScheduler", {"timestep_spacing": "linspace"}),
        ("euler", "EulerDiscreteScheduler", {"use_karras_sigmas": True}),
        ("heun", "HeunDiscreteScheduler", {}),
        ("heun", "HeunDiscreteScheduler", {"use_karras_sigmas": True}),
    ],
)
def test_steps_equal_those_of_the_library(name, scheduler, facts):
    theirs = library(scheduler, beta_start=1e-4, beta_end=0.02, **facts)
    theirs.set_timesteps(25)
    x = plane(200) * theirs.sigmas[0].double()
    expected = library_trajectory(theirs, x, predicted_noise)
    sigmas = theirs.sigmas.double()
    sigmas = sigmas if name == "euler" else torch.cat([sigmas[:1], sigmas[1::2]])
    found = trajectory(name, x, sigmas)
    assert len(found) == len(expected) == (26 if name == "euler" else 50)
    for ours, other in zip(found, expected, strict=True):
        assert relative(ours, other) < 1e-5


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [("euler", "EDMEulerScheduler"), ("dpmpp_2m", "EDMDPMSolverMultistepScheduler")],
)
def test_steps_and_levels_equal_those_of_the_library_under_edm(name, scheduler):
    theirs = library(scheduler, sigma_min=0.01, sigma_max=80.0, sigma_data=0.5)
    theirs.set_timesteps(25)
    sigmas = karras_sigmas(25, 0.01, 80.0)
    assert torch.allclose(sigmas.float(), theirs.sigmas, rtol=1e-5)

    def output(x, sigma):  # what its preconditioning makes the mixture's estimate of
        kept = 0.25 / (sigma**2 + 0.25)
        return (mixture(x, sigma) - kept * x) / (sigma * 0.5 / (sigma**2 + 0.25).sqrt())

    theirs.sigmas = sigmas  # in double precision
    x = plane(200) * 80
    expected = library_trajectory(theirs, x, output)
    found = trajectory(name, x, sigmas)
    for ours, other in zip(found, expected, strict=True):
        assert relative(ours, other) < 1e-5


def test_dpmpp_2m_equals_the_library_on_discrete_levels():
    theirs = library(
        "DPMSolverMultistepScheduler", beta_start=1e-4, beta_end=0.02, final_sigmas_type="zero"
    )
    theirs.set_timesteps(20)
    sigmas = theirs.sigmas.double()
    scale = (1 + sigmas**2).sqrt()  # its x keeps the variance
    x = plane(200) * scale[0]
    seen = [x / scale[0]]
    for i, t in enumerate(theirs.timesteps):
        noise = predicted_noise(seen[-1].double() * scale[i], sigmas[i])
        seen.append(theirs.step(noise, t, seen[-1]).prev_sample)
    for i, ours in enumerate(trajectory("dpmpp_2m", x, sigmas)):
        assert relative(ours / scale[i], seen[i]) < 1e-5


def discrete(scheduler):
    """A scheduler of the published process, its constants in double precision, and the levels."""
    facts = {"variance_type": "fixed_small"} if "DDPM" in scheduler else {}
    theirs = library(
        scheduler, num_train_timesteps=200, beta_start=1e-4, beta_end=0.02, clip_sample=False,
        timestep_spacing="trailing", **facts,
    )  # fmt: skip
    theirs.betas = torch.from_numpy(np.linspace(1e-4, 0.02, 200))
    theirs.alphas = 1 - theirs.betas
    theirs.alphas_cumprod = theirs.alphas.cumprod(0)
    return theirs, (1 / theirs.alphas_cumprod - 1).sqrt()


@pytest.mark.parametrize(
    ("name", "scheduler", "steps"),
    [("ancestral", "DDPMScheduler", 200), ("ancestral", "DDPMScheduler", 50)]
    + [("ddim", "DDIMScheduler", 200), ("ddim", "DDIMScheduler", 20)],
)
def test_steps_of_the_published_process_equal_those_of_the_library(name, scheduler, steps):
    """In its x, which keeps the variance, and with the same noise at every step."""
    theirs, sigmas = discrete(scheduler)
    theirs.set_timesteps(steps)
    sigmas = torch.cat([sigmas[theirs.timesteps], torch.zeros(1).double()])
    scale = (1 + sigmas**2).sqrt()
    z = plane(200)
    chance = {"generator": torch.Generator().manual_seed(1)} if name == "ancestral" else {}
    expected = [z]
    for i, t in enumerate(theirs.timesteps):
        noise = predicted_noise(expected[-1] * scale[i], sigmas[i])
        expected.append(theirs.step(noise, t, expected[-1], **chance).prev_sample)
    chance = {"draw_noise": fresh_noise(z)} if name == "ancestral" else {}
    found = trajectory(name, z * scale[0], sigmas, **chance)
    assert len(found) == steps + 1
    for i, ours in enumerate(found):
        assert relative(ours / scale[i], expected[i]) < 1e-5
