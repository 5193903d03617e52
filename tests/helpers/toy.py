"""A generator in one file: records with noise. `tests/generators/test_registry.py` adds it."""

from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.generators.base import Generator, record_seeds
from ecgrepro.generators.representation import to_channels
from ecgrepro.generators.settings import GeneratorSettings


class ToySettings(GeneratorSettings):
    """``noise``: its standard deviation in parts of the records' own."""

    noise: float = Field(default=0.1, ge=0)


class ToyGenerator(Generator):
    """The first training record of the class, with white noise."""

    name = "toy"
    settings: ToySettings

    def _fit(
        self, cohort: Cohort, validation: Cohort | None, checkpoint_dir: str | Path | None
    ) -> None:
        first = [int(np.flatnonzero(cohort.table["rhythm"] == c)[0]) for c in self.shape.trained]
        self.records = torch.from_numpy(to_channels(self.shape, cohort.signals[first]))
        self.facts = {"parameters": self.records.numel(), "training_seconds": 0.0, "evaluations": 1}

    def _draw(
        self, plan: list[tuple[str, int]], *, seed: int, guidance: float | None, steps: int | None
    ) -> np.ndarray:
        shape = self._fitted()
        drawn = []
        for (code, _), rng in zip(plan, record_seeds(plan, shape.classes, seed), strict=True):
            record = self.records[shape.trained.index(code)].numpy()
            drawn.append(record + self.settings.noise * rng.standard_normal(record.shape))
        return np.stack(drawn).astype(np.float32)

    def _state(self) -> dict[str, Tensor]:
        return {"records": self.records}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self.records = tensors["records"]
