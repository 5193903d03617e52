"""Where a result comes from: code version, package versions, device, command."""

import importlib.metadata
import platform
import subprocess
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
PROJECT = PACKAGE.parent
_REPORTED = ("ecgrepro", "torch", "lightning-fabric", "numpy", "scipy", "pandas", "scikit-learn")
_REPORTED += ("wfdb", "neurokit2", "dtaidistance", "matplotlib")


def is_checkout(folder: Path) -> bool:
    """Whether a folder is the project's own, with the study's graph and its notebooks."""
    return (folder / "Snakefile").is_file() and (folder / "notebooks").is_dir()


def _git(*arguments: str) -> str | None:
    if not is_checkout(PROJECT):
        return None  # of an installed package, the repository around it is someone else's
    command = ["git", "-C", str(PROJECT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def commit() -> tuple[str, bool | None]:
    """The checkout's commit and whether tracked files differ from it; ``("unknown", None)``."""
    found = _git("rev-parse", "HEAD")
    if not found:
        return "unknown", None
    return found, bool(_git("status", "--porcelain", "--untracked-files=no"))


@lru_cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _REPORTED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
