"""Figures of the generators' pages, drawn from what their sections store."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgrepro.cohort.cohort import LEADS
from ecgrepro.figures import charts, ecg
from ecgrepro.figures.style import styled

Quantiles = Mapping[str, Mapping[str, Sequence[float]]]  # source -> rhythm -> five percentiles


@styled
def loss_curves(stages: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss over training steps, an axis for each stage of the training.

    Parameters
    ----------
    stages
        Each with ``stage``, ``training`` and, where there is one, ``validation``: steps and losses.
    """
    size = (6.4 * len(stages), 3.6)
    figure, axes = plt.subplots(1, len(stages), figsize=size, squeeze=False)
    for axis, part in zip(axes[0], stages, strict=True):
        curves = {"training": part["training"]}
        if "validation" in part:
            curves["validation, averaged weights"] = part["validation"]
        charts.learning_curve(curves, "optimizer step", "loss", title=part["stage"], ax=axis)
    return figure


@styled
def record_pairs(
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], titles: Sequence[str], fs: float, units: str
) -> Figure:
    """Records on ECG paper, each synthetic one above the real one that is nearest to it.

    Parameters
    ----------
    pairs
        By the synthetic record's title: both records, each of shape (12, samples).
    titles
        Of the real records.
    """
    figure, axes = plt.subplots(2 * len(pairs), 1, figsize=(9.4, 8.6 * len(pairs)))
    for i, (title, (synthetic, real)) in enumerate(pairs.items()):
        ecg.ecg_paper(synthetic, fs, units, title, ax=axes[2 * i])
        ecg.ecg_paper(real, fs, units, titles[i], ax=axes[2 * i + 1])
    return figure


def by_rhythm(sources: Quantiles, rhythms: Sequence[str]) -> dict[str, dict[str, Sequence[float]]]:
    """Quantiles by rhythm and source, for `charts.quantile_boxes`; empty where there are none."""
    return {
        code: {name: found.get(code, ()) for name, found in sources.items()} for code in rhythms
    }


@styled
def heart_boxes(hearts: Mapping[str, Quantiles], rhythms: Sequence[str]) -> Figure:
    """Heart rate above RR variability, real beside synthetic, by rhythm."""
    figure, axes = plt.subplots(2, 1, figsize=(8, 6.5), sharex=True)
    labels = {"rates": "beats per minute", "variability": "RR variability"}
    for axis, (measure, label) in zip(axes, labels.items(), strict=True):
        charts.quantile_boxes(by_rhythm(hearts[measure], rhythms), label, ax=axis)
    axes[1].get_legend().remove()
    return figure


@styled
def guidance_curves(frame: pd.DataFrame, own: float) -> Figure:
    """Each measure over the guidance scale; the study's scale is dashed.

    Parameters
    ----------
    frame
        See `ecgrepro.report.trials.guidance_frame`.
    own
        Guidance scale of the study.
    """
    measures = [name for name in frame if name != "scale"]
    figure, axes = plt.subplots(1, len(measures), figsize=(5 * len(measures), 3.4))
    for axis, name in zip(axes, measures, strict=True):
        curve = {name: (frame["scale"], frame[name])}
        charts.learning_curve(curve, "guidance scale", name, ax=axis, from_zero=True)
        axis.axvline(own, color="#666666", linestyle="--", linewidth=1)
    axes[0].set_title("dashed: the scale of the study")
    return figure


def step_curves(frame: pd.DataFrame) -> Axes:
    """Fréchet distance over its floor against evaluations of the network, a line for each sampler.

    Parameters
    ----------
    frame
        See `ecgrepro.report.trials.step_frame`.
    """
    value = "Fréchet distance over its floor"
    curves = {
        sampler or "own sampler": (part["evaluations"], part[value])
        for sampler, part in frame.groupby("sampler", sort=False)
    }
    labels = ("evaluations per record", value)
    return charts.learning_curve(curves, *labels, from_zero=True, logarithmic=True)


def fitted_series(
    proximities: Sequence[float | None], traces: np.ndarray, fs: float, units: str
) -> Axes:
    """What a procedure fitted to one record draws at each proximity; None is the record.

    Parameters
    ----------
    traces
        Shape (proximities, 2, samples): leads II and V1.
    """
    shown = ("II", "V1")
    records = np.zeros((len(traces), len(LEADS), traces.shape[2]))
    records[:, [LEADS.index(lead) for lead in shown]] = traces
    names = ["the record" if p is None else f"proximity {p:g}" for p in proximities]
    return ecg.ecg_strips(dict(zip(names, records, strict=True)), fs, units, shown)


def paced_rates(rhythms: Sequence[str], rates: np.ndarray) -> Axes:
    """Heart rates found over those asked for, a colour for each rhythm.

    Parameters
    ----------
    rhythms
        Of each record.
    rates
        Shape (records, 2): asked for, found.
    """
    rhythm = np.array(rhythms)
    groups = {code: tuple(rates[rhythm == code].T) for code in sorted(set(rhythms))}
    return charts.asked_and_found(groups, "beats per minute")


@styled
def cost_against_quality(frame: pd.DataFrame) -> Figure:
    """A point for each generator: seconds of training and of sampling against quality.

    Parameters
    ----------
    frame
        See `ecgrepro.report.generators_compared.cost_frame`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.8))
    pairs = (
        ("training, s", "Fréchet distance over its floor"),
        ("sampling, s per record", "rhythm agreement"),
    )
    for axis, (cost, quality) in zip(axes, pairs, strict=True):
        columns = zip(frame["generator"], frame[cost], frame[quality], strict=True)
        charts.named_points({name: (x, y) for name, x, y in columns}, cost, quality, ax=axis)
    axes[1].get_legend().remove()
    return figure
