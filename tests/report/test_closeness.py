"""Tables and figures of closeness from rows made by hand."""

from dataclasses import asdict, replace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers.cohorts import a_cohort
from helpers.rows import pair
from matplotlib.colors import to_rgb

from ecgrepro import EcgreproError
from ecgrepro.closeness import FLOOR, views
from ecgrepro.closeness.corruptions import CORRUPTIONS
from ecgrepro.closeness.metrics.heart import MEASURES, titled
from ecgrepro.figures import checks as plots_checks
from ecgrepro.figures import closeness as plots_closeness
from ecgrepro.report import checks
from ecgrepro.report import closeness as report
from ecgrepro.report.closeness import by_rhythm, notes, summary
from ecgrepro.studies.experiments.detectors import PROMISED
from ecgrepro.studies.findings.sensitivity import (
    MEMORIZER,
    NOTHING,
    PLANTED,
    STRANGERS,
    verdicts,
)
from ecgrepro.support.results import Result


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def both(metric, value, floor, half=0.1, **keys):
    return [
        Result(metric, value, value - half, value + half, n=40, **keys),
        Result(metric, floor, floor - half, floor + half, n=40, comparison=FLOOR, **keys),
    ]


@pytest.fixture
def rows():
    return [
        *both("tstr", 0.5, 0.9),
        *both("frechet_distance", 35.0, 1.0),
        *both("mmd", 0.05, 0.01),
        *both("recall", 0.99, 0.5),
        Result("lead_residual", None, n=40, note="lead identities hold in mV only"),
        *both("mmd", 0.5, 0.01, rhythm="SR"),
        *both("recall", 0.5, 0.52, rhythm="SB"),
        Result("recall", None, n=3, rhythm="AFL", note="too few"),
        Result("mmd", None, n=3, rhythm="AFL", note="too few"),
        Result("mmd", None, n=4, rhythm="SVT", note="too few"),
    ]


def test_the_summary_is_in_the_order_of_the_catalogue_and_says_the_verdict(rows):
    found = summary(rows)
    distribution, frechet, mmd, fidelity, recall, use, tstr = found.to_dict("records")
    assert distribution == {"metric": "**Distribution of embeddings**", "synthetic": "",
                            "floor": "", "n": "", "against floor": ""}  # fmt: skip
    assert fidelity["metric"] == "**Fidelity and diversity**" and use["metric"] == "**Use**"
    assert frechet["metric"] == "Fréchet distance\u00a0↓" and recall["metric"] == "recall\u00a0↑"
    assert frechet["synthetic"] == "35.0\u00a0[34.9,\u00a035.1]" and frechet["n"] == "40"
    assert mmd["synthetic"] == "0.050\u00a0[-0.050,\u00a00.150]"
    said = [line["against floor"] for line in (frechet, mmd, recall, tstr)]
    assert said == ["worse", "as real", "better", "worse"]


def test_rhythms_stand_side_by_side_and_what_differs_is_bold(rows):
    found = by_rhythm(rows).set_index("metric")
    assert list(found.columns) == ["SR", "SB", "AFL", "SVT"]
    assert found.loc["MMD²", "SR"] == "**0.500 (0.010)**"
    assert found.loc["recall", "SB"] == "0.500 (0.520)"
    assert found.loc["recall", "SR"] == found.loc["MMD²", "AFL"] == "–"
    assert by_rhythm(rows[:6]).empty


def test_reasons_are_grouped(rows):
    assert notes(rows) == [
        "lead identities hold in mV only; all rhythms (40): residual of lead identities",
        "too few; AFL (3), SVT (4): recall, MMD²",
    ]


def test_every_metric_has_a_panel_in_the_colour_of_its_verdict(rows):
    figure = plots_closeness.beside_floor(rows)
    drawn = [axis for axis in figure.axes if axis.get_title(loc="left") or axis.get_title()]
    assert len(drawn) == 4
    colors = [axis.lines[0].get_color() for axis in drawn]
    assert colors == [plots_closeness.COLORS[v] for v in ("seen", "blind", "misled", "seen")]


def test_the_embedding_map_has_a_panel_for_each_set_and_the_first_behind():
    cohort = a_cohort(n=21)
    points = np.random.default_rng(0).normal(size=(21, 5))
    figure = plots_closeness.embedding_map({"real": (points, cohort), "made": (points, cohort)})
    assert [axis.get_title(loc="left") or axis.get_title() for axis in figure.axes] == [
        "real (21)", "made (21)"
    ]  # fmt: skip
    for axis in figure.axes:
        assert len(axis.collections[0].get_offsets()) == 21
        assert sum(len(c.get_offsets()) for c in axis.collections[1:]) == 21


def test_spectra_are_drawn_for_each_lead_and_an_unknown_lead_is_named():
    cohort = a_cohort(n=7)
    figure = plots_closeness.power_spectra({"real": cohort, "made": cohort}, ("II", "V1"))
    assert [len(axis.lines) for axis in figure.axes] == [2, 2]
    with pytest.raises(EcgreproError, match="made has no lead V9"):
        plots_closeness.power_spectra({"made": cohort}, ("V9",))


def test_hearts_are_boxes_by_rhythm():
    rng = np.random.default_rng(0)
    hearts = pd.DataFrame(rng.uniform(50, 90, (40, len(MEASURES))), columns=list(MEASURES))
    hearts["set"], hearts["rhythm"] = ["real test", "synthetic"] * 20, ["SR"] * 20 + ["SB"] * 20
    figure = plots_closeness.heart_boxes(hearts, {"real": "real test", "made": "synthetic"})
    assert [axis.get_ylabel() for axis in figure.axes][:3] == [
        titled(m) for m in ("heart_rate", "rr_variability", "pr")
    ]
    assert all(len(axis.patches) == 4 for axis in figure.axes)


def test_the_closest_pair_is_a_planted_copy_and_the_farthest_the_outlier():
    cohort = a_cohort(n=14)
    rng = np.random.default_rng(0)
    train, made = rng.normal(size=(14, 4)), rng.normal(size=(14, 4))
    made[5], made[9] = train[3], 50.0
    axis = plots_closeness.closest_pairs((made, cohort), (train, cohort), count=1)
    said = [text.get_text() for text in axis.texts]
    code = cohort.table["rhythm"]
    assert f"1: synthetic, {code[5]}" in said and f"1: training, {code[3]}" in said
    axis = plots_closeness.farthest((made, cohort), train, count=1)
    assert f"{code[9]}, farthest 1" in [text.get_text() for text in axis.texts]


def test_the_map_of_defects_shows_the_lowest_level_that_is_seen():
    rows = []
    for defect in CORRUPTIONS:
        rows += pair("mmd", 1.0 if defect == "clipping" else 3.0, 1.0, defect, 0.5)
        rows += pair("mmd", 3.0, 1.0, defect, 1.0) + pair("recall", 1.1, 1.0, defect, 1.0)
        rows += pair("coverage", 3.0, 1.0, defect, 1.0)
    figure = plots_checks.sensitivity_map(verdicts(rows))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:9] == ["0.5", "1"] + ["0.5"] * 7  # mmd
    assert texts[9:18] == [""] * 9 and texts[18:] == ["misled"] * 9
    figure = plots_checks.dose_response(rows, list(CORRUPTIONS))
    assert [axis.get_title(loc="left") or axis.get_title() for axis in figure.axes] == list(
        CORRUPTIONS
    )
    first = figure.axes[0].lines[-2]  # drawn last but for the line at one
    assert to_rgb(first.get_color()) == to_rgb(plots_checks.PALETTE[0])
    assert list(first.get_ydata()) == pytest.approx([10, 10])


def test_rates_stand_in_the_order_of_their_medians():
    rhythms = np.array(["SR"] * 3 + ["SB"] * 3 + ["AFL"])
    found = np.array([70.0, 75, np.nan, 50, 52, 55, np.nan])
    rates = views.detected_rates(rhythms, found, most=2).by_rhythm()
    assert {code: len(own) for code, own in rates.items()} == {"SR": 2, "SB": 2, "AFL": 0}
    axis = plots_checks.rates_and_labels(rates, {"SR": 72.5, "SB": 52.0}, PROMISED)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["SB", "SR"]


def test_a_sentence_counts_what_is_worse_than_its_floor(rows):
    said = report.floor_sentence(rows)
    assert said.startswith("Of 4 metrics, 2 are worse than their floor, 1 as real and 1 better")
    assert "Farthest from its floor: Fréchet distance, 35.0" in said
    close = both("mmd", 0.05, 0.01)
    assert report.floor_sentence(close).endswith("0 better than it.")


def test_near_copies_are_more_than_chance_only_if_their_interval_is():
    few = asdict(Result("copies", 0.02, 0.0, 0.05, n=90, scope="signal"))
    many = asdict(Result("copies", 0.5, 0.4, 0.6, n=90, scope="embedding"))
    assert "which no interval excludes" in report.copies_sentence([few])
    assert report.copies_sentence([few, many]).endswith("there are more between embeddings.")


def test_a_heart_that_is_found_on_one_side_only_is_said():
    frame = pd.DataFrame(np.full((4, len(MEASURES)), 60.0), columns=list(MEASURES))
    frame.insert(0, "set", ["real test"] * 2 + ["synthetic"] * 2)
    frame.insert(1, "rhythm", ["SR", "SB"] * 2)
    both_sides = views.hearts(frame)
    assert both_sides.frame().equals(frame.astype(both_sides.frame().dtypes))
    assert "heart rate, bpm 60 and 60" in report.hearts_sentence(both_sides)
    frame.loc[2:, list(MEASURES)] = np.nan
    one = views.hearts(frame)
    assert report.hearts_sentence(one).startswith("In no synthetic record")
    assert set(report.failures_table(one)["synthetic"]) == {"1.000"}


def checked_rows(near=1.0, agreed=0.95):
    """Rows of the page of checks: detectors, sizes, defects, privacy."""
    found = [
        Result("detector_failures", 0.01, 0.0, 0.02, n=90),
        Result("beat_agreement", agreed, agreed - 0.02, agreed + 0.02, n=90),
        Result("heart_rate", 70.0, 68.0, 72.0, n=89),
        Result("detector_failures", 0.01, 0.0, 0.02, n=40, rhythm="SR"),
        Result("heart_rate", 70.0, 68.0, 72.0, n=40, rhythm="SR"),
        Result("rate_as_labelled", 0.9, 0.8, 1.0, n=40, rhythm="SR"),
        Result("mmd", 0.5, 0.4, 0.6, n=8, scope="size"),
        Result("mmd", 0.1, 0.0, 0.2, n=40, scope="size"),
        *pair("mmd", 1.0, 1.0, NOTHING, 0.0),
    ]
    for defect in CORRUPTIONS:
        found += pair("mmd", 3.0, 1.0, defect, 1.0)
    far = {"distance_ratio": 0.0, "near_copies": near, "authenticity": 0.0, "membership_auc": 1.0}
    for metric, value in far.items():
        for arm in (STRANGERS, PLANTED, MEMORIZER):
            value_of = 0.5 if arm == STRANGERS else value
            found += [replace(row, n=40) for row in pair(metric, value_of, 0.5, arm, None)]
    return found


def test_a_check_that_passes_says_so_in_a_sentence():
    rows = checked_rows()
    assert checks.privacy_sentence(rows).startswith("The check passes")
    defects = checks.defect_rows(rows)
    assert checks.unseen_sentence(defects).startswith("Every defect is seen")
    assert checks.undamaged_sentence(defects).endswith("by 0 of 1 metrics.")
    assert "noise by 1" in checks.map_sentence(defects)
    assert "noise: MMD² (10.0)" in checks.dose_sentence(defects)
    assert checks.beats_sentence(rows).startswith("The detectors find the same beats in 95.0 %")
    assert checks.rates_sentence(rows) == "Rates are as labelled in SR 90.0 % of 40 records."
    assert "MMD² (from 0.50 to 0.10) change" in checks.sizes_sentence(rows)
    assert list(checks.beats_table(rows)["rhythm"]) == ["all", "SR"]
    assert checks.medians(rows) == {"SR": 70.0}


def test_a_check_that_fails_says_so_in_red():
    rows = checked_rows(near=0.5, agreed=0.8)
    said = checks.privacy_sentence(rows)
    assert said.startswith(":::{danger} This check fails\n")
    assert "Planted copies are not told from the floor (by share of near-copies)." in said
    assert "The memorizing generator is not told from the floor (by share of near-copies)." in said
    assert "The smallest set has 40 records" in said
    assert checks.beats_sentence(rows).startswith(":::{danger}")
    blind = [r for d in CORRUPTIONS for r in pair("mmd", 1.0, 1.0, d, 1.0)]
    assert "Seen by no metric at the highest level: noise," in checks.unseen_sentence(blind)
    alarm = pair("mmd", 3.0, 1.0, NOTHING, 0.0) + blind
    assert checks.undamaged_sentence(alarm).startswith(":::{danger}")
