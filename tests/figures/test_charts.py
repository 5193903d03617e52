import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from ecgrepro.cohort.cohort import LEADS
from ecgrepro.errors import EcgreproError
from ecgrepro.figures.charts import (
    asked_and_found,
    grouped_boxes,
    intervals,
    learning_curve,
    named_points,
    note,
)
from ecgrepro.figures.ecg import ecg_paper, ecg_strips, strip_grid
from ecgrepro.figures.style import INK, PALETTE, STYLE
from ecgrepro.report.tables import picture


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def ramp(samples=1000):
    """A record whose leads differ in height: lead i is a wave of (i + 1) / 10 mV."""
    t = np.arange(samples) / samples
    return np.sin(20 * np.pi * t) * (np.arange(12)[:, None] + 1) / 10


def traces(ax):
    """Lines of the record: longer than a calibration pulse or a mark."""
    return [line for line in ax.lines if len(line.get_xdata()) > 20]


def test_paper_is_to_scale():
    ax = ecg_paper(ramp(), 100, "mV", "a record")
    lines = traces(ax)
    assert len(lines) == 13
    rhythm = lines[-1]  # the strip of lead II, 0.2 mV, over ten seconds
    assert np.ptp(rhythm.get_xdata()) == pytest.approx(9.99 * 25)
    assert np.ptp(rhythm.get_ydata()) == pytest.approx(2 * 0.2 * 10, rel=1e-3)
    assert np.ptp(lines[0].get_xdata()) == pytest.approx(2.49 * 25)
    assert ax.get_aspect() == 1 and ax.get_title("left") == "a record"
    ax.figure.canvas.draw()


def test_paper_shows_the_four_columns_in_order_and_time():
    ax = ecg_paper(ramp(), 100)
    names = [text.get_text() for text in ax.texts][:13]
    assert names == [*LEADS, "II"]
    starts = [line.get_xdata()[0] - 7 for line in traces(ax)[:12]]
    assert starts == pytest.approx(np.repeat([0, 2.5, 5, 7.5], 3) * 25)


@pytest.mark.parametrize(("units", "said"), [("mV", "10 mm/mV"), ("z", "standard deviation")])
def test_paper_says_its_units(units, said):
    ax = ecg_paper(ramp(), 100, units)
    assert any(said in text.get_text() for text in ax.texts)


def test_paper_draws_on_given_axes_and_leaves_the_style_alone():
    before = dict(plt.rcParams)
    figure, axes = plt.subplots(2)
    assert ecg_paper(ramp(), 100, ax=axes[1]) is axes[1]
    ecg_paper(ramp(), 100)
    assert dict(plt.rcParams) == before


def test_strips_are_named_and_share_the_time():
    ax = ecg_strips({"real": ramp(), "synthetic": 2 * ramp()}, 100, leads=("II", "V1"))
    assert len(traces(ax)) == 4
    said = [text.get_text() for text in ax.texts]
    assert "real" in said and "synthetic" in said
    ax.figure.canvas.draw()


def test_learning_curve_draws_a_line_and_a_band_per_curve():
    x, y = [0, 1, 2], np.array([0.5, 0.7, 0.8])
    ax = learning_curve({"a": (x, y), "b": (x, y, y - 0.1, y + 0.1)}, "updates", "macro-F1")
    assert len(ax.lines) == 2 and len(ax.collections) == 1
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]


def test_asked_and_found_has_a_line_of_equality_and_the_points_of_each_group():
    ax = asked_and_found({"SR": ([60, 70], [61, 69]), "SB": ([50], [50])}, "beats per minute")
    line, *points = ax.lines
    assert line.get_slope() == 1
    assert [len(p.get_xdata()) for p in points] == [2, 1]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["SR", "SB"]
    assert ax.get_xlabel() == "asked for, beats per minute"


def test_intervals_that_include_the_reference_are_hollow():
    rows = {"gain": (0.02, 0.01, 0.03), "nothing": (0.01, -0.01, 0.03)}
    ax = intervals(rows, "difference in macro-F1", reference=0)
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [p.get_markerfacecolor() for p in points] == [PALETTE[0], "white"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["gain", "nothing"]
    assert ax.yaxis_inverted()


def test_a_curve_may_start_at_zero_and_be_marked_at_its_values():
    ax = learning_curve({"a": ([4, 16], [3.0, 2.0])}, "x", "y", from_zero=True, logarithmic=True)
    assert ax.get_ylim() == pytest.approx((0, 3.3))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["4", "16"] and ax.get_xscale() == "log"


def test_boxes_stand_in_groups_and_span_the_quartiles():
    values = np.r_[np.arange(101.0), np.nan]
    ax = grouped_boxes({"SR": {"real": values, "made": values + 50}, "SB": {"real": []}}, "bpm")
    assert len(ax.patches) == 2 and len(ax.lines) == 4
    first, second = ax.patches
    assert (first.get_y(), first.get_height()) == pytest.approx((25, 50))
    assert to_rgb(first.get_facecolor()[:3]) == to_rgb(INK)
    assert first.get_x() < 0 < second.get_x() + second.get_width()
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([5, 95])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["real", "made"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["SR", "SB"]


def test_a_grid_of_strips_has_a_row_per_source_and_a_column_per_rhythm():
    rows = {"real": {"SR": ramp(), "SB": ramp()}, "made": {"SB": 2 * ramp()}}
    axes = strip_grid(rows, 100, seconds=3)
    assert axes.shape == (2, 2)
    assert [len(traces(ax)) for ax in axes.flat] == [1, 1, 0, 1]
    assert len(traces(axes[0, 0])[0].get_xdata()) == 300
    assert [ax.get_title("left") for ax in axes[0]] == ["SR", "SB"]
    assert "lead II" in axes[0, 0].figure.get_supxlabel()
    with pytest.raises(EcgreproError, match="unknown lead 'V9'"):
        strip_grid(rows, 100, lead="V9")


def test_points_without_a_number_are_named_all_the_same():
    ax = named_points({"a": (10.0, 1.0), "b": (0.0, 1.0), "c": (1.0, None)}, "cost", "quality")
    assert [len(line.get_xdata()) for line in ax.lines] == [1, 0, 0]
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names[0] == "a" and all("no cost" in name for name in names[1:])


def test_a_note_stands_in_for_a_figure():
    assert note("nothing to draw").texts[0].get_text() == "nothing to draw"


def test_a_picture_is_a_small_png_of_its_figure():
    figure = ecg_paper(ramp(), 100).figure
    shown = picture(figure, dpi=50)
    pixels = plt.imread(io.BytesIO(shown), format="png")
    assert pixels.shape[1] == pytest.approx(50 * figure.get_figwidth(), abs=1)
    assert len(np.unique(pixels[..., :3].reshape(-1, 3), axis=0)) <= 32
    assert not plt.fignum_exists(figure.number)


def test_a_picture_of_many_colours_keeps_those_of_its_legend():
    figure, ax = plt.subplots(figsize=(6, 4))
    ax.imshow(np.linspace(0, 1, 40).reshape(5, 8), cmap="gray")
    ax.legend(handles=[Patch(color=c, label=c) for c in PALETTE], loc="center")
    pixels = plt.imread(io.BytesIO(picture(figure, dpi=100, colors=256)), format="png")
    for color in PALETTE:
        assert np.abs(pixels[..., :3] - to_rgb(color)).max(-1).min() < 0.02, color


def test_the_palette_is_that_of_the_style_and_readable_on_white():
    with plt.style.context(STYLE):
        cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
        assert to_rgb(plt.rcParams["figure.facecolor"]) == (1, 1, 1)
    assert [to_rgb(c) for c in cycle] == [to_rgb(c) for c in PALETTE]
    assert len(set(PALETTE)) == len(PALETTE)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: ecg_paper(ramp()[:8], 100), r"\(8, 1000\)"),
        (lambda: ecg_paper(ramp(), 100, "volts"), "volts"),
        (lambda: ecg_strips({"a": ramp(), "b": ramp(500)}, 100), "one length"),
        (lambda: ecg_strips({"a": ramp()}, 100, leads=("V9",)), "V9"),
    ],
)
def test_what_cannot_be_drawn_is_named(call, named):
    with pytest.raises(EcgreproError, match=named):
        call()
