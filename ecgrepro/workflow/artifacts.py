"""Finished work on disk, found again by what it was made from.

A trained generator, a pool of synthetic records or the probabilities of one arm is a folder whose
name ends in a fingerprint of the settings, the data, the code and the package versions that made
it. Asking for it again opens it; changing any of them makes it anew; a killed run leaves a
``.partial`` folder in which long work finds its checkpoints.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from ecgrepro.errors import EcgreproError
from ecgrepro.support.code import code_fingerprint
from ecgrepro.support.digests import json_digest
from ecgrepro.support.files import partial_of
from ecgrepro.support.locks import exclusive
from ecgrepro.support.provenance import versions

MADE_FROM = "made_from.json"


def artifact(
    folder: Path,
    name: str,
    made_from: dict,
    code: Iterable[str],
    make: Callable[[Path], None],
    machine: Iterable[str] = (),
) -> Path:
    """The folder of a piece of work, made first if it is not there yet.

    Parameters
    ----------
    folder, name
        Where it stands, and how its name begins.
    made_from
        Everything that decides the outcome, as JSON values: settings, seeds, data fingerprints.
    code
        Dotted names of the functions and classes of this package that do the work; what they call
        counts too (`ecgrepro.support.code.code_fingerprint`).
    make
        Does the work inside the folder that it is given, in which an interrupted try may have left
        something.
    machine
        Keys of ``made_from`` that belong to the machine. With any, they and the versions of
        packages do not count: the folder may be copied from another machine. `MADE_FROM` records
        them.

    Raises
    ------
    EcgreproError
        The folder cannot be written, or ``code`` names nothing of this package.
    """
    here = {**made_from, "versions": versions()}
    counted = {k: v for k, v in made_from.items() if k not in machine}
    used = [code_fingerprint(*code)]
    key = json_digest([counted, used if machine else [*used, versions()]])
    target = folder / f"{name}-{key[:12]}"
    if not target.is_dir():
        with exclusive(target):
            if not target.is_dir():
                work = partial_of(target)
                try:
                    work.mkdir(parents=True, exist_ok=True)
                    make(work)
                    (work / MADE_FROM).write_text(json.dumps(here, indent=1))
                    work.rename(target)
                except OSError as error:
                    raise EcgreproError(
                        f"cannot write {work}: {error.strerror or error}; free some space or give "
                        "another folder, then run again"
                    ) from error
    return target


def made_on(place: Path) -> str:
    """The device that made a finished piece of work, which may have been copied here."""
    try:
        return json.loads((place / MADE_FROM).read_text())["device"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EcgreproError(
            f"{place} is incomplete ({error!r}): copy it again, or remove it to have it made here"
        ) from error
