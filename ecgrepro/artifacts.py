"""Finished work on disk, found again by what it was made from.

A trained generator, a pool of synthetic records or the probabilities of one arm is a folder whose
name ends in a fingerprint of the settings, the data, the source code and the package versions that
made it. Asking for it again opens it; changing any of them makes it anew; a killed run leaves a
``.partial`` folder in which long work finds its checkpoints.
"""

import hashlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path

from ecgrepro.datasets.build import exclusive
from ecgrepro.errors import EcgreproError
from ecgrepro.provenance import code_fingerprint, versions


def artifact(
    folder: Path, name: str, made_from: dict, module: str, make: Callable[[Path], None]
) -> Path:
    """The folder of a piece of work, made first if it is not there yet.

    Parameters
    ----------
    folder, name
        Where it stands, and how its name begins.
    made_from
        Everything that decides the outcome, as JSON values: settings, seeds, data fingerprints.
    module
        The module of this package that does the work; its source and all that it imports count.
    make
        Does the work inside the folder that it is given, in which an interrupted try may have left
        something. Its own source counts too.
    """
    code = [code_fingerprint(module), inspect.getsource(make), versions()]
    key = json.dumps([made_from, code], sort_keys=True)
    target = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if not target.is_dir():
        with exclusive(target):
            if not target.is_dir():
                work = target.with_name(f"{target.name}.partial")
                try:
                    work.mkdir(parents=True, exist_ok=True)
                    make(work)
                    (work / "made_from.json").write_text(json.dumps(made_from, indent=1))
                    work.rename(target)
                except OSError as error:
                    raise EcgreproError(
                        f"cannot write {work}: {error.strerror or error}; free some space or give "
                        "another folder, then run again"
                    ) from error
    return target
