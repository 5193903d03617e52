"""The exponential moving average of a model's weights, which is validated and saved."""

import copy

import torch
from torch import nn


class MovingAverage:
    """A copy of a model, in eval mode, whose parameters are a moving average of the model's.

    Unlike PyTorch's ``AveragedModel`` it counts updates without a tensor, so it never waits for
    the GPU.

    Parameters
    ----------
    model
        The model that is trained.
    decay
        Weight of the old average at an update. It is smaller at first, so that the random
        initialization is soon forgotten.
    buffers
        Whether to average floating-point buffers as well, such as the statistics of batch norm.
        Otherwise they change only with `copy_buffers`.

    Attributes
    ----------
    module
        The averaged copy.
    """

    def __init__(self, model: nn.Module, decay: float, *, buffers: bool = False):
        self.module, self.decay = copy.deepcopy(model).eval(), decay
        self._model = model
        self._ours, self._theirs = (_averaged(m, buffers) for m in (self.module, model))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average after training step ``step``; step 0 copies the model."""
        kept = min(self.decay, (1 + step) / (10 + step)) if step else 0.0
        torch._foreach_lerp_(self._ours, self._theirs, 1 - kept)  # pyright: ignore

    @torch.no_grad()
    def copy_buffers(self) -> None:
        """Copy the model's buffers: codebooks and counts have no meaningful average."""
        for ours, theirs in zip(self.module.buffers(), self._model.buffers(), strict=True):
            ours.copy_(theirs)


def _averaged(model: nn.Module, buffers: bool) -> list[torch.Tensor]:
    found = [b for b in model.buffers() if b.is_floating_point()] if buffers else []
    return [*model.parameters(), *found]
