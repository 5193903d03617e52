"""The diffusion process: denoisers around a network, their training loss, and guidance.

A denoiser wraps a network. It estimates the clean signal in x = signal + sigma * white noise, and
defines the noise levels of training and sampling. All samplers (`samplers.py`) work on that
estimate, so the published process and the modern one differ only in the denoiser.

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
    """Estimates the clean signal at any noise level; defines the levels that are used.

    The network is called as ``network(h, noise_level, labels)``, with h of shape (batch, positions,
    features) and noise_level = log(sigma) / 4 of shape (batch,), and returns the shape of h. Labels
    are class indices, int64 of shape (batch,), or (batch, columns) if the network has further
    conditions.
    """

    network: nn.Module

    @abstractmethod
    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """Estimate the clean signal in x (batch, leads, samples) at levels ``sigma`` (batch,)."""

    @abstractmethod
    def weight(self, sigma: Tensor) -> Tensor:
        """Weight of the squared error in the training loss, at ``sigma`` (batch,)."""

    @abstractmethod
    def training_levels(self, quantile: Tensor) -> Tensor:
        """Quantiles, (batch,) in (0, 1), of the training distribution of noise levels."""

    @abstractmethod
    def sampling_levels(self, steps: int) -> Tensor:
        """Decreasing noise levels for a sampler, the last one 0, shape (steps + 1,)."""

    @abstractmethod
    def start(self, noise: Tensor, sigma: Tensor) -> Tensor:
        """Starting point of sampling at level ``sigma``, from standard normal ``noise``."""


class DiscreteDenoiser(Denoiser):
    """DDPM as published with DiffWave: the network predicts the noise at one of T levels.

    ``beta`` grows linearly over the levels. In the terms of this module, sigma_t^2 = (1 - a_t) /
    a_t, where a_t is the cumulative product of 1 - beta. With the published 200 levels up to 0.02
    the last level still contains signal (sqrt(a_T) = 0.36), although sampling starts from pure
    noise. This flaw of the published process is kept on purpose.

    Parameters
    ----------
    network
        See `Denoiser`; it predicts the noise in h, of shape (batch, patches, leads * fold).
    fold
        Samples of a patch, see `fold_patches`.
    levels
        T, the number of noise levels.
    first, last
        ``beta`` of the first and last level.
    """

    sigmas: Tensor

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
        """x without the predicted noise; shapes as in `Denoiser`."""
        leads, samples = x.shape[1:]
        s = sigma[:, None, None]
        scaled = fold_patches(x / (1 + s**2).sqrt(), self.fold)
        noise = unfold_patches(self.network(scaled, sigma.log() / 4, labels), leads, samples)
        return x - s * noise

    def weight(self, sigma: Tensor) -> Tensor:
        """1 / sigma^2, which makes the loss the squared error of the predicted noise."""
        return sigma**-2

    def training_levels(self, quantile: Tensor) -> Tensor:
        """The T levels with equal probability."""
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
        """Pure noise with the variance of the noisy signal, but without the signal."""
        return noise * (1 + sigma.to(noise.dtype) ** 2).sqrt()


class PatchDenoiser(Denoiser):
    """EDM preconditioning (Karras et al. 2022, table 1) per principal component of short patches.

    A patch is ``fold`` consecutive samples of all leads. It is expressed in its principal
    components, an orthogonal basis in which white noise stays white, and each component is
    preconditioned with its own variance in the data. If the network outputs zero, as it does
    initially, this is the best linear denoiser of a patch. The network sees only the first
    ``kept`` components; those of least variance are left to the linear denoiser.

    Parameters
    ----------
    network
        See `Denoiser`; its h has shape (batch, patches, kept) and unit variance.
    components
        Orthonormal matrix of shape (leads * fold, leads * fold), one component a column.
    variances
        Variance of each component in the data, shape (leads * fold,).
    fold
        Samples of a patch.
    kept
        Number of components that the network sees.
    p_mean, p_std
        Mean and standard deviation of log(sigma) in training; log(sigma) is normal.
    sigma_min, sigma_max
        Range of noise levels of a sampler.
    """

    components: Tensor
    variances: Tensor

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
        """The linear estimate plus the network's correction; shapes as in `Denoiser`."""
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
        """Reciprocal mean squared error of the linear denoiser: the loss starts at 1."""
        s = sigma[:, None]
        return 1 / (self.variances * s**2 / (self.variances + s**2)).mean(1)

    def training_levels(self, quantile: Tensor) -> Tensor:
        """Quantiles of the log-normal distribution of sigma."""
        quantile = quantile.clamp(1e-4, 1 - 1e-4)
        return (torch.special.ndtri(quantile) * self.p_std + self.p_mean).exp()

    def sampling_levels(self, steps: int) -> Tensor:
        """Karras et al. 2022, equation 5."""
        return karras_sigmas(steps, self.sigma_min, self.sigma_max)

    def start(self, noise: Tensor, sigma: Tensor) -> Tensor:
        """Noise of standard deviation ``sigma``; the signal is negligible beside it."""
        return noise * sigma.to(noise.dtype)


def fold_patches(x: Tensor, fold: int) -> Tensor:
    """Fold consecutive samples into patches: (B, leads, samples) -> (B, patches, leads * fold).

    The last patch is padded with zeros.

    Examples
    --------
    >>> fold_patches(torch.zeros(2, 12, 95), fold=10).shape
    torch.Size([2, 10, 120])
    """
    x = F.pad(x, (0, -x.shape[2] % fold))
    return x.unflatten(2, (-1, fold)).transpose(1, 2).flatten(2)


def unfold_patches(y: Tensor, leads: int, samples: int) -> Tensor:
    """Inverse of `fold_patches`: (B, patches, leads * fold) -> (B, leads, samples)."""
    return y.unflatten(2, (leads, -1)).transpose(1, 2).flatten(2)[:, :, :samples]


def principal_components(signals: Tensor, fold: int) -> tuple[Tensor, Tensor]:
    """Principal components of the patches of all records.

    Parameters
    ----------
    signals
        Shape (records, leads, samples).
    fold
        Samples of a patch.

    Returns
    -------
    components : Tensor
        Orthonormal, one a column, of greatest variance first: (P, P) with P = leads * fold.
    variances : Tensor
        Shape (P,). At least 1e-6 of the greatest, since `PatchDenoiser` divides by them.
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
    # The sign of an eigenvector is arbitrary: fix it, so that all machines have the same basis.
    largest = components.abs().argmax(0, keepdim=True)
    components = components * components.gather(0, largest).sign()
    return components.float(), variances.clamp_min(1e-6 * variances[0]).float()


class DenoisingLoss(nn.Module):
    """Training loss of a class-conditional `Denoiser`.

    Parameters
    ----------
    denoiser
        The model that is trained.
    null
        The null label, which stands for "any class"; of the shape of one record's label.
    label_dropout
        Probability with which the null label replaces a record's own.
    """

    null: Tensor

    def __init__(self, denoiser: Denoiser, *, null: Tensor, label_dropout: float = 0.1):
        super().__init__()
        self.denoiser = denoiser
        self.register_buffer("null", null, persistent=False)
        self.label_dropout = label_dropout

    def forward(self, signals: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Mean loss of ``signals`` (batch, leads, samples), with noise from ``generator``."""
        batch, device = len(signals), signals.device
        # Evenly spaced quantiles of the noise levels reduce the variance of the loss.
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
    """A denoiser with classifier-free guidance, for the samplers.

    The estimate is u + scale * (c - u), where c is conditioned on the label and u on the null
    label (Ho and Salimans 2022). Its standard deviation is then moved towards that of c (Lin et
    al. 2023, section 3.4).

    Parameters
    ----------
    denoiser
        Trained with label dropout.
    labels
        Labels of the records, shape (batch,) or (batch, columns).
    null
        The null label.
    scale
        Guidance scale. 1 is class conditioning without guidance and takes one network evaluation
        instead of two.
    rescale
        How far the standard deviation is moved: 0 not at all, 1 all the way.

    Returns
    -------
    callable
        ``denoise(x, sigma)``, with x of shape (batch, leads, samples) and sigma a scalar tensor.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma.to(x).expand(len(x))  # samplers have their levels on the CPU
        if scale == 1:
            return denoiser(x, level, labels)
        both = torch.cat([labels, null.expand_as(labels)])
        conditional, unconditional = denoiser(x.repeat(2, 1, 1), level.repeat(2), both).chunk(2)
        mixed = unconditional + scale * (conditional - unconditional)
        axes = tuple(range(1, x.ndim))
        spread = mixed.std(axes, keepdim=True).clamp_min(1e-8)
        ratio = conditional.std(axes, keepdim=True) / spread
        return mixed * (1 + rescale * (ratio - 1))

    return denoise
