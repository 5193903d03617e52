"""Figures of the book: ECG paper, strips of several records, curves and intervals.

Every function draws on axes that it is given, or on new ones, and returns the axes. The style,
``ecgrepro.mplstyle``, holds while a figure is drawn here and is not left behind.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator

from ecgrepro.cohort import LEADS, UNITS
from ecgrepro.errors import EcgreproError

STYLE = Path(__file__).with_name("ecgrepro.mplstyle")
# Okabe and Ito (2008), in the order of the style file's cycle.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

PAPER, MINOR, MAJOR, INK = "#fffafa", "#fbdada", "#f0a8a8", "#1a1a1a"
MM_PER_SECOND = 25.0
MM_PER_UNIT = {"mV": 10.0, "z": 2.5}  # a z-scored R peak is four to nine units high
ROW_MM = 27.0  # height of a row of leads on the paper
LABELS = {"mV": "25 mm/s, 10 mm/mV", "z": "25 mm/s, 2.5 mm per standard deviation (z-scored)"}
COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
INCH = 25.4

Given = ParamSpec("Given")
Drawn = TypeVar("Drawn")


def styled(draw: Callable[Given, Drawn]) -> Callable[Given, Drawn]:
    """Draw in the book's style and leave the caller's settings as they were."""

    @wraps(draw)
    def wrapper(*args: Given.args, **kwargs: Given.kwargs) -> Drawn:
        with plt.style.context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


@styled
def ecg_paper(
    signal: np.ndarray,
    fs: float,
    units: str = "mV",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A 12-lead record on standard paper: four columns of three leads above a strip of lead II.

    Parameters
    ----------
    signal
        Shape (12, samples), leads in the order of ``ecgrepro.cohort.LEADS``.
    fs
        Sampling frequency in Hz.
    units
        ``"mV"`` (10 mm/mV) or ``"z"`` (2.5 mm per standard deviation); the paper says which.
    title
        Text above the paper.
    ax
        Axes to draw on; new ones at true scale (1 mm on paper is 1 mm at the figure's size) if
        not given.
    """
    signal = _record(signal, units)
    seconds = signal.shape[1] / fs
    width, height = seconds * MM_PER_SECOND + 10, 4 * ROW_MM + 4
    ax = _paper(width, height, ax)
    seam = np.arange(5) * signal.shape[1] // 4
    for column, names in enumerate(COLUMNS):
        part = slice(seam[column], seam[column + 1])
        for row, name in enumerate(names):
            baseline = height - (row + 0.55) * ROW_MM
            _trace(ax, signal[LEADS.index(name)], fs, units, baseline, part, name)
            if column:
                x = 7 + seam[column] / fs * MM_PER_SECOND
                ax.plot([x, x], [baseline - 3, baseline + 3], color=INK, linewidth=0.5)
    _trace(ax, signal[1], fs, units, height - 3.55 * ROW_MM, slice(None), "II")
    for row in range(4):
        _calibration(ax, height - (row + 0.55) * ROW_MM, units)
    ax.text(width - 1, 1, LABELS[units], ha="right", va="bottom", fontsize=7, color=INK)
    if title:
        ax.set_title(title, fontsize=10)
    return ax


@styled
def ecg_strips(
    records: Mapping[str, np.ndarray],
    fs: float,
    units: str = "z",
    leads: Sequence[str] = ("II", "V1"),
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Several records below each other on one paper, a few leads each, for comparison by eye.

    ``records`` maps the text beside a strip to a record of shape (12, samples); all have the same
    length. The leads of a record stand side by side, each over its share of the time.
    """
    signals = {name: _record(signal, units) for name, signal in records.items()}
    lengths = {signal.shape[1] for signal in signals.values()}
    if len(lengths) != 1:
        raise EcgreproError(f"strips need records of one length, not {sorted(lengths)} samples")
    unknown = [lead for lead in leads if lead not in LEADS]
    if unknown:
        raise EcgreproError(f"unknown leads {unknown}: choose from {', '.join(LEADS)}")
    (samples,) = lengths
    row_mm = 0.8 * ROW_MM
    width, height = samples / fs * MM_PER_SECOND + 10, len(signals) * row_mm + 6
    ax = _paper(width, height, ax)
    seam = np.arange(len(leads) + 1) * samples // len(leads)
    for row, (name, signal) in enumerate(signals.items()):
        baseline = height - (row + 0.62) * row_mm
        for i, lead in enumerate(leads):
            part = slice(seam[i], seam[i + 1])
            _trace(ax, signal[LEADS.index(lead)], fs, units, baseline, part, lead)
        ax.text(-1, baseline, name, ha="right", va="center", fontsize=8, color=INK)
    ax.text(width - 1, 0.5, LABELS[units], ha="right", va="bottom", fontsize=7, color=INK)
    if title:
        ax.set_title(title, fontsize=10)
    return ax


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
    ax = _axes((6.4, 3.6), ax)
    marks = sorted({float(v) for x, *_ in curves.values() for v in x})
    for i, (name, (x, y, *band)) in enumerate(curves.items()):
        x = [marks.index(v) for v in x] if even else x
        color = PALETTE[i % len(PALETTE)]
        marker = "o" if len(x) <= 12 else None
        ax.plot(x, y, color=color, marker=marker, markersize=4, label=name)
        if band:
            ax.fill_between(x, *band, color=color, alpha=0.18, linewidth=0)
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
    ax = _axes((6.4, 0.8 + 0.32 * max(len(rows), 1)), ax)
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
    groups: Mapping[str, Mapping[str, Sequence[float]]],
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
    ax = _axes((max(6.4, 0.9 * len(groups) + 0.22 * len(groups) * len(names)), 3.6), ax)
    width = 0.8 / max(len(names), 1)
    for i, name in enumerate(names):
        color = _color(i)
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
    keys = [Patch(color=_color(i), alpha=0.6, label=name) for i, name in enumerate(names)]
    ax.set(ylabel=ylabel, title=title or "", xlim=(-0.6, len(groups) - 0.4))
    ax.set_xticks(range(len(groups)), list(groups))
    ax.grid(axis="x", visible=False)
    ax.legend(
        handles=keys, ncols=min(len(names), 6), loc="lower left", bbox_to_anchor=(0, 1), fontsize=9
    )
    return ax


@styled
def strip_grid(
    rows: Mapping[str, Mapping[str, np.ndarray]],
    fs: float,
    units: str = "z",
    lead: str = "II",
    seconds: float = 5.0,
) -> np.ndarray:
    """One lead of many records on ECG paper: a row for each source, a column for each rhythm.

    ``rows`` maps the text beside a row to records of shape (12, samples) by column, or to the lead
    alone, (samples,); the first ``seconds`` of each are shown. A record that is missing leaves its
    place empty. Returns the axes, shape (rows, columns).
    """
    if lead not in LEADS:
        raise EcgreproError(f"unknown lead {lead!r}: choose from {', '.join(LEADS)}")
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    width, height = seconds * MM_PER_SECOND + 9, 1.2 * ROW_MM
    inches = ((width * len(columns) + 30) / INCH * 0.55, (height * len(rows) + 20) / INCH * 0.6)
    figure, axes = plt.subplots(len(rows), len(columns), figsize=inches, squeeze=False)
    for i, (name, row) in enumerate(rows.items()):
        for j, column in enumerate(columns):
            ax = _paper(width, height, axes[i, j])
            if column in row:
                trace = np.asarray(row[column], float)
                if trace.ndim > 1:
                    trace = _record(trace, units)[LEADS.index(lead)]
                trace = trace[: round(seconds * fs)]
                _trace(ax, trace, fs, units, 0.33 * height, slice(None), "")
            if i == 0:
                ax.set_title(column, fontsize=10)
        axes[i, 0].text(-2, 0.5 * height, name, ha="right", va="center", fontsize=9, color=INK)
    figure.supxlabel(f"lead {lead}, {LABELS[units]}", fontsize=7)
    return axes


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
    ax = _axes((5.2, 3.6), ax)
    for i, (name, (x, y)) in enumerate(points.items()):
        there = x is not None and y is not None and np.isfinite([x, y]).all() and x > 0
        label = name if there else f"{name} (no cost or no value)"
        place = ([x], [y]) if there else ([], [])
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
    ax = _axes((5.2, 4.6), ax)
    both = [v for pair in groups.values() for values in pair for v in values]
    if both:
        ax.axline((min(both),) * 2, slope=1, color="#666666", linewidth=1)
    for i, (name, (asked, found)) in enumerate(groups.items()):
        color = PALETTE[i % len(PALETTE)]
        ax.plot(asked, found, "o", markersize=4, alpha=0.6, color=color, label=name)
    ax.set(xlabel=f"asked for, {what}", ylabel=f"found, {what}")
    ax.legend(fontsize=8)
    return ax


@styled
def note(text: str, ax: Axes | None = None) -> Axes:
    """A line of text where a figure would be: why there is nothing to draw."""
    ax = _axes((6.4, 0.8), ax)
    ax.set_axis_off()
    ax.text(0, 0.5, text, transform=ax.transAxes, va="center", color=INK)
    return ax


def _record(signal: np.ndarray, units: str) -> np.ndarray:
    if units not in UNITS:
        raise EcgreproError(f"unknown units {units!r}: choose one of {', '.join(map(repr, UNITS))}")
    signal = np.asarray(signal, float)
    if signal.ndim != 2 or len(signal) != len(LEADS):
        raise EcgreproError(f"a record on ECG paper has shape (12, samples), not {signal.shape}")
    return signal


def _color(i: int) -> str:
    """Dark for the first of several names, then the palette."""
    return INK if i == 0 else PALETTE[(i - 1) % len(PALETTE)]


def _axes(inches: tuple[float, float], ax: Axes | None) -> Axes:
    return plt.subplots(figsize=inches)[1] if ax is None else ax


def _paper(width: float, height: float, ax: Axes | None) -> Axes:
    """Axes in millimetres with the 1 mm and 5 mm grid."""
    ax = _axes(((width + 4) / INCH, (height + 8) / INCH), ax)
    for step, color, line in ((1, MINOR, 0.4), (5, MAJOR, 0.6)):
        x, y = np.arange(0, width + 0.5, step), np.arange(0, height + 0.5, step)
        lines = [[(v, 0), (v, height)] for v in x] + [[(0, v), (width, v)] for v in y]
        ax.add_collection(LineCollection(lines, colors=color, linewidths=line, zorder=0))
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal", facecolor=PAPER)
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def _trace(
    ax: Axes, lead: np.ndarray, fs: float, units: str, baseline: float, part: slice, name: str
) -> None:
    """Draw ``part`` of a lead where it stands in time, and its name."""
    x = 7 + np.arange(len(lead))[part] / fs * MM_PER_SECOND
    y = baseline + (lead[part] - np.median(lead)) * MM_PER_UNIT[units]
    ax.plot(x, y, color=INK, linewidth=0.8, solid_joinstyle="round")
    patch = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
    ax.text(x[0] + 1, baseline + 0.42 * ROW_MM, name, fontsize=8, va="top", color=INK, bbox=patch)


def _calibration(ax: Axes, baseline: float, units: str) -> None:
    """A pulse of 1 mV and 0.2 s; of one standard deviation in z units."""
    top = baseline + MM_PER_UNIT[units]
    ax.plot([0.5, 1, 1, 6, 6, 6.5], [baseline, baseline, top, top, baseline, baseline],
            color=INK, linewidth=0.8)  # fmt: skip
