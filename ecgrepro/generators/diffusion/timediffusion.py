"""Time-Diffusion, our reading of the paper's model of that name, made class-conditional.

Public text does not tell which model the paper calls Time-Diffusion. The closest name is that of
the package ``timediffusion`` 0.4.1, a causal temporal convolutional network that is fitted to one
series. `TemporalConvolutions` is that network as the denoiser of a diffusion over many records;
noise level and class scale and shift the input of each block. The package's own procedure on one
record is in `ecgrepro.generators.diffusion.one_series`, for demonstration.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ecgrepro.generators.diffusion.generator import DenoisingGenerator
from ecgrepro.generators.layers import Condition, Convolve, Modulate
from ecgrepro.generators.settings import TimeDiffusionSettings


class TemporalConvolutions(nn.Module):
    """A temporal convolutional network over (B, T, features).

    A pointwise layer, then blocks of dilation 1, 2, 4, ... up to the first that spans
    ``positions``. The sum of all their outputs becomes the estimate.

    Parameters
    ----------
    features
        Features of a position: leads, or components of a patch.
    classes
        Number of labels, including the null label.
    positions
        Positions of a record.
    channels, embedding
        Width of the blocks, and of the embedding of noise level and class.
    causal
        Whether a position sees only itself and those before it, as in the package.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        positions: int,
        *,
        channels: int,
        embedding: int,
        causal: bool,
    ):
        super().__init__()
        self.condition = Condition(classes, embedding)
        self.stem = nn.Linear(features, channels)
        dilations = [2**i for i in range(math.ceil(math.log2(positions)) + 1)]
        self.blocks = nn.ModuleList(
            TemporalBlock(channels, dilation, embedding, causal) for dilation in dilations
        )
        self.out = nn.Linear(channels, features)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, noise_level: Tensor, labels: Tensor) -> Tensor:
        """x (B, T, features), noise_level (B,), labels (B,) -> (B, T, features)."""
        condition = self.condition(noise_level, labels)
        h = F.relu(self.stem(x))
        total = h
        for block in self.blocks:
            h = block(h, condition)
            total = total + h
        return self.out(total / math.sqrt(len(self.blocks) + 1))


class TemporalBlock(nn.Module):
    """Two weight-normalized dilated convolutions with a shortcut."""

    def __init__(self, channels: int, dilation: int, embedding: int, causal: bool):
        super().__init__()
        self.modulate = Modulate(channels, embedding)
        kernel = 2 if causal else 3  # looking both ways needs a middle tap
        self.first = Convolve(channels, channels, kernel, dilation, causal=causal)
        self.second = Convolve(channels, channels, kernel, dilation, causal=causal)
        for layer in (self.first, self.second):
            weight_norm(layer.convolution)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """h (B, T, C), condition (B, E) -> (B, T, C)."""
        y = F.relu(self.first(self.modulate(h, condition)))
        return F.relu(h + self.second(y))


class TimeDiffusionGenerator(DenoisingGenerator):
    """Our reading of Time-Diffusion as a generator; see `TimeDiffusionSettings`."""

    name = "timediffusion"
    settings: TimeDiffusionSettings

    def _network(self, features: int, classes: int) -> TemporalConvolutions:
        s, shape = self.settings, self._fitted()
        return TemporalConvolutions(
            features,
            classes,
            math.ceil(shape.samples / s.fold),
            channels=s.channels,
            embedding=s.embedding,
            causal=s.causal,
        )
