"""The report of ``ecgrepro closeness``: one HTML file that needs nothing beside it.

What it says is computed here, how it looks is ``templates/closeness.html.jinja``.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgrepro.closeness import FAMILIES, METRICS
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.figures import closeness as plots_closeness
from ecgrepro.report.closeness import by_rhythm, cut_short, notes, summary
from ecgrepro.report.tables import markdown_rows
from ecgrepro.studies.evaluation import Judged, accuracy
from ecgrepro.support.files import write_whole

TEMPLATE = "closeness.html.jinja"
KNOWN = "It was trained on the real training records."
GIVEN = "It was given; whether it has seen test or synthetic records is for its giver to know."
RULES = (
    "Every value stands beside its floor, the same metric between real training and real test "
    "records of equal number. *Worse* and *better* mean that the 95 % intervals of value and "
    "floor are apart; *as real*, that they overlap, which is no proof that they are equal. The "
    "classifier knows the real training records, so the floor of embeddings is a little lenient."
)
TRUSTED = 0.8  # accuracy on real test records below which the classifier is called a poor judge


@dataclass(frozen=True)
class Picture:
    """A drawn figure: its caption, and a PNG in base64."""

    caption: str
    png: str


def write_report(judged: Judged, facts: dict[str, Any], path: Path) -> Path:
    """Write the report; it appears complete or not at all.

    Parameters
    ----------
    judged
        What is reported.
    facts
        What stands at its foot: names and values.
    path
        The HTML file; replaced if it is there.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    EcgreproError
        The file cannot be written.
    """
    return write_whole(path, render(_content(judged, facts)))


def render(content: dict[str, Any]) -> str:
    """Fill the template; text is escaped, only `markupsafe.Markup` is taken as HTML."""
    templates = Environment(
        loader=PackageLoader("ecgrepro.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template(TEMPLATE).render(content)


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
            reasons = ", ".join(f"{n} {reason}" for reason, n in dropped.items())
            lines.append(f"of {named(cohort)} {reasons}")
    return lines


def _content(judged: Judged, facts: dict[str, Any]) -> dict[str, Any]:
    """What the template shows, by the template's names."""
    together = notes([row for row in judged.rows if not row.rhythm])
    if short := cut_short(judged.rows):
        together.append(f"intervals from fewer half-samples, for lack of time: {short}")
    rhythms = by_rhythm(judged.rows)
    return {
        "title": f"Closeness: {named(judged.synthetic)} to {named(judged.parts['test'])}",
        "opening": _opening(judged),
        "beside_floor": _picture(
            plots_closeness.beside_floor(judged.rows),
            "Each metric beside its floor (grey), with 95 % intervals. Arrows: closer or safer.",
        ),
        "everything": {"table": _table(summary(judged.rows)), "missing": together},
        "rhythms": {
            "table": None if rhythms.empty else _table(rhythms),
            "missing": notes([row for row in judged.rows if row.rhythm]),
        },
        "pictures": _pictures(judged),
        "metrics": _table(_metrics()),
        "facts": facts,
    }


def _opening(judged: Judged) -> Markup:
    parts, synthetic = judged.parts, judged.synthetic
    correct = accuracy(judged.judge, parts["test"])
    lines = [
        f"Synthetic records: **{len(synthetic)}** from `{named(synthetic)}` "
        f"({_counted(synthetic)}; marked as {_origins(synthetic)}).",
        f"Real records: **{len(parts['train'])}** for training ({_counted(parts['train'])}) and "
        f"**{len(parts['test'])}** for testing ({_counted(parts['test'])}); marked as "
        f"{_origins(parts['test'])}.",
        f"The classifier that embeds them reads {100 * correct:.1f} % of the test records as they "
        f"are labelled. {GIVEN if judged.given else KNOWN}",
        *[f"**Left out**: {line}." for line in left_out(judged.real, synthetic)],
        RULES,
    ]
    if correct < TRUSTED:
        lines.insert(3, "**That is too few to trust what the classifier says of rhythms.**")
    return _markdown("\n\n".join(lines))


def _pictures(judged: Judged) -> list[Picture]:
    test, synthetic, train = judged.parts["test"], judged.synthetic, judged.parts["train"]
    of_test = (judged.judge.embed(test), test)
    of_synthetic = (judged.judge.embed(synthetic), synthetic)
    of_train = (judged.judge.embed(train), train)
    leads = [lead for lead in ("II", "V1", "V5") if lead in test.leads]
    pictures = [
        _picture(
            plots_closeness.embedding_map({"real test": of_test, "synthetic": of_synthetic}),
            "Embeddings, in the plane of the real test records' two principal components.",
        ),
        _picture(
            plots_closeness.power_spectra({"real test": test, "synthetic": synthetic}, leads),
            "Mean normalized power spectra.",
        ),
    ]
    if judged.hearts is not None:
        sides = {"real": "real test", "synthetic": "synthetic"}
        pictures.append(
            _picture(
                plots_closeness.heart_boxes(judged.hearts, sides),
                "What is detected and delineated in lead II, by rhythm.",
            )
        )
    return [
        *pictures,
        _picture(
            _figure_of(plots_closeness.closest_pairs(of_synthetic, of_train)),
            "The synthetic records nearest to a training record, each above it: if a pair looks "
            "like one record twice, a patient was copied.",
        ),
        _picture(
            _figure_of(plots_closeness.farthest(of_synthetic, of_test[0])),
            "The synthetic records farthest from every real test record.",
        ),
    ]


def _metrics() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "metric": metric.title,
            "family": FAMILIES[metric.family],
            "sees": metric.sees,
            "misses": metric.misses,
        }
        for metric in METRICS.values()
    )


def _figure_of(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None  # it was drawn a moment ago
    return figure


def _picture(figure: Figure, caption: str) -> Picture:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100, bbox_inches="tight")
    plt.close(figure)
    return Picture(caption, base64.b64encode(drawn.getvalue()).decode())


def _table(frame: pd.DataFrame) -> Markup:
    return _markdown(markdown_rows(frame))


def _markdown(text: str) -> Markup:
    """Markdown as HTML; HTML within it is shown as text."""
    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def _counted(cohort: Cohort) -> str:
    return ", ".join(f"{code} {n}" for code, n in cohort.counts().items() if n)


def _origins(cohort: Cohort) -> str:
    return ", ".join(sorted(set(cohort.table["origin"])))
