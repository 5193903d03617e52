"""The diffusion process: a network made a denoiser, its training loss, and guidance.

A network is wrapped once; the wrapper estimates the clean signal in x = signal + sigma * white
noise, and says at which levels it is trained and sampled. Every sampler (`samplers.py`) works on
that estimate, so the published process and the modern one differ in the wrapper alone.

Sources: Ho et al. 2020 (DDPM, arXiv 2006.11239); Karras et al. 2022 (EDM, arXiv 2206.00364); Ho
and Salimans 2022 (classifier-free guidance, arXiv 2207.12598); Lin et al. 2023 (rescaled guidance,
arXiv 2305.08891).
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgrepro.generators.diffusion.samplers import Denoise, karras_sigmas


class Denoiser(nn.Module, ABC):
    """A network that estimates the clean signal at any noise level, and the levels it is used at.

    The network is called as ``network(h, noise_level, labels)`` with h of shape (batch, positions,
    features), noise_level = log(sigma) / 4 of shape (batch,), and returns the shape of h. Labels
    are class indices, int64 (batch,), or what else a network is conditioned on, (batch, columns).
    """

    network: nn.Module

    @abstractmethod
    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """The denoised x, (batch, leads, samples), at noise levels ``sigma`` (batch,)."""

    @abstractmethod
    def weight(self, sigma: Tensor) -> Tensor:
        """Weight of the squared error at ``sigma`` (batch,) in the training loss."""

    @abstractmethod
    def training_levels(self, quantile: Tensor) -> Tensor:
        """Noise levels at ``quantile`` (batch,), in (0, 1), of the training distribution."""

    @abstractmethod
    def sampling_levels(self, steps: int) -> Tensor:
        """Falling noise levels for a sampler, the last one 0, shape (steps + 1,)."""

    @abstractmethod
    def start(self, noise: Tensor, sigma: Tensor) -> Tensor:
        """Where sampling starts, from standard normal ``noise`` at the first level ``sigma``."""


class DiscreteDenoiser(Denoiser):
    """DDPM as DiffWave was published: the network predicts the noise at one of T levels.

    Levels have ``beta`` linear from ``first`` to ``last``; in terms of this module, sigma_t^2 = (1
    - a_t) / a_t with a_t the running product of 1 - beta. At the published 200 levels to 0.02 the
    last one still holds signal (sqrt(a_T) = 0.36), while sampling starts from pure noise: a flaw
    of the process that is kept here, because it is the published one.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        fold: int,
        levels: int = 200,
        first: float = 1e-4,
        last: float = 0.02,
    ):
        super().__init__()
        self.network, self.fold = network, fold
        betas = torch.linspace(first, last, levels, dtype=torch.float64)
        kept = (1 - betas).cumprod(0)
        self.register_buffer("sigmas", ((1 - kept) / kept).sqrt(), persistent=False)

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """The denoised x: what is left when the predicted noise is taken away."""
        leads, samples = x.shape[1:]
        s = sigma[:, None, None]
        scaled = fold_patches(x / (1 + s**2).sqrt(), self.fold)
        noise = unfold_patches(self.network(scaled, sigma.log() / 4, labels), leads, samples)
        return x - s * noise

    def weight(self, sigma: Tensor) -> Tensor:
        """1 / sigma^2, with which the loss is the squared error of the predicted noise."""
        return sigma**-2

    def training_levels(self, quantile: Tensor) -> Tensor:
        """The T levels, each alike."""
        t = (quantile * len(self.sigmas)).long().clamp_max(len(self.sigmas) - 1)
        return self.sigmas[t].to(quantile.dtype)

    def sampling_levels(self, steps: int) -> Tensor:
        """``steps`` of the T levels, evenly spaced from the last one down to the first."""
        last = len(self.sigmas) - 1
        chosen = torch.linspace(last, 0 if steps > 1 else last, min(steps, last + 1)).round().long()
        return torch.cat(
            [self.sigmas[chosen.to(self.sigmas.device)].cpu(), torch.zeros(1).double()]
        )

    def start(self, noise: Tensor, sigma: Tensor) -> Tensor:
        """Pure noise in place of the noisy signal: the variance is right, the signal missing."""
        return noise * (1 + sigma.to(noise.dtype) ** 2).sqrt()


class PatchDenoiser(Denoiser):
    """EDM preconditioning (Karras et al. 2022, table 1) per principal component of short patches.

    A patch is ``fold`` consecutive samples of every lead. In the basis of its principal
    components (an orthogonal change of coordinates, so white noise stays white) each component
    has its own variance in the data, and is preconditioned with it. With the network's output
    at zero this is the best linear denoiser of a patch, so training starts there; and a network
    narrower than a patch is enough, since the components of least variance, beyond ``kept``,
    are left to the linear denoiser.

    Parameters
    ----------
    network
        See `Denoiser`; its h has shape (batch, patches, kept) and unit variance.
    components
        Orthonormal, shape (leads * fold, leads * fold), a component a column.
    variances
        Of the components in the data, shape (leads * fold,).
    p_mean, p_std
        Of the normal distribution of log(sigma) in training.
    sigma_min, sigma_max
        Between which a sampler works.
    """

    def __init__(
        self,
        network: nn.Module,
        components: Tensor,
        variances: Tensor,
        *,
        fold: int,
        kept: int,
        p_mean: float,
        p_std: float,
        sigma_min: float,
        sigma_max: float,
    ):
        super().__init__()
        self.network = network
        self.fold, self.kept = fold, kept
        self.p_mean, self.p_std = p_mean, p_std
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.register_buffer("components", components.float())
        self.register_buffer("variances", variances.float())

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """The linear estimate, plus what the network makes of the first ``kept`` components."""
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
        """One over the mean squared error of the linear denoiser: an untrained loss is 1."""
        s = sigma[:, None]
        return 1 / (self.variances * s**2 / (self.variances + s**2)).mean(1)

    def training_levels(self, quantile: Tensor) -> Tensor:
        """Log-normal."""
        quantile = quantile.clamp(1e-4, 1 - 1e-4)
        return (torch.special.ndtri(quantile) * self.p_std + self.p_mean).exp()

    def sampling_levels(self, steps: int) -> Tensor:
        """Karras et al. 2022, equation 5."""
        return karras_sigmas(steps, self.sigma_min, self.sigma_max)

    def start(self, noise: Tensor, sigma: Tensor) -> Tensor:
        """Noise of standard deviation ``sigma``, beside which the signal is negligible."""
        return noise * sigma.to(noise.dtype)


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

    Parameters
    ----------
    null
        The label that stands for "any class", of the shape of one record's label; it replaces a
        record's own with probability ``label_dropout``.
    """

    def __init__(self, denoiser: Denoiser, *, null: Tensor, label_dropout: float = 0.1):
        super().__init__()
        self.denoiser = denoiser
        self.register_buffer("null", null, persistent=False)
        self.label_dropout = label_dropout

    def forward(self, signals: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Mean loss of ``signals`` (batch, leads, samples); all chance is from ``generator``."""
        batch, device = len(signals), signals.device
        # Noise levels are spread evenly over the quantiles of their distribution: less variance.
        offset = torch.rand((), generator=generator, device=device)
        sigma = self.denoiser.training_levels((torch.arange(batch, device=device) + offset) / batch)
        dropped = torch.rand(batch, generator=generator, device=device) < self.label_dropout
        labels = torch.where(dropped.view(-1, *[1] * self.null.ndim), self.null, labels)
        noise = torch.randn(signals.shape, generator=generator, device=device)
        denoised = self.denoiser(signals + sigma[:, None, None] * noise, sigma, labels)
        error = (denoised - signals).square().mean((1, 2))
        return (self.denoiser.weight(sigma) * error).mean()


def guided(
    denoiser: Denoiser, labels: Tensor, null: Tensor, *, scale: float, rescale: float = 0.7
) -> Denoise:
    """``denoise(x, sigma)`` for fixed ``labels`` with classifier-free guidance.

    ``null`` is the label of any class. The result is unasked + scale * (wanted - unasked); its
    standard deviation is then drawn back to that of the wanted by the factor ``rescale`` (Lin et
    al. 2023, section 3.4). A scale of 1 is plain class conditioning and costs one network
    evaluation in place of two.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma.to(x).expand(len(x))  # samplers keep their levels on the CPU
        if scale == 1:
            return denoiser(x, level, labels)
        both = torch.cat([labels, null.expand_as(labels)])
        wanted, unasked = denoiser(x.repeat(2, 1, 1), level.repeat(2), both).chunk(2)
        mixed = unasked + scale * (wanted - unasked)
        axes = tuple(range(1, x.ndim))
        ratio = wanted.std(axes, keepdim=True) / mixed.std(axes, keepdim=True).clamp_min(1e-8)
        return mixed * (1 + rescale * (ratio - 1))

    return denoise
