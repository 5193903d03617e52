"""A 1-D residual network for 12-lead ECG.

Signals lie in memory as (B, T, C), leads innermost, and pass through 2-D convolutions of height
one as (B, C, 1, T) in ``channels_last`` order: the same arithmetic as ``Conv1d``, a fifth faster
on a CPU, and a batch is gathered from the training set in the layout that it is used in.

Sources: Wang, Yan & Oates 2017 (arXiv 1611.06455), and its variant ``resnet1d_wang`` with
convolutions of 5 and 3 in Strodthoff et al. 2021 (doi 10.1109/JBHI.2020.3022989); pooling by mean
and maximum as there and in ``xresnet``; zero-initialised residual branches: Goyal et al. 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution over time that keeps the length (divided by ``stride``), then batch norm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, (1, kernel), (1, stride), (0, kernel // 2), bias=False),
        nn.BatchNorm2d(outputs),
    )


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; the first one carries the stride."""

    def __init__(self, inputs: int, outputs: int, kernels: Sequence[int], stride: int):
        super().__init__()
        self.first = convolution(inputs, outputs, kernels[0], stride)
        self.second = convolution(outputs, outputs, kernels[1])
        self.shortcut = nn.Sequential()
        if stride > 1:  # averaging before the 1x1 convolution: no sample is skipped
            self.shortcut.append(nn.AvgPool2d((1, stride), ceil_mode=True))
        if inputs != outputs:
            self.shortcut.append(convolution(inputs, outputs, 1))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, 1, T) to (B, outputs, 1, T / stride)."""
        branch = self.second(self.activation(self.first(x)))
        return self.activation(branch + self.shortcut(x))


class ResNet1d(nn.Module):
    """Stem, stages of residual blocks (each stage halves the length), pooling, linear head.

    Attributes
    ----------
    width
        Number of features after pooling: twice the last stage's channels (mean and maximum).
    """

    def __init__(
        self,
        leads: int,
        classes: int,
        *,
        widths: Sequence[int],
        blocks: int,
        kernels: Sequence[int],
        stem_kernel: int,
        stem_stride: int,
        dropout: float,
    ):
        super().__init__()
        layers = [convolution(leads, widths[0], stem_kernel, stem_stride), nn.ReLU(inplace=True)]
        inputs = widths[0]
        for outputs in widths:
            for block in range(blocks):
                layers.append(ResidualBlock(inputs, outputs, kernels, 1 if block else 2))
                inputs = outputs
        self.body = nn.Sequential(*layers)
        self.width = 2 * inputs
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.width, classes)
        self._initialise()
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, ResidualBlock):
                norm = module.second[1]
                assert isinstance(norm, nn.BatchNorm2d)
                nn.init.zeros_(norm.weight)  # each block starts as its shortcut
        nn.init.zeros_(self.head.bias)

    def embed(self, x: Tensor) -> Tensor:
        """Pooled features (B, width) of signals (B, T, C)."""
        x = self.body(x.transpose(1, 2).unsqueeze(2)).squeeze(2)  # (B, C, T')
        return torch.cat([x.mean(-1), x.amax(-1)], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of signals (B, T, C)."""
        return self.head(self.dropout(self.embed(x)))
