"""The report of ``ecgrepro closeness``: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from ecgrepro.closeness import FAMILIES, METRICS
from ecgrepro.cohort import Cohort
from ecgrepro.figures import closeness as plots_closeness
from ecgrepro.report.closeness import by_rhythm, cut_short, notes, summary
from ecgrepro.report.tables import markdown_rows
from ecgrepro.studies.evaluation import Judged, accuracy
from ecgrepro.support.files import write_whole

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff }
table { border-collapse: collapse; font-size: 0.85rem; display: block; overflow-x: auto }
th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid #ddd; vertical-align: top }
th { text-align: left }
img { max-width: 100% } figcaption, .note { color: #555; font-size: 0.85rem }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 }
  th, td { border-color: #444 } figcaption, .note { color: #aaa } img { background: #fff } }
"""


def write_report(judged: Judged, facts: dict, path: Path) -> Path:
    """Write the report; it appears complete or not at all.

    Parameters
    ----------
    facts
        What stands at its foot: names and values.
    path
        The HTML file; replaced if it is there.
    """
    blocks = [_opening(judged), _everything(judged), _rhythms(judged), _pictures(judged),
              _meaning(), _facts(facts)]  # fmt: skip
    title = html.escape(f"Closeness: {named(judged.synthetic)} to {named(judged.parts['test'])}")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1>{''.join(blocks)}</body></html>\n"
    )
    return write_whole(path, page)


def named(cohort: Cohort) -> str:
    """The cohort's name; of a folder the last part, since a report may be given away."""
    return Path(cohort.name).name


def left_out(*cohorts: Cohort) -> list[str]:
    """What the loader could not use of each cohort: numbers by reason."""
    lines = []
    for cohort in cohorts:
        dropped = dict(cohort.report.get("dropped", {}))
        if missing := cohort.report.get("missing"):
            dropped["named in the table and not there"] = missing
        if dropped:
            said = ", ".join(f"{n} {reason}" for reason, n in dropped.items())
            lines.append(f"of {named(cohort)} {said}")
    return lines


KNOWN = "It was trained on the real training records."
GIVEN = "It was given; whether it has seen test or synthetic records is for its giver to know."
RULES = (
    "Every value stands beside its floor, the same metric between real training and real test "
    "records of equal number. *Worse* and *better* mean that the 95 % intervals of value and "
    "floor are apart; *as real*, that they overlap, which is no proof that they are equal. The "
    "classifier knows the real training records, so the floor of embeddings is a little lenient."
)


def _opening(judged: Judged) -> str:
    parts, made = judged.parts, judged.synthetic
    read = accuracy(judged.judge, parts["test"])
    lines = [
        f"Synthetic records: **{len(made)}** from `{named(made)}` ({_counted(made)}; marked as "
        f"{_origins(made)}).",
        f"Real records: **{len(parts['train'])}** for training ({_counted(parts['train'])}) and "
        f"**{len(parts['test'])}** for testing ({_counted(parts['test'])}); marked as "
        f"{_origins(parts['test'])}.",
        f"The classifier that embeds them reads {100 * read:.1f} % of the test records as they are "
        f"labelled. {GIVEN if judged.given else KNOWN}",
        *[f"**Left out**: {line}." for line in left_out(judged.real, made)],
        RULES,
    ]
    if read < 0.8:
        lines.insert(3, "**That is too few to trust what the classifier says of rhythms.**")
    return _markdown("\n\n".join(lines))


def _everything(judged: Judged) -> str:
    missing = notes([row for row in judged.rows if not row.rhythm])
    if short := cut_short(judged.rows):
        missing.append(f"intervals from fewer half-samples, for lack of time: {short}")
    return (
        "<h2>All rhythms together</h2>"
        + _figure(
            plots_closeness.beside_floor(judged.rows),
            "Each metric beside its floor (grey), with 95 % intervals. Arrows: closer or safer.",
        )
        + _table(summary(judged.rows))
        + _list("Without a value, or cut short:", missing)
    )


def _rhythms(judged: Judged) -> str:
    found = by_rhythm(judged.rows)
    missing = notes([row for row in judged.rows if row.rhythm])
    table = _table(found) if len(found) else "<p>No rhythm has enough records on its own.</p>"
    return (
        "<h2>By rhythm</h2><p>Value and, in brackets, floor; bold where their intervals are apart."
        f"</p>{table}{_list('Without a value:', missing)}"
    )


def _pictures(judged: Judged) -> str:
    test, made, train = judged.parts["test"], judged.synthetic, judged.parts["train"]
    placed = {name: (judged.judge.embed(c), c) for name, c in
              (("test", test), ("made", made), ("train", train))}  # fmt: skip
    both = {"real test": placed["test"], "synthetic": placed["made"]}
    leads = [lead for lead in ("II", "V1", "V5") if lead in test.leads]
    blocks = [
        "<h2>Pictures</h2>",
        _figure(
            plots_closeness.embedding_map(both),
            "Embeddings, in the plane of the real test records' two principal components.",
        ),
        _figure(
            plots_closeness.power_spectra({"real test": test, "synthetic": made}, leads),
            "Mean normalized power spectra.",
        ),
    ]
    if judged.hearts is not None:
        sides = {"real": "real test", "synthetic": "synthetic"}
        blocks.append(
            _figure(
                plots_closeness.heart_boxes(judged.hearts, sides),
                "What is detected and delineated in lead II, by rhythm.",
            )
        )
    pairs = plots_closeness.closest_pairs(placed["made"], placed["train"]).figure
    far = plots_closeness.farthest(placed["made"], placed["test"][0]).figure
    return "".join(blocks) + (
        _figure(pairs, "The synthetic records nearest to a training record, each above it: if a "
                "pair looks like one record twice, a patient was copied.")
        + _figure(far, "The synthetic records farthest from every real test record.")
    )  # fmt: skip


def _meaning() -> str:
    lines = [
        {
            "metric": metric.title,
            "family": FAMILIES[metric.family],
            "sees": metric.sees,
            "misses": metric.misses,
        }
        for metric in METRICS.values()
    ]
    return f"<h2>What each metric sees and misses</h2>{_table(pd.DataFrame(lines))}"


def _facts(facts: dict) -> str:
    lines = "".join(
        f"<li>{html.escape(str(name))}: {html.escape(str(value))}</li>"
        for name, value in facts.items()
    )
    return f'<h2>Made from</h2><ul class="note">{lines}</ul>'


def _figure(figure: Figure, caption: str) -> str:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100, bbox_inches="tight")
    plt.close(figure)
    data = base64.b64encode(drawn.getvalue()).decode()
    text = html.escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _table(frame: pd.DataFrame) -> str:
    return _markdown(markdown_rows(frame))


def _markdown(text: str) -> str:
    return MarkdownIt("commonmark", {"html": False}).enable("table").render(text)


def _list(title: str, lines: list[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<div class="note">{title}<ul>{items}</ul></div>'


def _counted(cohort: Cohort) -> str:
    return ", ".join(f"{code} {n}" for code, n in cohort.counts().items() if n)


def _origins(cohort: Cohort) -> str:
    return ", ".join(sorted(set(cohort.table["origin"])))
