import nbformat
import pytest

from ecgrepro import EcgreproError
from ecgrepro.studies.profiles import load_profile
from ecgrepro.support.provenance import PROJECT
from ecgrepro.workflow.pages import FOLDER, GRIDS, SECTIONS, find_page, pages, source_files

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_every_section_has_its_notebook():
    assert [path.stem for path in NOTEBOOKS] == list(SECTIONS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_was_executed_and_scrubbed(path):
    """nbval would pass a notebook without outputs: nothing to compare."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags", "mystnb"} for cell in notebook.cells)
    assert str(PROJECT) not in path.read_text() and "Error" not in path.read_text()
    assert path.stat().st_size < 2_000_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_thin(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 40
            assert "\ndef " not in cell.source and "\nclass " not in cell.source


def test_the_parameters_are_those_that_pages_give():
    for page in pages(load_profile("smoke")):
        notebook = nbformat.read(FOLDER / f"{page.section}.ipynb", as_version=4)
        (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
        names = {line.split(" = ")[0] for line in cell.source.splitlines()}
        workers = {"workers"} if page.section in GRIDS else set()
        assert names == {"profile", "data", "run_dir", *workers, *page.parameters}
        assert 'profile = "smoke"' in cell.source


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
    profile = load_profile("smoke")

    def files(name):
        return {p.name for p in source_files(find_page(profile, name))}

    data, closeness = files("01_data/ptb-xl"), files("03_closeness/ptb-xl-diffwave")
    assert {"01_data.ipynb", "classifier.py", "ptbxl.py", "simulator.py"} <= data
    assert {"plots.py", "ecgrepro.mplstyle"} <= data  # by `from ecgrepro import plots`
    assert not {"diffwave.py", "coverage.py", "claims.py", "augmentation.py"} & data
    assert {"diffwave.py", "coverage.py", "closeness.py"} <= closeness
    assert not {"claims.py", "transfer.py", "book.py"} & closeness


def test_an_unknown_page_lists_the_known():
    with pytest.raises(
        EcgreproError, match="unknown page '01_data/mit': choose one of 01_data/ptb"
    ):
        find_page(load_profile("smoke"), "01_data/mit")
