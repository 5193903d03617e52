"""The budget of a training and what follows from it: learning rate, when to validate, optimizer."""

import math

import torch
from torch import nn

from ecgrepro.training.settings import TrainingSettings

_BETAS = (0.9, 0.99)


def budget_used(settings: TrainingSettings, step: int, seconds: float) -> float:
    """Fraction of the budget that is used, 1 at its end.

    Parameters
    ----------
    settings
        ``steps`` and, if set, ``minutes``: whichever is used up first ends the training.
    step
        Steps done.
    seconds
        Time spent in training, in s.

    Examples
    --------
    >>> budget_used(TrainingSettings(steps=100), step=25, seconds=1e6)
    0.25
    """
    used = step / settings.steps
    if settings.minutes is not None:
        used = max(used, seconds / (60 * settings.minutes))
    return used


def crosses_point(points: int, before: float, after: float) -> bool:
    """Whether one of ``points`` evenly spaced points of the budget lies in (before, after].

    Examples
    --------
    >>> crosses_point(4, 0.2, 0.3), crosses_point(4, 0.3, 0.4)
    (True, False)
    """
    return int(after * points + 1e-9) > int(before * points + 1e-9)


def learning_rate(settings: TrainingSettings, used: float) -> float:
    """Linear warm-up, then half a cosine down to 0.

    Parameters
    ----------
    settings
        ``learning_rate`` is the peak; ``warmup`` the fraction of the budget that leads up to it.
    used
        Fraction of the budget that is used, see `budget_used`.

    Examples
    --------
    >>> learning_rate(TrainingSettings(learning_rate=1e-3, warmup=0), used=0.5)
    0.0005
    """
    warm = (used + 1 / settings.steps) / settings.warmup if settings.warmup else 1.0
    return settings.learning_rate * min(1.0, warm) * (1 + math.cos(math.pi * used)) / 2


def make_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only: biases and gains have no reason to be near 0."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=_BETAS,
        weight_decay=settings.weight_decay,
        fused=True,
    )
