"""Turning results into what a notebook shows, without a notebook: Markdown tables, pictures."""

import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as Picture

from ecgrepro.studies.findings.wording import WORDS, number


def table(frame: pd.DataFrame, caption: str, name: str) -> str:
    """A numbered table of the book; ``name`` begins with ``tab-``. The index is not shown."""
    return f":::{{table}} {caption}\n:name: {name}\n\n{markdown_rows(frame)}\n:::"


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


def picture(figure: Figure, dpi: int = 75, colors: int = 32) -> bytes:
    """A large figure as a PNG of few colours, a third of the usual size; the figure is closed."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # once: savefig draws a figure twice that has to be laid out
    drawn = Picture.fromarray(np.asarray(canvas.buffer_rgba()))
    plt.close(figure)
    few, small = drawn.convert("RGB").quantize(colors, dither=Picture.Dither.NONE), io.BytesIO()
    few.save(small, format="png")
    return small.getvalue()


def data_note(status: str) -> str:
    """One line that says which recordings a page is about."""
    said = {
        "simulated": "Recordings: **simulated** (see the methods). Nothing on this page is a "
        "finding about patients.",
        "partial real": "Recordings: **real, in part**. The published data sets hold more records "
        "than are used here.",
        "full real": "Recordings: **real, complete** as published.",
    }
    return said[status]
