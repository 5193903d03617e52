"""What a checkout of the project has and the installed package alone has not."""

from pathlib import Path

from ecgrepro.errors import EcgreproError
from ecgrepro.support.provenance import PROJECT, is_checkout


def require_checkout(what: str) -> Path:
    """Return the checkout's folder.

    Parameters
    ----------
    what
        What needs it, as the message names it: ``"ecgrepro run"``.

    Raises
    ------
    EcgreproError
        The package is installed without the project around it: no notebooks, no profiles.
    """
    if not is_checkout(PROJECT):
        raise EcgreproError(
            f"{what} needs a checkout of the project, with its notebooks, profiles and reference "
            "results, and this is the installed package alone: get the project's source and run "
            "`make book` in its folder"
        )
    return PROJECT
