"""Charts of the book: curves, intervals, distributions, points with names.

Every function draws on axes that it is given, or on new ones, and returns the axes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator

from ecgrepro.figures.style import INK, PALETTE, color_of, own_axes, styled


@styled
def learning_curve(
    curves: Mapping[str, Sequence[Sequence[float]]],
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    ax: Axes | None = None,
    *,
    from_zero: bool = False,
    logarithmic: bool = False,
    even: bool = False,
) -> Axes:
    """Lines over training steps, fractions of data, ...

    ``curves`` maps a name to ``(x, y)`` or ``(x, y, low, high)``; the band is the interval.
    ``from_zero``: the y axis starts at zero. ``logarithmic``: the x axis, marked at the values.
    ``even``: the values of x stand side by side at equal distances; the legend above.
    """
    ax = own_axes((6.4, 3.6), ax)
    marks = sorted({float(v) for x, *_ in curves.values() for v in x})
    for i, (name, (x, y, *band)) in enumerate(curves.items()):
        at = [marks.index(v) for v in x] if even else x
        color = PALETTE[i % len(PALETTE)]
        marker = "o" if len(at) <= 12 else None
        ax.plot(at, y, color=color, marker=marker, markersize=4, label=name)
        if band:
            low, high = band
            ax.fill_between(at, low, high, color=color, alpha=0.18, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    if from_zero:
        ax.set_ylim(0, 1.1 * max(float(np.max(y)) for _, y, *_ in curves.values()) or 1)
    if logarithmic:
        ax.set_xscale("log")
        ax.set_xticks(marks, [f"{v:g}" for v in marks])
        ax.minorticks_off()
    if even:
        ax.set_xticks(range(len(marks)), [f"{v:g}" for v in marks])
    if len(curves) > 1:
        above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncols": 2}
        ax.legend(**(above if even else {}))
    return ax


@styled
def intervals(
    rows: Mapping[str, tuple[float, float, float]],
    xlabel: str,
    reference: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Point estimates with their intervals, one row each, from the top in the given order.

    ``rows`` maps a name to ``(value, low, high)``. ``reference`` is a value to compare with, such
    as zero for a difference; intervals that include it are drawn hollow.
    """
    ax = own_axes((6.4, 0.8 + 0.32 * max(len(rows), 1)), ax)
    for i, (value, low, high) in enumerate(rows.values()):
        includes = reference is not None and low <= reference <= high
        ax.plot([low, high], [i, i], color=PALETTE[0], linewidth=2, solid_capstyle="butt")
        face = "white" if includes else PALETTE[0]
        ax.plot(value, i, "o", markersize=7, markeredgecolor=PALETTE[0], markerfacecolor=face)
    if reference is not None:
        ax.axvline(reference, color="#666666", linewidth=1, linestyle="--", zorder=0)
    ax.set(xlabel=xlabel, title=title or "", ylim=(len(rows) - 0.5, -0.5))
    ax.set_yticks(range(len(rows)), list(rows))
    ax.grid(axis="y", visible=False)
    return ax


@styled
def grouped_boxes(
    groups: Mapping[str, Mapping[str, np.ndarray]],
    ylabel: str,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Distributions side by side: a group of boxes for each key, a colour for each name in it.

    Boxes as in `quantile_boxes`, which draws them. Values that are not finite are left out; a name
    without any other has no box.

    Parameters
    ----------
    groups
        ``{"SR": {"real": rates, "synthetic": rates}, ...}``, each an array of shape (n,).
    """
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, group in groups.items():
        arrays = {name: np.asarray(group.get(name, []), float) for name in names}
        finite = {name: values[np.isfinite(values)] for name, values in arrays.items()}
        found[key] = {
            name: np.percentile(values, [5, 25, 50, 75, 95]) if len(values) else np.empty(0)
            for name, values in finite.items()
        }
    return quantile_boxes(found, ylabel, title, ax)


@styled
def quantile_boxes(
    groups: Mapping[str, Mapping[str, Sequence[float] | np.ndarray]],
    ylabel: str,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Distributions side by side: a group of boxes for each key, a colour for each name in it.

    Boxes span the quartiles with the median, whiskers the 5th to the 95th percentile. The first
    name, such as the real records, is drawn dark.

    Parameters
    ----------
    groups
        ``{"SR": {"real": quantiles, "synthetic": quantiles}, ...}``, each the 5th, 25th, 50th, 75th
        and 95th percentile; empty for no box.
    """
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    ax = own_axes((max(6.4, 0.9 * len(groups) + 0.22 * len(groups) * len(names)), 3.6), ax)
    width = 0.8 / max(len(names), 1)
    for i, name in enumerate(names):
        color = color_of(i)
        for place, group in enumerate(groups.values()):
            if not len(group.get(name, ())):
                continue
            x = place + (i - (len(names) - 1) / 2) * width
            low, first, median, third, high = group[name]
            ax.plot([x, x], [low, high], color=color, linewidth=1)
            box = Rectangle((x - 0.4 * width, first), 0.8 * width, third - first)
            box.set(color=color, alpha=0.45, linewidth=0)
            ax.add_patch(box)
            ax.plot(x + 0.4 * width * np.array([-1, 1]), [median, median], color=color, linewidth=2)
    keys = [Patch(color=color_of(i), alpha=0.6, label=name) for i, name in enumerate(names)]
    ax.set(ylabel=ylabel, title=title or "", xlim=(-0.6, len(groups) - 0.4))
    ax.set_xticks(range(len(groups)), list(groups))
    ax.grid(axis="x", visible=False)
    ax.legend(
        handles=keys, ncols=min(len(names), 6), loc="lower left", bbox_to_anchor=(0, 1), fontsize=9
    )
    return ax


@styled
def named_points(
    points: Mapping[str, tuple[float | None, float | None]],
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A point with its name for each ``(x, y)``, on a logarithmic x axis: cost against quality.

    Points without a number are left out; their names stand in the legend nevertheless.
    """
    ax = own_axes((5.2, 3.6), ax)
    for i, (name, (x, y)) in enumerate(points.items()):
        if x is not None and y is not None and np.isfinite([x, y]).all() and x > 0:
            label, place = name, ([x], [y])
        else:
            label, place = f"{name} (no cost or no value)", ([], [])
        ax.plot(*place, "o", markersize=8, color=PALETTE[i % len(PALETTE)], label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title or "", xscale="log")
    ax.margins(0.15)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.legend(fontsize=8)
    return ax


@styled
def asked_and_found(
    groups: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    what: str,
    ax: Axes | None = None,
) -> Axes:
    """What was found over what was asked for, a point each, and the line where they are equal."""
    ax = own_axes((5.2, 4.6), ax)
    both = [v for pair in groups.values() for values in pair for v in values]
    if both:
        ax.axline((min(both), min(both)), slope=1, color="#666666", linewidth=1)
    for i, (name, (asked, found)) in enumerate(groups.items()):
        color = PALETTE[i % len(PALETTE)]
        ax.plot(asked, found, "o", markersize=4, alpha=0.6, color=color, label=name)
    ax.set(xlabel=f"asked for, {what}", ylabel=f"found, {what}")
    ax.legend(fontsize=8)
    return ax


@styled
def note(text: str, ax: Axes | None = None) -> Axes:
    """A line of text where a figure would be: why there is nothing to draw."""
    ax = own_axes((6.4, 0.8), ax)
    ax.set_axis_off()
    ax.text(0, 0.5, text, transform=ax.transAxes, va="center", color=INK)
    return ax
