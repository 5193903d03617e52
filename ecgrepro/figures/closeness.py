"""Figures of closeness: metrics beside floors, embeddings, spectra, hearts, single records."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ecgrepro.closeness import METRICS, views
from ecgrepro.closeness.metrics.heart import titled
from ecgrepro.closeness.verdict import BLIND, MISLED, SEEN, UNKNOWN, verdict
from ecgrepro.cohort.cohort import LEADS, Cohort
from ecgrepro.figures.charts import grouped_boxes
from ecgrepro.figures.ecg import ecg_strips
from ecgrepro.figures.style import INK, PALETTE, styled
from ecgrepro.report.closeness import pairs
from ecgrepro.support.results import Result, required

GREY = "#888888"
COLORS = {SEEN: PALETTE[1], BLIND: PALETTE[0], MISLED: PALETTE[2], UNKNOWN: GREY}
SAID = {SEEN: "worse than the floor", BLIND: "as the floor", MISLED: "better than the floor"}
ACROSS = 5


@styled
def beside_floor(rows: Sequence[Result]) -> Figure:
    """A small panel for each metric of all rhythms: synthetic in colour, its floor in grey."""
    both = [(r, f) for r, f in pairs(rows) if not r.rhythm and r.value is not None]
    both.sort(key=lambda pair: list(METRICS).index(pair[0].metric))
    down = -(-len(both) // ACROSS)
    figure, axes = plt.subplots(down, ACROSS, figsize=(8.2, 1.45 * down), squeeze=False)
    for axis in axes.flat[len(both) :]:
        axis.set_axis_off()
    for axis, (row, floor) in zip(axes.flat, both, strict=False):
        color = COLORS[verdict(row, floor)]
        for x, one, shade in ((0, row, color), (1, required(floor), GREY)):
            if one.low is not None:
                axis.plot([x, x], [one.low, one.high], color=shade, linewidth=4, alpha=0.5)
            axis.plot(x, one.value, "o", color=shade, markersize=5)
        metric = METRICS[row.metric]
        better = "↓" if metric.better == "lower" else "↑"
        axis.set_title(
            "\n".join(textwrap.wrap(f"{metric.words}\N{NO-BREAK SPACE}{better}", 27)), fontsize=7
        )
        axis.set(xlim=(-0.7, 1.7))
        axis.set_xticks([0, 1], ["synthetic", "floor"], fontsize=6)
        axis.tick_params(axis="y", labelsize=6)
        axis.margins(y=0.25)
    keys = [Patch(color=COLORS[v], label=text) for v, text in SAID.items()]
    figure.legend(handles=keys, ncols=3, loc="outside lower center", fontsize=8)
    return figure


@styled
def plane_map(plane: views.Plane) -> Figure:
    """Sets of embeddings in a plane by rhythm, a panel each; the first set pale grey behind all."""
    behind, _ = plane.of(plane.names[0])
    size, count = (4 * len(plane.names), 3.6), len(plane.names)
    figure, axes = plt.subplots(1, count, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, name, total in zip(axes[0], plane.names, plane.totals, strict=True):
        axis.scatter(*behind.T, s=14, color="#dddddd", linewidths=0)
        points, rhythms = plane.of(name)
        for i, code in enumerate(plane.classes):
            if (rhythms == i).any():
                own = points[rhythms == i]
                axis.scatter(*own.T, s=9, alpha=0.7, color=PALETTE[i], label=code)
        of = f"{len(points)} of {total}" if len(points) < total else f"{total}"
        axis.set(title=f"{name} ({of})", xlabel="first component")
    axes[0, 0].set_ylabel("second component")
    axes[0, -1].legend(markerscale=2, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def embedding_map(sets: Mapping[str, tuple[np.ndarray, Cohort]]) -> Figure:
    """`plane_map` of all records; ``sets`` as for `ecgrepro.closeness.views.plane`."""
    return plane_map(views.plane(sets))


@styled
def spectrum_lines(spectra: views.Spectra) -> Figure:
    """Mean normalized power spectra, a panel for each lead; the first set is dark."""
    count = len(spectra.leads)
    figure, axes = plt.subplots(1, count, figsize=(2.9 * count, 2.5), sharey=True, squeeze=False)
    for j, (axis, lead) in enumerate(zip(axes[0], spectra.leads, strict=True)):
        for i, name in enumerate(spectra.names):
            color = INK if i == 0 else PALETTE[i - 1]
            axis.semilogy(spectra.frequencies, spectra.power[i, j], color=color, label=name)
        top = min(views.HIGHEST, spectra.frequencies[-1])
        axis.set(title=f"lead {lead}", xlabel="frequency, Hz", xlim=(0, top))
    axes[0, 0].set_ylabel("fraction of power in a bin")
    axes[0, 0].legend()
    return figure


def power_spectra(sets: Mapping[str, Cohort], leads: Sequence[str]) -> Figure:
    """`spectrum_lines` of cohorts; a cohort without one of the leads raises."""
    return spectrum_lines(views.spectra(sets, leads))


@styled
def heart_boxes(hearts: pd.DataFrame, sides: Mapping[str, str]) -> Figure:
    """Six measures of the heart by rhythm, boxes side by side; the first side is dark.

    ``hearts`` has columns ``set``, ``rhythm`` and the measures; ``sides`` maps names to sets.
    """
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6))
    shown = ("heart_rate", "rr_variability", "pr", "qrs", "qt", "qtc")
    for axis, name in zip(axes.flat, shown, strict=True):
        groups = {
            code: {side: part.loc[part["set"] == which, name] for side, which in sides.items()}
            for code, part in hearts.groupby("rhythm", sort=False)
        }
        grouped_boxes(groups, titled(name), ax=axis)
    return figure


def record_strips(strips: views.Strips) -> Axes:
    """Single records as strips below each other."""
    at = [LEADS.index(lead) for lead in strips.leads]
    records = {}
    for text, signal in zip(strips.texts, strips.signals, strict=True):
        records[text] = np.zeros((len(LEADS), signal.shape[1]))
        records[text][at] = signal
    return ecg_strips(records, strips.fs, strips.units, strips.leads)


def closest_pairs(
    made: tuple[np.ndarray, Cohort], train: tuple[np.ndarray, Cohort], count: int = 3
) -> Axes:
    """The synthetic records nearest to a training record, each above that record, as strips.

    ``made`` and ``train`` are embeddings (records, dimensions) and their cohorts.
    """
    return record_strips(views.closest(made, train, count))


def farthest(made: tuple[np.ndarray, Cohort], real: np.ndarray, count: int = 4) -> Axes:
    """The synthetic records farthest from every real one, as strips; parameters as above."""
    return record_strips(views.farthest(made, real, count))
