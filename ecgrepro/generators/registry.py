"""The one list of generators: what each is called, where it is, what it can.

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
        As profiles and the command line have it: lower-case letters and digits.
    title
        As pages and tables have it; what stands in brackets is left out where there is little room.
    path
        The class, as ``package.module:Class``.
    settings
        The class of its settings, or its place as ``package.module:Class``.
    description
        What it is, in a sentence.
    in_paper
        Whether it is one of the paper's generators.
    learns
        Whether it learns from recordings; one that does not is a control.
    published
        Settings of the form in which it was published, where that form is trained as well.

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
        """The title without what stands in brackets."""
        return self.title.split(" (")[0]

    @property
    def definition(self) -> str:
        """The dotted name of the class."""
        return self.path.replace(":", ".")

    def load_class(self) -> type[Generator]:
        """The class; imports its module."""
        return _load(self.path)

    def settings_class(self) -> type[built_in.GeneratorSettings]:
        """The class of its settings."""
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
    """The entry of a generator.

    Raises
    ------
    EcgreproError
        There is none of that name; the known ones are listed.
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
