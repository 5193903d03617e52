"""Where a result comes from: code version, package versions, device, command."""

import ast
import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
PROJECT = PACKAGE.parent
_STYLE = {
    PACKAGE / "figures" / "charts.py": PACKAGE / "figures" / "ecgrepro.mplstyle"
}  # files that a module reads
_REPORTED = ("ecgrepro", "torch", "lightning-fabric", "numpy", "scipy", "pandas", "scikit-learn")
_REPORTED += ("wfdb", "neurokit2", "dtaidistance", "matplotlib")


@lru_cache
def _imports(path: Path) -> list[Path]:
    return imported(path.read_text(encoding="utf-8"))


def imported(source: str) -> list[Path]:
    """Files of this package that the source imports, at any level of nesting."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return [f for name in sorted(names) if (f := module_file(name))]


def module_file(name: str) -> Path | None:
    """The file of a module of this package; None for anything else."""
    if name.split(".")[0] != PACKAGE.name:
        return None
    path = PACKAGE.joinpath(*name.split(".")[1:])
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file() and file != PACKAGE / "__init__.py":
            return file
    return None


def closure(files: Iterable[Path]) -> list[Path]:
    """The files and all files of this package that they import or read, directly or not, sorted."""
    found: set[Path] = set()
    todo = list(files)
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo.extend(_imports(file))
    return sorted(found | {style for module, style in _STYLE.items() if module in found})


def _git(*arguments: str) -> str | None:
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


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _REPORTED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
