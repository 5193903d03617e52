"""A saved generator: ``generator.json``, with checksums, and ``weights.safetensors``."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ecgrepro.errors import EcgreproError
from ecgrepro.support.digests import file_digest, json_digest
from ecgrepro.support.files import whole_folder

VERSION = 3  # of the file format, of checkpoints and of unfinished pools
FACTS, WEIGHTS = "generator.json", "weights.safetensors"


def write_saved(directory: Path, facts: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    """Write a generator to a new folder, completely or not at all.

    Parameters
    ----------
    directory
        Must not exist.
    facts
        JSON values, among them ``name``. The file also has the version of the format, the SHA-256
        of the weights, and a seal: the SHA-256 of everything else in the file.
    tensors
        Weights by name.

    Raises
    ------
    EcgreproError
        ``directory`` exists or cannot be written.
    """
    if directory.exists():
        raise EcgreproError(f"{directory} already exists: remove it or choose another place")
    try:
        with whole_folder(directory) as partial:
            packed = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
            save_file(packed, partial / WEIGHTS)
            facts = {"format": VERSION, **facts, "sha256": file_digest(partial / WEIGHTS)}
            facts["seal"] = _seal(facts)
            (partial / FACTS).write_text(json.dumps(facts, indent=1))
            for name in (FACTS, WEIGHTS):
                with (partial / name).open("rb") as file:
                    os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        raise EcgreproError(f"cannot save the generator to {directory}: {error}") from error
    return directory


def read_saved(directory: Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read and verify a saved generator.

    Parameters
    ----------
    directory
        Written by `write_saved`.
    name
        Of the model that is expected.

    Returns
    -------
    facts, tensors
        As given to `write_saved`; tensors on the CPU.

    Raises
    ------
    EcgreproError
        ``directory`` is no saved generator, is of another version or model, or either file is
        truncated or was changed.
    """
    try:
        facts = json.loads((directory / FACTS).read_text())
        digest = file_digest(directory / WEIGHTS)
        version, found = facts["format"], facts["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EcgreproError(f"{directory} is not a saved generator: {error!r}") from error
    if version != VERSION:
        raise EcgreproError(
            f"{directory} has format {version}, this version reads {VERSION}: "
            "train the generator again"
        )
    if found != name:
        raise EcgreproError(f"{directory} holds a {found} generator, not {name}")
    if facts.get("seal") != _seal(facts):
        raise EcgreproError(
            f"{directory / FACTS} was changed after it was saved (its seal is broken), so its "
            "settings and weights do not belong together: restore it or train the generator again"
        )
    if facts.get("sha256") != digest:
        raise EcgreproError(
            f"{directory / WEIGHTS} is truncated or altered (its SHA-256 is not the one in "
            f"{FACTS}): restore it or train the generator again"
        )
    try:
        return facts, load_file(directory / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise EcgreproError(f"{directory / WEIGHTS} cannot be read: {error}") from error


def saved_digest(directory: Path) -> str:
    """SHA-256 of a saved generator's weights, as recorded with them.

    Raises
    ------
    EcgreproError
        ``directory`` is no saved generator.
    """
    try:
        return json.loads((directory / FACTS).read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EcgreproError(f"{directory} is not a saved generator: {error!r}") from error


def _seal(facts: dict[str, Any]) -> str:
    """SHA-256 of the facts without the seal, in canonical JSON."""
    held = {key: value for key, value in facts.items() if key != "seal"}
    return json_digest(json.loads(json.dumps(held)))  # as they are read back
