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

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
