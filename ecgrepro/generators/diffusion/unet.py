"""U-Net diffusion: ours, not one of the paper's three generators.

A 1-D U-Net over patches of all leads, with self-attention at every resolution. Compared to
DiffWave it has fewer positions after downsampling, which makes depth cheap; attention across
beats, by which RR intervals can repeat; and the pace of the heart as a condition besides the class
(`pace.py`). The process is EDM.

Sources: Ho et al. 2020 and Dhariwal and Nichol 2021 (arXiv 2105.05233) for the U-Net of diffusion
models; Karras et al. 2022 for the process.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.base import record_seeds
from ecgrepro.generators.diffusion.generator import DenoisingGenerator
from ecgrepro.generators.diffusion.pace import PaceCondition, draw_pace, measure_pace
from ecgrepro.generators.layers import Attention, Condition, Convolve, Modulate
from ecgrepro.generators.settings import UNetSettings


class UNet(nn.Module):
    """The network, over (B, T, features).

    Parameters
    ----------
    features
        Features of a position: leads, or components of a patch.
    classes
        Number of labels, including the null label.
    widths
        Channels at each resolution, the finest first; each next one has half the positions.
    blocks
        `Stage` s at each resolution, on the way down and on the way up.
    head_width
        Channels of an attention head.
    embedding
        Width of the embedding of noise level and labels.
    pace
        Whether labels are class and pace, (B, 3), instead of classes, (B,).
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        widths: Sequence[int],
        blocks: int,
        head_width: int,
        embedding: int,
        pace: bool,
    ):
        super().__init__()
        self.condition = (PaceCondition if pace else Condition)(classes, embedding)
        self.stem = Convolve(features, widths[0], 3)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for i, width in enumerate(widths):
            finer = widths[max(i - 1, 0)]
            if i:
                self.shrink.append(nn.Linear(2 * finer, width))
                self.grow.append(nn.Linear(width, 2 * finer))
            stages = [Stage(width, width, head_width, embedding) for _ in range(blocks)]
            self.down.append(nn.ModuleList(stages))
            stages = [Stage(2 * width, width, head_width, embedding) for _ in range(blocks)]
            self.up.append(nn.ModuleList(stages))
        self.middle = Stage(widths[-1], widths[-1], head_width, embedding)
        self.norm = Modulate(widths[0], embedding)
        self.out = nn.Linear(widths[0], features)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, noise_level: Tensor, labels: Tensor) -> Tensor:
        """x (B, T, features), noise_level (B,), labels (B, ...) -> (B, T, features)."""
        length = x.shape[1]
        condition = self.condition(noise_level, labels)
        h = self.stem(F.pad(x, (0, 0, 0, -length % 2 ** len(self.shrink))))
        skips = []
        for i, stages in enumerate(cast(Iterable[Iterable[Stage]], self.down)):
            if i:  # two neighbouring positions become one
                h = self.shrink[i - 1](h.unflatten(1, (-1, 2)).flatten(2))
            for stage in stages:
                h = stage(h, condition)
                skips.append(h)
        h = self.middle(h, condition)
        for i, stages in reversed(list(enumerate(cast(Iterable[Iterable[Stage]], self.up)))):
            for stage in stages:
                h = stage(torch.cat([h, skips.pop()], dim=-1), condition)
            if i:
                h = self.grow[i - 1](h).unflatten(2, (2, -1)).flatten(1, 2)
        return self.out(F.silu(self.norm(h, condition)))[:, :length]


class Stage(nn.Module):
    """A residual block of two convolutions, then attention.

    Parameters
    ----------
    inputs, outputs
        Channels.
    head_width
        Channels of an attention head.
    embedding
        Width of the condition.
    """

    def __init__(self, inputs: int, outputs: int, head_width: int, embedding: int):
        super().__init__()
        self.modulate = Modulate(inputs, embedding)
        self.first = Convolve(inputs, outputs, 3)
        self.second = Convolve(outputs, outputs, 3)
        self.shortcut = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()
        self.attention = Attention(outputs, outputs // head_width, embedding)
        nn.init.zeros_(self.second.convolution.weight)
        nn.init.zeros_(cast(Tensor, self.second.convolution.bias))

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """h (B, T, inputs), condition (B, E) -> (B, T, outputs)."""
        y = self.second(F.silu(self.first(F.silu(self.modulate(h, condition)))))
        return self.attention(self.shortcut(h) + y, condition)


class UNetGenerator(DenoisingGenerator):
    """The U-Net as a generator; see `UNetSettings`."""

    name = "unet"
    settings: UNetSettings

    def _network(self, features: int, classes: int) -> UNet:
        s = self.settings
        return UNet(
            features,
            classes,
            widths=s.widths,
            blocks=s.blocks,
            head_width=s.head_width,
            embedding=s.embedding,
            pace=s.pace,
        )

    def _tensors(self, cohort: Cohort) -> tuple[Tensor, Tensor]:
        signals, classes = super()._tensors(cohort)
        if not self.settings.pace:
            return signals, classes
        return signals, torch.column_stack([classes, measure_pace(cohort)])

    def _null(self) -> Tensor:
        null = super()._null()
        return torch.tensor([null, torch.nan, torch.nan]) if self.settings.pace else null

    def _labels(self, plan: list[tuple[str, int]], rngs: list[np.random.Generator]) -> Tensor:
        classes = super()._labels(plan, rngs)
        if not self.settings.pace:
            return classes
        of_class = {k: self.seen[self.seen[:, 0] == k, 1:] for k in classes.unique().tolist()}
        drawn = [draw_pace(of_class[k], r) for k, r in zip(classes.tolist(), rngs, strict=True)]
        return torch.column_stack([classes, torch.stack(drawn)])

    def asked_rates(self, counts: dict[str, int], *, seed: int) -> np.ndarray:
        """Heart rates on which the records of `sample` are conditioned.

        Parameters
        ----------
        counts, seed
            Those of `sample`.

        Returns
        -------
        ndarray
            In beats per minute, shape (records,); NaN where no training record of the class has a
            known heart rate.

        Raises
        ------
        EcgreproError
            The generator is not trained, or not conditioned on the pace.
        """
        if not self.settings.pace:
            raise EcgreproError("this unet is not conditioned on the pace: train with pace=true")
        classes = self._fitted().classes
        plan = [(code, i) for code in classes for i in range(counts.get(code, 0))]
        labels = self._labels(plan, list(record_seeds(plan, classes, seed)))
        return labels[:, 1].exp().numpy()

    def _state(self) -> dict[str, Tensor]:
        return super()._state() | ({"seen": self.seen} if self.settings.pace else {})

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        weights = dict(tensors)
        if self.settings.pace:
            self.seen = weights.pop("seen")
        super()._restore(weights)
