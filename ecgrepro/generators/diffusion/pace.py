"""Pace: heart rate and RR variability of a record, as conditions beside its rhythm.

A rhythm says within what range the heart beats; the pace says where in it. Both are measured on
the training records by the detector of `ecgrepro.cohort.rpeaks`. A network that is told the pace
need not find out from noise how far apart the beats are, and repeats them more evenly; a sampler
asks for a pace between those of two similar training records of the class.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgrepro.cohort import Cohort
from ecgrepro.cohort.rpeaks import rates_and_variability
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.layers import STEP_WIDTH, Condition, sinusoids

STEADIEST = 0.005  # of the RR intervals' variability: less is below the resolution of a sample


def measure_pace(cohort: Cohort) -> Tensor:
    """Log of heart rate (beats per minute) and of RR variability, (records, 2).

    Both are NaN, unknown, where the detector fails.

    Raises
    ------
    EcgreproError
        If the sampling frequency or the number of leads does not suit the detector.
    """
    try:
        rates, variability = rates_and_variability(cohort.signals, cohort.fs)
    except EcgreproError as error:
        raise EcgreproError(
            f"cannot measure the pace of cohort {cohort.name!r}: {error}; or train with pace=false"
        ) from error
    pace = np.log(np.column_stack([rates, np.maximum(variability, STEADIEST)]))
    return torch.from_numpy(pace.astype(np.float32))


def draw_pace(seen: Tensor, rng: np.random.Generator) -> Tensor:
    """A pace between two of ``seen`` (records, 2) that are neighbours in rate, (2,).

    It lies within the range of those seen and, if there are several, is none of them.
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
    """Noise level, class and pace as one vector."""

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
