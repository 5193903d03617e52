"""The study's pages: which notebooks are executed with which parameters, and executing one.

A page is a notebook of ``notebooks/`` with parameters. Pages are executed by papermill, each in a
process of its own; an executed notebook appears in the run's folder only when every cell ran.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import nbformat

from ecgrepro.errors import EcgreproError
from ecgrepro.studies.profiles import GENERATORS, Profile, is_file_name, load_profile
from ecgrepro.support.provenance import PROJECT, closure, imported, module_file
from ecgrepro.workflow.progress import clear, followed
from ecgrepro.workflow.sockets import own_sockets

FOLDER = PROJECT / "notebooks"
HOSPITALS = {"ptb-xl": "PTB-XL", "chapman": "Chapman"}
EXPLAINED = "03_closeness_explained"
MERGED = {"merged": "both hospitals merged"}
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
    "07_helping": "Synthetic data that helps",
}
GRIDS = ("04_augmentation", "05_transfer", "07_helping")  # run arms in as many processes as given
STATUS = "page-status:"  # how a page's process tells the front end where it is


@dataclass(frozen=True)
class Page:
    """A notebook with parameters; ``after``: the pages whose finished work it builds on."""

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
    generators, both = list(profile.generators), {**HOSPITALS, **MERGED}
    found: list[Page] = []

    def add(section: str, dataset: str, generator: str, after: Iterable[str]) -> None:
        what = f"{GENERATORS[generator]} on " if generator else ""
        given = {"dataset": dataset, **({"generator": generator} if generator else {})}
        instance = "-".join(given.values())
        title = f"{SECTIONS[section]}: {what}{both[dataset]}"
        found.append(Page(section, instance, title, given, tuple(after)))

    for hospital in HOSPITALS:
        add("01_data", hospital, "", ())
    for hospital in HOSPITALS:
        for name in generators:
            add("02_generators", hospital, name, [f"01_data/{hospital}"])
    made = {h: [f"02_generators/{h}-{g}" for g in generators] for h in HOSPITALS}
    for hospital in HOSPITALS:
        add("02_generators_compared", hospital, "", made[hospital])
    for hospital in HOSPITALS:
        for name in generators:
            add("03_closeness", hospital, name, [f"02_generators/{hospital}-{name}"])
    for hospital in HOSPITALS:
        add("03_closeness_checked", hospital, "", [f"01_data/{hospital}"])
    found.append(Page(EXPLAINED, "all", SECTIONS[EXPLAINED], {}))
    for dataset in both:
        add("04_augmentation", dataset, "", made.get(dataset) or sum(made.values(), []))
    for hospital in HOSPITALS:
        add("05_transfer", hospital, "", made[hospital])
    everything = tuple(page.name for page in found)  # it says on how many results it rests
    found.append(Page("06_claims", "all", SECTIONS["06_claims"], {}, everything))
    for hospital in HOSPITALS:
        needed = (profile.helper, *({"simulator"} & set(generators)))
        add("07_helping", hospital, "", [f"02_generators/{h}-{g}" for h in made for g in needed])
    return found


def find_page(profile: Profile, name: str) -> Page:
    """The page of that name; an unknown name raises with the known ones."""
    known = {page.name: page for page in pages(profile)}
    if name not in known:
        raise EcgreproError(f"unknown page {name!r}: choose one of {', '.join(known)}")
    return known[name]


def source_files(page: Page) -> list[Path]:
    """The notebook and every file of the package that executing it may use."""
    notebook = FOLDER / f"{page.section}.ipynb"
    files = [module_file(f"ecgrepro.generators.{page.parameters.get('generator')}")]
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            try:
                files += imported(re.sub("^[%!].*", "", cell.source, flags=re.M))  # magics
            except SyntaxError as error:
                raise EcgreproError(f"{notebook}: {error} in the cell\n{cell.source}") from error
    return [notebook, *closure(file for file in files if file)]


def execute(page: Page, *, profile: str, data: str, run_dir: Path, workers: int = 1) -> Path:
    """Execute a page with papermill; return the executed notebook.

    ``workers``: processes that run the arms of a page in `GRIDS`.

    Raises
    ------
    EcgreproError
        A cell failed: the message holds the cell and the error; the notebook with the failed cell
        is kept under ``failed/``, and an executed notebook of an earlier run is not touched here
        (as a step of the study it is: Snakemake removes the outputs of a step that failed).
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    target = run_dir / "notebooks" / f"{page.name}.ipynb"
    failed = run_dir / "failed" / f"{page.name}.ipynb"
    failed.parent.mkdir(parents=True, exist_ok=True)
    parameters = {"profile": profile, "data": data, "run_dir": str(run_dir), **page.parameters}
    if page.section in GRIDS:
        parameters["workers"] = workers
    threads = str(load_profile(profile, data).threads)
    os.environ.update(OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic on a GPU
    started, clock = datetime.now(UTC), time.perf_counter()
    told = _Told(page.name)
    try:
        with followed(told.work), own_sockets() as config:
            notebook = papermill.execute_notebook(
                FOLDER / f"{page.section}.ipynb",
                failed,
                parameters,
                engine_name=_reporting_engine(told),
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
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    nbformat.write(notebook, temporary)
    temporary.rename(target)
    failed.unlink()
    return target


def tell(line: str) -> None:
    """Say something to the front end, in one write: several pages share one pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def command(page: Page, profile: str, data: str) -> str:
    """The command that executes a page again."""
    if is_file_name(profile):
        profile = Path(profile).name
    return f"ecgrepro run --profile {profile} --data {data} --page {page.name}"


class _Told:
    """Tells the front end where a page is: in which cell, and how far the work in it."""

    def __init__(self, page: str):
        self.page, self.place = page, ""

    def cell(self, number: int, of: int) -> None:
        self.place = f"{number}/{of}"
        clear()
        tell(f"{STATUS} {self.page} {self.place}")

    def work(self, done: str) -> None:
        tell(f"{STATUS} {self.page} {self.place}, {done}")


def _reporting_engine(told: _Told) -> str:
    """Papermill's engine, which also tells the cell that it has come to."""
    from papermill.engines import NBClientEngine, papermill_engines

    class ReportingEngine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, **kwargs):
            start = nb_man.cell_start

            def cell_start(cell, cell_index=None, **more):
                told.cell(cell_index + 1, len(nb_man.nb.cells))
                return start(cell, cell_index=cell_index, **more)

            nb_man.cell_start = cell_start
            return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)

    papermill_engines.register("reporting", ReportingEngine)
    return "reporting"


def _explain(page: Page, error, failed: Path) -> str:
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
            cell.source = re.sub(r"^(run_dir|workers) = .*\n?", "", cell.source, flags=re.M)
            cell.source = re.sub(r'^profile = "[^"]*/', 'profile = "', cell.source, flags=re.M)
        cell.metadata = nbformat.from_dict({**kept, **({"tags": tags} if tags else {})})
        cells.append(cell)
    notebook.cells = cells
    return notebook


def store(name: str) -> Path:
    """Execute a notebook of ``notebooks/`` in place, with its own parameters, and scrub it.

    The stored outputs are what nbval compares with.
    """
    import nbclient

    path = FOLDER / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    where = {"metadata": {"path": str(FOLDER)}}
    with own_sockets() as config:
        nbclient.NotebookClient(
            notebook, timeout=None, kernel_name="python3", resources=where, config=config
        ).execute()
    nbformat.write(scrub(notebook), path)
    return path
