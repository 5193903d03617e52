"""What a notebook displays: numbered tables, sentences, pictures. Imported by notebooks only."""

import pandas as pd
from IPython.display import Image, Markdown
from matplotlib.figure import Figure

from ecgrepro.report import tables


def table(frame: pd.DataFrame, caption: str, name: str) -> Markdown:
    """A numbered table of the book; ``name`` begins with ``tab-``. The index is not shown."""
    return Markdown(tables.table(frame, caption, name))


def sentence(text: str) -> Markdown:
    """A paragraph of Markdown."""
    return Markdown(text)


def picture(figure: Figure, dpi: int = 75, colors: int = 32) -> Image:
    """A large figure as a PNG of few colours, a third of the usual size; the figure is closed."""
    return Image(data=tables.picture(figure, dpi, colors))


def data_note(status: str) -> Markdown:
    """One line that says which recordings a page is about."""
    return Markdown(tables.data_note(status))
