"""The book: staging, building, and what a browser sees of it."""

import base64
import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat import v4

from ecgrepro.errors import EcgreproError
from ecgrepro.workflow.book import PROJECT, build, stage

SECTIONS = {
    "01_data": ["chapman", "ptb-xl"],
    "02_generators": ["chapman-diffwave", "ptb-xl-diffwave"],
    "02_generators_compared": ["chapman", "ptb-xl"],
    "03_closeness": ["chapman-diffwave", "ptb-xl-diffwave"],
    "03_closeness_checked": ["chapman", "ptb-xl"],
    "03_closeness_explained": ["all"],
    "04_augmentation": ["chapman", "merged", "ptb-xl"],
    "05_transfer": ["chapman", "ptb-xl"],
    "06_claims": ["all"],
    "07_helping": ["chapman", "ptb-xl"],
}
# A PNG of one grey pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
TEXT = """\
# {section}

The opening of {section}, which cites {{cite:t}}`nunez2024synthetic`.

See {{numref}}`fig-{section}`, {{numref}}`tab-{section}`, {{eq}}`eq-{section}` and
the [methods](/book/methods.md).

$$ a + b $$ (eq-{section})
"""
TABLE = """\
:::{{table}} Counts
:name: tab-{section}

| rhythm | records |
| --- | --- |
| SR | 3 |
:::
"""


def executed(section: str, instance: str, **facts) -> nbformat.NotebookNode:
    """A notebook as the pipeline leaves it."""
    figure = {"figure": {"name": f"fig-{section}", "caption": "A beat."}}
    picture = v4.new_output("display_data", {"image/png": PNG}, metadata={"image/png": {}})
    table = v4.new_output("display_data", {"text/markdown": TABLE.format(section=section)})
    cells = [
        v4.new_markdown_cell(TEXT.format(section=section)),
        v4.new_code_cell("seed = 1", metadata={"tags": ["parameters"]}, execution_count=1),
        v4.new_code_cell("seed = 7", metadata={"tags": ["injected-parameters"]}, execution_count=2),
        v4.new_code_cell(
            "draw()", execution_count=3, outputs=[picture], metadata={"mystnb": figure}
        ),
        v4.new_code_cell("count()", execution_count=4, outputs=[table]),
    ]
    provenance = {
        "profile": "smoke",
        "data": "simulated",
        "section": section,
        "instance": instance,
        "title": f"{section}: {instance}",
        "parameters": {"dataset": instance},
        "command": f"ecgrepro run --profile smoke --data simulated --page {section}/{instance}",
        "commit": "0123456789abcdef",
        "dirty": True,
        "device": "cpu",
        "threads": 1,
        "generators_trained_on": {"unet of chapman": "a GPU", "diffwave of chapman": "cpu"},
        "seed": 7,
        "versions": {"python": "3.11", "torch": "2.13.0"},
        "started": "2025-01-02T03:04:05",
        "seconds": 125.4,
        "fingerprints": {"ptb-xl": "ab" * 32},
    }
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "papermill": {"output_path": "/somewhere/on/this/machine.ipynb"},
        "ecgrepro": provenance | facts,
    }
    return v4.new_notebook(cells=cells, metadata=metadata)


def write(run: Path, section: str, instance: str, **facts) -> Path:
    path = run / "notebooks" / section / f"{instance}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(executed(section, instance, **facts), path)
    return path


def fabricate(run: Path) -> Path:
    """A finished run of every section."""
    for section, instances in SECTIONS.items():
        for instance in instances:
            write(run, section, instance)
    write(run, "05_transfer", "chapman", data="full real")
    write(run, "05_transfer", "ptb-xl", data="partial real", dirty=False)
    facts = {"profile": "smoke", "data": "simulated", "commit": "0123456789abcdef", "dirty": False}
    (run / "run.json").write_text(json.dumps(facts | {"versions": {}, "date": "2025-01-02T03:04"}))
    return run


@pytest.fixture
def run(tmp_path) -> Path:
    return fabricate(tmp_path / "smoke-simulated")


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """The book of a fabricated run."""
    return build(fabricate(tmp_path_factory.mktemp("runs") / "smoke-simulated")).parent


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


class TestStage:
    def test_the_toc_lists_an_overview_and_its_pages_with_ptb_xl_first(self, run):
        toc = yaml.safe_load((stage(run) / "_toc.yml").read_text())
        chapters = {c["file"]: c for part in toc["parts"] for c in part["chapters"]}
        pages = [s["file"] for s in chapters["notebooks/04_augmentation"]["sections"]]
        assert pages == [f"notebooks/04_augmentation/{n}" for n in ("ptb-xl", "chapman", "merged")]
        assert "sections" not in chapters["notebooks/06_claims"]
        assert "sections" not in chapters["book/methods"]

    def test_every_toc_entry_is_a_file(self, run):
        source = stage(run)
        toc = yaml.safe_load((source / "_toc.yml").read_text())
        chapters = [c for part in toc["parts"] for c in part["chapters"]]
        files = [f["file"] for c in chapters for f in (c, *c.get("sections", []))]
        assert len(files) == 17 + 17  # chapters, and the pages of the eight sections with several
        for file in files:
            assert any((source / f"{file}{suffix}").is_file() for suffix in (".md", ".ipynb")), file

    def test_a_page_takes_its_own_title_and_keeps_provenance_and_outputs(self, run):
        page = read(stage(run) / "notebooks/01_data/ptb-xl.ipynb")
        assert page.cells[0].source.startswith("# 01_data: ptb-xl\n\nThe opening of 01_data")
        assert page.metadata.ecgrepro.seed == 7
        assert page.cells[3].outputs[0].data["image/png"] == PNG

    def test_labels_become_unique_where_defined_and_where_used(self, run):
        page = read(stage(run) / "notebooks/01_data/ptb-xl.ipynb")
        text = page.cells[0].source
        assert "{numref}`fig-01_data-ptb-xl`, {numref}`tab-01_data-ptb-xl`" in text
        assert "{eq}`eq-01_data-ptb-xl`" in text
        assert "$$ (eq-01_data-ptb-xl)" in text
        assert page.cells[3].metadata.mystnb.figure.name == "fig-01_data-ptb-xl"
        assert ":name: tab-01_data-ptb-xl" in page.cells[4].outputs[0].data["text/markdown"]

    def test_parameter_cells_are_not_shown_and_papermill_is_dropped(self, run):
        page = read(stage(run) / "notebooks/06_claims.ipynb")
        assert page.cells[1].metadata.tags == ["parameters", "remove-cell"]
        assert page.cells[2].metadata.tags == ["injected-parameters", "remove-cell"]
        assert "papermill" not in page.metadata

    def test_labels_of_a_single_page_stay(self, run):
        assert "`fig-06_claims`" in read(stage(run) / "notebooks/06_claims.ipynb").cells[0].source

    def test_the_overview_links_every_page(self, run):
        text = read(stage(run) / "notebooks/01_data.ipynb").cells[0].source
        assert text.startswith("# 01_data\n\nThe opening of 01_data")
        assert "[01_data: ptb-xl](/notebooks/01_data/ptb-xl.ipynb)" in text
        assert "[01_data: chapman](/notebooks/01_data/chapman.ipynb)" in text

    def test_the_run_is_left_as_it_was(self, run):
        path = run / "notebooks/01_data/ptb-xl.ipynb"
        before = path.read_bytes()
        stage(run)
        assert path.read_bytes() == before

    def test_pages_of_an_earlier_staging_go(self, run):
        stage(run)
        (run / "notebooks/04_augmentation/merged.ipynb").unlink()
        assert not (stage(run) / "notebooks/04_augmentation/merged.ipynb").exists()

    def test_a_missing_section_is_named(self, run):
        shutil.rmtree(run / "notebooks/05_transfer")
        with pytest.raises(EcgreproError, match=r"no executed notebook in .*05_transfer"):
            stage(run)

    def test_a_section_outside_the_toc_is_named(self, run):
        write(run, "07_more", "all")
        with pytest.raises(EcgreproError, match="07_more.*_toc.yml has no entry"):
            stage(run)

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 1}'])
    def test_a_broken_notebook_is_named(self, run, content):
        (run / "notebooks/01_data/chapman.ipynb").write_text(content)
        with pytest.raises(EcgreproError, match="chapman.ipynb"):
            stage(run)

    def test_a_notebook_without_provenance_is_named(self, run):
        path = run / "notebooks/01_data/chapman.ipynb"
        notebook = read(path)
        del notebook.metadata["ecgrepro"]
        nbformat.write(notebook, path)
        with pytest.raises(EcgreproError, match=r"chapman.ipynb has no metadata.ecgrepro"):
            stage(run)

    def test_a_notebook_without_heading_is_named(self, run):
        path = run / "notebooks/01_data/chapman.ipynb"
        notebook = read(path)
        notebook.cells[0].source = "No heading."
        nbformat.write(notebook, path)
        with pytest.raises(EcgreproError, match="chapman.ipynb: the first cell"):
            stage(run)


class TestBuild:
    def test_every_page_is_there(self, built):
        for section, instances in SECTIONS.items():
            assert (built / f"notebooks/{section}.html").is_file()
            for instance in instances if len(instances) > 1 else []:
                assert (built / f"notebooks/{section}/{instance}.html").is_file()
        assert "book/index.html" in (built / "index.html").read_text()

    def test_nothing_but_the_book_and_its_sources_is_left(self, built):
        names = {path.name for path in built.parent.iterdir()}
        assert names == {"notebooks", "run.json", "book_src", "book", "book.log"}

    @pytest.mark.parametrize(
        "page, data",
        [
            ("01_data/ptb-xl", "data-simulated"),
            ("01_data", "data-simulated"),
            ("05_transfer/ptb-xl", "data-partial"),
            ("05_transfer/chapman", "data-full"),
        ],
    )
    def test_pages_of_results_name_their_data_below_the_title(self, built, page, data):
        html = (built / f"notebooks/{page}.html").read_text()
        assert f'</h1><div class="data-banner {data}"' in html

    def test_the_foot_holds_the_provenance(self, built):
        html = (built / "notebooks/01_data/ptb-xl.html").read_text()
        foot = html[html.index('class="provenance"') :]
        for fact in (
            "simulated recordings",
            "<code>0123456789ab</code> with uncommitted changes",
            "<dt>Seed</dt><dd>7</dd>",
            "cpu, 1 thread<",
            "<dt>Generators trained on</dt><dd>a GPU</dd>",
            "torch 2.13.0",
            "2025-01-02 03:04",
            "2 min 5 s",
            "<code>abababababababab</code>",
            "<code>dataset = ptb-xl</code>",
            "ecgrepro run --profile smoke --data simulated --page 01_data/ptb-xl",
        ):
            assert fact in foot, fact

    def test_prose_pages_say_which_run_they_stand_beside(self, built):
        html = (built / "book/introduction.html").read_text()
        assert "This page shows no recordings" in html
        assert "<dd>simulated recordings</dd>" in html

    def test_pages_can_be_downloaded(self, built):
        page = built / "_sources/notebooks/01_data/ptb-xl.ipynb"
        assert read(page).metadata.ecgrepro.title == "01_data: ptb-xl"
        assert "machine.ipynb" not in page.read_text()

    def test_a_warning_stops_the_book_and_leaves_the_old_one(self, built):
        run = built.parent
        path = run / "notebooks/01_data/chapman.ipynb"
        good = path.read_text()
        path.write_text(good.replace("(/book/methods.md)", "(/book/nowhere.md)"))
        try:
            with pytest.raises(EcgreproError) as error:
                build(run)
        finally:
            path.write_text(good)
        assert "notebooks/01_data/chapman.ipynb" in str(error.value)
        assert "nowhere.md" in str(error.value)
        assert str(run / "book.log") in str(error.value)
        assert (built / "index.html").is_file()


@pytest.mark.slow
def test_the_checkout_itself_is_a_book(tmp_path):
    """``jupyter-book build .`` with the stored notebooks, which carry no provenance."""
    checkout = tmp_path / "checkout"
    shutil.copytree(PROJECT / "book", checkout / "book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(PROJECT / name, checkout)
    for section in SECTIONS:
        notebook = executed(section, "stored")
        del notebook.metadata["ecgrepro"]
        (checkout / "notebooks").mkdir(exist_ok=True)
        nbformat.write(notebook, checkout / f"notebooks/{section}.ipynb")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [".", "-W", "-n", "--keep-going"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    html = (checkout / "_build/html/notebooks/01_data.html").read_text()
    assert '</h1><div class="data-banner data-stored"' in html
    assert "Stored smoke outputs" in html


# The browser


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(folder: Path):
    """Serve a folder on a free port of this machine; yields its URL."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def pages(book: Path) -> list[str]:
    """Every page of a built book, as paths below its folder."""
    made = sorted(book.glob("book/*.html")) + sorted(book.glob("notebooks/**/*.html"))
    return [path.relative_to(book).as_posix() for path in made]


OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth;
  const over = [...document.querySelectorAll('.bd-article *')].filter(e => {
    if (e.getBoundingClientRect().right <= wide + 1) return false;
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX)) return false;
    return getComputedStyle(e).visibility !== 'hidden';
  });
  if (document.documentElement.scrollWidth <= wide) return [];
  return [`${document.documentElement.scrollWidth} > ${wide}`,
          ...over.slice(0, 3).map(e => e.outerHTML.slice(0, 80))];
}"""
BROKEN_IMAGES = "() => [...document.images].filter(i => !i.naturalWidth).map(i => i.src)"


def faults(browser, book: Path, width: int = 1280) -> list[str]:
    """What a reader at this width would find wrong: one line for each fault, page first.

    Console errors, failed or external requests, images that do not load, equations left as TeX,
    and a page wider than the screen.
    """
    found: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    where = ""

    def note(text: str) -> None:
        found.append(f"{where}: {text}")

    page.on("console", lambda m: m.type == "error" and note(f"console: {m.text}"))
    page.on("pageerror", lambda error: note(f"script: {error}"))
    # Aborted: the next page was opened before the icon of this one had come.
    page.on("requestfailed", lambda r: "ABORTED" in r.failure or note(f"failed: {r.url}"))
    page.on("response", lambda r: r.status >= 400 and note(f"{r.status}: {r.url}"))
    with served(book) as url:
        own = (url + "/", "data:", "blob:")
        page.on("request", lambda r: r.url.startswith(own) or note(f"external: {r.url}"))
        for where in pages(book):
            page.goto(f"{url}/{where}", wait_until="load")
            if page.locator(".math").count():
                page.evaluate("() => MathJax.startup.promise.then(() => null)")
                if not page.locator("mjx-container").count():
                    note("equations are not typeset")
                if page.locator("mjx-merror").count():
                    note("an equation has an error")
            found += [f"{where}: image {src}" for src in page.evaluate(BROKEN_IMAGES)]
            found += [f"{where}: too wide: {what}" for what in page.evaluate(OVERFLOW)]
            if page.locator(".provenance").count() != 1:
                note("no provenance")
    context.close()
    return found


def search(browser, book: Path, word: str) -> list[str]:
    """Titles that the book's own search finds for a word."""
    context = browser.new_context()
    page = context.new_page()
    with served(book) as url:
        page.goto(f"{url}/search.html?q={word}")
        page.wait_for_selector("#search-results .search-summary")
        page.wait_for_function(
            "() => !/Searching|Preparing/.test(document.querySelector('#search-results').innerText)"
        )
        titles = page.locator("#search-results ul.search li > a").all_inner_texts()
    context.close()
    return titles


@pytest.fixture(params=["built", pytest.param("smoke_book", marks=pytest.mark.slow)])
def book(request) -> Path:
    """A built book: of the fabricated run, and of the one in the smoke profile."""
    return request.getfixturevalue(request.param)


class TestBrowser:
    def test_the_checks_see_what_is_wrong(self, browser, tmp_path):
        (tmp_path / "book").mkdir()
        pixel = base64.b64encode(b"no image").decode()
        (tmp_path / "book/bad.html").write_text(
            f'<body><article class="bd-article"><img src="data:image/png;base64,{pixel}">'
            '<img src="http://192.0.2.1/x.png"><div style="width: 3000px">wide</div></article>'
            "<script>console.error('oh')</script><script src='none.js'></script>"
        )
        found = "\n".join(faults(browser, tmp_path))
        for what in ("external: http://192.0.2.1", "console: oh", "404", "image data:", "too wide"):
            assert what in found, found

    @pytest.mark.slow
    @pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
    def test_a_reader_finds_no_fault(self, browser, book, width):
        assert len(pages(book)) >= 12
        assert faults(browser, book, width) == []

    def test_equations_are_typeset_without_network(self, browser, built):
        with served(built) as url:
            page = browser.new_page()
            page.goto(f"{url}/book/methods.html")
            page.evaluate("() => MathJax.startup.promise.then(() => null)")
            assert page.locator("mjx-container").count() > 20
            page.close()

    @pytest.mark.parametrize("word", ["bradycardia", "guidance"])
    def test_search_finds_a_word(self, browser, built, word):
        assert "Methods" in search(browser, built, word)

    def test_dark_mode_changes_the_page(self, browser, built):
        with served(built) as url:
            page = browser.new_page(color_scheme="dark")
            page.goto(f"{url}/notebooks/01_data/ptb-xl.html")
            assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
            ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
            assert sum(map(int, ground.strip("rgb()").split(","))) < 150
            page.close()
