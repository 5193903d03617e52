"""Figures of the page that checks the metrics: defects, and detected rates against labels."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ecgrepro.closeness import METRICS
from ecgrepro.closeness.verdict import MISLED, SEEN, UNKNOWN
from ecgrepro.figures.closeness import GREY
from ecgrepro.figures.style import INK, PALETTE, styled
from ecgrepro.studies.findings.sensitivity import dose_curves
from ecgrepro.support.results import Result

FARTHEST = (-3.0, 30.0)  # half widths at which curves are cut


@styled
def sensitivity_map(found: pd.DataFrame) -> Figure:
    """Metrics down, defects across: at which level each metric begins to see each defect.

    ``found`` as `ecgrepro.studies.findings.sensitivity.verdicts` gives it.
    """
    defects = [d for d in found["defect"].unique() if d != "none"]
    metrics = [m for m in METRICS if (found["metric"] == m).any()]
    codes, texts = np.zeros((len(metrics), len(defects)), int), {}
    for i, metric in enumerate(metrics):
        for j, defect in enumerate(defects):
            cell = found[(found["metric"] == metric) & (found["defect"] == defect)]
            codes[i, j], texts[i, j] = _cell(cell.sort_values("level"))
    figure, axis = plt.subplots(figsize=(8.4, 0.25 * len(metrics) + 1.4))
    shades = ["#f2f2f2", "#9ecae1", PALETTE[0], "#f4b183", "#ffffff"]
    axis.imshow(codes, cmap=ListedColormap(shades), vmin=0, vmax=4, aspect="auto")
    for (i, j), text in texts.items():
        color = "white" if codes[i, j] == 2 else INK
        axis.text(j, i, text, ha="center", va="center", fontsize=7, color=color)
    axis.set_xticks(range(len(defects)), defects, rotation=30, ha="left", fontsize=8)
    axis.xaxis.tick_top()
    axis.set_yticks(range(len(metrics)), [METRICS[m].words for m in metrics], fontsize=7)
    axis.grid(visible=False)
    families = [METRICS[m].family for m in metrics]
    for i in range(1, len(metrics)):
        if families[i] != families[i - 1]:
            axis.axhline(i - 0.5, color=INK, linewidth=0.8)
    said = (
        "blind",
        "seen at full level only",
        "seen from the level written",
        "misled: looks better",
    )
    keys = [Patch(facecolor=c, edgecolor=GREY, label=t) for c, t in zip(shades, said, strict=False)]
    figure.legend(handles=keys, ncols=4, loc="outside lower center", fontsize=8)
    return figure


def _cell(levels: pd.DataFrame) -> tuple[int, str]:
    """Shade and text of a metric and a defect: the lowest level from which it is always seen."""
    verdicts = list(zip(levels["level"], levels["verdict"], strict=True))
    if verdicts[-1][1] == UNKNOWN:
        return 4, ""
    if verdicts[-1][1] != SEEN:
        return (3, "misled") if verdicts[-1][1] == MISLED else (0, "")
    start = verdicts[-1][0]
    for level, said in reversed(verdicts):
        if said != SEEN:
            break
        start = level
    full = start == verdicts[-1][0] and len(verdicts) > 1
    return (1 if full else 2), f"{start:g}"


@styled
def dose_response(rows: Sequence[Result], defects: Sequence[str]) -> Figure:
    """How far each metric moves from its floor as a defect grows, a panel for each defect.

    In units of the two intervals' half widths together: beyond 1 they are apart; cut at `FARTHEST`.
    The three metrics that lie farthest in the end are named.
    """
    figure, axes = plt.subplots(3, 3, figsize=(8.8, 9.5), sharex=True, sharey=True)
    for axis, defect in zip(axes.flat, defects, strict=False):
        curves = dose_curves(rows, defect)
        ranked = sorted(curves, key=lambda metric: -curves[metric][-1][1])
        for metric in reversed(ranked):
            place = ranked.index(metric)
            color = PALETTE[place] if place < 3 else "#cccccc"
            levels, apart = zip(*curves[metric], strict=True)
            apart = np.clip(apart, *FARTHEST)
            label = METRICS[metric].words if place < 3 else None
            axis.plot(levels, apart, color=color, marker=".", label=label)
        axis.axhline(1, color=INK, linewidth=0.8, linestyle="--")
        axis.set_title(defect, fontsize=10, pad=34)
        handles, labels = axis.get_legend_handles_labels()
        axis.legend(handles[::-1], labels[::-1], fontsize=6, loc="lower left",
                    bbox_to_anchor=(0, 1), borderaxespad=0.2)  # fmt: skip
    axes[0, 0].set_yscale("symlog", linthresh=1)
    axes[0, 0].set_ylim(FARTHEST[0] * 1.2, FARTHEST[1] * 1.2)
    axes[0, 0].set_yticks([-3, -1, 0, 1, 3, 10, 30], ["-3", "-1", "0", "1", "3", "10", "30"])
    for axis in axes[-1]:
        axis.set_xlabel("level of the defect")
    figure.supylabel("distance from the floor, in half widths", fontsize=9)
    return figure


@styled
def size_panels(rows: Sequence[Result]) -> Figure:
    """Metrics over the number of records in a set, a panel each; the band is one SD of draws."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    figure, axes = plt.subplots(2, -(-len(metrics) // 2), figsize=(8.8, 4), squeeze=False)
    for axis in axes.flat[len(metrics) :]:
        axis.set_axis_off()
    for axis, metric in zip(axes.flat, metrics, strict=False):
        n, value, low, high = np.array(
            [(r.n, r.value, r.low, r.high) for r in rows if r.metric == metric]
        ).T
        axis.fill_between(n, low, high, color=PALETTE[0], alpha=0.2, linewidth=0)
        axis.plot(n, value, marker=".", color=PALETTE[0])
        axis.set_title(METRICS[metric].words, fontsize=9)
        axis.set_xscale("log")
        axis.set_xticks(n, [f"{x:.0f}" for x in n], fontsize=7)
        axis.minorticks_off()
    for axis in axes[-1]:
        axis.set_xlabel("records in a set")
    return figure


@styled
def rates_and_labels(
    rates: Mapping[str, np.ndarray],
    medians: Mapping[str, float],
    promised: Mapping[str, tuple[float, float]],
) -> Axes:
    """Detected heart rates of each rhythm, a point each, and the range that the label promises.

    Rhythms stand in the order of their medians, which are of all records.
    """
    rhythms = sorted(medians, key=medians.__getitem__)
    _, axis = plt.subplots(figsize=(7.5, 3.6))
    rng = np.random.default_rng(0)
    highest = max(found.max() for found in rates.values() if len(found))
    for i, rhythm in enumerate(rhythms):
        if rhythm in promised:
            low, high = promised[rhythm]
            span = [i - 0.4, i + 0.4]
            axis.fill_between(span, low, min(high, highest), color="#e3eefa", linewidth=0)
        place = i + rng.uniform(-0.25, 0.25, len(rates[rhythm]))
        color = PALETTE[i % len(PALETTE)]
        axis.plot(place, rates[rhythm], ".", markersize=3, alpha=0.5, color=color)
        axis.plot([i - 0.35, i + 0.35], [medians[rhythm]] * 2, color=INK, linewidth=2)
    axis.set_xticks(range(len(rhythms)), rhythms)
    axis.set(ylabel="detected heart rate, bpm", ylim=(20, None))
    axis.grid(axis="x", visible=False)
    return axis
