"""The book of a run: gather prose and executed notebooks, render them as HTML.

The checkout is itself a valid book (``_config.yml``, ``_toc.yml``) with one stored notebook per
section. A run executes each of them several times, once per data set or generator. ``stage`` lays
the executed ones out as pages below their section, and ``build`` renders the whole. The book
executes nothing and computes nothing.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import nbformat
import yaml

from ecgrepro.errors import EcgreproError
from ecgrepro.support.files import write_whole
from ecgrepro.support.provenance import PROJECT, commit, versions

SECTIONS = "notebooks/"  # entries of _toc.yml below this folder are executed per instance
# Pages of a section in this order, then by name.
_ORDER = ("ptb-xl", "chapman", "merged")
# Names that a notebook may give to figures, tables, equations and headings. Several instances of
# a notebook would define each of them several times.
_LABEL = r"(?:fig|tab|eq|sec)-[\w-]+"
_DEFINITION = re.compile(
    rf"^\s*(?:\(({_LABEL})\)=|:(?:name|label): ({_LABEL})|.*\$\$\s*\(({_LABEL})\))\s*$", re.M
)


def stage(run_dir: Path | str, project: Path = PROJECT) -> Path:
    """Lay out the sources of a run's book under ``run_dir/book_src``.

    Parameters
    ----------
    run_dir
        A run: ``notebooks/<section>/<instance>.ipynb`` as executed, each with
        ``metadata.ecgrepro``, and ``run.json``.
    project
        The checkout with ``_config.yml``, ``_toc.yml`` and ``book/``.

    Returns
    -------
    Path
        The folder, ready for ``jupyter-book build``. A section with one page stands at
        ``notebooks/<section>.ipynb``; one with several has an overview there and the pages at
        ``notebooks/<section>/<instance>.ipynb``.

    Raises
    ------
    EcgreproError
        A section has no executed notebook, a notebook no section, or a notebook cannot be read.
    """
    run_dir, source = Path(run_dir), Path(run_dir) / "book_src"
    toc = yaml.safe_load((project / "_toc.yml").read_text("utf-8"))
    chapters = [c for part in toc["parts"] for c in part["chapters"]]
    sections = [c for c in chapters if c["file"].startswith(SECTIONS)]
    _no_orphans(run_dir, {c["file"].removeprefix(SECTIONS) for c in sections})

    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(project / "book", source / "book", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(project / "_config.yml", source)
    if (run_dir / "run.json").is_file():
        shutil.copy(run_dir / "run.json", source)
    for chapter in sections:
        pages = _stage_section(run_dir, source, chapter["file"])
        if pages:
            chapter["sections"] = [{"file": page} for page in pages]
    (source / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False), "utf-8")
    return source


def build(run_dir: Path | str, project: Path = PROJECT) -> Path:
    """Render a run's book into ``run_dir/book`` and return its ``index.html``.

    Always from scratch: an incremental build would not repeat the warnings of unchanged pages.
    Any warning is an error. The log is ``run_dir/book.log``; a book that was there before stays
    until the new one is complete.
    """
    run_dir = Path(run_dir)
    source, output, log = stage(run_dir, project), run_dir / "book_build", run_dir / "book.log"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [source, "--path-output", output, "-W", "-n", "--keep-going"]
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    html = output / "_build" / "html"
    if done.returncode or not (html / "index.html").is_file():
        raise EcgreproError(_explain(log, source))
    shutil.rmtree(run_dir / "book", ignore_errors=True)
    html.rename(run_dir / "book")
    shutil.rmtree(output)
    return run_dir / "book" / "index.html"


def write_run_facts(run_dir: Path) -> None:
    """Write the run's provenance for the prose of its book, ``run.json``."""
    facts = {}
    for path in sorted((run_dir / "results").rglob("*.json")):
        facts = json.loads(path.read_text())["provenance"]
    found, dirty = commit()
    facts = {
        "profile": facts["profile"],
        "data": facts["data"],
        "commit": found,
        "dirty": dirty,
        "versions": versions(),
        "date": time.strftime("%Y-%m-%d"),
    }
    write_whole(run_dir / "run.json", json.dumps(facts, indent=1))


def _no_orphans(run_dir: Path, sections: set[str]) -> None:
    for folder in sorted((run_dir / SECTIONS).glob("*/")):
        if folder.name not in sections and any(folder.glob("*.ipynb")):
            raise EcgreproError(
                f"{folder} holds executed notebooks, but _toc.yml has no entry "
                f"{SECTIONS}{folder.name}: add one, or remove the folder"
            )


def _stage_section(run_dir: Path, source: Path, section: str) -> list[str]:
    """Write a section's pages; return those below its overview, none if it is a single page."""
    paths = sorted((run_dir / section).glob("*.ipynb"), key=_rank)
    if not paths:
        raise EcgreproError(
            f"no executed notebook in {run_dir / section}, which _toc.yml lists: "
            f"run the study first (ecgrepro run)"
        )
    notebooks = [_read(path) for path in paths]
    if len(paths) == 1:
        _write(_page(notebooks[0]), source / f"{section}.ipynb")
        return []
    _write(_overview(section, paths, notebooks), source / f"{section}.ipynb")
    pages = [f"{section}/{path.stem}" for path in paths]
    for page, path, notebook in zip(pages, paths, notebooks, strict=True):
        _write(_page(notebook, suffix=path.stem), source / f"{page}.ipynb")
    return pages


def _rank(path: Path) -> tuple[int, str]:
    first = (i for i, name in enumerate(_ORDER) if path.stem.startswith(name))
    return next(first, len(_ORDER)), path.stem


def _read(path: Path) -> nbformat.NotebookNode:
    """An executed notebook with provenance and a first cell that starts with its heading."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise EcgreproError(f"{path} is no notebook ({error}): delete it and run again") from error
    if "title" not in notebook.metadata.get("ecgrepro", {}):
        raise EcgreproError(f"{path} has no metadata.ecgrepro.title: the pipeline did not make it")
    if not notebook.cells or not _intro(notebook)[0]:
        raise EcgreproError(f"{path}: the first cell must be Markdown that starts with '# '")
    return notebook


def _intro(notebook: nbformat.NotebookNode) -> tuple[str, str]:
    """Heading and first paragraph of a notebook; empty where there is none."""
    cell = notebook.cells[0]
    if cell.cell_type != "markdown" or not cell.source.startswith("# "):
        return "", ""
    heading, _, rest = cell.source.partition("\n")
    return heading.removeprefix("# ").strip(), rest.strip().split("\n\n")[0]


def _page(notebook: nbformat.NotebookNode, suffix: str = "") -> nbformat.NotebookNode:
    """The page of an executed notebook: its own title, unique labels, no parameter cells."""
    notebook = copy.deepcopy(notebook)
    title = notebook.metadata.ecgrepro.title
    notebook.cells[0].source = re.sub(r"\A# .*", lambda _: f"# {title}", notebook.cells[0].source)
    for item in (notebook, *notebook.cells):
        item.metadata.pop("papermill", None)  # paths of the machine and times, not for download
    for cell in notebook.cells:
        # The page's own parameters stand at its foot; the notebook's cell holds those of smoke.
        if {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", [])) or (
            "hide-input" in cell.metadata.get("tags", []) and not cell.get("outputs")
        ):
            cell.metadata.tags.append("remove-cell")
    return _unique_labels(notebook, suffix) if suffix else notebook


def _unique_labels(notebook: nbformat.NotebookNode, suffix: str) -> nbformat.NotebookNode:
    """Append ``-suffix`` to every label the notebook defines, where defined and where used."""
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}) for cell in notebook.cells]
    labels = {figure["name"] for figure in figures if "name" in figure}
    for text in _markdown(notebook):
        labels.update(filter(None, chain(*_DEFINITION.findall(text))))
    if not labels:
        return notebook
    used = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, labels))})(?![\w-])")

    def rename(text: str) -> str:
        return used.sub(rf"\1-{suffix}", text)

    for figure in figures:
        if "name" in figure:
            figure["name"] = rename(figure["name"])
            figure["caption"] = rename(figure.get("caption", ""))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = rename(cell.source)
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                output.data["text/markdown"] = rename(output.data["text/markdown"])
    return notebook


def _markdown(notebook: nbformat.NotebookNode):
    """Every Markdown text of a notebook: cells and displayed outputs."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell.source
        for output in cell.get("outputs", []):
            yield output.get("data", {}).get("text/markdown", "")


def _overview(section: str, paths: list[Path], notebooks: list) -> nbformat.NotebookNode:
    """The page that opens a section: its heading, its first paragraph, a list of its pages."""
    heading, paragraph = _intro(notebooks[0])
    lines = ["| page | data | wall time |", "| --- | --- | --- |"]
    for path, notebook in zip(paths, notebooks, strict=True):
        facts = notebook.metadata.ecgrepro
        link = f"[{facts.title}](/{section}/{path.name})"
        seconds = f"{facts['seconds']:.0f} s" if "seconds" in facts else ""
        lines.append(f"| {link} | {facts.get('data', '')} | {seconds} |")
    text = f"# {heading}\n\n{paragraph}\n\n" + "\n".join(lines)
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text, id="overview")])
    shared = ("profile", "data", "commit", "dirty")
    facts = notebooks[0].metadata.ecgrepro
    page.metadata["ecgrepro"] = {key: facts[key] for key in shared if key in facts}
    return page


def _write(notebook: nbformat.NotebookNode, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _explain(log: Path, source: Path) -> str:
    """The first warnings of a failed build, with paths as they stand in the checkout."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text("utf-8", errors="replace"))
    lines = [line.replace(f"{source.resolve()}/", "") for line in text.splitlines()]
    wrong = [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)]
    shown = "\n  ".join((wrong or lines[-5:])[:5])
    more = f"\n  and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    return f"the book could not be built:\n  {shown}{more}\nfull log: {log}"
