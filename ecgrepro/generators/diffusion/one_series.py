"""The procedure of the package ``timediffusion``: a network fitted to one series, and variations.

A demonstration of what the paper's "Time-Diffusion" may have meant, not a generator: it knows no
classes, learns nothing from a second record, and every series that it makes is a blend of noise
and the one that it was fitted to. There is no noise schedule either: uniform noise is taken apart
step by step, each step subtracting what the network says.

Source of the procedure: version 0.4.1 of the package (MIT licence); the code here is our own.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from tqdm import tqdm

from ecgrepro.errors import EcgreproError
from ecgrepro.generators.layers import Convolve

KL_WEIGHT = 0.01
LEARNING_RATE = 4e-4


class OneSeries(nn.Module):
    """Causal temporal convolutions over (B, T, features), as many as reach over ``positions``.

    A pointwise block with dropout, then dilations 1, 2, 4, ...; each of two weight-normalized
    causal convolutions of kernel 2 with ReLU. The sum of the blocks' outputs passes a pointwise
    layer.
    """

    def __init__(self, features: int, positions: int, filters: int):
        super().__init__()
        dilations = [2**i for i in range(math.ceil(math.log2(positions)) + 1)]
        self.enter = weight_norm(nn.Linear(features, filters))
        self.blocks = nn.ModuleList(
            nn.ModuleList(Convolve(filters, filters, 2, dilation, causal=True) for _ in range(2))
            for dilation in dilations
        )
        for first, second in self.blocks:
            weight_norm(first.convolution)
            weight_norm(second.convolution)
        self.out = nn.Linear(filters, features)

    def forward(self, x: Tensor) -> Tensor:
        """The part of x (B, T, features) that is to be taken away, of the same shape."""
        h = total = F.dropout(F.relu(self.enter(x)), 0.05, self.training)
        for first, second in self.blocks:
            y = F.relu(second(F.relu(first(h))))
            h = F.relu(h + y)
            total = total + y
        return self.out(total)


class FittedSeries:
    """What `fit_one_series` returns.

    Attributes
    ----------
    losses
        Training loss of each step.
    """

    def __init__(self, network: OneSeries, series: Tensor, steps: int, losses: list[float]):
        self.network, self.series, self.steps, self.losses = network, series, steps, losses

    @torch.no_grad()
    def synthesize(self, proximity: float, *, seed: int = 0, substeps: int = 10) -> np.ndarray:
        """A series as near to the fitted one as ``proximity`` says: 0 noise, 1 the series.

        The way from noise is gone in ``substeps`` parts of each training step. Nearness is the
        mean absolute distance to the series, scaled to 0 at the start and 1 at the nearest point
        of the way.

        Returns
        -------
        ndarray
            Shape (leads, samples), in units of the fitted series.
        """
        if not 0 <= proximity <= 1:
            raise EcgreproError(f"proximity lies between 0 and 1, not at {proximity!r}")
        self.network.eval()
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(self.series.shape, generator=generator)
        way = [x]
        for _ in range(self.steps * substeps):
            x = x - self.network(x[None])[0] / substeps
            way.append(x)
        distance = torch.stack([(x - self.series).abs().mean() for x in way])
        nearness = (distance[0] - distance) / (distance[0] - distance.min())
        return way[int((nearness - proximity).abs().argmin())].T.numpy()


def fit_one_series(
    series: np.ndarray,
    *,
    epochs: int = 20,
    steps: int = 32,
    batch: int = 2,
    filters: int = 128,
    seed: int = 0,
) -> FittedSeries:
    """Fit the network to one z-scored record.

    In each epoch fresh uniform noise is taken apart in ``steps`` steps; each is one optimizer step
    on ``|noise - y - series| + 0.01 KL(y || noise)`` for the network's answer y, after which the
    noise becomes noise - y.

    Parameters
    ----------
    series
        Shape (leads, samples).
    batch
        Noises that are taken apart together.
    filters
        Channels of the network.
    """
    if series.ndim != 2 or not np.isfinite(series).all():
        raise EcgreproError("one series has shape (leads, samples) and only finite values")
    target = torch.from_numpy(np.ascontiguousarray(series.T, np.float32))  # (T, leads)
    losses = []
    with torch.random.fork_rng(devices=[]):  # dropout and initialization draw from the global state
        torch.manual_seed(seed)
        network = OneSeries(target.shape[1], target.shape[0], filters).train()
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        for _ in tqdm(range(epochs), desc="one series", unit="epoch", disable=None):
            noise = torch.rand(batch, *target.shape)
            for _ in range(steps):
                taken = network(noise)
                loss = (noise - taken - target).abs().mean()
                loss = loss + KL_WEIGHT * divergence(taken, noise)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                noise = noise - taken.detach()
                losses.append(loss.item())
    return FittedSeries(network, target, steps, losses)


def divergence(x: Tensor, reference: Tensor, least: float = 1e-6) -> Tensor:
    """Mean term of the Kullback-Leibler divergence of two arrays read as probabilities.

    Each is brought to [0, 1] by its own minimum and range, and to a sum of one.
    """

    def probabilities(values: Tensor) -> Tensor:
        low = values.min()
        scaled = ((values - low) / (values.max() - low).clamp_min(least)).clamp(least, 1)
        return scaled / scaled.sum()

    p, q = probabilities(x), probabilities(reference)
    return (p * (p / q).log()).mean()
