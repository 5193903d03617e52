"""The diffusion networks and processes as one would write them first: slow, plain, fp32.

Each network here is the same function as the one in `ecgrepro.generators`, in channels-first order
with `Conv1d`, normalization and attention spelled out. `plain` makes one from the fast one and
copies its weights; tests prove that outputs and gradients are equal, `benchmarks/generators.py`
measures what the difference costs.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ecgrepro.generators.diffusion.diffwave import Add, DiffWave
from ecgrepro.generators.diffusion.pace import PaceCondition
from ecgrepro.generators.diffusion.timediffusion import TemporalConvolutions
from ecgrepro.generators.diffusion.unet import UNet
from ecgrepro.generators.layers import sinusoids


class EDM(nn.Module):
    """The denoiser of Karras et al. 2022, table 1, with one ``sigma_data`` for the whole signal."""

    def __init__(self, network, sigma_data: float):
        super().__init__()
        self.network, self.sigma_data = network, sigma_data

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        s, sd = sigma[:, None, None], self.sigma_data
        skip = sd**2 / (s**2 + sd**2)
        out = s * sd / (s**2 + sd**2).sqrt()
        scaled = x / (s**2 + sd**2).sqrt()
        network = self.network(scaled.transpose(1, 2), sigma.log() / 4, labels).transpose(1, 2)
        return skip * x + out * network

    def weight(self, sigma: Tensor) -> Tensor:
        return (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2


class PlainCondition(nn.Module):
    def __init__(self, classes: int, width: int):
        super().__init__()
        self.level = nn.Sequential(nn.Linear(128, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes, width)

    def forward(self, noise_level, labels):
        return F.silu(self.level(sinusoids(noise_level)) + self.label(labels))


class PlainPaceCondition(PlainCondition):
    """With the pace, (B, 3) labels, record by record."""

    def __init__(self, classes: int, width: int):
        super().__init__(classes, width)
        self.pace = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, noise_level, labels):
        rows = []
        for level, (label, rate, variability) in zip(noise_level, labels, strict=True):
            row = self.level(sinusoids(level[None])) + self.label(label.long())
            if not rate.isnan():
                both = [sinusoids(rate[None]), sinusoids(variability[None] / 4)]
                row = row + self.pace(torch.cat(both, dim=1))
            rows.append(row)
        return F.silu(torch.cat(rows))


class PlainModulate(nn.Module):
    """Layer norm over the channels of (B, C, T), then scale and shift."""

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.project = nn.Linear(condition, 2 * channels)

    def forward(self, h, condition):
        mean = h.mean(1, keepdim=True)
        variance = (h - mean).pow(2).mean(1, keepdim=True)
        h = (h - mean) / torch.sqrt(variance + 1e-5)
        scale, shift = self.project(condition)[:, :, None].chunk(2, dim=1)
        return h * (1 + scale) + shift


class PlainAdd(nn.Module):
    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.project = nn.Linear(condition, channels)

    def forward(self, h, condition):
        return h + self.project(condition)[:, :, None]


class PlainGatedBlock(nn.Module):
    """The residual block of lmnt-com/diffwave."""

    def __init__(self, channels: int, dilation: int, entry: nn.Module):
        super().__init__()
        self.entry = entry
        self.convolve = nn.Conv1d(channels, 2 * channels, 3, padding=dilation, dilation=dilation)
        self.split = nn.Conv1d(channels, 2 * channels, 1)

    def forward(self, h, condition):
        y = self.convolve(self.entry(h, condition))
        gate, value = torch.chunk(y, 2, dim=1)
        y = self.split(torch.sigmoid(gate) * torch.tanh(value))
        residual, skip = torch.chunk(y, 2, dim=1)
        return (h + residual) / math.sqrt(2.0), skip


class PlainDiffWave(nn.Module):
    def __init__(self, fast: DiffWave):
        super().__init__()
        channels, features = fast.stem.weight.shape
        classes, embedding = fast.condition.label.weight.shape
        entry = PlainAdd if isinstance(fast.blocks[0].entry, Add) else PlainModulate
        self.condition = PlainCondition(classes, embedding)
        self.stem = nn.Conv1d(features, channels, 1)
        self.blocks = nn.ModuleList(
            PlainGatedBlock(channels, dilation_of(b.convolve), entry(channels, embedding))
            for b in fast.blocks
        )
        self.head = nn.Conv1d(channels, channels, 1)
        self.out = nn.Conv1d(channels, features, 1)

    def forward(self, x, noise_level, labels):
        condition = self.condition(noise_level, labels)
        h = F.relu(self.stem(x.transpose(1, 2)))
        skips = []
        for block in self.blocks:
            h, skip = block(h, condition)
            skips.append(skip)
        total = torch.sum(torch.stack(skips), dim=0) / math.sqrt(len(self.blocks))
        return self.out(F.relu(self.head(total))).transpose(1, 2)


class PlainAttention(nn.Module):
    """Softmax of all scores, and the rotation of each pair of channels by an angle of its own."""

    def __init__(self, channels: int, heads: int, condition: int):
        super().__init__()
        self.heads = heads
        self.modulate = PlainModulate(channels, condition)
        self.project = nn.Conv1d(channels, 3 * channels, 1)
        self.out = nn.Conv1d(channels, channels, 1)

    def forward(self, h, condition):
        y = self.project(self.modulate(h, condition))
        parts = [p.unflatten(1, (self.heads, -1)) for p in y.chunk(3, dim=1)]  # (B, H, D, T)
        q, k, v = (p.transpose(2, 3) for p in parts)
        scores = self.turn(q) @ self.turn(k).transpose(2, 3) / math.sqrt(q.shape[-1])
        y = torch.softmax(scores, dim=-1) @ v  # (B, H, T, D)
        return h + self.out(y.transpose(2, 3).flatten(1, 2))

    @staticmethod
    def turn(x):
        """Pairs (d, d + D / 2) as complex numbers times exp(i * position * speed)."""
        length, width = x.shape[-2:]
        speed = 10 ** torch.linspace(0, -2.5, width // 2)
        angle = torch.outer(torch.arange(length).float(), speed)
        real, imaginary = x.chunk(2, dim=-1)
        z = torch.complex(real.contiguous(), imaginary.contiguous()) * torch.exp(1j * angle)
        return torch.cat([z.real, z.imag], dim=-1)


class PlainStage(nn.Module):
    def __init__(self, inputs: int, outputs: int, heads: int, embedding: int):
        super().__init__()
        self.modulate = PlainModulate(inputs, embedding)
        self.first = nn.Conv1d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv1d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = PlainAttention(outputs, heads, embedding)

    def forward(self, h, condition):
        y = self.modulate(h, condition)
        y = self.second(F.silu(self.first(F.silu(y))))
        return self.attention(self.shortcut(h) + y, condition)


class PlainUNet(nn.Module):
    def __init__(self, fast: UNet):
        super().__init__()
        features, first = fast.out.weight.shape
        classes, embedding = fast.condition.label.weight.shape
        paced = isinstance(fast.condition, PaceCondition)

        def stage(like):
            outputs, inputs = like.first.convolution.weight.shape[:2]
            return PlainStage(inputs, outputs, like.attention.heads, embedding)

        self.condition = (PlainPaceCondition if paced else PlainCondition)(classes, embedding)
        self.stem = nn.Conv1d(features, first, 3, padding=1)
        self.down = nn.ModuleList(nn.ModuleList(map(stage, s)) for s in fast.down)
        self.up = nn.ModuleList(nn.ModuleList(map(stage, s)) for s in fast.up)
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for layer in fast.shrink:
            width, finer = layer.out_features, layer.in_features // 2
            self.shrink.append(nn.Conv1d(finer, width, 2, stride=2))
            self.grow.append(nn.Conv1d(width, 2 * finer, 1))
        self.middle = stage(fast.middle)
        self.norm = PlainModulate(first, embedding)
        self.out = nn.Conv1d(first, features, 1)

    def forward(self, x, noise_level, labels):
        length, levels = x.shape[1], len(self.down)
        condition = self.condition(noise_level, labels)
        h = F.pad(x.transpose(1, 2), (0, -length % 2 ** (levels - 1)))
        h = self.stem(h)
        skips = []
        for i in range(levels):
            if i > 0:
                h = self.shrink[i - 1](h)
            for stage in self.down[i]:
                h = stage(h, condition)
                skips.append(h)
        h = self.middle(h, condition)
        for i in range(levels - 1, -1, -1):
            for stage in self.up[i]:
                h = stage(torch.cat([h, skips.pop()], dim=1), condition)
            if i > 0:
                even, odd = self.grow[i - 1](h).chunk(2, dim=1)
                h = torch.stack([even, odd], dim=-1).flatten(2)
        h = F.silu(self.norm(h, condition))
        return self.out(h)[:, :, :length].transpose(1, 2)


class PlainTemporalBlock(nn.Module):
    """Two weight-normalized convolutions; a causal one is padded twice and cut (Bai 2018)."""

    def __init__(self, channels: int, kernel: int, dilation: int, embedding: int):
        super().__init__()
        self.causal = kernel == 2
        self.reach = dilation * (kernel - 1)
        padding = self.reach if self.causal else self.reach // 2
        self.modulate = PlainModulate(channels, embedding)
        convolutions = [
            nn.Conv1d(channels, channels, kernel, padding=padding, dilation=dilation)
            for _ in range(2)
        ]
        self.first, self.second = map(weight_norm, convolutions)

    def cut(self, y):
        return y[:, :, : -self.reach] if self.causal else y

    def forward(self, h, condition):
        y = F.relu(self.cut(self.first(self.modulate(h, condition))))
        return F.relu(h + self.cut(self.second(y)))


class PlainTemporalConvolutions(nn.Module):
    def __init__(self, fast: TemporalConvolutions):
        super().__init__()
        channels, features = fast.stem.weight.shape
        classes, embedding = fast.condition.label.weight.shape
        self.condition = PlainCondition(classes, embedding)
        self.stem = nn.Conv1d(features, channels, 1)
        self.blocks = nn.ModuleList(
            PlainTemporalBlock(
                channels, b.first.convolution.kernel_size[-1], dilation_of(b.first), embedding
            )
            for b in fast.blocks
        )
        self.out = nn.Conv1d(channels, features, 1)

    def forward(self, x, noise_level, labels):
        condition = self.condition(noise_level, labels)
        h = F.relu(self.stem(x.transpose(1, 2)))
        outputs = [h]
        for block in self.blocks:
            h = block(h, condition)
            outputs.append(h)
        total = torch.stack(outputs).sum(0) / math.sqrt(len(outputs))
        return self.out(total).transpose(1, 2)


PLAIN = {
    DiffWave: PlainDiffWave,
    UNet: PlainUNet,
    TemporalConvolutions: PlainTemporalConvolutions,
}


def plain(fast: nn.Module) -> nn.Module:
    """The plain form of a network of `ecgrepro.generators`, with the same weights."""
    network = PLAIN[type(fast)](fast)
    network.load_state_dict(plain_tensors(fast.state_dict(), network))
    return network


def plain_tensors(tensors: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Weights or gradients of the fast network, with the names and shapes of ``network``."""
    shapes = {k: v.shape for k, v in network.state_dict().items()}
    found = {}
    for key, value in tensors.items():
        name = key.replace(".convolution.", ".")
        if name.startswith("shrink.") and name.endswith("weight"):
            value = value.unflatten(1, (2, -1)).transpose(1, 2)  # (out, in, kernel)
        found[name] = value.reshape(shapes[name])
    return found


def dilation_of(layer: nn.Module) -> int:
    return layer.convolution.dilation[-1]


def assert_equal_to_plain(fast: nn.Module, positions: int) -> None:
    """Outputs and gradients of a network with random weights, to 1e-5 of their size."""
    generator = torch.Generator().manual_seed(0)
    for p in fast.parameters():
        nn.init.normal_(p, std=0.3, generator=generator)
    network = plain(fast)
    features = fast.out.out_features
    x = torch.randn(4, positions, features, generator=generator)
    level, labels = torch.randn(4, generator=generator), torch.tensor([0, 1, 2, 1])
    if isinstance(fast.condition, PaceCondition):
        pace = torch.randn(4, 2, generator=generator)
        pace[1] = torch.nan  # unknown
        labels = torch.column_stack([labels, pace])
    found, expected = fast(x, level, labels), network(x, level, labels)
    assert relative(found, expected) < 1e-5
    chosen = torch.randn(found.shape, generator=generator)
    (found * chosen).sum().backward()
    (expected * chosen).sum().backward()
    gradients = plain_tensors({k: p.grad for k, p in fast.named_parameters()}, network)
    for name, p in network.named_parameters():
        assert relative(gradients[name], p.grad) < 1e-4, name


def relative(found: Tensor, expected: Tensor) -> float:
    """Of two tensors, the size of the difference over the size."""
    return ((found - expected).norm() / expected.norm().clamp_min(1e-12)).item()
