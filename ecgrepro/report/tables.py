"""Turning results into what a notebook shows: numbered tables, numbers with intervals, wording."""

import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Image, Markdown
from matplotlib.figure import Figure
from PIL import Image as Picture

FEWEST = 10  # test records of a class below which its numbers are flagged
FLAG = "†"
SIGNIFICANT = 0.05  # largest corrected p-value of a difference that is called more than chance
WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "macro_auroc": "macro-AUROC",
    "macro_auprc": "macro-AUPRC",
    "calibration_error": "calibration error",
    "frechet_distance": "Fréchet distance",
    "rhythm_agreement": "rhythm agreement",
    "heart_rate": "median heart rate, bpm",
    "heart_rate_gap": "gap of median heart rates, bpm",
    "rr_variability": "median RR variability",
    "rate_error": "median distance from the heart rate asked for, bpm",
    "detector_failures": "share of records where the detector fails",
    "failures_over_real": "detector failures over real",
    "tstr": "macro-F1 on real test records",
    "tstr_over_trtr": "TSTR over TRTR",
    "frechet_over_floor": "Fréchet distance over its floor",
    "copies": "share of near-copies",
    "evaluations_saved": "evaluations, ancestral over default",
    "frechet_to_ancestral": "Fréchet distance, default over ancestral",
    "f1": "F1",
}


def number(
    value: float | None, low: float | None = None, high: float | None = None, digits: int = 3
) -> str:
    """A number with its 95 % interval: ``0.953 [0.941, 0.965]``; ``digits`` after the point."""
    if value is None or pd.isna(value):
        return "–"
    if low is None or pd.isna(low):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def table(frame: pd.DataFrame, caption: str, name: str) -> Markdown:
    """A numbered table of the book; ``name`` begins with ``tab-``. The index is not shown."""
    return Markdown(f":::{{table}} {caption}\n:name: {name}\n\n{markdown_rows(frame)}\n:::")


def markdown_rows(frame: pd.DataFrame) -> str:
    """A data frame as the lines of a Markdown table; columns of numbers are right-aligned."""

    def line(cells: Sequence) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    def numeric(column: pd.Series) -> bool:
        text = column.astype(str)
        return text.str.fullmatch(r"[-–\d.,%*\[\]()\s]*").all() and text.str.contains(r"\d").any()

    rule = ["--:" if numeric(frame[column]) else "---" for column in frame.columns]
    return "\n".join([line(frame.columns), line(rule), *map(line, frame.itertuples(index=False))])


def results_frame(rows: Sequence) -> pd.DataFrame:
    """`Result` objects as a data frame, with a column ``shown``: the number with its interval.

    Metrics are named in words.
    """
    frame = pd.DataFrame([vars(row) for row in rows])
    frame["metric"] = frame["metric"].replace(WORDS)
    frame["shown"] = [number(row.value, row.low, row.high) for row in rows]
    return frame


def picture(figure: Figure, dpi: int = 75, colors: int = 32) -> Image:
    """A large figure as a PNG of few colours, a third of the usual size; the figure is closed."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    plt.close(figure)
    few = Picture.open(drawn).convert("RGB").quantize(colors, dither=Picture.Dither.NONE)
    few.save(small, format="png", optimize=True)
    return Image(data=small.getvalue())


def flagged(rhythm: str, n: int) -> str:
    """The rhythm's code, marked if it has too few test records to say much."""
    return f"{rhythm} {FLAG}" if n < FEWEST else rhythm


def effect(value: float | None) -> str:
    """An effect size, in standard deviations over seeds: ``+1.4``."""
    return "–" if value is None or pd.isna(value) else f"{value:+.1f}"


def marked(row) -> str:
    """✓ for a difference that lies above zero, also after correction; ✗ for one below it."""
    if row.low is None or pd.isna(row.low) or (row.p_value or 0) > SIGNIFICANT:
        return ""
    return "✓" if row.low > 0 else "✗" if row.high < 0 else ""


def data_note(status: str) -> Markdown:
    """One line that says which recordings a page is about."""
    said = {
        "simulated": "Recordings: **simulated** (see the methods). Nothing on this page is a "
        "finding about patients.",
        "partial real": "Recordings: **real, in part**. The published data sets hold more records "
        "than are used here.",
        "full real": "Recordings: **real, complete** as published.",
    }
    return Markdown(said[status])
