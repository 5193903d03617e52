"""Records on ECG paper: twelve leads, strips of several records, a grid of one lead.

Every function draws on axes that it is given, or on new ones, and returns the axes.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ecgrepro.cohort.cohort import LEADS, UNITS
from ecgrepro.errors import EcgreproError
from ecgrepro.figures.style import INK, own_axes, styled

PAPER, MINOR, MAJOR = "#fffafa", "#fbdada", "#f0a8a8"
MM_PER_SECOND = 25.0
MM_PER_UNIT = {"mV": 10.0, "z": 2.5}  # a z-scored R peak is four to nine units high
ROW_MM = 27.0  # height of a row of leads on the paper
LABELS = {"mV": "25 mm/s, 10 mm/mV", "z": "25 mm/s, 2.5 mm per standard deviation (z-scored)"}
COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
INCH = 25.4


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


def _record(signal: np.ndarray, units: str) -> np.ndarray:
    if units not in UNITS:
        raise EcgreproError(f"unknown units {units!r}: choose one of {', '.join(map(repr, UNITS))}")
    signal = np.asarray(signal, float)
    if signal.ndim != 2 or len(signal) != len(LEADS):
        raise EcgreproError(f"a record on ECG paper has shape (12, samples), not {signal.shape}")
    return signal


def _paper(width: float, height: float, ax: Axes | None) -> Axes:
    """Axes in millimetres with the 1 mm and 5 mm grid."""
    ax = own_axes(((width + 4) / INCH, (height + 8) / INCH), ax)
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
