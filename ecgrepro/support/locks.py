"""Locks between processes."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock

from ecgrepro.errors import EcgreproError


@contextlib.contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold the lock beside ``target``; say so when another process has it, and wait.

    Raises
    ------
    EcgreproError
        If the lock cannot be written.
    """
    lock = filelock.FileLock(f"{target}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            print(f"another process is making {target.name}: waiting", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise cannot_write(target.parent, error) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def exclusive_or_refused(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock ``path``; raise an EcgreproError of that text when another process has it."""
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise EcgreproError(refusal) from None
    try:
        yield
    finally:
        lock.release()


def cannot_write(where: Path, error: OSError) -> EcgreproError:
    """The error to raise when the cache cannot be written."""
    return EcgreproError(
        f"cannot write to {where}: {error.strerror or error}; "
        "free some space or choose another place with ECGREPRO_CACHE"
    )
