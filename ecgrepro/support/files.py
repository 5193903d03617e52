"""Files and folders that appear complete or not at all."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ecgrepro.errors import EcgreproError


@contextlib.contextmanager
def whole_file(path: Path, *, durable: bool = False, held: bool = False) -> Iterator[BinaryIO]:
    """Open a file that replaces ``path`` when the block ends, and not if it raises.

    Parameters
    ----------
    path
        The file; its folder must exist.
    durable
        Whether the content is on the disk when the block has ended. Some file systems tell only
        then that they are full.
    held
        Whether no other process writes ``path`` meanwhile. Then what a killed process has left of
        it is written over; otherwise it stays, under the name of that process.

    Raises
    ------
    OSError
        If the file cannot be written; what was there before is kept.

    Examples
    --------
    >>> with whole_file(Path("facts.json")) as file:  # doctest: +SKIP
    ...     file.write(b"{}")
    """
    temporary = path.with_name(f"{path.name}.tmp" if held else f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_whole(path: Path, text: str) -> Path:
    """Write a text file that appears complete or not at all; what is there is replaced.

    Missing folders are made.

    Raises
    ------
    EcgreproError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        raise EcgreproError(
            f"cannot write {path}: {error.strerror or error}; free some space or name another "
            "place, then run again"
        ) from error
    return path


def write_state(path: Path, content: Any) -> None:
    """Replace a small JSON file that only this process writes; it is on the disk afterwards."""
    with whole_file(path, durable=True, held=True) as file:
        file.write(json.dumps(content, indent=1).encode())


@contextlib.contextmanager
def whole_folder(directory: Path, *, replace: bool = False, held: bool = False) -> Iterator[Path]:
    """A new folder to fill, which becomes ``directory`` when the block ends, and not if it raises.

    Parameters
    ----------
    directory
        The folder to make; its parents are made, too.
    replace
        Whether what is there goes.
    held
        As in `whole_file`.

    Raises
    ------
    OSError
        If the folder cannot be made or moved to its place.
    """
    if held:
        partial = partial_of(directory)
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial = directory.with_name(f"{directory.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        yield partial
        if replace:
            shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def partial_of(directory: Path) -> Path:
    """Where work that can be continued stands while it is not complete."""
    return directory.with_name(f"{directory.name}.partial")
