"""Stage 2 of Time-VQVAE: MaskGIT (Chang et al. 2022) over the codes of each band.

A bidirectional transformer predicts masked codes from the others. A position has codes of several
levels. One level is predicted at a time: all codes of the levels before it are known, all codes of
the levels after it are masked, and some of its own are masked (Borsos et al. 2023, SoundStorm).
Sampling unmasks one level after the other, the most confident codes first.
"""

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgrepro.generators.layers import attend, rotation
from ecgrepro.generators.timevqvae.tokenizer import BANDS

Logits = Callable[[Tensor, int], Tensor]


def masked_share(u: Tensor) -> Tensor:
    """Share of codes that are masked when the fraction ``u`` of the iterations is done.

    cos(u pi / 2), which is 0.64 on average; any shape.

    Examples
    --------
    >>> masked_share(torch.tensor([0.0])).item()
    1.0
    """
    return torch.cos(u * (math.pi / 2))


class Attention(nn.Module):
    """Self-attention over (B, T, C), with rotary position embedding."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        """x (B, T, C), rotation (2, T, head width) -> (B, T, C)."""
        return self.out(attend(self.project(x), self.heads, rotation, fused=False))


class Block(nn.Module):
    """A transformer block: attention, then a perceptron, each with layer norm and residual.

    Parameters
    ----------
    width
        C, the number of channels.
    heads
        Attention heads.
    dropout
        On both residuals.
    """

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = Attention(width, heads)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        """(B, T, C) -> the same shape."""
        x = x + self.dropout(self.attention(self.norms[0](x), rotation))
        return x + self.dropout(self.perceptron(self.norms[1](x)))


class Prior(nn.Module):
    """The transformer of one band.

    Parameters
    ----------
    tables
        Vectors of the codes of each level, (codes, D). Embeddings start as a random projection of
        them, so that similar codes have similar embeddings; the output layer is the embedding.
    positions
        Positions in a record.
    classes
        Number of labels, including the null label.
    width, layers, heads, dropout
        Of the transformer.
    coarse
        Tables of the band that this one is conditioned on, if any.
    """

    def __init__(
        self,
        tables: list[Tensor],
        positions: int,
        classes: int,
        *,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
        coarse: list[Tensor] | None = None,
    ):
        super().__init__()
        self.positions, self.levels = positions, len(tables)
        self.codes = nn.ModuleList(_projected(table, width) for table in tables)
        self.masks = nn.Parameter(0.02 * torch.randn(len(tables), width))
        self.level = nn.Embedding(len(tables), width)
        self.label = nn.Embedding(classes, width)
        self.place = nn.Parameter(torch.zeros(positions, width))
        self.coarse = nn.ModuleList(_projected(table, width) for table in coarse or [])
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList(nn.Linear(width, width) for _ in tables)
        self.biases = nn.ParameterList(torch.zeros(len(table)) for table in tables)
        self.register_buffer(
            "rotation", rotation(positions + 1, _rates(width // heads)), persistent=False
        )

    def forward(
        self, codes: Tensor, levels: Tensor, labels: Tensor, coarse: Tensor | None = None
    ) -> Tensor:
        """Compute hidden states, (B, T, width).

        Parameters
        ----------
        codes
            Shape (B, T, levels); -1 is masked.
        levels
            The level that is predicted, (B,).
        labels
            Class indices, (B,).
        coarse
            Codes of the band that this one is conditioned on, (B, T', levels).
        """
        x = self.place + self.level(levels)[:, None]
        for i, table in enumerate(self.codes):
            known = codes[..., i : i + 1] >= 0
            x = x + torch.where(known, table(codes[..., i].clamp(min=0)), self.masks[i])
        if coarse is not None:
            context = sum(table(coarse[..., i]) for i, table in enumerate(self.coarse))
            x = x + _stretched(cast(Tensor, context), self.positions)
        label = self.label(labels)[:, None]
        x = torch.cat([label, x + label], dim=1)  # the class is a token, and is added to all others
        for block in self.blocks:
            x = block(x, self.rotation)
        return self.norm(x[:, 1:])

    def logits(self, hidden: Tensor, level: int) -> Tensor:
        """Logits (..., codes) of ``level`` from hidden states (..., width)."""
        h = self.heads[level](hidden)
        scale = h.shape[-1] ** -0.5
        return scale * h @ self.codes[level].weight.T + self.biases[level]


class PriorLoss(nn.Module):
    """Cross-entropy of masked codes in nats per code, averaged over the two bands.

    Parameters
    ----------
    priors
        The transformer of each band.
    shapes
        Positions and levels of each band.
    null
        The null label.
    label_dropout
        Probability with which the null label replaces a record's own.
    """

    def __init__(self, priors: nn.ModuleDict, shapes: dict, *, null: int, label_dropout: float):
        super().__init__()
        self.priors, self.shapes = priors, shapes
        self.null, self.label_dropout = null, label_dropout

    def forward(self, packed: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Loss of packed codes (B, shifts, n) with labels (B,); draws a shift for each record."""
        losses = self.losses(packed, labels, generator)
        return cast(Tensor, sum(loss.mean() for loss in losses.values())) / len(losses)

    def losses(self, packed: Tensor, labels: Tensor, generator: torch.Generator) -> dict:
        """Cross-entropy of each masked code, by band; arguments as `forward`."""
        n, device = len(packed), packed.device
        shift = torch.randint(packed.shape[1], (n,), generator=generator, device=device)
        codes = unpack(packed[torch.arange(n, device=device), shift], self.shapes)
        hidden = torch.rand(n, generator=generator, device=device) < self.label_dropout
        labels = torch.where(hidden, self.null, labels)
        return {
            band: self._band(cast(Prior, prior), codes[band], labels, codes["low"], generator)
            for band, prior in self.priors.items()
        }

    def _band(
        self, prior: Prior, codes: Tensor, labels: Tensor, low: Tensor, generator: torch.Generator
    ) -> Tensor:
        seen, levels, masked = mask_codes(codes, generator)
        hidden = prior(seen, levels, labels, low if prior.coarse else None)
        found = []
        for level in range(codes.shape[2]):
            which = masked & (levels == level)[:, None]  # (B, T)
            logits = prior.logits(hidden[which], level)
            found.append(F.cross_entropy(logits, codes[..., level][which], reduction="none"))
        return torch.cat(found)


def mask_codes(codes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Mask codes as they are masked at a random moment of sampling.

    Parameters
    ----------
    codes
        Shape (B, T, levels).
    generator
        Random number generator on the device of ``codes``.

    Returns
    -------
    seen : Tensor
        The codes, with -1 where masked.
    levels : Tensor
        The level that is predicted, (B,): the first for half of the records.
    masked : Tensor
        Where that level is masked, (B, T): at least at one position.
    """
    n, positions, count = codes.shape
    device = codes.device
    levels = torch.randint(1, count, (n,), generator=generator, device=device) if count > 1 else 0
    first = torch.rand(n, generator=generator, device=device) < 0.5
    levels = torch.where(first, 0, levels) * torch.ones_like(first, dtype=torch.int64)
    share = masked_share(torch.rand(n, generator=generator, device=device))
    rank = torch.rand(n, positions, generator=generator, device=device).argsort(1).argsort(1)
    masked = rank < (share * positions).ceil().clamp(min=1)[:, None]
    place = torch.arange(count, device=device)
    here = (place == levels[:, None])[:, None] & masked[..., None]  # (B, T, levels)
    later = (place > levels[:, None])[:, None]
    return torch.where(here | later, -1, codes), levels, masked


def pack(codes: dict[str, Tensor]) -> Tensor:
    """Flatten the codes of both bands to one row a record, (B, n) int64."""
    return torch.cat([codes[band].flatten(1) for band in BANDS], dim=1)


def unpack(packed: Tensor, shapes: dict[str, tuple[int, int]]) -> dict[str, Tensor]:
    """Inverse of `pack`, for bands of ``shapes`` (positions, levels)."""
    sizes = [math.prod(shapes[band]) for band in BANDS]
    parts = packed.split(sizes, dim=1)
    return {band: part.unflatten(1, shapes[band]) for band, part in zip(BANDS, parts, strict=True)}


def guided_logits(
    prior: Prior, labels: Tensor, null: int, guidance: float, coarse: Tensor | None
) -> Logits:
    """A function ``logits(codes, level)`` with classifier-free guidance, for `unmask`.

    Parameters
    ----------
    prior
        The transformer of the band.
    labels
        Class indices, (B,).
    null
        The null label.
    guidance
        Scale. 1 is no guidance and takes one evaluation instead of two.
    coarse
        Codes of the band that this one is conditioned on, if any.
    """

    def logits(codes: Tensor, level: int) -> Tensor:
        levels = torch.full_like(labels, level)
        found = prior.logits(prior(codes, levels, labels, coarse), level)
        if guidance == 1:
            return found
        unlabelled = torch.full_like(labels, null)
        plain = prior.logits(prior(codes, levels, unlabelled, coarse), level)
        return plain + guidance * (found - plain)

    return logits


def unmask(
    logits: Logits,
    shape: tuple[int, int],
    steps: list[int],
    rngs: list[np.random.Generator],
    *,
    temperature: float,
    choice_temperature: float,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Sample codes by iterative unmasking, starting with all masked.

    Each iteration draws a code at every masked position and keeps the most confident ones; how
    many stay masked is given by `masked_share`. Confidence is the log-probability of the code plus
    Gumbel noise, whose scale decreases from ``choice_temperature`` to 0 over the iterations.

    Parameters
    ----------
    logits
        See `guided_logits`.
    shape
        Positions and levels.
    steps
        Iterations of each level.
    rngs
        Random number generators, one for each record.
    temperature
        Of the distribution of codes.
    choice_temperature
        Initial scale of the Gumbel noise.
    device
        That of ``logits``.

    Returns
    -------
    Tensor
        Codes, (B, positions, levels) int64.
    """
    positions, count = shape
    codes = torch.full((len(rngs), positions, count), -1, device=device)
    for level in range(count):
        for i in range(steps[level]):
            part = (i + 1) / steps[level]
            draws = np.stack([rng.random((2, positions)) for rng in rngs])
            uniform, noise = torch.from_numpy(draws).to(device).unbind(1)  # (B, T) float64
            log_p = F.log_softmax(logits(codes, level).double() / temperature, dim=-1)
            drawn = _categorical(log_p.exp(), uniform)
            sure = log_p.gather(2, drawn[..., None])[..., 0]
            gumbel = -torch.log(-torch.log(noise.clamp(1e-12, 1 - 1e-12)))
            sure = sure + choice_temperature * (1 - part) * gumbel
            known = codes[..., level] >= 0
            drawn = torch.where(known, codes[..., level], drawn)
            sure = sure.masked_fill(known, math.inf)
            left = math.floor(float(masked_share(torch.tensor(part))) * positions + 1e-6)
            order = sure.argsort(dim=1).argsort(dim=1)  # 0 is the least confident
            codes[..., level] = torch.where(order < left, -1, drawn)
    return codes


def _categorical(p: Tensor, uniform: Tensor) -> Tensor:
    """Draw from p (..., codes) by inverse transform sampling with ``uniform`` (...)."""
    edges = p.cumsum(-1)
    found = torch.searchsorted(edges, (uniform * edges[..., -1])[..., None], right=True)[..., 0]
    return found.clamp(max=p.shape[-1] - 1)


def _projected(table: Tensor, width: int) -> nn.Embedding:
    """An embedding that starts as a random projection of ``table`` (codes, D), of unit scale."""
    centred = table - table.mean(0)
    scale = centred.square().sum(1).mean().sqrt().clamp(min=1e-6)
    projection = torch.randn(table.shape[1], width, device=table.device)
    return nn.Embedding.from_pretrained(centred @ projection / scale, freeze=False)


def _stretched(context: Tensor, positions: int) -> Tensor:
    """Resample context to ``positions`` by nearest time: (B, T', C) -> (B, positions, C)."""
    n = context.shape[1]
    index = torch.arange(positions, device=context.device) * n // positions
    return context[:, index]


def _rates(width: int) -> Tensor:
    """Angles from one position to the next, (width / 2,): half a turn down to a 1024th of one."""
    return math.pi / torch.logspace(0, 9, width // 2, base=2.0)
