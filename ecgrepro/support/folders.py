"""Folders that a command makes: complete or not there, and nothing overwritten unasked."""

import os
import shutil
from pathlib import Path

from ecgrepro.errors import EcgreproError

EXPORT = "export.json"
# What each kind of folder is known by, and the files that belong to it.
_KINDS = {
    "generator.json": ("generator.json", "weights.safetensors"),
    "cohort.json": ("cohort.json", "signals.npy", "table.csv"),
    EXPORT: (EXPORT, "RECORDS", "labels.csv"),
}


def check_free(directory: Path, *, force: bool) -> None:
    """Raise if a folder may not be made at ``directory``.

    It may if there is nothing or an empty folder; with ``force`` also if there is a generator, a
    cohort or an export that this package wrote, and no other file among it.
    """
    directory = Path(directory)
    if not directory.exists() and not directory.is_symlink():
        return
    if not directory.is_dir() or directory.is_symlink():
        raise EcgreproError(f"{directory} is not a folder: choose another place")
    names = {entry.name for entry in os.scandir(directory)}
    if not names:
        return
    if not force:
        raise EcgreproError(
            f"{directory} already exists and is not empty: choose another place, or replace it "
            "with --force"
        )
    if foreign := sorted(names - _own(directory, names)):
        raise EcgreproError(
            f"{directory} holds {foreign[0]}, which is no part of a generator, a cohort or an "
            "export of ecgrepro: --force does not delete it; choose another place"
        )


def put_in_place(made: Path, directory: Path, *, force: bool) -> Path:
    """Rename the complete folder ``made`` to ``directory``, under the rules of `check_free`."""
    check_free(directory, force=force)
    old = None
    try:
        if directory.exists():
            old = directory.with_name(f"{directory.name}.old-{os.getpid()}")
            directory.rename(old)
        made.rename(directory)
    except OSError as error:
        raise EcgreproError(f"cannot move {made} to {directory}: {error.strerror}") from error
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return directory


def _own(directory: Path, names: set[str]) -> set[str]:
    """The names that belong to what the folder is, of those that are there."""
    own: set[str] = set()
    for mark, files in _KINDS.items():
        if mark in names:
            own.update(files)
    if EXPORT in names and "RECORDS" in names:
        for record in (directory / "RECORDS").read_text(errors="replace").split():
            own.update((f"{record}.hea", f"{record}.dat"))
    return own
