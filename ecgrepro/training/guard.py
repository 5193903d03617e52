"""The state of a training, and the guard that stops one that diverges."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ecgrepro.errors import EcgreproError


@dataclass
class TrainingState:
    """What a checkpoint holds beside tensors.

    Attributes
    ----------
    step
        Steps done.
    seconds
        Time spent, in s, including that before an interruption.
    losses
        Loss of each step since the last entry of the history.
    smooth, lowest
        Running average of the loss, and its minimum so far.
    history
        Entries with ``step``, ``loss``, ``seconds`` and, at some, ``validation_loss``.
    """

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    smooth: float | None = None
    lowest: float = math.inf
    history: list[dict] = field(default_factory=list)


class DivergenceGuard:
    """Follows loss and gradient norm; raises if one is not finite or the loss explodes.

    The values of ``every`` steps are read together, because each reading waits for the GPU.
    So call `check` before anything is saved.

    Parameters
    ----------
    state
        Updated with the losses that pass.
    every
        Number of steps that are read together.

    Attributes
    ----------
    norm
        Gradient norm of the last step that was checked.
    """

    def __init__(self, state: TrainingState, *, every: int):
        self.state, self.every, self.norm = state, every, math.nan
        self._pending: list[tuple[int, float, Tensor, Tensor]] = []

    def note(self, step: int, rate: float, loss: Tensor, norm: Tensor) -> None:
        """Take loss and gradient norm of a step; with ``every=1`` they are checked at once.

        Parameters
        ----------
        step, rate
            Number and learning rate of the step, for the error message.
        loss, norm
            Scalars, on any device.

        Raises
        ------
        EcgreproError
            See `check`.
        """
        self._pending.append((step, rate, loss, norm))
        if len(self._pending) >= self.every:
            self.check()

    def check(self) -> None:
        """Read what was noted since the last check.

        Raises
        ------
        EcgreproError
            Loss or gradient norm is not finite, or the loss is far above its minimum. The step
            and its learning rate are named.
        """
        if not self._pending:
            return
        steps, rates, losses, norms = zip(*self._pending, strict=True)
        self._pending = []
        values = torch.stack([*losses, *norms]).tolist()
        n = len(steps)
        for step, rate, loss, norm in zip(steps, rates, values[:n], values[n:], strict=True):
            state = self.state
            smooth = loss if state.smooth is None else 0.95 * state.smooth + 0.05 * loss
            if not math.isfinite(loss) or (step > 20 and smooth > 10 * abs(state.lowest)):
                raise _diverged(step, f"loss {loss:.4g}", rate)
            if not math.isfinite(norm):
                raise _diverged(step, f"gradient norm {norm}", rate)
            state.smooth, state.lowest = smooth, min(state.lowest, smooth)
            state.losses.append(loss)
            self.norm = norm


def _diverged(step: int, what: str, rate: float) -> EcgreproError:
    return EcgreproError(
        f"training diverged at step {step}: {what}, learning rate {rate:.3g}; these weights "
        "are not saved. Lower learning_rate, or check the training data for outliers"
    )
