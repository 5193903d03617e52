"""Fingerprints of code: what a piece of work does, not how its source is worded.

A fingerprint is taken of the syntax trees of some definitions and of everything in this package
that they name, directly or not, without docstrings, comments and type annotations
(`ecgrepro.support.syntax`). So a reworded docstring makes nothing anew, and a changed constant two
modules away does.
"""

from __future__ import annotations

import contextlib
import json
import platform
from functools import lru_cache
from pathlib import Path

from ecgrepro.errors import EcgreproError
from ecgrepro.support.digests import json_digest
from ecgrepro.support.files import write_whole
from ecgrepro.support.places import cache_root
from ecgrepro.support.syntax import Package

PACKAGE = Path(__file__).parents[1]
_DATA_FILES = {"ecgrepro.figures.style": ("figures/ecgrepro.mplstyle",)}  # that a module reads


@lru_cache
def code_fingerprint(*names: str) -> str:
    """SHA-256 of definitions of this package and of all that they name in it, directly or not.

    Parameters
    ----------
    names
        Dotted names of functions, classes, constants or modules; a package stands for all of its
        modules. Methods are not told apart: a class counts as a whole, with its bases. What an
        object is told to do is not followed, unless its class is named somewhere; name such
        classes here.

    Returns
    -------
    str
        64 hexadecimal digits. They do not depend on docstrings, comments, type annotations,
        layout, or definitions that are not used. Statements of a used module that define nothing
        count, and so do the data files that it reads.

    Raises
    ------
    EcgreproError
        If a name is no module of this package and no definition in one.

    Examples
    --------
    >>> len(code_fingerprint("ecgrepro.closeness.compare.compare"))
    64
    """
    return _memory().fingerprint(*names)


@lru_cache
def _memory() -> Memory:
    return Memory(Package(PACKAGE, _DATA_FILES), cache_root() / "code.json")


class Memory:
    """Fingerprints that were taken before: a package that has not changed is not parsed again.

    Parameters
    ----------
    package
        What fingerprints are of.
    file
        Where they are kept, beside the state of the package's files: names, sizes, times.
    """

    def __init__(self, package: Package, file: Path):
        self.package, self.file = package, file
        self.state = self._state_of_files()
        self._known = self._read()

    def fingerprint(self, *names: str) -> str:
        """As `code_fingerprint`."""
        asked = " ".join(names)
        if asked not in self._known:
            self._known[asked] = self.package.fingerprint(*names)
            # Other processes have added theirs. Without a place to keep them, work goes on.
            content = {"state": self.state, "fingerprints": {**self._read(), **self._known}}
            with contextlib.suppress(EcgreproError):
                write_whole(self.file, json.dumps(content))
        return self._known[asked]

    def _state_of_files(self) -> str:
        root = self.package.root
        found: list[list] = [[str(root), platform.python_version()]]
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                status = path.stat()
                found.append([str(path), status.st_size, status.st_mtime_ns])
        return json_digest(found)

    def _read(self) -> dict[str, str]:
        try:
            content = json.loads(self.file.read_text())
            return dict(content["fingerprints"]) if content["state"] == self.state else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
