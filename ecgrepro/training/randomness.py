"""The random numbers of a training: the same for the same (seed, step, process)."""

import contextlib

import numpy as np
import torch
from torch import Tensor


def step_generator(
    seed: int, step: int, device: torch.device | str, rank: int = 0
) -> torch.Generator:
    """A random number generator for one step in one process.

    Parameters
    ----------
    seed
        Seed of the training.
    step
        Number of the step.
    device
        Where the generator draws.
    rank
        Number of the process, where several share a training.
    """
    return torch.Generator(device).manual_seed(_seeds(seed, step, rank)[0])


def seed_step(seed: int, step: int, device: torch.device, rank: int = 0) -> torch.Generator:
    """Seed PyTorch's global generators (dropout) for a step; return `step_generator` of it."""
    own, shared = _seeds(seed, step, rank)  # two seeds, so that the two streams are independent
    torch.default_generator.manual_seed(shared)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(shared)
    return torch.Generator(device).manual_seed(own)


def preserve_rng_state(device: torch.device) -> contextlib.AbstractContextManager:
    """Context that restores PyTorch's global generators, of the CPU and ``device``, at its end."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def class_weights(targets: Tensor, balance: float) -> Tensor:
    """Sampling weight of each record: n ** -balance in a class of n records.

    Parameters
    ----------
    targets
        Class indices, shape (records,), or (records, columns) with the class in the first column.
    balance
        0 draws records as they come, 1 draws every class equally often.

    Returns
    -------
    Tensor
        Shape (records,), not normalized.

    Examples
    --------
    >>> class_weights(torch.tensor([0, 0, 1]), balance=1).tolist()
    [0.5, 0.5, 1.0]
    """
    targets = targets if targets.ndim == 1 else targets[:, 0].long()
    counts = torch.bincount(targets).float()
    return counts[targets] ** -balance


def _seeds(seed: int, step: int, rank: int) -> list[int]:
    mixed = np.random.SeedSequence([seed, step, rank]).generate_state(2, np.uint64)
    return [int(word) for word in mixed]
