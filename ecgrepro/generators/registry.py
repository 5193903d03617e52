"""The registry of generators: names, titles, classes, settings and capabilities.

Another generator is one file, with its settings beside it, and one entry in `GENERATORS`: profiles,
pages, the command line and the documentation derive everything else from that entry. Models are
imported when they are asked for, so that names and settings are known without torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecgrepro.errors import EcgreproError
from ecgrepro.generators import settings as built_in

if TYPE_CHECKING:
    from ecgrepro.generators.base import Generator


@dataclass(frozen=True)
class GeneratorInfo:
    """An entry of the registry.

    Attributes
    ----------
    name
        Key in profiles and on the command line: lower-case letters and digits.
    title
        Title on pages and in tables; text in brackets is left out where space is short.
    path
        The class, as ``package.module:Class``.
    settings
        The class of its settings, or ``package.module:Class``.
    description
        One sentence for the documentation.
    in_paper
        Whether it is one of the paper's generators.
    learns
        Whether it learns from recordings; one that does not is a control.
    published
        Settings of the published form, if that is trained for comparison.

    Examples
    --------
    >>> GENERATORS["unet"].short_title
    'U-Net diffusion'
    """

    name: str
    title: str
    path: str
    settings: type[built_in.GeneratorSettings] | str
    description: str
    in_paper: bool = False
    learns: bool = True
    published: Mapping[str, Any] | None = None

    @property
    def short_title(self) -> str:
        """The title without text in brackets."""
        return self.title.split(" (")[0]

    @property
    def definition(self) -> str:
        """The dotted name of the class."""
        return self.path.replace(":", ".")

    def load_class(self) -> type[Generator]:
        """Import the class of the generator."""
        return _load(self.path)

    def settings_class(self) -> type[built_in.GeneratorSettings]:
        """The class of its settings; of a built-in generator, it does not import PyTorch."""
        return _load(self.settings) if isinstance(self.settings, str) else self.settings


def _load(path: str) -> Any:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


_DIFFUSION = "ecgrepro.generators.diffusion"
_ENTRIES = (
    GeneratorInfo(
        "diffwave",
        "DiffWave",
        f"{_DIFFUSION}.diffwave:DiffWaveGenerator",
        built_in.DiffWaveSettings,
        "Diffusion with a stack of gated, dilated convolutions (Kong et al. 2021).",
        in_paper=True,
        published={
            "process": "ddpm",
            "fold": 1,
            "channels": 64,
            "blocks": 30,
            "cycle": 10,
            "embedding": 512,
            "modulated": False,
            "learning_rate": 2e-4,
            "sampler": "ancestral",
            "sampling_steps": 200,
            "guidance": 1.0,
        },
    ),
    GeneratorInfo(
        "timediffusion",
        "Time-Diffusion",
        f"{_DIFFUSION}.timediffusion:TimeDiffusionGenerator",
        built_in.TimeDiffusionSettings,
        "Diffusion with temporal convolutions, our reading of the package of that name.",
        in_paper=True,
    ),
    GeneratorInfo(
        "timevqvae",
        "Time-VQVAE",
        "ecgrepro.generators.timevqvae.generator:TimeVQVAEGenerator",
        built_in.TimeVQVAESettings,
        "Codes of two frequency bands, and a masked transformer over them (Lee et al. 2023).",
        in_paper=True,
    ),
    GeneratorInfo(
        "unet",
        "U-Net diffusion (ours, not in the paper)",
        f"{_DIFFUSION}.unet:UNetGenerator",
        built_in.UNetSettings,
        "Diffusion with a U-Net that is conditioned on heart rate and its variability, too.",
    ),
    GeneratorInfo(
        "simulator",
        "Simulator (no learning, not in the paper)",
        "ecgrepro.generators.simulator:SimulatorGenerator",
        built_in.SimulatorSettings,
        "The physiological model behind the simulated recordings: knowledge in place of training.",
        learns=False,
    ),
)
GENERATORS: dict[str, GeneratorInfo] = {entry.name: entry for entry in _ENTRIES}


def find_generator(name: str) -> GeneratorInfo:
    """The registry entry of a generator.

    Raises
    ------
    EcgreproError
        The name is unknown; the known ones are listed.

    Examples
    --------
    >>> find_generator("simulator").learns
    False
    """
    if name not in GENERATORS:
        raise EcgreproError(
            f"unknown generator {name!r}: choose one of {', '.join(map(repr, GENERATORS))}"
        )
    return GENERATORS[name]


def paper_generators() -> list[str]:
    """Names of the paper's generators.

    Examples
    --------
    >>> paper_generators()
    ['diffwave', 'timediffusion', 'timevqvae']
    """
    return [name for name, entry in GENERATORS.items() if entry.in_paper]


def learned_generators() -> list[str]:
    """Names of the generators that learn from recordings."""
    return [name for name, entry in GENERATORS.items() if entry.learns]
