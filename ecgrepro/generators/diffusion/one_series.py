"""The procedure of the package ``timediffusion``: a network fitted to one series.

A demonstration of what the paper's "Time-Diffusion" may have meant, not a generator: it knows no
classes, learns nothing from a second record, and every series that it synthesizes is a blend of
noise and the fitted one. There is no noise schedule either: it starts from uniform noise, and each
step subtracts the network's output.

Source of the procedure: version 0.4.1 of the package (MIT licence); the code here is our own.
"""

import math
from collections.abc import Iterable
from typing import cast

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
    """The package's causal temporal convolutional network, over (B, T, features).

    A pointwise layer with dropout, then blocks of dilation 1, 2, 4, ... up to the first that spans
    ``positions``, each with two weight-normalized causal convolutions of kernel 2 and ReLU. The
    sum of their outputs passes a last pointwise layer.

    Parameters
    ----------
    features
        Leads of the series.
    positions
        Samples of the series.
    filters
        Width of the blocks.
    """

    def __init__(self, features: int, positions: int, filters: int):
        super().__init__()
        dilations = [2**i for i in range(math.ceil(math.log2(positions)) + 1)]
        self.enter = weight_norm(nn.Linear(features, filters))
        self.blocks = nn.ModuleList(
            nn.ModuleList(Convolve(filters, filters, 2, dilation, causal=True) for _ in range(2))
            for dilation in dilations
        )
        for first, second in self._pairs():
            weight_norm(first.convolution)
            weight_norm(second.convolution)
        self.out = nn.Linear(filters, features)

    def _pairs(self) -> Iterable[tuple[Convolve, Convolve]]:
        """The two convolutions of each block."""
        return cast(Iterable[tuple[Convolve, Convolve]], self.blocks)

    def forward(self, x: Tensor) -> Tensor:
        """What to subtract from x (B, T, features), of the same shape."""
        h = total = F.dropout(F.relu(self.enter(x)), 0.05, self.training)
        for first, second in self._pairs():
            y = F.relu(second(F.relu(first(h))))
            h = F.relu(h + y)
            total = total + y
        return self.out(total)


class FittedSeries:
    """A network fitted to one series by `fit_one_series`.

    Attributes
    ----------
    network
        The fitted network.
    series
        The series, shape (samples, leads).
    steps
        Steps of an epoch of training.
    losses
        Training loss of each step.
    """

    def __init__(self, network: OneSeries, series: Tensor, steps: int, losses: list[float]):
        self.network, self.series, self.steps, self.losses = network, series, steps, losses

    @torch.no_grad()
    def synthesize(self, proximity: float, *, seed: int = 0, substeps: int = 10) -> np.ndarray:
        """Synthesize a series at a given proximity to the fitted one.

        Parameters
        ----------
        proximity
            From 0, the noise at the start, to 1, the nearest point that is reached. It is linear
            in the mean absolute distance to the series.
        seed
            Seed of the noise.
        substeps
            Parts into which each step of training is divided.

        Returns
        -------
        ndarray
            Shape (leads, samples), in units of the fitted series.

        Raises
        ------
        EcgreproError
            ``proximity`` is not between 0 and 1.
        """
        if not 0 <= proximity <= 1:
            raise EcgreproError(f"proximity lies between 0 and 1, not at {proximity!r}")
        self.network.eval()
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(self.series.shape, generator=generator)
        path = [x]
        for _ in range(self.steps * substeps):
            x = x - self.network(x[None])[0] / substeps
            path.append(x)
        distance = torch.stack([(x - self.series).abs().mean() for x in path])
        reached = (distance[0] - distance) / (distance[0] - distance.min())
        return path[int((reached - proximity).abs().argmin())].T.numpy()


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

    Each epoch starts from new uniform noise. In each of its ``steps`` the optimizer takes a step
    on ``|noise - y - series| + 0.01 KL(y || noise)``, where y is the network's output; then y is
    subtracted from the noise.

    Parameters
    ----------
    series
        Shape (leads, samples).
    epochs, steps
        Number of epochs, and of optimizer steps in each.
    batch
        Number of noise series in a batch.
    filters
        Channels of the network.
    seed
        Seed of initial weights, noise and dropout.

    Raises
    ------
    EcgreproError
        ``series`` has another number of dimensions, or values that are not finite.
    """
    if series.ndim != 2 or not np.isfinite(series).all():
        raise EcgreproError("one series has shape (leads, samples) and only finite values")
    target = torch.from_numpy(np.ascontiguousarray(series.T, np.float32))  # (T, leads)
    losses = []
    with torch.random.fork_rng(devices=[]):  # initialization and dropout use the global state
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
    """Kullback-Leibler divergence of two arrays taken as probabilities, divided by their size.

    Each array is scaled to [0, 1] by its own minimum and range, then to a sum of one.

    Parameters
    ----------
    x, reference
        Of the same shape.
    least
        Lower bound of the scaled values.
    """

    def probabilities(values: Tensor) -> Tensor:
        low = values.min()
        scaled = ((values - low) / (values.max() - low).clamp_min(least)).clamp(least, 1)
        return scaled / scaled.sum()

    p, q = probabilities(x), probabilities(reference)
    return (p * (p / q).log()).mean()
