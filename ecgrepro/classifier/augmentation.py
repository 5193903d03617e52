"""What the batches of the classifier's training are made of: which records, and how changed.

All records lie on the device as one tensor. A batch is gathered from it once, already shifted in
time; what classical augmentation adds is computed in place, for at the size of the study's
classifier a second pass over a batch costs as much as a convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Record indices (B,) and a generator of random numbers to signals (B, T, C).
Batches = Callable[[Tensor, torch.Generator], Tensor]


def draw_batches(records: int, updates: int, size: int, seed: int) -> Tensor:
    """Record indices of every batch, (updates, size): one shuffled pass after another."""
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same order on any device
    passes = math.ceil(updates * size / records)
    order = [torch.randperm(records, generator=generator) for _ in range(passes)]
    return torch.cat(order)[: updates * size].view(updates, size)


def draw_fading(synthetic: Tensor, updates: int, size: int, seed: int) -> Tensor:
    """Batches that begin with synthetic records and end with real ones, (updates, size).

    The synthetic share of a batch falls from one to zero in the first three quarters of the
    updates; the last quarter is real. ``synthetic`` (N,) says which records are.
    """
    shares = (1 - torch.arange(updates) / (0.75 * updates)).clamp(min=0)
    many = (shares * size).round().long()  # synthetic records of each batch
    kinds = []
    for part, total in ((synthetic, many.sum()), (~synthetic, updates * size - many.sum())):
        which = part.nonzero().flatten().cpu()
        kinds.append(which[draw_batches(len(which), int(total), 1, seed)].flatten())
    first = torch.arange(size) < many[:, None]  # (updates, size)
    batches = torch.empty(updates, size, dtype=torch.long)
    batches[first], batches[~first] = kinds
    return batches


def plain(signals: Tensor) -> Batches:
    """Batches of ``signals`` (N, T, C) as they are."""
    return lambda batch, generator: signals[batch]


def crop(signals: Tensor) -> Batches:
    """Each record shifted by up to a tenth of its length; zeros move in."""
    samples, leads = signals.shape[1:]
    rows, reach = signals.reshape(-1, leads), samples // 10
    time = torch.arange(samples, device=signals.device)

    def shifted(batch: Tensor, generator: torch.Generator) -> Tensor:
        shift = torch.randint(
            -reach, reach + 1, (len(batch), 1), generator=generator, device=signals.device
        )
        source = time + shift  # (B, T)
        inside = (source >= 0) & (source < samples)
        which = source.clamp_(0, samples - 1) + samples * batch[:, None]
        found = rows.index_select(0, which.flatten()).view(len(batch), samples, leads)
        return found.mul_(inside.unsqueeze(-1))

    return shifted


def classical(signals: Tensor) -> Batches:
    """Classical ECG augmentation, each record with its own draw.

    On top of :func:`crop`: a gain of 0.8-1.25 per lead, white noise of up to a tenth of each
    lead's standard deviation, and one lead in ten set to zero.
    """
    shifted, deviation = crop(signals), signals.std(1, keepdim=True)  # (N, 1, C)

    def changed(batch: Tensor, generator: torch.Generator) -> Tensor:
        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=signals.device)

        found = shifted(batch, generator)
        size, _, leads = found.shape
        kept = uniform(size, 1, leads) >= 0.1
        gain = 0.8 * (1.25 / 0.8) ** uniform(size, 1, leads) * kept
        level = 0.1 * uniform(size, 1, 1) * deviation[batch] * kept
        noise = torch.randn(found.shape, generator=generator, device=signals.device)
        return found.mul_(gain).addcmul_(noise, level)

    return changed


AUGMENTATIONS = {"none": plain, "crop": crop, "classical": classical}
