"""Figures of the worked examples: what a metric sees, what it misses, and its value for each."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecgrepro.closeness.catalogue import METRICS
from ecgrepro.closeness.examples.cases import FS, SHORT, Case, MarkedBeat
from ecgrepro.closeness.metrics.prdc import radii
from ecgrepro.figures.style import INK, PALETTE, STYLE, Drawn, Given

GREY = "#8c8c8c"
SMALL = 8
WIDTH = 7.5  # inches: about what a page of the book is wide, so that text keeps its size
ARROW = {"arrowstyle": "<->", "shrinkA": 0, "shrinkB": 0}


def styled(draw: Callable[Given, Drawn]) -> Callable[Given, Drawn]:
    """Draw in the book's style, with the smaller text of small panels."""

    @wraps(draw)
    def wrapper(*args: Given.args, **kwargs: Given.kwargs) -> Drawn:
        with plt.style.context([STYLE, {"font.size": SMALL}]):
            return draw(*args, **kwargs)

    return wrapper


def said(case: Case) -> str:
    """The values of a case in words, a line each, with what an honest set gets in their place."""
    lines = []
    for name in (name for name in METRICS if name in case.values):
        value = case.values[name]
        word = SHORT.get(name, METRICS[name].words) if len(case.values) > 1 else ""
        line = f"{word} {_number(value)}".strip()
        if value != case.honest[name] or name in (*case.sees, *case.misses):
            line += f" (honest {_number(case.honest[name])})"
        verdict = "seen" if name in case.sees else "missed" if name in case.misses else ""
        lines.append(f"{line}: {verdict}" if verdict else line)
    return "\n".join(lines)


@styled
def point_cases(
    cases: Sequence[Case],
    columns: int = 2,
    names: tuple[str, str] = ("real", "synthetic"),
    marks: tuple[str, str] | None = None,
) -> Figure:
    """A panel for each case: real points as rings, synthetic ones as dots.

    Cases are as `ecgrepro.closeness.examples.cases.as_points` makes them: points on a line are
    shown as a histogram. ``marks`` names the two kinds of synthetic points that `Case.marks` tells
    apart.
    """
    rows = -(-len(cases) // columns)
    lines = 1 + max(len(case.values) for case in cases)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(WIDTH, (1.8 + 0.15 * lines) * rows),
        squeeze=False,
    )
    for ax, case in zip(axes.flat, cases, strict=False):
        if case.real.shape[1] == 1:
            _histograms(ax, case.real[:, 0], case.synthetic[:, 0], names)
            ax.set_xlabel("first dimension")
        else:
            _points(ax, case, names, marks)
        _title(ax, case)
    handles = {}
    for ax in axes.flat:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    for ax in axes.flat[len(cases) :]:
        ax.set_axis_off()
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, fontsize=SMALL)
    return figure


@styled
def two_gaussians(example: Mapping, ax: Axes | None = None) -> Axes:
    """Histograms of two sets on a line, with the closed form and the value that was found."""
    ax = plt.subplots(figsize=(5.6, 2.4))[1] if ax is None else ax
    _histograms(ax, example["first"][:, 0], example["second"][:, 0], ("real", "synthetic"))
    ax.legend(fontsize=SMALL)
    closed, found = (_number(example[key]) for key in ("closed", "found"))
    ax.set_title(f"closed form {closed}; found from {len(example['first'])} points {found}",
                 fontsize=SMALL)  # fmt: skip
    return ax


@styled
def balls_on_a_line(real: np.ndarray, synthetic: np.ndarray, k: int) -> Figure:
    """Points of two sets on a line with the balls of each: above the real, below the synthetic."""
    figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 2.6), sharex=True)
    sets = (("real", real, GREY, "o"), ("synthetic", synthetic, PALETTE[1], "X"))
    for ax, (name, own, color, _) in zip(axes, sets, strict=True):
        reach = radii(own[:, None], k)
        for i, (centre, radius) in enumerate(zip(own, reach, strict=True)):
            ax.plot([centre - radius, centre + radius], [i + 1] * 2, color=color, linewidth=5,
                    alpha=0.5, solid_capstyle="butt")  # fmt: skip
            ax.plot([centre] * 2, [0, i + 1], color=color, linewidth=0.8, linestyle=":")
        for label, points, shade, marker in sets:
            ax.plot(points, 0 * points, marker, color=shade, markersize=6, label=label, zorder=3)
        ax.set(yticks=[], ylim=(-0.7, len(own) + 0.7))
        ax.set_title(f"balls of the {name} points", fontsize=SMALL)
        ax.grid(axis="y", visible=False)
    low, high = min(real.min(), synthetic.min()), max(real.max(), synthetic.max())
    axes[1].set(xlim=(low - 4, high + 3))
    axes[0].legend(fontsize=SMALL, ncols=2, loc="upper right")
    return figure


@styled
def signal_panels(
    cases: Sequence[Case],
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    xlabel: str,
    ylabel: str,
    *,
    logarithmic: bool = False,
) -> Figure:
    """What is compared, as curves, beside lead II of a record that is seen and one that is missed.

    Cases are as `ecgrepro.closeness.examples.cases.as_traces` makes them. ``logarithmic``: the y
    axis of the curves.
    """
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.4))
    names = ("real", *(case.words for case in cases))
    looks = zip((INK, GREY, PALETTE[1], PALETTE[2]), ("-", "--", "-", ":"), strict=True)
    looks = dict(zip(names, looks, strict=True))
    for name, (x, y) in curves.items():
        color, style = looks[name]
        axes[0].plot(x, y, color=color, linestyle=style, linewidth=1.4, label=name)
    axes[0].set(xlabel=xlabel, ylabel=ylabel)
    if logarithmic:
        axes[0].set_yscale("log")
    figure.legend(loc="outside lower center", ncols=4)
    for ax, case in zip(axes[1:], cases[1:], strict=True):
        (trace,) = case.synthetic
        t = np.arange(len(trace)) / FS
        ax.plot(t, trace, color=looks[case.words][0], linewidth=0.9)
        ax.set(xlabel="seconds", ylabel="lead II, z")
        _title(ax, case)
    honest = cases[0]
    value = _number(next(iter(honest.values.values())))
    axes[0].set_title(f"what is compared\nhonest {value}", fontsize=SMALL)
    return figure


@styled
def marked_beat(beat: MarkedBeat, ax: Axes | None = None) -> Axes:
    """A beat with the waves that are measured, each with its length in this beat."""
    ax = plt.subplots(figsize=(WIDTH, 3.4))[1] if ax is None else ax
    ax.plot(beat.time, beat.lead, color=INK, linewidth=1.2)
    top = beat.r_height
    places = {"p_duration": ("P", -0.22), "pr": ("PR", -0.42), "qrs": ("QRS", -0.22),
              "qt": ("QT", -0.62)}  # fmt: skip
    for i, (name, (words, height)) in enumerate(places.items()):
        start, end = beat.marks[name]
        y, color = height * top, PALETTE[i]
        ax.annotate("", (start, y), (end, y),
                    arrowprops=ARROW | {"color": color})  # fmt: skip
        text = f"{words} {1000 * (end - start):.0f} ms"
        side = ("center", 0.5 * (start + end)) if name != "qrs" else ("left", end + 0.01)
        ax.text(side[1], y - 0.03 * top, text, ha=side[0], va="top" if name != "qrs" else "center",
                color=color, fontsize=SMALL)  # fmt: skip
        for x in (start, end):
            ax.axvline(x, color=color, linewidth=0.6, linestyle=":")
    ax.annotate("", (0.1, 0), (0.1, top),
                arrowprops=ARROW | {"color": PALETTE[4]})  # fmt: skip
    ax.text(0.11, 0.6 * top, f"R {beat.r_height:.2f} mV", color=INK, fontsize=SMALL)
    ax.plot([0, 0.1], [top, top], color=PALETTE[4], linewidth=0.6, linestyle=":")
    ax.set(xlabel="seconds from the R peak", ylabel="lead II, mV")
    ax.set_ylim(-0.8 * top, 1.1 * top)
    return ax


@styled
def heart_matrix(table: pd.DataFrame, seen: Mapping[str, Sequence[str]]) -> Figure:
    """Values of the family heart: a row for each metric, a column for each set.

    The colour is the value over that of the honest set; a frame marks what the set was made for.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.8))
    honest = table["honest"].to_numpy()[:, None]
    floor = np.maximum(honest, 0.05 * np.nanmax(table.to_numpy(), axis=1, keepdims=True))
    ratio = np.log2(np.maximum(table.to_numpy(), 1e-9) / floor)
    shades = plt.get_cmap("Oranges").copy()
    shades.set_bad("#dddddd")
    ax.imshow(np.ma.masked_invalid(ratio), cmap=shades, vmin=0, vmax=5, aspect="auto")
    for (i, j), value in np.ndenumerate(table.to_numpy()):
        text = "–" if np.isnan(value) else f"{value:.2f}" if value < 2 else f"{value:.0f}"
        color = "white" if ratio[i, j] > 3.5 else INK
        ax.text(j, i, text, ha="center", va="center", fontsize=SMALL, color=color)
        if table.index[i] in seen.get(table.columns[j], ()):
            ax.add_patch(Rectangle((j - 0.47, i - 0.44), 0.94, 0.88, fill=False, color=INK,
                                   linewidth=1.5))  # fmt: skip
    ax.set_xticks(range(len(table.columns)), [c.replace(" ", "\n", 1) for c in table.columns],
                  fontsize=SMALL)  # fmt: skip
    words = [METRICS[name].title.removeprefix("distance of ").replace("units of the signal", "mV")
             for name in table.index]  # fmt: skip
    ax.set_yticks(range(len(words)), words, fontsize=SMALL)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    for spine in ax.spines.values():
        spine.set_visible(False)
    return figure


@styled
def lead_panels(cases: Sequence[Case], leads: Sequence[str] = ("I", "II", "III")) -> Figure:
    """Leads of a record of each case, below each other; cases as for `signal_panels`."""
    rows = -(-len(cases) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(WIDTH, 2.5 * rows), sharey=True)
    for ax, case in zip(axes.flat, cases, strict=True):
        t = np.arange(case.synthetic.shape[1]) / FS
        for i, (lead, trace) in enumerate(zip(leads, case.synthetic, strict=True)):
            ax.plot(t, trace - 1.8 * i, color=PALETTE[i], linewidth=0.9)
            ax.text(-0.05, -1.8 * i, lead, ha="right", va="center", fontsize=SMALL)
        ax.set(yticks=[], xlabel="seconds", xlim=(-0.35, t[-1]))
        ax.spines["left"].set_visible(False)
        _title(ax, case)
    return figure


def _title(ax: Axes, case: Case) -> None:
    ax.set_title(f"{case.words}\n{said(case)}", fontsize=SMALL)


def _points(ax: Axes, case: Case, names: tuple[str, str], marks: tuple[str, str] | None) -> None:
    ax.scatter(*case.real.T, s=16, facecolors="none", edgecolors=GREY, linewidths=0.7,
               label=names[0])  # fmt: skip
    kinds = [(names[1], np.ones(len(case.synthetic), bool), PALETTE[1])]
    if marks:
        own = np.asarray(case.marks, bool)
        kinds = [(marks[0], ~own, PALETTE[0]), (marks[1], own, PALETTE[1])]
    for label, rows, color in kinds:
        ax.scatter(*case.synthetic[rows].T, s=4, color=color, label=label)
    ax.set(xticks=[], yticks=[], aspect="equal")
    ax.set_adjustable("datalim")


def _histograms(ax: Axes, real: np.ndarray, synthetic: np.ndarray, names: tuple[str, str]) -> None:
    low, high = min(real.min(), synthetic.min()), max(real.max(), synthetic.max())
    bins = np.linspace(low, high, 33)
    ax.hist(real, bins, histtype="step", color=GREY, linewidth=1.4, label=names[0])
    ax.hist(synthetic, bins, color=PALETTE[1], alpha=0.5, label=names[1])
    ax.set(ylabel="points")


def _number(value: float) -> str:
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")
