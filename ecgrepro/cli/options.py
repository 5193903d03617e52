"""Options that several commands share, and reading what is given to them."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from ecgrepro.errors import EcgreproError

Device = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu or cuda.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace what an earlier command wrote to --out.")
]


def read_folds(option: str, text: str) -> list[int]:
    """``1-7`` or ``1,2,3`` or both; ``none`` is empty."""
    if option == "--validation" and text.strip() == "none":
        return []
    folds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,2})\s*(?:-\s*(\d{1,2})\s*)?", part)
        span = range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(0)
        if not span or span[0] < 1 or span[-1] > 10:
            raise EcgreproError(f"{option} {text!r}: expected folds from 1 to 10, as 1-7 or 1,2,3")
        folds += span
    return folds


def read_device(name: str) -> str:
    """The device's name, if there is such a device."""
    import torch

    try:
        if name != "auto":
            torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        raise EcgreproError(f"--device {name} cannot be used ({said}): try auto") from None
    return name


def spell(folds: list[int]) -> str:
    """Folds as they are given: ``1,2,3``."""
    return ",".join(map(str, folds)) or "none"
