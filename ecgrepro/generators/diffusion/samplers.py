"""Samplers of a diffusion process, each a plain function of ``(denoise, x, sigmas)``.

``denoise(x, sigma)`` estimates the clean signal in x = signal + sigma * white noise. ``x`` is the
starting point at ``sigmas[0]``; ``sigmas`` decrease from there to 0. A variance-preserving process
(DDPM) is the same process divided by sqrt(1 + sigma^2), so these samplers serve both.

Sources: Ho et al. 2020 (DDPM, arXiv 2006.11239); Song et al. 2021 (DDIM, arXiv 2010.02502); Karras
et al. 2022 (EDM, arXiv 2206.00364); Lu et al. 2022 (DPM-Solver++, arXiv 2211.01095). The
organization follows the k-diffusion library.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
Sampler = Callable[..., Tensor]


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Noise levels of Karras et al. 2022, equation 5.

    Parameters
    ----------
    steps
        Number of sampler steps.
    sigma_min, sigma_max
        Last and first level.
    rho
        Larger values put more of the levels near ``sigma_min``.

    Returns
    -------
    Tensor
        From ``sigma_max`` down to ``sigma_min`` and a final 0, shape (steps + 1,), float64.

    Examples
    --------
    >>> [round(sigma, 2) for sigma in karras_sigmas(3, 0.1, 10.0, rho=1.0).tolist()]
    [10.0, 5.05, 0.1, 0.0]
    """
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    sigmas = (high + ramp * (low - high)) ** rho
    return torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])


@torch.no_grad()
def sample_euler(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Euler's method on the probability-flow ODE (Karras et al. 2022); the same as DDIM.

    Parameters
    ----------
    denoise
        Estimates the clean signal: ``denoise(x, sigma)``, sigma a scalar tensor.
    x
        The starting point, noise of standard deviation ``sigmas[0]``; any shape.
    sigmas
        Decreasing noise levels, the last one 0, shape (steps + 1,).

    Returns
    -------
    Tensor
        The sample, of the shape of ``x``.
    """
    for now, then in pairwise(sigmas):
        slope = (x - denoise(x, now)) / now
        x = x + slope * (then - now)
    return x


@torch.no_grad()
def sample_heun(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Heun's second-order method (Karras et al. 2022, algorithm 1); parameters as `sample_euler`.

    Two evaluations of the network a step, one in the last.
    """
    for now, then in pairwise(sigmas):
        slope = (x - denoise(x, now)) / now
        ahead = x + slope * (then - now)
        if then > 0:
            slope = (slope + (ahead - denoise(ahead, then)) / then) / 2
            ahead = x + slope * (then - now)
        x = ahead
    return x


@torch.no_grad()
def sample_dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2); parameters as `sample_euler`.

    Second order with one evaluation of the network a step: it reuses the previous estimate.
    """
    before, h_before = None, torch.zeros(())
    for now, then in pairwise(sigmas):
        denoised = denoise(x, now)
        if then == 0:
            return denoised
        h = (now / then).log()
        estimate = denoised
        if before is not None:
            estimate = denoised + (denoised - before) * h / (2 * h_before)
        x = x * (then / now) - estimate * torch.expm1(-h)
        before, h_before = denoised, h
    return x


@torch.no_grad()
def sample_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, draw_noise: Callable[[], Tensor]
) -> Tensor:
    """Ancestral sampling of DDPM (Ho et al. 2020, algorithm 2).

    Each step draws from the Gaussian distribution of x at the next level, given x at this one and
    the estimate (their equations 6 and 7, in terms of sigma).

    Parameters
    ----------
    denoise, x, sigmas
        As for `sample_euler`.
    draw_noise
        Returns new standard normal noise of the shape of ``x``.
    """
    for now, then in pairwise(sigmas):
        denoised = denoise(x, now)
        kept = (then / now) ** 2
        x = denoised + kept * (x - denoised)
        if then > 0:
            x = x + then * (1 - kept).sqrt() * draw_noise()
    return x


SAMPLERS: dict[str, Sampler] = {
    "ancestral": sample_ancestral,
    "ddim": sample_euler,
    "euler": sample_euler,
    "heun": sample_heun,
    "dpmpp_2m": sample_dpmpp_2m,
}
