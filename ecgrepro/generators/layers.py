"""Layers of the generators' networks, over tensors of shape (batch, positions, channels).

Channels are innermost, so norms and matrix products run over contiguous memory. A convolution is
two-dimensional, of height one and in ``channels_last`` order: on a CPU a fifth faster than
``Conv1d``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEP_WIDTH = 128  # number of sinusoids that encode a noise level


class Condition(nn.Module):
    """Embedding of noise level and class as one vector.

    Parameters
    ----------
    classes
        Number of labels, including the null label.
    width
        Length of the vector.
    """

    def __init__(self, classes: int, width: int):
        super().__init__()
        self.level = nn.Sequential(nn.Linear(STEP_WIDTH, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes, width)

    def forward(self, noise_level: Tensor, labels: Tensor) -> Tensor:
        """noise_level (B,), labels (B,) -> (B, width)."""
        return F.silu(self.level(sinusoids(noise_level)) + self.label(labels))


def sinusoids(noise_level: Tensor) -> Tensor:
    """Encode noise levels by sines and cosines: (B,) -> (B, `STEP_WIDTH`).

    Frequencies range from 1/2 to 32, since a noise level, log(sigma) / 4, lies in about (-2, 2).

    Examples
    --------
    >>> sinusoids(torch.zeros(3)).shape
    torch.Size([3, 128])
    """
    frequencies = torch.logspace(-1, 5, STEP_WIDTH // 2, base=2.0, device=noise_level.device)
    angles = noise_level[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Modulate(nn.Module):
    """Layer norm, scaled and shifted by the condition; initially the norm alone.

    Parameters
    ----------
    channels
        C of the input.
    condition
        E, length of the condition.
    """

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.project = nn.Linear(condition, 2 * channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """h (B, T, C), condition (B, E) -> (B, T, C)."""
        scale, shift = self.project(condition)[:, None].chunk(2, dim=-1)
        return torch.addcmul(shift, F.layer_norm(h, h.shape[-1:]), 1 + scale)


class Convolve(nn.Module):
    """Convolution over positions that preserves their number.

    Parameters
    ----------
    inputs, outputs
        Channels.
    kernel, dilation
        In positions.
    causal
        Whether a position sees only itself and those before it: t, t - dilation, ...
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, dilation: int = 1, *, causal: bool = False
    ):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, (1, kernel), dilation=(1, dilation))
        reach = dilation * (kernel - 1)
        self.padding = (reach, 0) if causal else (reach // 2, reach - reach // 2)

    def forward(self, h: Tensor) -> Tensor:
        """(B, T, inputs) -> (B, T, outputs)."""
        layer, (left, right) = self.convolution, self.padding
        dilation = layer.dilation[1]
        if dilation >= h.shape[1]:  # all taps but one see only padding
            return F.linear(h, layer.weight[:, :, 0, left // dilation], layer.bias)
        if left != right:
            h, left = F.pad(h, (0, 0, left, right)), 0
        h = h.transpose(1, 2).unsqueeze(2)  # (B, C, 1, T), channels innermost
        h = F.conv2d(h, layer.weight, layer.bias, padding=(0, left), dilation=layer.dilation)
        return h.squeeze(2).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention over positions, with rotary position embedding (Su et al. 2021).

    Scores depend on the distance of two positions, and in a regular rhythm distances repeat.

    Parameters
    ----------
    channels
        C of the input.
    heads
        Number of attention heads; C / heads is even.
    condition
        E, length of the condition.
    """

    def __init__(self, channels: int, heads: int, condition: int):
        super().__init__()
        self.heads = heads
        self.modulate = Modulate(channels, condition)
        self.project = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """h (B, T, C), condition (B, E) -> (B, T, C), with h as residual."""
        length, width = h.shape[1], h.shape[2] // self.heads
        # A full turn takes from 6 to 2000 positions.
        rates = torch.logspace(0, -2.5, width // 2, device=h.device)
        projected = self.project(self.modulate(h, condition))
        attended = attend(projected, self.heads, rotation(length, rates), fused=True)
        return h + self.out(attended)


def attend(projected: Tensor, heads: int, rotation: Tensor, *, fused: bool) -> Tensor:
    """Attend over positions, with rotary position embedding (Su et al. 2021).

    Parameters
    ----------
    projected
        Queries, keys and values of all heads, (B, T, 3 C).
    rotation
        Of the T positions, see `rotation`.
    fused
        As in `rotate`.

    Returns
    -------
    Tensor
        What each head attended to, side by side, (B, T, C).
    """
    both, v = projected.unflatten(-1, (3, heads, -1)).split([2, 1], dim=2)  # (B, T, 2, heads, D)
    both = rotate(both, rotation[:, :, None, None], fused=fused)
    q, k, v = (x.transpose(1, 2) for x in (*both.unbind(2), v.squeeze(2)))
    attended = F.scaled_dot_product_attention(q, k, v)  # (B, heads, T, D)
    return attended.transpose(1, 2).flatten(2)


def rotation(length: int, rates: Tensor) -> Tensor:
    """Cosines and sines of positions times ``rates`` (D / 2,), for `rotate`: (2, length, D).

    The first half of the sines is negative.
    """
    angle = torch.arange(length, device=rates.device)[:, None] * rates  # (T, D / 2)
    cos = torch.cat([angle.cos(), angle.cos()], dim=1)
    sin = torch.cat([-angle.sin(), angle.sin()], dim=1)
    return torch.stack([cos, sin])


def rotate(x: Tensor, rotation: Tensor, *, fused: bool) -> Tensor:
    """Turn pairs of channels of x (..., D) by the angles of `rotation`, (2, T, ..., D); D is even.

    ``fused`` rounds once where the plain form rounds twice. It is a little faster; a network keeps
    the form that it was trained with, so that its samples stay the same to the last bit.
    """
    cos, sin = rotation
    other = x.roll(x.shape[-1] // 2, dims=-1)
    turned = torch.addcmul(x * cos, other, sin) if fused else x * cos + other * sin
    return turned.to(x.dtype)
