"""The diffusion process: a preconditioned denoiser, noise schedules, samplers and guidance.

A network is wrapped once in a `Denoiser`; every sampler is then a plain function of
``(denoise, noise, sigmas)``, where ``denoise(x, sigma)`` estimates the clean signal in
x = signal + sigma * white noise. Another parameterization is another wrapper with the same call;
another sampler is another function.

Sources: Karras et al. 2022 (EDM, arXiv 2206.00364); Lu et al. 2022 (DPM-Solver++, arXiv
2211.01095); Ho and Salimans 2022 (classifier-free guidance, arXiv 2207.12598); Lin et al. 2023
(rescaled guidance, arXiv 2305.08891). The organization follows the k-diffusion library.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Denoise = Callable[[Tensor, Tensor], Tensor]
Sampler = Callable[[Denoise, Tensor, Tensor], Tensor]


class Denoiser(nn.Module):
    """EDM preconditioning (Karras et al. 2022, table 1) around a network.

    Parameters
    ----------
    network
        Called as ``network(x, noise_level, labels)`` with x of shape (batch, leads, samples) and
        unit variance, noise_level = log(sigma) / 4 of shape (batch,), labels int64 (batch,).
    sigma_data
        Standard deviation of the signals.
    """

    def __init__(self, network: nn.Module, sigma_data: float):
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """The denoised x, (batch, leads, samples), at noise levels ``sigma`` (batch,)."""
        s = sigma[:, None, None]
        total = (s**2 + self.sigma_data**2).sqrt()
        raw = self.network(x / total, sigma.log() / 4, labels)
        return x * (self.sigma_data / total) ** 2 + raw * (s * self.sigma_data / total)

    def weight(self, sigma: Tensor) -> Tensor:
        """Loss weight that makes the expected loss of an untrained network 1, (batch,)."""
        return (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2


class PatchDenoiser(nn.Module):
    """EDM preconditioning per principal component of short patches of all leads.

    A patch is ``fold`` consecutive samples of every lead. In the basis of its principal
    components (an orthogonal change of coordinates, so white noise stays white) each component
    has its own variance in the data, and is preconditioned with it. With the network's output
    at zero this is the best linear denoiser of a patch, so training starts there; and a network
    narrower than a patch is enough, since the components of least variance, beyond ``kept``,
    are left to the linear denoiser.

    Parameters
    ----------
    network
        Called as ``network(h, noise_level, labels)`` with h of shape (batch, patches, kept) and
        unit variance; returns the same shape.
    components
        Orthonormal, shape (leads * fold, leads * fold), a component a column.
    variances
        Of the components in the data, shape (leads * fold,).
    """

    def __init__(
        self, network: nn.Module, components: Tensor, variances: Tensor, *, fold: int, kept: int
    ):
        super().__init__()
        self.network = network
        self.fold, self.kept = fold, kept
        self.register_buffer("components", components.float())
        self.register_buffer("variances", variances.float())

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """The denoised x, (batch, leads, samples), at noise levels ``sigma`` (batch,)."""
        leads, samples = x.shape[1:]
        y = fold_patches(x, self.fold) @ self.components  # (B, T, leads * fold)
        s = sigma[:, None, None]
        total = (s**2 + self.variances).sqrt()
        linear = y * (self.variances / total**2)
        k = self.kept
        raw = self.network(y[..., :k] / total[..., :k], sigma.log() / 4, labels)
        residual = raw * (s * self.variances[:k].sqrt() / total[..., :k])
        y = linear + F.pad(residual, (0, y.shape[-1] - k))
        return unfold_patches(y @ self.components.T, leads, samples)

    def weight(self, sigma: Tensor) -> Tensor:
        """One over the mean squared error of the linear denoiser, (batch,)."""
        s = sigma[:, None]
        return 1 / (self.variances * s**2 / (self.variances + s**2)).mean(1)


def fold_patches(x: Tensor, fold: int) -> Tensor:
    """(B, leads, samples) -> (B, patches, leads * fold), with zeros after the last sample."""
    x = F.pad(x, (0, -x.shape[2] % fold))
    return x.unflatten(2, (-1, fold)).transpose(1, 2).flatten(2)


def unfold_patches(y: Tensor, leads: int, samples: int) -> Tensor:
    """The inverse of `fold_patches`: (B, patches, leads * fold) -> (B, leads, samples)."""
    return y.unflatten(2, (leads, -1)).transpose(1, 2).flatten(2)[:, :, :samples]


def principal_components(signals: Tensor, fold: int) -> tuple[Tensor, Tensor]:
    """Components (P, P) and variances (P,) of the patches of ``signals``, greatest first.

    ``signals`` has shape (records, leads, samples) and P = leads * fold. Variances have a floor
    of 1e-6 of the greatest, since one that is zero would leave nothing to divide by.
    """
    leads = signals.shape[1]
    moment = torch.zeros(leads * fold, leads * fold, dtype=torch.float64)
    patches = 0
    for part in signals.split(256):
        y = fold_patches(part, fold).flatten(0, 1).double().cpu()
        moment += y.T @ y
        patches += len(y)
    variances, components = torch.linalg.eigh(moment / patches)
    variances, components = variances.flip(0), components.flip(1)
    # The sign of an eigenvector is arbitrary: fix it, so that every machine has the same basis.
    largest = components.abs().argmax(0, keepdim=True)
    components = components * components.gather(0, largest).sign()
    return components.float(), variances.clamp_min(1e-6 * variances[0]).float()


class DenoisingLoss(nn.Module):
    """The training loss of a class-conditional `Denoiser`: its forward is one batch's mean loss.

    Noise levels are log-normal; the denoiser's weight makes the expected loss of an untrained
    network 1 at every level (Karras et al. 2022, section 5).

    Parameters
    ----------
    null_label
        The label that stands for "any class"; it replaces a record's own with probability
        ``label_dropout``.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        null_label: int,
        label_dropout: float = 0.1,
        p_mean: float = -0.4,
        p_std: float = 1.4,
    ):
        super().__init__()
        self.denoiser = denoiser
        self.null_label = null_label
        self.label_dropout = label_dropout
        self.p_mean = p_mean
        self.p_std = p_std

    def forward(self, signals: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Mean loss of ``signals`` (batch, leads, samples); all chance is from ``generator``."""
        batch, device = len(signals), signals.device
        # Noise levels are spread evenly over the quantiles of the log-normal: less variance.
        offset = torch.rand((), generator=generator, device=device)
        quantile = (torch.arange(batch, device=device) + offset) / batch
        sigma = (
            torch.special.ndtri(quantile.clamp(1e-4, 1 - 1e-4)) * self.p_std + self.p_mean
        ).exp()
        dropped = torch.rand(batch, generator=generator, device=device) < self.label_dropout
        labels = torch.where(dropped, self.null_label, labels)
        noise = torch.randn(signals.shape, generator=generator, device=device)
        denoised = self.denoiser(signals + sigma[:, None, None] * noise, sigma, labels)
        error = (denoised - signals).square().mean((1, 2))
        return (self.denoiser.weight(sigma) * error).mean()


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Noise levels from ``sigma_max`` to ``sigma_min`` and a final 0, shape (steps + 1,).

    Karras et al. 2022, equation 5.
    """
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    sigmas = (high + ramp * (low - high)) ** rho
    return torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])


def guided(
    denoiser: Denoiser, labels: Tensor, null_label: int, *, scale: float, rescale: float = 0.7
) -> Denoise:
    """``denoise(x, sigma)`` for fixed ``labels`` with classifier-free guidance.

    The result is null + scale * (class - null); its standard deviation is then drawn back to that
    of the class estimate by the factor ``rescale`` (Lin et al. 2023, section 3.4). A scale of 1
    is plain class conditioning and costs one network evaluation in place of two.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma.to(x.dtype).expand(len(x))
        if scale == 1:
            return denoiser(x, level, labels)
        both = torch.cat([labels, torch.full_like(labels, null_label)])
        wanted, null = denoiser(x.repeat(2, 1, 1), level.repeat(2), both).chunk(2)
        mixed = null + scale * (wanted - null)
        axes = tuple(range(1, x.ndim))
        ratio = wanted.std(axes, keepdim=True) / mixed.std(axes, keepdim=True).clamp_min(1e-8)
        return mixed * (1 + rescale * (ratio - 1))

    return denoise


@torch.no_grad()
def sample_euler(denoise: Denoise, noise: Tensor, sigmas: Tensor) -> Tensor:
    """Euler's method on the probability-flow ODE (Karras et al. 2022); the same as DDIM.

    Parameters
    ----------
    denoise
        Estimates the clean signal: ``denoise(x, sigma)``, sigma a scalar tensor.
    noise
        Standard normal, of the shape of the samples.
    sigmas
        Decreasing noise levels, the last one 0.
    """
    x = noise * sigmas[0].to(noise.dtype)
    for now, then in zip(sigmas[:-1], sigmas[1:], strict=True):
        slope = (x - denoise(x, now)) / now
        x = x + slope * (then - now)
    return x


@torch.no_grad()
def sample_heun(denoise: Denoise, noise: Tensor, sigmas: Tensor) -> Tensor:
    """Heun's second-order method (Karras et al. 2022, algorithm 1); parameters as `sample_euler`.

    Two evaluations a step, one in the last.
    """
    x = noise * sigmas[0].to(noise.dtype)
    for now, then in zip(sigmas[:-1], sigmas[1:], strict=True):
        slope = (x - denoise(x, now)) / now
        ahead = x + slope * (then - now)
        if then > 0:
            slope = (slope + (ahead - denoise(ahead, then)) / then) / 2
            ahead = x + slope * (then - now)
        x = ahead
    return x


@torch.no_grad()
def sample_dpmpp_2m(denoise: Denoise, noise: Tensor, sigmas: Tensor) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2); parameters as `sample_euler`.

    Second order with one evaluation a step: the previous step's estimate is reused.
    """
    x = noise * sigmas[0].to(noise.dtype)
    before, h_before = None, None
    for now, then in zip(sigmas[:-1], sigmas[1:], strict=True):
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


SAMPLERS: dict[str, Sampler] = {
    "euler": sample_euler,
    "heun": sample_heun,
    "dpmpp_2m": sample_dpmpp_2m,
}
