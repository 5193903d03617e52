"""The study's pages: which notebooks are executed with which parameters, and executing one.

A page is a notebook of ``notebooks/`` with parameters, which shows the results of its section.
Pages are executed by papermill, each in a process of its own; an executed notebook appears in the
run's folder only when every cell ran.
"""

from __future__ import annotations

import ast
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

from ecgrepro.errors import EcgreproError
from ecgrepro.generators.registry import GENERATORS
from ecgrepro.studies.arms import HOSPITALS, MERGED
from ecgrepro.studies.profiles import Profile, is_file_name
from ecgrepro.support.digests import json_digest
from ecgrepro.support.files import write_whole
from ecgrepro.support.provenance import PROJECT
from ecgrepro.workflow.sockets import own_sockets

if TYPE_CHECKING:
    from papermill.exceptions import PapermillExecutionError

FOLDER = PROJECT / "notebooks"
MADE_BY = "ECGREPRO_RUN"  # tells the notebook of a page the folder of the run that executes it
TITLES = {HOSPITALS[0]: "PTB-XL", HOSPITALS[1]: "Chapman", MERGED: "both hospitals merged"}
EXPLAINED = "03_closeness_explained"
SECTIONS = {
    "01_data": "Data",
    "02_generators": "Generator",
    "02_generators_compared": "Generators compared",
    "03_closeness": "Closeness",
    "03_closeness_checked": "The metrics, checked",
    EXPLAINED: "The metrics, explained",
    "04_augmentation": "Augmentation",
    "05_transfer": "Transfer",
    "06_claims": "The paper's claims",
    "07_recipes": "Synthetic data that helps",
}


@dataclass(frozen=True)
class Page:
    """A notebook with parameters; ``after``: the pages whose results its section reads."""

    section: str
    instance: str
    title: str
    parameters: dict[str, str]
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``<section>/<instance>``."""
        return f"{self.section}/{self.instance}"


def pages(profile: Profile) -> list[Page]:
    """All pages of a study, in reading order."""
    generators, both = list(profile.generators), (*HOSPITALS, MERGED)
    found: list[Page] = []

    def add(section: str, dataset: str, generator: str = "", after: Iterable[str] = ()) -> None:
        what = f"{GENERATORS[generator].title} on " if generator else ""
        given = {"dataset": dataset, **({"generator": generator} if generator else {})}
        instance = "-".join(given.values())
        title = f"{SECTIONS[section]}: {what}{TITLES[dataset]}"
        found.append(Page(section, instance, title, given, tuple(after)))

    for hospital in HOSPITALS:
        add("01_data", hospital)
    for section in ("02_generators", "02_generators_compared", "03_closeness"):
        for hospital in HOSPITALS:
            if section == "02_generators_compared":
                add(section, hospital, "", [f"02_generators/{hospital}-{g}" for g in generators])
            else:
                for name in generators:
                    add(section, hospital, name)
    for hospital in HOSPITALS:
        add("03_closeness_checked", hospital)
    found.append(Page(EXPLAINED, "all", SECTIONS[EXPLAINED], {}))
    for dataset in both:
        add("04_augmentation", dataset)
    for hospital in HOSPITALS:
        add("05_transfer", hospital)
    everything = tuple(page.name for page in found)  # it says on how many results it rests
    found.append(Page("06_claims", "all", SECTIONS["06_claims"], {}, everything))
    for hospital in HOSPITALS:
        add("07_recipes", hospital)
    return found


def find_page(profile: Profile, name: str) -> Page:
    """The page of that name; an unknown name raises with the known ones."""
    known = {page.name: page for page in pages(profile)}
    if name not in known:
        raise EcgreproError(f"unknown page {name!r}: choose one of {', '.join(known)}")
    return known[name]


def _cells(section: str) -> list[list]:
    """Kind, source and metadata of each cell, read without the notebook's schema: it is ours."""
    notebook = json.loads((FOLDER / f"{section}.ipynb").read_text("utf-8"))
    cells = notebook["cells"]
    return [[c["cell_type"], "".join(c["source"]), c["metadata"]] for c in cells]


@lru_cache
def _code_cells(section: str) -> tuple[str, ...]:
    code = (source for kind, source, _ in _cells(section) if kind == "code")
    return tuple(re.sub("^[%!].*", "", source, flags=re.M) for source in code)


@lru_cache
def notebook_digest(section: str) -> str:
    """Digest of what a notebook says and does, without its outputs."""
    return json_digest(_cells(section))


@lru_cache
def notebook_code(section: str) -> list[str]:
    """Dotted names of what a notebook imports from this package.

    Raises
    ------
    EcgreproError
        A cell is no Python.
    """
    found: dict[str, None] = {}
    for source in _code_cells(section):
        try:
            tree = ast.parse(source)
        except SyntaxError as error:
            where = FOLDER / f"{section}.ipynb"
            raise EcgreproError(f"{where}: {error} in the cell\n{source}") from error
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ecgrepro"):
                found |= dict.fromkeys(f"{node.module}.{alias.name}" for alias in node.names)
    return list(found)


def execute(page: Page, *, profile: str, data: str, run_dir: Path) -> Path:
    """Execute a page with papermill; return the executed notebook.

    Raises
    ------
    EcgreproError
        A cell failed: the message holds the cell and the error; the notebook with the failed cell
        is kept under ``failed/``, and an executed notebook of an earlier run is not touched here
        (as a job of the study it is: Snakemake removes the outputs of a job that failed).
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    target = run_dir / "notebooks" / f"{page.name}.ipynb"
    failed = run_dir / "failed" / f"{page.name}.ipynb"
    failed.parent.mkdir(parents=True, exist_ok=True)
    parameters = {"profile": profile, "data": data, "run": "own", "run_dir": str(run_dir)}
    started, clock = datetime.now(UTC), time.perf_counter()
    try:
        with own_sockets() as config, _told(run_dir):
            notebook = papermill.execute_notebook(
                FOLDER / f"{page.section}.ipynb",
                failed,
                {**parameters, **page.parameters},
                kernel_name="python3",
                cwd=FOLDER,
                progress_bar=False,
                config=config,
            )
    except PapermillExecutionError as error:
        raise EcgreproError(_explain(page, error, failed)) from error
    seconds = round(time.perf_counter() - clock, 1)
    results = json.loads((run_dir / "results" / f"{page.name}.json").read_text())
    notebook = scrub(notebook)
    notebook.metadata["ecgrepro"] = {
        **results["provenance"],
        "seed": ", ".join(map(str, results["provenance"].get("seeds", []))),
        "instance": page.instance,
        "title": page.title,
        "parameters": page.parameters,
        "command": command(page, profile, data),
        "started": started.isoformat(timespec="seconds"),
        "seconds": seconds,
    }
    write_whole(target, nbformat.writes(notebook) + "\n")
    failed.unlink()
    return target


@contextmanager
def _told(run_dir: Path) -> Iterator[None]:
    """Tell the kernels that are started here which run executes them."""
    os.environ[MADE_BY] = str(run_dir)
    try:
        yield
    finally:
        del os.environ[MADE_BY]


def command(page: Page, profile: str, data: str) -> str:
    """The command that executes a page again."""
    if is_file_name(profile):
        profile = Path(profile).name
    return f"ecgrepro run --profile {profile} --data {data} --page {page.name}"


def _explain(page: Page, error: PapermillExecutionError, failed: Path) -> str:
    trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error.traceback)).strip()
    return (
        f"{page.name}, cell {error.exec_count}: {error.ename}: {error.evalue}\n"
        f"--- the cell\n{error.source.strip()}\n--- the error\n{trace}\n---\n"
        f"the notebook up to this cell: {failed}"
    )


def scrub(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove timestamps, paths and machine facts that execution leaves in a notebook."""
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
         "language_info": {"name": "python"}}
    )  # fmt: skip
    cells = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        kept = {key: cell.metadata[key] for key in ("mystnb",) if key in cell.metadata}
        if "injected-parameters" in tags:
            cell.source = re.sub(r"^run_dir = .*\n?", "", cell.source, flags=re.M)
            cell.source = re.sub(r'^profile = "[^"]*/', 'profile = "', cell.source, flags=re.M)
        cell.metadata = nbformat.from_dict({**kept, **({"tags": tags} if tags else {})})
        cells.append(cell)
    notebook.cells = cells
    return notebook


def stored_pages() -> dict[str, str]:
    """For each section the page that its stored notebook shows, by its own parameters."""
    found = {}
    for section in SECTIONS:
        notebook = nbformat.read(FOLDER / f"{section}.ipynb", as_version=4)
        (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
        tree = ast.parse(cell.source).body
        given = {n.targets[0].id: ast.literal_eval(n.value) for n in tree}
        instance = "-".join(given[k] for k in ("dataset", "generator") if k in given)
        found[section] = f"{section}/{instance or 'all'}"
    return found


def store_notebook(section: str) -> Path:
    """Execute a notebook of ``notebooks/`` in place, with its own parameters, and scrub it.

    The stored outputs are what nbval compares with.
    """
    import nbclient

    path = FOLDER / f"{section}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(FOLDER)}}
    with own_sockets() as config:
        nbclient.NotebookClient(
            notebook, timeout=None, kernel_name="python3", resources=where, config=config
        ).execute()
    nbformat.write(scrub(notebook), path)
    return path
