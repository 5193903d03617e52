"""DiffWave (Kong et al. 2021, arXiv 2009.09761), class-conditional: as published, and modernized.

The network is a stack of residual blocks. Each has a dilated convolution of kernel 3 and a
sigmoid-tanh gate, whose output is split into residual and skip. The sum of skips becomes the
output, through a last layer that is initialized with zeros.

`published` has the published geometry (one sample a position, 30 blocks of 64 channels) and
process, but for two things: the class joins the embedding of the step, and that embedding is of
log(sigma), a monotone function of the step's number. The modernized form, ours, works on patches
of all leads, a tenth as many positions, under EDM, and noise level and class enter as scale and
shift after a layer norm.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgrepro.generators.diffusion.generator import DenoisingGenerator
from ecgrepro.generators.layers import Condition, Convolve, Modulate
from ecgrepro.generators.settings import DiffWaveSettings


class DiffWave(nn.Module):
    """The network of DiffWave, over (B, T, features).

    Parameters
    ----------
    features
        Features of a position: leads, or components of a patch.
    classes
        Number of labels, including the null label.
    channels, blocks
        Width and number of residual blocks.
    cycle
        Block i has dilation 2 ** (i mod cycle), in positions.
    embedding
        Width of the embedding of noise level and class.
    modulated
        Whether the embedding scales and shifts a layer norm of each block's input; otherwise it is
        added to the input, as published.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        channels: int,
        blocks: int,
        cycle: int,
        embedding: int,
        modulated: bool,
    ):
        super().__init__()
        self.condition = Condition(classes, embedding)
        self.stem = nn.Linear(features, channels)
        entry = Modulate if modulated else Add
        self.blocks = nn.ModuleList(
            GatedBlock(channels, 2 ** (i % cycle), entry(channels, embedding))
            for i in range(blocks)
        )
        self.head = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, features)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, noise_level: Tensor, labels: Tensor) -> Tensor:
        """x (B, T, features), noise_level (B,), labels (B,) -> (B, T, features)."""
        condition = self.condition(noise_level, labels)  # (B, E)
        h = F.relu(self.stem(x))  # (B, T, C)
        skips = torch.zeros_like(h)
        for block in self.blocks:
            h, skip = block(h, condition)
            skips = skips + skip
        return self.out(F.relu(self.head(skips / math.sqrt(len(self.blocks)))))


class Add(nn.Module):
    """Adds the condition to the input, as published; parameters as `Modulate`."""

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.project = nn.Linear(condition, channels)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """h (B, T, C), condition (B, E) -> (B, T, C)."""
        return h + self.project(condition)[:, None]


class GatedBlock(nn.Module):
    """A residual block: dilated convolution of kernel 3, gate, split.

    Parameters
    ----------
    channels, dilation
        Width, and distance of the kernel's taps in positions.
    entry
        Brings the condition into the input: `Modulate` or `Add`.
    """

    def __init__(self, channels: int, dilation: int, entry: nn.Module):
        super().__init__()
        self.entry = entry
        self.convolve = Convolve(channels, 2 * channels, 3, dilation)
        self.split = nn.Linear(channels, 2 * channels)

    def forward(self, h: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, T, C), condition (B, E) -> the next h and this block's skip, both (B, T, C)."""
        gated = Gate.apply(self.convolve(self.entry(h, condition)))
        residual, skip = self.split(gated).chunk(2, dim=-1)
        return (h + residual) * math.sqrt(0.5), skip


class Gate(torch.autograd.Function):
    """sigmoid * tanh of the two halves of the channels: (B, T, 2 C) -> (B, T, C).

    The backward pass is written out, so that both gradients are computed in place without a copy.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        """y (B, T, 2 C) -> (B, T, C)."""
        gate, value = y.chunk(2, dim=-1)
        gate, value = gate.sigmoid(), value.tanh()
        ctx.save_for_backward(gate, value)
        return gate * value

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        """Gradient of the output, g (B, T, C), to that of y, (B, T, 2 C)."""
        gate, value = ctx.saved_tensors
        channels = gate.shape[-1]
        y = g.new_empty(*gate.shape[:-1], 2 * channels)
        aten = torch.ops.aten
        aten.sigmoid_backward.grad_input(g * value, gate, grad_input=y[..., :channels])
        aten.tanh_backward.grad_input(g * gate, value, grad_input=y[..., channels:])
        return y


class DiffWaveGenerator(DenoisingGenerator):
    """Class-conditional DiffWave as a generator; see `DiffWaveSettings`."""

    name = "diffwave"
    settings: DiffWaveSettings

    def _network(self, features: int, classes: int) -> DiffWave:
        s = self.settings
        return DiffWave(
            features,
            classes,
            channels=s.channels,
            blocks=s.blocks,
            cycle=s.cycle,
            embedding=s.embedding,
            modulated=s.modulated,
        )
