"""DiffWave (Kong et al. 2021, arXiv 2009.09761), class-conditional, in a modernized form.

What stays of the published network: a stack of residual blocks, each a dilated convolution of
kernel 3 with a sigmoid-tanh gate whose output is split into residual and skip; the sum of skips
makes the output, through a zero-initialized last layer.

What is ours: ``fold`` consecutive samples of all leads become the channels of one position, which
divides the cost by ``fold``; noise level and class enter each block as scale and shift after a
layer norm; the process around it is EDM's, with classifier-free guidance and a second-order
sampler. ``fold=1, channels=64, blocks=30, cycle=10`` has the published geometry.
"""

import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgrepro.cohort import Cohort
from ecgrepro.generators.base import CLAMP, Generator, record_seeds
from ecgrepro.generators.diffusion import (
    SAMPLERS,
    DenoisingLoss,
    PatchDenoiser,
    guided,
    karras_sigmas,
    principal_components,
)
from ecgrepro.generators.settings import DiffWaveSettings
from ecgrepro.training import choose_device, train


class DiffWave(nn.Module):
    """The network: estimates from noisy features, a noise level and a class.

    Parameters
    ----------
    features
        Numbers per position: leads, or principal components of a patch.
    classes
        Number of labels, the null label included.
    channels, blocks
        Width and number of the residual blocks.
    cycle
        Block i has dilation 2 ** (i mod cycle), in positions.
    embedding
        Width of the embedding of noise level and class.
    """

    def __init__(
        self, features: int, classes: int, *, channels: int, blocks: int, cycle: int, embedding: int
    ):
        super().__init__()
        self.stem = nn.Linear(features, channels)
        self.level = nn.Sequential(
            nn.Linear(128, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.label = nn.Embedding(classes, embedding)
        self.blocks = nn.ModuleList(
            GatedBlock(channels, 2 ** (i % cycle), embedding) for i in range(blocks)
        )
        self.head = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, features)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, noise_level: Tensor, labels: Tensor) -> Tensor:
        """x (B, T, features), noise_level (B,), labels (B,) -> (B, T, features)."""
        condition = F.silu(self.level(sinusoids(noise_level)) + self.label(labels))  # (B, E)
        h = self.stem(x)  # (B, T, C)
        skips = torch.zeros_like(h)
        for block in self.blocks:
            h, skip = block(h, condition)
            skips = skips + skip
        return self.out(F.relu(self.head(skips / math.sqrt(len(self.blocks)))))


class GatedBlock(nn.Module):
    """One residual block over (B, T, C): dilated convolution of kernel 3, gate, split.

    The convolution is a matrix product over three shifted copies: on a CPU that is faster than
    a dilated conv1d, and its weights stay a matrix.
    """

    def __init__(self, channels: int, dilation: int, embedding: int):
        super().__init__()
        self.dilation = dilation
        self.modulate = nn.Linear(embedding, 2 * channels)
        self.convolve = nn.Linear(3 * channels, 2 * channels)
        self.split = nn.Linear(channels, 2 * channels)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, h: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, T, C), condition (B, E) -> the next h and this block's skip, both (B, T, C)."""
        length, d = h.shape[1], self.dilation
        scale, shift = self.modulate(condition)[:, None].chunk(2, dim=-1)
        y = F.layer_norm(h, h.shape[-1:])
        y = torch.addcmul(shift, y, 1 + scale)
        y = F.pad(y, (0, 0, d, d))
        y = torch.cat([y[:, :length], y[:, d : d + length], y[:, 2 * d :]], dim=-1)  # (B, T, 3C)
        gate, value = self.convolve(y).chunk(2, dim=-1)
        residual, skip = self.split(gate.sigmoid() * value.tanh()).chunk(2, dim=-1)
        return (h + residual) * math.sqrt(0.5), skip


def sinusoids(noise_level: Tensor, width: int = 128) -> Tensor:
    """Sines and cosines of ``noise_level`` (B,), shape (B, width).

    Frequencies 1/2 to 32: log(sigma) / 4 spans about (-2, 2).
    """
    frequencies = torch.logspace(-1, 5, width // 2, base=2.0, device=noise_level.device)
    angles = noise_level[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class DiffWaveGenerator(Generator):
    """Class-conditional DiffWave as a generator; see `DiffWaveSettings`."""

    name = "diffwave"
    settings: DiffWaveSettings

    def _fit(
        self, cohort: Cohort, validation: Cohort | None, checkpoint_dir: str | Path | None
    ) -> None:
        signals, targets = _tensors(cohort)
        loss = self._build(*principal_components(signals, self.settings.fold))
        began = time.monotonic()
        trained, self.history = train(
            loss,
            signals,
            targets,
            self.settings,
            seed=self.seed,
            identity=self._identity(),
            validation=_tensors(validation) if validation is not None else None,
            checkpoint_dir=checkpoint_dir,
            device=self.device,
            title=f"{self.name} on {self._fitted().source}",
        )
        self.denoiser = trained.denoiser.eval()
        self.facts = {
            "parameters": sum(p.numel() for p in trained.parameters()),
            "training_seconds": round(time.monotonic() - began, 3),
            "evaluations": self.settings.sampling_steps,
        }

    def _build(self, components: Tensor, variances: Tensor) -> DenoisingLoss:
        """An untrained model for the shape and settings, the same for the same seed."""
        s, shape = self.settings, self._fitted()
        kept = min(s.components, len(variances))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = DiffWave(
                kept,
                len(shape.classes) + 1,
                channels=s.channels,
                blocks=s.blocks,
                cycle=s.cycle,
                embedding=s.embedding,
            )
        denoiser = PatchDenoiser(network, components, variances, fold=s.fold, kept=kept)
        return DenoisingLoss(
            denoiser,
            null_label=len(shape.classes),
            label_dropout=s.label_dropout,
            p_mean=s.p_mean,
            p_std=s.p_std,
        )

    def _identity(self) -> dict:
        shape = self._fitted()
        return {
            "generator": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
            "data": shape.fingerprint,
        }

    def _draw(
        self, plan: list[tuple[str, int]], *, seed: int, guidance: float | None, steps: int | None
    ) -> np.ndarray:
        s, shape = self.settings, self._fitted()
        size = (len(shape.leads), shape.samples)
        rngs = record_seeds(plan, shape.classes, seed)
        noise = np.stack([rng.standard_normal(size, np.float32) for rng in rngs])
        labels = torch.tensor([shape.classes.index(code) for code, _ in plan])
        device = self.denoiser.components.device
        denoise = guided(
            self.denoiser,
            labels.to(device),
            len(shape.classes),
            scale=s.guidance if guidance is None else guidance,
            rescale=s.rescale,
        )
        sigmas = karras_sigmas(steps or s.sampling_steps, s.sigma_min, s.sigma_max)
        drawn = SAMPLERS[s.sampler](denoise, torch.from_numpy(noise).to(device), sigmas)
        return drawn.float().cpu().numpy()

    def _state(self) -> dict[str, Tensor]:
        return {k: v.cpu().contiguous() for k, v in self.denoiser.state_dict().items()}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        loss = self._build(tensors["components"], tensors["variances"])
        loss.denoiser.load_state_dict(tensors)
        self.denoiser = loss.denoiser.to(choose_device(self.device)).eval()


def _tensors(cohort: Cohort) -> tuple[Tensor, Tensor]:
    signals = torch.from_numpy(np.array(cohort.signals, np.float32)).clamp_(-CLAMP, CLAMP)
    return signals, torch.from_numpy(cohort.targets)
