"""A running average of a model's weights, which is what is validated and kept."""

import copy

import torch
from torch import nn


class MovingAverage:
    """A copy of a model, in eval mode, whose parameters follow the model's slowly.

    Unlike torch's AveragedModel it counts without a tensor, so that a GPU is not waited for.

    Parameters
    ----------
    decay
        What is kept of the average at an update; less at first: the random start is forgotten.
    buffers
        Average floating-point buffers too, such as the statistics of batch norm. Without, they stay
        as they are until `copy_buffers`.
    """

    def __init__(self, model: nn.Module, decay: float, *, buffers: bool = False):
        self.module, self.decay = copy.deepcopy(model).eval(), decay
        self._model = model
        self._ours, self._theirs = (_averaged(m, buffers) for m in (self.module, model))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the model after its update number ``step``; at 0 be the model."""
        kept = min(self.decay, (1 + step) / (10 + step)) if step else 0.0
        torch._foreach_lerp_(self._ours, self._theirs, 1 - kept)

    @torch.no_grad()
    def copy_buffers(self) -> None:
        """Take the model's buffers as they are now: a codebook or a count has no average."""
        for ours, theirs in zip(self.module.buffers(), self._model.buffers(), strict=True):
            ours.copy_(theirs)


def _averaged(model: nn.Module, buffers: bool) -> list[torch.Tensor]:
    found = [b for b in model.buffers() if b.is_floating_point()] if buffers else []
    return [*model.parameters(), *found]
