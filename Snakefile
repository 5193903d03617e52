# The study as a graph: notebooks x parameters -> executed notebooks and results -> the book.
# `ecgrepro run` is the usual way in; see `ecgrepro run --help`.
import hashlib
import sys
from pathlib import Path

from ecgrepro.workflow.pages import GRIDS, find_page, pages, source_files
from ecgrepro.studies.profiles import load_profile
from ecgrepro.support.provenance import PROJECT, versions

PROFILE, DATA, RUN = config["profile"], config["data"], Path(config["run_dir"])
profile = load_profile(PROFILE, DATA)
# `real` is merged already; nothing depends on the description
SETTINGS = hashlib.sha256(profile.model_dump_json(exclude={"description", "real"}).encode()).hexdigest()
INPUTS = []
if DATA == "real":
    from ecgrepro.datasets import READERS, recordings_fingerprint  # slow to import

    INPUTS = [recordings_fingerprint(name) for name in READERS]
PAGES = {page.name: page for page in pages(profile)}
BOOK_SOURCES = [PROJECT / "_config.yml", PROJECT / "_toc.yml", PROJECT / "ecgrepro" / "workflow" / "book.py"]
BOOK_SOURCES += sorted(p for p in (PROJECT / "book").rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def frozen(page):
    """The results that come with the project, for the pages that show them."""
    shown = page.startswith(("04_", "05_", "06_", "07_"))
    return sorted((PROJECT / "reference").rglob("*.json")) if shown else []


rule book:
    input:
        sources=BOOK_SOURCES,
        notebooks=expand(str(RUN / "notebooks/{page}.ipynb"), page=PAGES),
    output:
        RUN / "book/index.html",
    shell:
        "{sys.executable:q} -m ecgrepro book --run-dir {RUN:q}"


rule page:
    input:
        sources=lambda wildcards: source_files(PAGES[wildcards.page]) + frozen(wildcards.page),
        after=lambda wildcards: [RUN / f"results/{name}.json" for name in PAGES[wildcards.page].after],
    output:
        notebook=str(RUN / "notebooks/{page}.ipynb"),
        results=str(RUN / "results/{page}.json"),
    wildcard_constraints:
        page="|".join(PAGES),
    params:
        settings=SETTINGS,
        inputs=INPUTS,
        versions=versions(),
    # A page with a grid of arms has all cores, and runs an arm on each of them.
    threads: lambda wildcards: workflow.cores if PAGES[wildcards.page].section in GRIDS else profile.threads
    shell:
        "{sys.executable:q} -m ecgrepro page {wildcards.page:q} --threads {threads} "
        "--profile {PROFILE:q} --data {DATA:q} --run-dir {RUN:q}"
