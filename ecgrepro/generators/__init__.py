"""Class-conditional generators of ECG records, behind one protocol and one registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgrepro.errors import EcgreproError
from ecgrepro.generators.registry import GENERATORS, GeneratorInfo, find_generator

if TYPE_CHECKING:
    from ecgrepro.generators.base import Generator

__all__ = ["GENERATORS", "GeneratorInfo", "find_generator", "load_generator", "make_generator"]


def make_generator(
    name: str, settings: dict[str, Any] | None = None, seed: int = 0, device: str = "auto"
) -> Generator:
    """Create an untrained generator.

    Parameters
    ----------
    name
        A key of `GENERATORS`.
    settings
        Values of its settings; the others have their defaults.
    seed
        Seed of the training.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Raises
    ------
    EcgreproError
        The name, a key or a value of the settings is unknown or wrong; the message lists what is
        allowed.

    Examples
    --------
    >>> make_generator("unet", {"steps": 10}).settings.steps
    10
    """
    return find_generator(name).load_class()(settings, seed=seed, device=device)


def load_generator(directory: str | Path, device: str = "auto") -> Generator:
    """Load a saved generator of any model.

    Parameters
    ----------
    directory
        Written by `Generator.save`.
    device
        As for `make_generator`.

    Raises
    ------
    EcgreproError
        ``directory`` holds no saved generator, or a damaged one.
    """
    try:
        name = json.loads((Path(directory) / "generator.json").read_text())["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EcgreproError(f"{directory} is not a saved generator: {error!r}") from error
    return find_generator(name).load_class().load(directory, device=device)
