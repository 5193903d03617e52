import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ecgrepro.figures import charts, ecg
from ecgrepro.figures import generators as figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_boxes_of_quantiles_are_those_of_the_values():
    values = np.random.default_rng(0).normal(70, 10, 500)
    quantiles = np.percentile(values, [5, 25, 50, 75, 95])
    drawn = charts.grouped_boxes({"SR": {"real": values, "synthetic": [np.nan]}}, "bpm")
    again = charts.quantile_boxes({"SR": {"real": quantiles, "synthetic": ()}}, "bpm")
    for one in (drawn, again):
        (box,) = one.patches
        assert (box.get_y(), box.get_height()) == pytest.approx(
            (quantiles[1], np.ptp(quantiles[1:4]))
        )
        names = [text.get_text() for text in one.get_legend().get_texts()]
        assert names == ["real", "synthetic"]


def test_strips_take_the_lead_alone():
    record = np.random.default_rng(0).normal(size=(12, 500))
    whole = ecg.strip_grid({"real": {"SR": record}}, 100)
    alone = ecg.strip_grid({"real": {"SR": record[1]}}, 100)
    first, second = (axes[0, 0].lines[0].get_ydata() for axes in (whole, alone))
    np.testing.assert_array_equal(first, second)


def test_every_stage_and_rhythm_has_its_axes():
    stages = [
        {"stage": "tokenizer", "training": [[1, 2], [3.0, 2.0]]},
        {"stage": "prior", "training": [[1, 2], [3.0, 2.0]], "validation": [[2], [2.5]]},
    ]
    titles = [axis.get_title(loc="left") or axis.get_title() for axis in _axes(stages)]
    assert titles == ["tokenizer", "prior"]
    record = np.zeros((12, 1000))
    pairs = {"SR, synthetic": (record, record), "SB, synthetic": (record, record)}
    assert len(figures.record_pairs(pairs, ["SR, 1", "SB, 2"], 100, "z").axes) == 4


def _axes(stages):
    return figures.loss_curves(stages).axes


def test_heart_boxes_leave_out_rhythms_without_a_rate():
    real = {"SR": [60, 65, 70, 75, 80], "SB": [40, 45, 50, 52, 55]}
    hearts = {
        name: {"real": real, "synthetic": {"SR": real["SR"]}} for name in ("rates", "variability")
    }
    figure = figures.heart_boxes(hearts, ["SR", "SB"])
    assert [len(axis.patches) for axis in figure.axes] == [3, 3]


def test_curves_of_trials_and_costs():
    value = "Fréchet distance over its floor"
    guided = pd.DataFrame({"scale": [1.0, 2.0], "rhythm agreement": [0.5, 0.7], value: [3.0, 2.0]})
    assert len(figures.guidance_curves(guided, 2.0).axes) == 2
    stepped = pd.DataFrame({"sampler": ["", ""], "evaluations": [24, 40], value: [2.0, 2.1]})
    assert figures.step_curves(stepped).lines[0].get_label() == "own sampler"
    series = figures.fitted_series([0.0, None], np.zeros((2, 2, 1000)), 100, "z")
    assert {"proximity 0", "the record"} <= {text.get_text() for text in series.texts}
    rates = figures.paced_rates(["SR", "SB", "SR"], np.array([[70, 71], [50, 52], [80, 79]]))
    assert [t.get_text() for t in rates.get_legend().get_texts()] == ["SB", "SR"]
