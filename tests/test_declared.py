"""What the project declares about itself: dependencies, version, files for GitHub."""

import ast
import json
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ecgrepro
from ecgrepro.support.provenance import PROJECT

DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
# Modules of the package that only notebooks or Snakemake import, and what is imported if it is
# there; everything else in the package must do with the core.
OPTIONAL = {
    "ecgrepro/report/display.py": {"ipython"},
    "ecgrepro/workflow/pages.py": {"papermill", "nbclient"},
    "ecgrepro/workflow/plugins/snakemake_logger_plugin_ecgrepro/__init__.py": {
        "snakemake-interface-logger-plugins"
    },
}
BROUGHT = {  # by what is declared, as parts of the same project
    "snakemake-interface-logger-plugins": "snakemake",
    "docutils": "jupyter-book",
    "sphinx": "jupyter-book",
    "jupyter-client": "ipykernel",
    "matplotlib-inline": "ipykernel",
}
FOLDERS = {  # and the extras that their code may use
    "ecgrepro": (),
    "book": ("book",),
    "notebooks": ("book", "test"),
    "benchmarks": ("book", "log", "test"),
    "tests": ("book", "log", "test"),
}
PEERS = {"ecgen"}  # what a benchmark compares with; its text says how to get it
OWN = {path.stem for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py")}
OWN |= {"ecgrepro", "helpers", "snakemake_logger_plugin_ecgrepro"}


def declared(*extras: str) -> set[str]:
    """Distributions of the core and of some extras."""
    lines = [*DECLARED["dependencies"]]
    for extra in extras:
        lines += DECLARED["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def sources(folder: str):
    """Each file of a folder with its code; of a notebook the code cells."""
    for path in sorted((PROJECT / folder).rglob("*.py")):
        yield path, path.read_text()
    for path in sorted((PROJECT / folder).rglob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        yield path, "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def imported(code: str) -> set[str]:
    """Top names of the modules that are imported, at any depth of the code."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names} - OWN - PEERS - set(sys.stdlib_module_names)


@pytest.fixture(scope="module")
def owners():
    """For each importable name the distributions that bring it."""
    found = metadata.packages_distributions()
    return {name: {canonicalize_name(d) for d in names} for name, names in found.items()}


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_imported_is_declared(folder, owners):
    wrong = {}
    for path, code in sources(folder):
        name = path.relative_to(PROJECT).as_posix()
        allowed = declared(*FOLDERS[folder]) | OPTIONAL.get(name, set())
        for module in imported(code):
            known = owners.get(module, {canonicalize_name(module)})
            brought = {BROUGHT[d] for d in known if d in BROUGHT}
            if not (known | brought) & allowed:
                wrong.setdefault(name, []).append(module)
    assert not wrong


def test_what_is_declared_for_the_core_is_imported(owners):
    used = {module for _, code in sources("ecgrepro") for module in imported(code)}
    assert declared() <= set().union(*(owners[module] for module in used))


def test_optional_imports_are_declared_in_the_extra_of_the_book():
    book = declared("book")
    for names in OPTIONAL.values():
        assert {BROUGHT.get(name, name) for name in names} <= book


def test_every_requirement_is_pinned_once_and_all_that_is_declared_is():
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line.partition(" #")[0]) for line in lines if line and line[0] != "#"]
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins)
    assert declared(*DECLARED["optional-dependencies"]) <= set(names)


def test_the_version_is_one():
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    assert citation["version"] == ecgrepro.__version__ and DECLARED["dynamic"] == ["version"]
    changes = (PROJECT / "CHANGELOG.md").read_text()
    assert ecgrepro.__version__ in changes


def test_workflows_ask_for_few_permissions_and_pin_actions():
    paths = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
    assert [path.name for path in paths] == ["book.yml", "test.yml"]
    for path in paths:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"]
            for step in job["steps"]:
                assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_a_hook_runs_each_tool_that_is_pinned():
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    tools = {Path(hook["entry"].split()[0]).name for hook in hooks}
    assert {"ruff", "snakefmt", "codespell", "check-jsonschema"} <= tools
