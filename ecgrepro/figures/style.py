"""The book's style: colours, and drawing in it without leaving it behind."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

STYLE = Path(__file__).with_name("ecgrepro.mplstyle")
# Okabe and Ito (2008), in the order of the style file's cycle.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK = "#1a1a1a"
Given = ParamSpec("Given")
Drawn = TypeVar("Drawn")  # axes or a figure


def styled(draw: Callable[Given, Drawn]) -> Callable[Given, Drawn]:
    """Draw in the book's style and leave the caller's settings as they were."""

    @wraps(draw)
    def wrapper(*args: Given.args, **kwargs: Given.kwargs) -> Drawn:
        with plt.style.context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


def own_axes(inches: tuple[float, float], ax: Axes | None) -> Axes:
    """The axes that are given, or new ones of this size in inches."""
    return plt.subplots(figsize=inches)[1] if ax is None else ax


def color_of(i: int) -> str:
    """Dark for the first of several names, then the palette."""
    return INK if i == 0 else PALETTE[(i - 1) % len(PALETTE)]
