"""Pages: which there are, what they are executed with, and the notebooks behind them."""

import ast
import json
import subprocess
import sys

import nbformat
import pytest

from ecgrepro import EcgreproError
from ecgrepro.studies.profiles import load_profile
from ecgrepro.support.provenance import PROJECT
from ecgrepro.workflow.pages import (
    FOLDER,
    SECTIONS,
    find_page,
    notebook_code,
    notebook_digest,
    pages,
    stored_pages,
)

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LONGEST = 15  # lines of a cell, imports aside
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_every_section_has_its_notebook():
    assert [path.stem for path in NOTEBOOKS] == list(SECTIONS)


@each_notebook
def test_a_stored_notebook_was_executed_and_scrubbed(path):
    """nbval would pass a notebook without outputs: nothing to compare."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags", "mystnb"} for cell in notebook.cells)
    assert str(PROJECT) not in path.read_text() and "Error: " not in path.read_text()
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
    assert path.stat().st_size < 2_000_000


def parsed(path) -> list[tuple[str, ast.Module]]:
    cells = nbformat.read(path, as_version=4).cells
    return [(c.source, ast.parse(c.source)) for c in cells if c.cell_type == "code"]


@each_notebook
def test_a_notebook_is_thin(path):
    """It asks for results and shows them; what it needs to know how to is in the package."""
    for source, tree in parsed(path):
        imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        lines = sum(node.end_lineno - node.lineno + 1 for node in imports)
        assert len([x for x in source.splitlines() if x.strip()]) - lines <= LONGEST, source
        defined = ast.FunctionDef | ast.ClassDef | ast.Lambda
        assert not [node for node in ast.walk(tree) if isinstance(node, defined)], source


@each_notebook
def test_a_figure_cell_shows_its_figure_alone(path):
    """Its name and caption would be given to everything else that it shows."""
    for cell in nbformat.read(path, as_version=4).cells:
        if "figure" in cell.metadata.get("mystnb", {}):
            assert len(cell.outputs) <= 1, cell.source


@each_notebook
def test_a_notebook_asks_for_its_own_section(path):
    asked = [
        ast.literal_eval(node.args[0])
        for _, tree in parsed(path)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ask"
    ]
    assert path.stem in asked


IMPORTING = """
import importlib, json, sys
for section, names in json.loads(sys.argv[1]).items():
    for name in names:
        module, _, attribute = name.rpartition(".")
        if not hasattr(importlib.import_module(module), attribute):
            importlib.import_module(name)
    heavy = {"torch", "sklearn", "wfdb", "neurokit2"} & set(sys.modules)
    assert not heavy, f"{section} imports {heavy}"
"""


def test_what_notebooks_import_needs_neither_torch_nor_sklearn():
    """So that a reader's page is there in seconds."""
    names = json.dumps({section: notebook_code(section) for section in SECTIONS})
    done = subprocess.run([sys.executable, "-c", IMPORTING, names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_parameters_are_those_that_pages_give():
    for page in pages(load_profile("smoke")):
        notebook = nbformat.read(FOLDER / f"{page.section}.ipynb", as_version=4)
        (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
        names = {line.split(" = ")[0] for line in cell.source.splitlines()}
        assert names == {"run", "profile", "data", "run_dir", *page.parameters}
        assert 'run = "smoke"' in cell.source and 'profile = "smoke"' in cell.source


def test_stored_notebooks_show_one_page_of_each_section():
    """Each a page of the smoke profile; so the run that comes with the project can hold them."""
    found = stored_pages()
    assert list(found) == list(SECTIONS)
    for section, name in found.items():
        assert find_page(load_profile("smoke"), name).section == section


def test_pages_come_after_what_they_build_on():
    seen = set()
    for page in pages(load_profile("quick")):
        assert set(page.after) <= seen
        seen.add(page.name)


def test_the_comparison_comes_after_every_generator():
    profile = load_profile("smoke")
    after = find_page(profile, "02_generators_compared/chapman").after
    assert after == tuple(f"02_generators/chapman-{name}" for name in profile.generators)


def test_a_page_says_what_is_not_in_the_paper():
    titles = {page.name: page.title for page in pages(load_profile("smoke"))}
    assert titles["02_generators/chapman-diffwave"] == "Generator: DiffWave on Chapman"
    assert "not in the paper" in titles["03_closeness/ptb-xl-unet"]
    assert titles["02_generators_compared/ptb-xl"] == "Generators compared: PTB-XL"


def test_a_page_depends_on_what_it_imports_and_on_nothing_else():
    data, transfer = (set(notebook_code(name)) for name in ("01_data", "05_transfer"))
    assert {"ecgrepro.figures.data", "ecgrepro.report.data", "ecgrepro.workflow.results.ask",
            "ecgrepro.report.display.table"} <= data  # fmt: skip
    assert "ecgrepro.figures.charts" in transfer
    others = ("ecgrepro.report.transfer", "ecgrepro.studies.findings.claims")
    assert not {name for name in data if name.startswith(others)}
    computing = tuple(f"ecgrepro.{part}." for part in ("training", "classifier", "generators",
                                                       "datasets", "simulation"))  # fmt: skip
    for section in SECTIONS:
        assert not {name for name in notebook_code(section) if name.startswith(computing)}


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Writes the notebook of section 01, with one cell of code below its title."""
    monkeypatch.setattr("ecgrepro.workflow.pages.FOLDER", tmp_path)

    def write(source: str, title: str = "# Data", outputs=()) -> None:
        for cached in (notebook_code, notebook_digest):
            cached.cache_clear()
        code_cells.cache_clear()
        code = nbformat.v4.new_code_cell(source, id="a", outputs=list(outputs))
        cells = [nbformat.v4.new_markdown_cell(title, id="b"), code]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_data.ipynb")

    from ecgrepro.workflow.pages import _code_cells as code_cells

    yield write
    for cached in (notebook_code, notebook_digest, code_cells):
        cached.cache_clear()


def test_what_a_notebook_says_and_does_counts_and_its_outputs_do_not(notebook):
    notebook("x = 1")
    first = notebook_digest("01_data")
    notebook("x = 1", outputs=[nbformat.v4.new_output("stream", text="1")])
    assert notebook_digest("01_data") == first
    notebook("x = 2")
    other = notebook_digest("01_data")
    notebook("x = 1", title="# The data")
    assert len({first, other, notebook_digest("01_data")}) == 3


def test_the_code_of_a_notebook_is_what_it_imports_from_the_package(notebook):
    notebook(
        "%matplotlib inline\nimport numpy\nfrom ecgrepro.report import data as d, arms\nd, arms"
    )
    assert notebook_code("01_data") == ["ecgrepro.report.data", "ecgrepro.report.arms"]
    notebook("x = (1")
    with pytest.raises(EcgreproError, match=r"01_data\.ipynb: .* in the cell\nx = \(1"):
        notebook_code("01_data")


def test_an_unknown_page_lists_the_known():
    with pytest.raises(
        EcgreproError, match="unknown page '01_data/mit': choose one of 01_data/ptb"
    ):
        find_page(load_profile("smoke"), "01_data/mit")
