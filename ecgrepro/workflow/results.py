"""Asking for the results of a section by name, from a run of one's own or from a stored one.

What is there is read in a moment, without recordings and without torch. What a run of one's own
lacks is made first, by the study's one engine (`ecgrepro.workflow.runner`).
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgrepro.errors import EcgreproError
from ecgrepro.studies.profiles import load_profile
from ecgrepro.support.files import whole_file
from ecgrepro.support.provenance import PROJECT
from ecgrepro.support.results import Result, read_content, write_results
from ecgrepro.workflow.jobs import Graph, run_directory
from ecgrepro.workflow.pages import MADE_BY, find_page
from ecgrepro.workflow.sections import Section

OWN = "own"
STORED = PROJECT / "reference"
RESULTS, FIGURES = "results", "figures"
_FACTS = "facts"  # the array that holds a section's facts as JSON


@dataclass(frozen=True)
class SectionResults:
    """What the notebook of a section shows.

    Attributes
    ----------
    section, instance
        For example ``04_augmentation`` and ``ptb-xl``.
    rows
        Results.
    facts, arrays
        See `ecgrepro.workflow.sections.Section`.
    provenance
        What the results were computed from and by.
    """

    section: str
    instance: str
    rows: list[Result]
    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]
    provenance: dict[str, Any]

    @property
    def status(self) -> str:
        """Kind of recordings: ``"simulated"``, ``"partial real"`` or ``"full real"``."""
        return self.provenance["data"]


def ask(
    section: str,
    dataset: str = "",
    generator: str = "",
    *,
    run: str = OWN,
    profile: str = "smoke",
    data: str = "simulated",
    run_dir: str | Path | None = None,
) -> SectionResults:
    """The results of a section.

    Parameters
    ----------
    section
        For example ``"04_augmentation"``.
    dataset, generator
        What the section is asked for, where it has several instances.
    run
        ``"own"``: the run of ``profile`` on ``data`` recordings, which makes what it lacks. Or a
        run that comes with the project: ``"smoke"`` (simulated recordings, brief trainings, numbers
        mean nothing), ``"partial"`` or ``"confirm"`` (real recordings).
    run_dir
        Folder of a run of one's own, by default ``runs/<profile>-<data>``. In a page that this run
        executes, its results are there and are shown as they are.

    Raises
    ------
    EcgreproError
        The run is unknown, or a stored run has no results of this section.

    Examples
    --------
    >>> found = ask("05_transfer", "chapman", run="partial")
    >>> found.status
    'partial real'
    """
    instance = "-".join(filter(None, (dataset, generator))) or "all"
    if run != OWN:
        return read_section(stored_run(run), section, instance)
    directory = Path(run_dir) if run_dir else run_directory(profile, data)
    name = find_page(load_profile(profile, data), f"{section}/{instance}").name
    inside = os.environ.get(MADE_BY) == str(directory)
    if not inside and not is_current(Graph(profile, data, directory), name):
        from ecgrepro.workflow.runner import run_study

        run_study(profile, data, directory=directory, results=name)
    return read_section(directory, section, instance)


def stored_run(name: str) -> Path:
    """The folder of a run that comes with the project; an unknown name raises."""
    known = sorted(path.name for path in STORED.glob("*/") if (path / RESULTS).is_dir())
    if name not in known:
        raise EcgreproError(
            f"unknown run {name!r}: choose {OWN!r}, your own, or one that comes with the project: "
            f"{', '.join(map(repr, known))}"
        )
    return STORED / name


def read_section(folder: Path, section: str, instance: str) -> SectionResults:
    """Read what `write_section` wrote; figure data may be absent in a stored run.

    Raises
    ------
    EcgreproError
        There are no such results, or a file is damaged.
    """
    path = folder / RESULTS / section / f"{instance}.json"
    if not path.is_file():
        raise EcgreproError(
            f"no results of {section}/{instance} in {folder.name}: show a run of your own with "
            f"run = {OWN!r}"
        )
    content = read_content(path)
    facts, arrays = _read_figures(folder / FIGURES / section / f"{instance}.npz", folder.name)
    try:
        rows = [Result(**row) for row in content["results"]]
    except TypeError as error:
        raise EcgreproError(
            f"{path} is not a results file ({error}): remove it and run again"
        ) from error
    return SectionResults(section, instance, rows, facts, arrays, content["provenance"])


class _Absent(dict):
    """Figure data that a stored run does not hold: whoever reads an entry is told so."""

    def __init__(self, run: str, page: str):
        self._said = (
            f"the run {run!r} holds numbers but no figure data of {page}: show a run of your own "
            f"with run = {OWN!r}"
        )

    def __missing__(self, key: str) -> None:
        raise EcgreproError(self._said)


def _read_figures(path: Path, run: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not path.is_file():
        absent = _Absent(run, f"{path.parent.name}/{path.stem}")
        return absent, absent
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return json.loads(str(arrays.pop(_FACTS))), arrays
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise EcgreproError(f"{path} is damaged ({error}): remove it and run again") from error


def write_section(
    directory: Path, name: str, section: Section, provenance: dict[str, Any]
) -> tuple[Path, Path]:
    """Write a section's results and figure data; ``name`` is ``<section>/<instance>``."""
    figures = directory / FIGURES / f"{name}.npz"
    facts = np.array(json.dumps(section.facts, sort_keys=True))
    figures.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(figures) as file:
        arrays: dict[str, Any] = {_FACTS: facts, **section.arrays}
        np.savez_compressed(file, **arrays)
    facts = {"section": name.split("/", maxsplit=1)[0], **provenance, **section.provenance}
    return write_results(directory / RESULTS / f"{name}.json", section.rows, facts), figures


def is_current(graph: Graph, name: str) -> bool:
    """Whether a section's results are there, made by the code and settings of now."""
    path = graph.directory / RESULTS / f"{name}.json"
    figures = graph.directory / FIGURES / f"{name}.npz"
    if not (path.is_file() and figures.is_file()):
        return False
    return read_content(path)["provenance"].get("key") == graph.section_key(name)
