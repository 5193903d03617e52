"""Say on every page of the book which data it shows and how it came to be.

An executed notebook carries its provenance in ``metadata.ecgrepro``; the run as a whole in
``run.json`` at the source root. Both are put into the page when it is written, so that neither a
notebook nor a prose page has to repeat them.
"""

import json
from html import escape
from pathlib import Path

from sphinx.application import Sphinx

# Data shown -> CSS class of the banner and what it says.
BANNERS = {
    "simulated": (
        "simulated",
        "This page shows <strong>simulated</strong> recordings from a physiological model. "
        "They prove that the study runs; they are no evidence about patients.",
    ),
    "partial real": (
        "partial",
        "This page shows <strong>real recordings, a part</strong> of the published data sets. "
        "Rare rhythms rest on few records.",
    ),
    "full real": (
        "full",
        "This page shows <strong>real recordings</strong>: the data sets as published, in full.",
    ),
}
STORED = (
    "stored",
    "This page shows the <strong>stored smoke outputs</strong>: a handful of simulated "
    "recordings, which only show that the code runs. <code>make book</code> makes the study.",
)


def banner(facts: dict | None) -> str:
    """HTML that names the data shown by a notebook page; ``None`` for stored outputs."""
    kind, text = BANNERS.get(facts.get("data", ""), STORED) if facts else STORED
    return f'<div class="data-banner data-{kind}" role="note">{text}</div>'


def duration(seconds: float) -> str:
    """Wall time for reading: ``8 s``, ``2 min 5 s``, ``1 h 4 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _commit(facts: dict) -> str:
    commit = str(facts.get("commit") or "unknown")[:12]
    changed = " with uncommitted changes" if facts.get("dirty") else ""
    return f"<code>{escape(commit)}</code>{changed}"


def _rows(facts: dict) -> list[tuple[str, str]]:
    """Label and HTML value of each fact that is known."""
    rows = []
    if "data" in facts:
        rows.append(("Data", escape(f"{facts['data']} recordings")))
    for name, digest in (facts.get("fingerprints") or {}).items():
        rows.append((f"Cohort {escape(name)}", f"<code>{escape(str(digest)[:16])}</code>"))
    if "profile" in facts:
        rows.append(("Profile", f"<code>{escape(facts['profile'])}</code>"))
    if facts.get("parameters"):
        pairs = (f"{name} = {value}" for name, value in facts["parameters"].items())
        rows.append(("Parameters", f"<code>{escape(', '.join(pairs))}</code>"))
    if "commit" in facts:
        rows.append(("Commit", _commit(facts)))
    if "seed" in facts:
        rows.append(("Seed", escape(str(facts["seed"]))))
    if "device" in facts:
        threads = facts.get("threads")
        many = f", {threads} thread{'s' * (threads != 1)}" if threads else ""
        rows.append(("Device", escape(f"{facts['device']}{many}")))
    trained = facts.get("generators_trained_on") or {}
    if elsewhere := sorted({d for d in trained.values() if d != facts.get("device")}):
        rows.append(("Generators trained on", escape(", ".join(elsewhere))))
    started = facts.get("started") or facts.get("date")
    if started:
        rows.append(("Date", escape(str(started)[:16].replace("T", " "))))
    if "seconds" in facts:
        rows.append(("Wall time", duration(facts["seconds"])))
    if facts.get("versions"):
        versions = " · ".join(f"{escape(k)} {escape(str(v))}" for k, v in facts["versions"].items())
        rows.append(("Versions", versions))
    return rows


def footer(facts: dict | None, run: dict | None, executed: bool) -> str:
    """HTML of the provenance at the foot of a page."""
    command = (facts or {}).get("command")
    if facts:
        head, rows = "How this page was made", _rows(facts)
    elif executed:
        head, rows = "Stored smoke outputs", []
        command = "make book"
    elif run:
        head, rows = "This page shows no recordings; the results beside it come from", _rows(run)
    else:
        head, rows = "This page shows no recordings", []
        command = "make book"
    body = "".join(f"<dt>{label}</dt><dd>{value}</dd>" for label, value in rows)
    again = ""
    if command:
        again = f'<p>To make it again:</p><div class="highlight"><pre>{escape(command)}</pre></div>'
    return (
        f'<section class="provenance" aria-label="Provenance"><p class="provenance-head">{head}</p>'
        f"<dl>{body}</dl>{again}</section>"
    )


def add_provenance(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object
) -> None:
    """Put banner and footer into the page's body (``html-page-context``)."""
    if doctree is None or "body" not in context:
        return
    source = Path(app.env.doc2path(pagename))
    executed = source.suffix == ".ipynb"
    facts, run = None, app.config.ecgrepro_run
    if executed:
        facts = json.loads(source.read_text("utf-8"))["metadata"].get("ecgrepro")
        facts = facts and {**(run or {}), **facts}
        context["body"] = context["body"].replace("</h1>", "</h1>" + banner(facts), 1)
    context["body"] += footer(facts, run, executed)


def read_run(app: Sphinx, config: object) -> None:
    """Read the run's provenance (``config-inited``); a changed run rewrites every page."""
    path = Path(app.srcdir) / "run.json"
    if path.is_file():
        config.ecgrepro_run = json.loads(path.read_text("utf-8"))


def setup(app: Sphinx) -> dict:
    """Register the extension with Sphinx."""
    app.add_config_value("ecgrepro_run", None, "html", types=[dict, type(None)])
    app.connect("config-inited", read_run)
    app.connect("html-page-context", add_provenance)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
