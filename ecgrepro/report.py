"""Turning results into what a notebook shows: numbered tables, numbers with intervals, wording."""

from collections.abc import Sequence

import pandas as pd
from IPython.display import Markdown

FEWEST = 10  # test records of a class below which its numbers are flagged
FLAG = "†"
WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "macro_auroc": "macro-AUROC",
    "macro_auprc": "macro-AUPRC",
    "calibration_error": "calibration error",
    "frechet_distance": "Fréchet distance",
    "rhythm_agreement": "rhythm agreement",
    "f1": "F1",
}


def number(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A number with its 95 % interval, three digits: ``0.953 [0.941, 0.965]``."""
    if value is None or pd.isna(value):
        return "–"
    if low is None or pd.isna(low):
        return f"{value:.3f}"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def table(frame: pd.DataFrame, caption: str, name: str) -> Markdown:
    """A numbered table of the book; ``name`` begins with ``tab-``. The index is not shown."""
    return Markdown(f":::{{table}} {caption}\n:name: {name}\n\n{markdown_rows(frame)}\n:::")


def markdown_rows(frame: pd.DataFrame) -> str:
    """A data frame as the lines of a Markdown table; columns of numbers are right-aligned."""

    def line(cells: Sequence) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    def numeric(column: pd.Series) -> bool:
        text = column.astype(str)
        return text.str.fullmatch(r"[-–\d.,%\[\]() ]*").all() and text.str.contains(r"\d").any()

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


def flagged(rhythm: str, n: int) -> str:
    """The rhythm's code, marked if it has too few test records to say much."""
    return f"{rhythm} {FLAG}" if n < FEWEST else rhythm


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
