"""Figures of a data set: people, an example of each rhythm, confusion."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ecgrepro.cohort.rhythms import RHYTHMS
from ecgrepro.figures.ecg import ecg_paper
from ecgrepro.figures.style import STYLE


def people(facts: Mapping[str, Any], bins: Sequence[int]) -> Figure:
    """Histogram of age by sex, and the median age of each rhythm.

    Parameters
    ----------
    facts
        ``histogram`` and ``known`` by sex, ``median_age`` by rhythm.
    bins
        Edges of the histograms, in years.
    """
    with plt.style.context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
        for sex, counts in facts["histogram"].items():
            left.stairs(counts, bins, label=f"{sex} ({facts['known'][sex]})")
        left.set(xlabel="age in years", ylabel="records")
        left.legend()
        ages = facts["median_age"]
        right.bar(range(len(ages)), [age or 0 for age in ages.values()])
        right.set_xticks(range(len(ages)), list(ages))
        right.set(ylabel="median age in years", xlabel="rhythm")
    return figure


def rhythm_examples(
    signals: np.ndarray, names: Sequence[Sequence[str]], fs: float, units: str
) -> Figure:
    """A record of each rhythm on ECG paper, below each other.

    Parameters
    ----------
    signals
        Shape (rhythms, 12, samples).
    names
        Rhythm code and record name of each.
    """
    height = 4.9 * len(names)
    figure, axes = plt.subplots(len(names), 1, figsize=(10.5, height), dpi=75, squeeze=False)
    for axis, signal, (code, record) in zip(axes[:, 0], signals, names, strict=True):
        meaning = RHYTHMS.get(code, "group of rhythms")
        ecg_paper(signal, fs, units, title=f"{code}: {meaning} (record {record})", ax=axis)
    return figure


def confusion(table: np.ndarray, classes: Sequence[str]) -> Figure:
    """Test records by label and prediction, coloured by the share of their label.

    Parameters
    ----------
    table
        Counts of shape (labels, predictions).
    """
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    with plt.style.context(STYLE):
        figure, axis = plt.subplots(figsize=(4.6, 4))
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), n in np.ndenumerate(table):
            color = "white" if share[row, column] > 0.6 else "black"
            axis.text(column, row, n, ha="center", va="center", color=color)
        axis.set_xticks(range(len(classes)), classes)
        axis.set_yticks(range(len(classes)), classes)
        axis.set(xlabel="predicted", ylabel="labelled")
        axis.grid(False)
    return figure
