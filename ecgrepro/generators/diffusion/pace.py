"""Pace: heart rate and RR variability of a record, as conditions besides its rhythm.

A rhythm allows a range of heart rates; the pace is a point in that range. It is measured on the
training records by the detector of `ecgrepro.cohort.rpeaks`. A network that knows the pace need
not infer the distance of beats from noise, and repeats beats more evenly. For a sample, a pace
between those of two similar training records of its class is drawn.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.cohort.rpeaks import rates_and_variability
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.layers import STEP_WIDTH, Condition, sinusoids

MIN_VARIABILITY = 0.005  # of RR intervals: less is below the resolution of a sample


def measure_pace(cohort: Cohort) -> Tensor:
    """Measure the pace of all records.

    Returns
    -------
    Tensor
        Log of heart rate (beats per minute) and of RR variability, shape (records, 2); both NaN
        where the detector fails.

    Raises
    ------
    EcgreproError
        The detector cannot work with the sampling frequency or the leads.
    """
    try:
        rates, variability = rates_and_variability(cohort.signals, cohort.fs)
    except EcgreproError as error:
        raise EcgreproError(
            f"cannot measure the pace of cohort {cohort.name!r}: {error}; or train with pace=false"
        ) from error
    pace = np.log(np.column_stack([rates, np.maximum(variability, MIN_VARIABILITY)]))
    return torch.from_numpy(pace.astype(np.float32))


def draw_pace(seen: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw a pace between those of two training records that are neighbours in heart rate.

    Parameters
    ----------
    seen
        Pace of training records, shape (records, 2), see `measure_pace`.
    rng
        Random number generator of the sample.

    Returns
    -------
    Tensor
        Shape (2,). NaN if no pace is known; the known one if there is only one.
    """
    known = seen[~seen.isnan().any(1)]
    if not len(known):
        return torch.full((2,), torch.nan)
    ordered = known[known[:, 0].argsort(stable=True)]
    if len(ordered) == 1:
        return ordered[0]
    first = int(rng.integers(len(ordered) - 1))
    return torch.lerp(ordered[first], ordered[first + 1], float(rng.uniform()))


class PaceCondition(Condition):
    """Embedding of noise level, class and pace as one vector; parameters as `Condition`."""

    def __init__(self, classes: int, width: int):
        super().__init__(classes, width)
        self.pace = nn.Sequential(
            nn.Linear(2 * STEP_WIDTH, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, noise_level: Tensor, labels: Tensor) -> Tensor:
        """noise_level (B,), labels (B, 3) of class, log rate, log variability -> (B, width)."""
        known = ~labels.isnan().any(1, keepdim=True)
        rate, variability = labels.nan_to_num()[:, 1:].unbind(1)
        pace = self.pace(torch.cat([sinusoids(rate), sinusoids(variability / 4)], dim=1))
        both = self.level(sinusoids(noise_level)) + self.label(labels[:, 0].long())
        return F.silu(both + torch.where(known, pace, 0.0))
