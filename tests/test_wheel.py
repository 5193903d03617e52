"""The wheel in an environment of its own, which holds what the wheel declares and no more.

Large dependencies are not downloaded again: the environment reads those of the one that runs the
tests, and refuses every module that no declared dependency brings.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest
from helpers import judged
from helpers.judged import write_judged_folders
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ecgrepro
from ecgrepro.support.provenance import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text", "ecgrepro")
# Modules that only notebooks or Snakemake import, and what they need beside the core.
EXTRA = {
    "ecgrepro.report.display": "IPython",
    "ecgrepro.workflow.plugins.snakemake_logger_plugin_ecgrepro": (
        "snakemake_interface_logger_plugins"
    ),
}
IMPORT_ALL = """
import importlib, json, sys
from pathlib import Path
import ecgrepro
root = Path(ecgrepro.__file__).parent
failed = {}
for path in sorted(root.rglob("*.py")):
    parts = ("ecgrepro", *path.relative_to(root).with_suffix("").parts)
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    if name != "ecgrepro.__main__":
        try:
            importlib.import_module(name)
        except Exception as error:
            failed[name] = [type(error).__name__, getattr(error, "name", ""), str(error)]
print(json.dumps({"root": str(root), "failed": failed}))
"""
HELP_ALL = """
import typer
from typer.testing import CliRunner
from ecgrepro.cli.main import app

def walk(command, words):
    yield words
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, [*words, name])

for words in walk(typer.main.get_command(app), []):
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0 and "Usage:" in done.output, (words, done.output)
    print(*words or ["ecgrepro"])
"""


def declared(name: str, extras: tuple[str, ...] = ()) -> set[str]:
    """Names of the distributions that one needs, itself included, at any depth."""
    found, todo = set(), [(canonicalize_name(name), extras)]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in found:
            continue
        found.add((name, extras))
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, needs):
            for extra in extras or ("",):
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                    todo.append(
                        (canonicalize_name(requirement.name), tuple(sorted(requirement.extras)))
                    )
    return {name for name, _ in found}


def core_dependencies(wheel: Path) -> set[str]:
    """Distributions that the wheel's own metadata asks for without any extra, at any depth."""
    (found,) = metadata.distributions(path=[str(wheel)])
    needs = [Requirement(text) for text in found.requires or []]
    core = [r for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})]
    return set().union(*(declared(r.name, tuple(sorted(r.extras))) for r in core))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of the sources."""
    place = tmp_path_factory.mktemp("wheel")
    (place / "source").mkdir()
    for name in SOURCES:
        source, copy = PROJECT / name, place / "source" / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(place), str(place / "source")]
    subprocess.run(command, check=True)
    (built,) = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of commands of an environment with the wheel and what it declares."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place)
    commands = place / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(commands / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([commands / "python", "-c", ask], text=True).strip())
    allowed = core_dependencies(site)
    assert {"torch", "jinja2", "numpy"} <= allowed and "ipython" not in allowed
    names = [
        name
        for name, owners in metadata.packages_distributions().items()
        if not allowed & {canonicalize_name(owner) for owner in owners} and name != "ecgrepro"
    ]
    assert {"IPython", "snakemake", "papermill", "sphinx", "pytest"} <= set(names)
    (site / "REFUSED").write_text("\n".join(names))
    shutil.copy(Path(judged.__file__).with_name("refused.py"), site / "sitecustomize.py")
    (site / "dependencies.pth").write_text(str(Path(pytest.__file__).parents[1]))
    return commands


def call(installed: Path, place: Path, *command: object) -> subprocess.CompletedProcess:
    """Run a command of the environment in a folder that is no checkout."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ECGREPRO"))}
    environment["ECGREPRO_CACHE"] = str(place / "cache")
    words = [str(installed / command[0]), *map(str, command[1:])]
    return subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True)


def test_every_module_imports(installed, tmp_path):
    done = call(installed, tmp_path, "python", "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not Path(found["root"]).is_relative_to(PROJECT)
    needed = {name: missing for name, (_, missing, _) in found["failed"].items()}
    assert {k: (v or "").partition(".")[0] for k, v in needed.items()} == EXTRA, found["failed"]


def test_every_command_explains_itself(installed, tmp_path):
    done = call(installed, tmp_path, "python", "-c", HELP_ALL)
    assert done.returncode == 0, done.stderr
    assert {"ecgrepro", "run", "train", "sample", "closeness", "data describe"} <= set(
        done.stdout.splitlines()
    )


def test_the_version_is_one(installed, wheel, tmp_path):
    assert f"-{ecgrepro.__version__}-" in wheel.name
    for command in (["ecgrepro", "--version"], ["python", "-m", "ecgrepro", "--version"]):
        done = call(installed, tmp_path, *command)
        assert done.stdout == f"ecgrepro {ecgrepro.__version__}\n", done.stderr


@pytest.mark.parametrize(
    "command",
    [["run"], ["profiles"], ["freeze", "--run-dir", "x"], ["store", "--run-dir", "x"],
     ["job", "page", "x", "--profile", "p", "--data", "real", "--run-dir", "x", "--key", "k"]],
    ids=lambda command: command[0],
)  # fmt: skip
def test_what_needs_a_checkout_says_so_in_a_sentence(installed, tmp_path, command):
    done = call(installed, tmp_path, "ecgrepro", *command)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.count("\n") == 1 and "`make book`" in done.stderr
    assert done.stderr.startswith(
        f"ecgrepro: ecgrepro {command[0]} needs a checkout of the project"
    )
    assert not list(tmp_path.iterdir())


def test_closeness_train_and_sample_work_without_a_checkout(installed, tmp_path):
    write_judged_folders(tmp_path)
    options = ["--scale", "mV", "--train", "1-4", "--validation", "5"]
    done = call(
        installed, tmp_path, "ecgrepro", "closeness", "--real", "real", "--synthetic", "made",
        *options, "--test", "6-10", "--classifier", "classifier", "--records", 45,
        "--resamples", 20, "--seconds", 0.001,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "closeness.html").read_text()
    assert "<h1>Closeness: made to real</h1>" in page and "<li>commit: unknown</li>" in page
    done = call(installed, tmp_path, "ecgrepro", "train", "simulator", "--dataset", "real",
                *options, "--set", "hospital=chapman", "--out", "simulator")  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = call(installed, tmp_path, "ecgrepro", "sample", "simulator", "--rhythm", "SR=2",
                "--out", "samples")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "samples" / "RECORDS").read_text().split() == ["SR_000000", "SR_000001"]
    done = call(installed, tmp_path, "ecgrepro", "train", "unet", "--dataset", "real",
                "--profile", "quick", "--out", "unet")  # fmt: skip
    assert done.returncode == 1 and "profile 'quick', unlike the path" in done.stderr
