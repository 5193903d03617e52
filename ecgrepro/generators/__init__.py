"""Class-conditional generators of ECG records, all behind one protocol and one registry.

Another model is one new file, its settings in ``settings.py``, and one line in `GENERATORS`. The
models are imported when they are asked for: names and settings are known without torch.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgrepro.errors import EcgreproError

if TYPE_CHECKING:
    from ecgrepro.generators.base import Generator

GENERATORS: dict[str, str] = {
    "diffwave": "ecgrepro.generators.diffusion.diffwave:DiffWaveGenerator",
    "timediffusion": "ecgrepro.generators.diffusion.timediffusion:TimeDiffusionGenerator",
    "unet": "ecgrepro.generators.diffusion.unet:UNetGenerator",
    "simulator": "ecgrepro.generators.simulator:SimulatorGenerator",
    "timevqvae": "ecgrepro.generators.timevqvae.generator:TimeVQVAEGenerator",
}


def generator_class(name: str) -> type[Generator]:
    """The class registered under ``name``; unknown names raise."""
    if name not in GENERATORS:
        raise EcgreproError(
            f"unknown generator {name!r}: choose one of {', '.join(map(repr, GENERATORS))}"
        )
    module, attribute = GENERATORS[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def make_generator(
    name: str, settings: dict[str, Any] | None = None, seed: int = 0, device: str = "auto"
) -> Generator:
    """An untrained generator; an unknown name or key raises with what is allowed."""
    return generator_class(name)(settings, seed=seed, device=device)


def load_generator(directory: str | Path, device: str = "auto") -> Generator:
    """Load a saved generator of whichever model ``directory`` holds."""
    try:
        name = json.loads((Path(directory) / "generator.json").read_text())["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EcgreproError(f"{directory} is not a saved generator: {error!r}") from error
    return generator_class(name).load(directory, device=device)
