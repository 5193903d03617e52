"""Figures of closeness: metrics beside floors, embeddings, spectra, hearts, single records."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from sklearn.decomposition import PCA

from ecgrepro.closeness import METRICS
from ecgrepro.closeness.metrics.heart import titled
from ecgrepro.closeness.metrics.privacy import nearest_distances, nearest_of
from ecgrepro.closeness.metrics.spectrum import mean_spectrum
from ecgrepro.closeness.verdict import BLIND, MISLED, SEEN, UNKNOWN, verdict
from ecgrepro.cohort import Cohort
from ecgrepro.errors import EcgreproError
from ecgrepro.figures.charts import INK, PALETTE, ecg_strips, grouped_boxes, styled
from ecgrepro.report.closeness import pairs
from ecgrepro.support.results import Result

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
        for x, one, shade in ((0, row, color), (1, floor, GREY)):
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
    figure.legend(handles=keys, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 0), fontsize=8)
    return figure


@styled
def embedding_map(sets: Mapping[str, tuple[np.ndarray, Cohort]]) -> Figure:
    """Sets of embeddings in the plane of the first one's two principal components, by rhythm.

    ``sets`` maps a name to embeddings (records, dimensions) and their cohort. Every panel shows all
    records of the first set in pale grey behind its own.
    """
    plane = PCA(2, random_state=0).fit(next(iter(sets.values()))[0])
    behind = plane.transform(next(iter(sets.values()))[0])
    size = (4 * len(sets), 3.6)
    figure, axes = plt.subplots(1, len(sets), figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, (name, (embedded, cohort)) in zip(axes[0], sets.items(), strict=True):
        axis.scatter(*behind.T, s=14, color="#dddddd", linewidths=0)
        points = plane.transform(embedded)
        for i, code in enumerate(cohort.classes):
            mask = cohort.targets == i
            if mask.any():
                axis.scatter(*points[mask].T, s=9, alpha=0.7, color=PALETTE[i], label=code)
        axis.set(title=f"{name} ({len(cohort)})", xlabel="first component")
    axes[0, 0].set_ylabel("second component")
    axes[0, -1].legend(markerscale=2, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def power_spectra(sets: Mapping[str, Cohort], leads: Sequence[str]) -> Figure:
    """Mean normalized power spectra of some leads, a line for each cohort; the first is dark."""
    figure, axes = plt.subplots(1, len(leads), figsize=(2.9 * len(leads), 2.5), sharey=True)
    for axis, lead in zip(np.atleast_1d(axes), leads, strict=True):
        for i, (name, cohort) in enumerate(sets.items()):
            if lead not in cohort.leads:
                raise EcgreproError(f"{name} has no lead {lead}: {', '.join(cohort.leads)}")
            frequency, power = mean_spectrum(cohort.signals, cohort.fs)
            color = INK if i == 0 else PALETTE[i - 1]
            axis.semilogy(frequency, power[cohort.leads.index(lead)], color=color, label=name)
        axis.set(title=f"lead {lead}", xlabel="frequency, Hz", xlim=(0, min(45, cohort.fs / 2)))
    np.atleast_1d(axes)[0].set_ylabel("share of power in a bin")
    np.atleast_1d(axes)[0].legend()
    return figure


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


def closest_pairs(
    made: tuple[np.ndarray, Cohort], train: tuple[np.ndarray, Cohort], count: int = 3
) -> Axes:
    """The synthetic records nearest to a training record, each above that record, as strips.

    ``made`` and ``train`` are embeddings (records, dimensions) and their cohorts.
    """
    distance, nearest = nearest_of(np.float64(made[0]), np.float64(train[0]))
    strips = {}
    for rank, i in enumerate(np.argsort(distance, kind="stable")[:count], 1):
        for word, cohort, j in (
            ("synthetic", made[1], i), ("training", train[1], int(nearest[i]))
        ):  # fmt: skip
            strips[f"{rank}: {word}, {cohort.table['rhythm'][j]}"] = cohort.signals[j]
    return ecg_strips(strips, made[1].fs, made[1].units)


def farthest(made: tuple[np.ndarray, Cohort], real: np.ndarray, count: int = 4) -> Axes:
    """The synthetic records farthest from every real one, as strips; parameters as above."""
    far = nearest_distances(np.float64(made[0]), np.float64(real))
    order = np.argsort(-far, kind="stable")[:count]
    strips = {
        f"{made[1].table['rhythm'][i]}, farthest {rank}": made[1].signals[i]
        for rank, i in enumerate(order, 1)
    }
    return ecg_strips(strips, made[1].fs, made[1].units)
