"""The physiological simulator as a generator, a control that learns nothing."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.cohort.preprocess import preprocess
from ecgrepro.errors import EcgreproError
from ecgrepro.generators.base import Generator, record_seeds
from ecgrepro.generators.representation import to_channels
from ecgrepro.generators.settings import SimulatorSettings
from ecgrepro.simulation.records import HOSPITALS, VERSION, simulate_records

_FS = 500  # Hz, before preprocessing


class SimulatorGenerator(Generator):
    """Simulated records, preprocessed as recordings are; see `SimulatorSettings`.

    `fit` learns nothing. It only notes which classes the cohort has, so that pools match those of
    the other generators. A class of several rhythms (label map ``rhythm4``) is simulated by the
    rhythm of the same name, GSVT by sinus tachycardia (ST).
    """

    name = "simulator"
    settings: SimulatorSettings

    def _fit(
        self, cohort: Cohort, validation: Cohort | None, checkpoint_dir: str | Path | None
    ) -> None:
        self.facts = {"parameters": 0, "training_seconds": 0.0, "evaluations": 1}

    def _draw(
        self, plan: list[tuple[str, int]], *, seed: int, guidance: float | None, steps: int | None
    ) -> np.ndarray:
        shape = self._fitted()
        hospital = self.settings.hospital or _hospital(shape.source)
        drawn = []
        rngs = record_seeds(plan, shape.classes, seed)
        for (code, _), rng in zip(plan, rngs, strict=True):
            rhythm = {"GSVT": "ST"}.get(code, code)
            own = int(rng.integers(2**62))
            raw = simulate_records([rhythm], hospital=hospital, seed=own, fs=_FS)[0]
            drawn.append(preprocess(raw, _FS, fs=shape.fs, scale=shape.units))
        return to_channels(shape, np.stack(drawn))

    def _state(self) -> dict[str, Tensor]:
        return {"version": torch.tensor([VERSION])}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        found = int(tensors["version"])
        if found != VERSION:
            raise EcgreproError(
                f"saved with version {found} of the simulator, which is {VERSION} now and gives "
                "other records: fit it again"
            )


def _hospital(source: str) -> str:
    """The hospital whose recordings, real or simulated, ``source`` names."""
    found = [name for name in HOSPITALS if name in source]
    if not found:
        raise EcgreproError(
            f"the simulator imitates {', '.join(HOSPITALS)}, not {source!r}: set its 'hospital'"
        )
    return found[0]
