"""The worked examples of the page that explains the metrics really show what it says."""

import json
import subprocess
import sys
from dataclasses import replace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ecgrepro.closeness.catalogue import FAMILIES, METRICS, of_family
from ecgrepro.closeness.examples import cases as kept
from ecgrepro.closeness.examples import points as examples
from ecgrepro.closeness.examples import records as showcases
from ecgrepro.closeness.metrics.prdc import radii
from ecgrepro.figures import examples as draw
from ecgrepro.report import examples as report

SEEDS = range(6)
FEW = range(3)  # of examples in records, which take longer
POINTS = {
    "distribution": examples.distribution_cases,
    "gaps": examples.distribution_gaps,
    "fidelity": examples.fidelity_cases,
    "discriminator": examples.discriminator_cases,
    "rhythm": examples.rhythm_cases,
    "privacy": examples.privacy_cases,
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def signals():
    return [showcases.signal_cases(seed) for seed in FEW]


@pytest.fixture(scope="module")
def heart():
    sets = [showcases.heart_records(seed) for seed in (0, 1)]
    return [showcases.heart_table(showcases.heart_measures(s)) for s in sets]


def check(runs):
    """What is seen is worse than every honest value; what is missed mostly is not, by seeds."""
    for cases in zip(*runs, strict=True):
        for name in cases[0].values:
            metric = METRICS[name]
            honest = [case.honest[name] for case in cases]
            worst = max(honest) if metric.better == "lower" else min(honest)
            worse = np.mean([metric.worse(case.values[name], worst) for case in cases])
            if name in cases[0].sees:
                assert worse == 1, (cases[0].words, name)
            if name in cases[0].misses:
                assert worse <= 0.5, (cases[0].words, name)


def check_shown(cases):
    """At the seed of the page, by halves: what is seen is far from honest, what is missed near."""
    for case in cases:
        for name in case.sees:
            honest, value = case.honest[name], case.values[name]
            assert METRICS[name].worse(value, honest)
            assert abs(value - honest) > 0.1 * max(abs(honest), 0.1), (case.words, name)
        for name in case.misses:
            honest, value = case.honest[name], case.values[name]
            room = 0.1 * max(abs(honest), 0.1)
            low, high = honest - room, honest + room
            assert not METRICS[name].worse(value, high if METRICS[name].better == "lower" else low)


@pytest.mark.parametrize("name", POINTS)
def test_points_show_what_is_seen_and_missed(name):
    runs = [POINTS[name](seed) for seed in SEEDS]
    check(runs)
    assert any(case.sees for case in runs[0]) or name == "gaps"
    assert any(case.misses for case in runs[0])


def test_records_show_what_is_seen_and_missed(signals):
    assert set(signals[0]) == set(of_family("signal"))
    for metric in signals[0]:
        runs = [found[metric] for found in signals]
        check(runs)
        assert [c.sees for c in runs[0]] == [(), (metric,), ()]
        assert [c.misses for c in runs[0]] == [(), (), (metric,)]


def test_leads_show_what_is_seen_and_missed():
    check([showcases.lead_cases(seed) for seed in FEW])


def test_what_is_missed_by_construction_is_missed_exactly(signals):
    for name in ("autocorrelation_difference", "amplitude_distance"):
        missed = signals[0][name][2]
        assert missed.values[name] == pytest.approx(missed.honest[name], abs=0.002)
    ring = examples.distribution_cases()[-1]
    assert ring.values["frechet_distance"] == pytest.approx(0, abs=1e-12)
    swapped = showcases.lead_cases()[1]
    assert swapped.values["lead_residual"] < 1e-6


@pytest.mark.parametrize("cases", [f() for f in POINTS.values()], ids=POINTS)
def test_the_shown_seed_shows_it_too(cases):
    check_shown(cases)


def test_crowding_raises_density():
    for seed in SEEDS:
        crowd = examples.fidelity_cases(seed)[-1]
        assert crowd.values["density"] > 1.2 * crowd.honest["density"]


def test_by_hand_is_found():
    rows = examples.by_hand()
    for row in rows:
        tolerance = 0.002 if row.metric == "spectrum_distance" else 1e-9
        assert row.found == pytest.approx(row.expected, abs=tolerance), row.metric
    shown = {row.metric for row in rows}
    assert set(of_family("distribution", "fidelity", "signal", "privacy")) <= shown


def test_the_gaussians_agree_with_their_closed_form():
    found = examples.gaussian_example()
    assert found["closed"] == pytest.approx(1.5**2 + 1)
    assert found["found"] == pytest.approx(found["closed"], rel=0.05)


def test_the_balls_are_those_of_the_text():
    real, synthetic = (radii(p[:, None], 1) for p in kept.BALLS)
    assert real == pytest.approx([1, 1, 2, 3])
    assert synthetic == pytest.approx([0.1, 0.1, 0.1, 10.3])


def test_every_metric_has_an_example():
    shown = {row.metric for row in examples.by_hand()}
    for cases in (make() for make in POINTS.values()):
        shown |= {name for case in cases for name in case.values}
    shown |= set(of_family("signal", "leads"))
    shown |= {name for names in kept.HEART_CASES.values() for name in names}
    assert shown == set(METRICS)


@pytest.mark.slow
def test_each_change_of_the_heart_is_seen_by_its_metric(heart):
    """At the seed of the page, and on average over seeds: the delineator is a coarse judge."""
    for table in (heart[0], sum(heart) / len(heart)):
        assert set(table.index) == set(of_family("heart"))
        for case, names in kept.HEART_CASES.items():
            for name in names:
                honest = table.loc[name, "honest"]
                assert table.loc[name, case] > 1.3 * max(honest, 0.05), (case, name)


@pytest.mark.slow
def test_the_shares_of_failures_miss_what_is_there_and_wrong(heart):
    for table in heart:
        wrong = ["smaller", "wide P", "long PR", "long QT"]
        assert (table.loc[["beat_failures", "wave_failures"], wrong] < 0.2).all(axis=None)


def test_a_marked_beat_is_about_what_was_measured():
    beat = showcases.marked_beat()
    for name, (start, end) in beat.marks.items():
        assert 1000 * (end - start) == pytest.approx(beat.measured[name], abs=25)
    assert beat.r_height == pytest.approx(beat.measured["r_amplitude"], rel=0.2)
    assert len(report.measured_table(beat)) == 8


def test_examples_are_the_same_each_time():
    for make in (*POINTS.values(), showcases.lead_cases):
        for one, other in zip(make(), make(), strict=True):
            assert one.values == other.values


def test_records_of_one_pace_are_of_one_pace():
    from ecgrepro.cohort.rpeaks import rates_and_variability

    rates = rates_and_variability(showcases.paced_records("AFIB", 4), kept.FS)[0]
    low, high = (60 / rr for rr in reversed(showcases.PACE))
    assert ((rates > low - 5) & (rates < high + 5)).all()


def test_words_of_each_family_are_a_table():
    for family in FAMILIES:
        frame = report.words_table(family)
        assert len(frame) == len(of_family(family))
        better = "safer" if family == "privacy" else "closer"
        assert frame["direction"].str.endswith(better).all()


def test_titles_hold_value_honest_value_and_verdict():
    ring = examples.distribution_cases()[-1]
    lines = draw.said(ring).splitlines()
    honest = ring.honest["frechet_distance"]
    assert lines[0] == f"Fréchet 0.000 (honest {honest:.3f}): missed"
    assert lines[1].startswith("MMD² ") and lines[1].endswith(": seen")


def test_figures_have_a_panel_for_each_case(signals):
    for cases in (examples.fidelity_cases(n=30), examples.distribution_gaps(n=30)):
        cases = [kept.as_points(case) for case in cases]
        titles = [ax.get_title(loc="left") for ax in draw.point_cases(cases).axes]
        assert [t.splitlines()[0] for t in titles] == [case.words for case in cases]
    cases = signals[0]["dtw"]
    curves = showcases.signal_curves("dtw", cases)
    shown = [kept.as_traces(case, ["II"], 3.0) for case in cases]
    assert len(draw.signal_panels(shown, curves, "x", "y").axes) == 3
    shown = [kept.as_traces(case, ["I", "II", "III"], 2.4) for case in showcases.lead_cases()]
    assert len(draw.lead_panels(shown).axes) == 4


def test_cases_are_kept_as_they_are_shown(tmp_path):
    cases = [kept.as_points(case) for case in examples.privacy_cases(n=30)]
    facts, arrays = kept.pack_cases("privacy", cases)
    np.savez(tmp_path / "kept.npz", **arrays)
    with np.load(tmp_path / "kept.npz") as stored:
        again = kept.unpack_cases("privacy", json.loads(json.dumps(facts)), stored)
    for case, other in zip(cases, again, strict=True):
        assert (case.words, case.values, case.honest) == (other.words, other.values, other.honest)
        assert (list(case.sees), list(case.misses)) == (other.sees, other.misses)
        for name in ("real", "synthetic", "marks"):
            assert np.array_equal(getattr(case, name), getattr(other, name))
    wide = examples.distribution_gaps(n=30)[-1]
    assert kept.as_points(wide).real.shape == (30, 1)
    trace = kept.as_traces(showcases.lead_cases()[1], ["I", "II"], 2.0).synthetic
    assert trace.shape == (2, 200)
    assert trace[0] == pytest.approx(showcases.lead_cases()[1].synthetic[0, 0, :200], abs=0.01)


def test_sentences_say_what_is_found_not_what_was_meant():
    cases = examples.distribution_cases()
    said = report.cases_sentence(cases)
    assert "*shifted* is seen by all" in said
    assert "*a ring with the same moments* is seen by MMD² and sliced Wasserstein" in said
    assert "missed by Fréchet" in said and "made to show" not in said
    case = replace(cases[1], values=cases[1].honest)
    said = report.cases_sentence([case])
    assert "*shifted* is missed by all" in said
    assert said.endswith("That is not what *shifted* was made to show.")


def test_what_was_found_is_compared_with_what_is_right():
    rows = examples.by_hand()
    fidelity = [row for row in rows if row.metric in of_family("fidelity")]
    assert report.worked_sentence(fidelity) == "All values that were found are those by hand."
    off = replace(fidelity[0], found=fidelity[0].expected + 0.01)
    assert "at most 0.0100" in report.worked_sentence([off])
    assert "closed form, 3.250" in report.gaussians_sentence(examples.gaussian_example())


def test_the_page_is_shown_without_the_simulator():
    code = (
        "import sys; import ecgrepro.figures.examples, ecgrepro.report.examples; "
        "print([m for m in ('torch', 'neurokit2', 'wfdb', 'ecgrepro.simulation.records') "
        "if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
