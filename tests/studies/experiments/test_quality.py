import numpy as np
import pandas as pd
import pytest
from helpers.cohorts import a_cohort
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ecgrepro import EcgreproError
from ecgrepro.studies.experiments import quality, sweeps
from ecgrepro.studies.experiments.quality import (
    copies,
    first_of_each,
    median_bounds,
    wilson,
)
from ecgrepro.studies.findings import bars as comparison
from ecgrepro.studies.findings.bars import BARS, Bar, bars_table, measured, measures_table
from ecgrepro.support.results import COLUMNS, Result
from ecgrepro.workflow.run import Run


@given(st.integers(1, 500), st.data())
def test_wilson_is_that_of_scipy(n, data):
    hits = data.draw(st.integers(0, n))
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_median_bounds_cover_the_median():
    rng = np.random.default_rng(0)
    for n in (6, 15, 60):
        bounds = np.array([median_bounds(rng.exponential(size=n)) for _ in range(2000)])
        covered = (bounds[:, 0] <= np.log(2)) & (np.log(2) <= bounds[:, 1])
        assert 0.94 < covered.mean() <= 0.99
    assert median_bounds(np.ones(5)) == (None, None)


def test_the_first_of_each_are_as_many_of_each_rhythm():
    cohort = a_cohort(n=37)  # six of two rhythms, five of the others
    assert set(first_of_each(cohort, 3).counts().values()) == {3}
    assert set(first_of_each(cohort, 99).counts().values()) == {5}
    assert list(first_of_each(cohort, 1).table["record_id"]) == list("0123456")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return Run("smoke", "simulated", tmp_path_factory.mktemp("run"))


def by_key(rows: list[Result]) -> dict:
    return {(r.metric, r.rhythm, r.comparison, r.scope): r for r in rows}


def test_planted_copies_are_found_and_strangers_are_not(run, monkeypatch):
    train = run.splits("chapman")["train"]
    half = train.select(np.arange(len(train) // 2))
    for pool, share in ((train, 1.0), (run.cohort("ptb-xl"), 0.0)):
        monkeypatch.setattr(quality, "in_real_mix", lambda *_, pool=pool, **__: pool)
        found = by_key(copies(run, "chapman", "simulator"))
        assert found["copies", "", "", "signal"].value == pytest.approx(share, abs=0.02)
    monkeypatch.setattr(
        quality, "in_real_mix", lambda *_, **__: half.concat([half, run.cohort("ptb-xl")])
    )
    found = by_key(copies(run, "chapman", "simulator"))
    expected = len(half) / (len(half) + len(run.cohort("ptb-xl")))
    for space in ("signal", "embedding"):
        assert found["copies", "", "", space].value == pytest.approx(expected, abs=0.06)


def test_the_simulator_has_the_heart_rates_of_simulated_recordings(run):
    found = by_key(quality.heart_rate_results(run, "chapman", "simulator"))
    medians = [found["heart_rate", code, "", ""].value for code in ("SB", "SR", "ST")]
    assert medians == sorted(medians)
    assert found["heart_rate_gap", "", "", ""].value < 25
    gap = found["heart_rate", "SR", "", ""].value - found["heart_rate", "SR", "real", ""].value
    assert found["heart_rate_gap", "SR", "", ""].value == pytest.approx(gap)
    failures = found["detector_failures", "", "", ""]
    assert failures.low <= failures.value <= failures.high < 0.2
    variability = [found["rr_variability", code, "", ""].value for code in ("SR", "AFIB")]
    assert variability[1] > 3 * variability[0]


def test_a_rhythm_that_is_never_detected_is_not_near_the_real_one(run, monkeypatch):
    nothing = np.full(len(quality.synthetic_pool(run, "chapman", "simulator")), np.nan)
    heart = quality.heart
    monkeypatch.setattr(
        quality, "heart",
        lambda run, dataset, cohort: (nothing, nothing)
        if cohort.table["origin"].eq("simulator").all() and len(cohort) == len(nothing)
        else heart(run, dataset, cohort),
    )  # fmt: skip
    found = by_key(quality.heart_rate_results(run, "chapman", "simulator"))
    assert found["heart_rate", "SR", "", ""].value is None
    assert found["heart_rate_gap", "", "", ""].value == np.inf


@pytest.mark.slow
def test_every_measure_of_a_generator(run):
    found = by_key(quality.quality_results(run, "chapman", "simulator"))
    agreement = found["rhythm_agreement", "", "", ""]
    assert agreement.n == 7 * run.profile.quality.per_class
    assert agreement.low <= agreement.value <= agreement.high
    assert found["tstr_over_trtr", "", "", ""].value == pytest.approx(
        found["tstr", "", "", ""].value / found["tstr", "", "real", ""].value
    )
    assert found["frechet_over_floor", "", "", ""].value == pytest.approx(
        found["frechet_distance", "", "", ""].value
        / found["frechet_distance", "", "floor", ""].value
    )
    assert found["parameters", "", "", ""].value == 0


@pytest.mark.slow
def test_trials_differ_in_what_they_are_told(run):
    counts = sweeps.matched_counts(run, "chapman")
    scales = sweeps.guidance_trials(run, "chapman", "diffwave")
    assert [t.guidance for t in scales] == [1, 1.5, 2]  # the profile's, and the generator's own
    assert [t.evaluations for t in scales] == [4, 8, 8]
    steps = sweeps.step_trials(run, "chapman", "unet")
    assert [t.name for t in steps] == ["dpmpp_2m 2", "dpmpp_2m 4", "ancestral 32"]
    assert all(t.cohort.counts() == counts for t in (*scales, *steps))
    assert len({t.cohort.fingerprint for t in steps}) == 3
    again = sweeps.step_trials(run, "chapman", "unet")
    assert [t.seconds for t in again] == [t.seconds for t in steps]  # found, not drawn
    rows = sweeps.trial_results(run, "chapman", "unet", steps)
    saved = by_key(sweeps.sampler_results(run, "chapman", "unet", steps))
    far = {r.scope: r.value for r in rows if r.metric == "frechet_distance" and not r.comparison}
    key = ("", "ancestral 32", "dpmpp_2m 4")
    assert saved["evaluations_saved", *key].value == 8
    assert saved["frechet_to_ancestral", *key].value == pytest.approx(
        far["dpmpp_2m 4"] / far["ancestral 32"]
    )
    assert sweeps.guidance_trials(run, "chapman", "simulator") == []
    assert sweeps.step_trials(run, "chapman", "simulator") == []
    assert sweeps.trial_results(run, "chapman", "simulator", []) == []


def test_only_what_was_published_is_shown_as_published():
    assert sweeps.published_settings("diffwave")["blocks"] == 30
    assert sweeps.published_settings("unet") is None


def a_frame(**values) -> pd.DataFrame:
    """Results of the U-Net and the simulator, each measure (value, low, high)."""
    rows = []
    for metric, (value, low, high) in values.items():
        scope = "signal" if metric == "copies" else ""
        for generator, there in (("unet", value), ("simulator", 100.0)):
            row = Result(metric, there, low, high, dataset="x", generator=generator, scope=scope)
            rows.append({"profile": "p", "data": "d", "section": "02_generators", **vars(row)})
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.mark.parametrize(
    ("bar", "value", "mark"),
    [
        (Bar("m", "m", 0.75), (0.8, 0.76, 0.9), "✓"),
        (Bar("m", "m", 0.75), (0.8, 0.7, 0.9), "✓~"),
        (Bar("m", "m", 0.75), (0.7, 0.6, 0.8), "✗~"),
        (Bar("m", "m", 0.75), (0.75, None, None), "✓"),
        (Bar("m", "m", 5, at_most=True), (6.0, 5.5, 7.0), "✗"),
        (Bar("m", "m", 5, at_most=True), (None, None, None), "✗"),
    ],
)
def test_a_bar_is_met_or_missed(bar, value, mark):
    row = pd.Series(dict(zip(("value", "low", "high"), value, strict=True)))
    assert bar.mark(row) == mark
    assert bar.mark(None) == "✗"


def test_the_bars_are_those_that_were_set():
    asked = {(b.metric, b.scope): b.asked() for b in BARS if not b.best}
    assert asked["rhythm_agreement", ""] == "≥ 0.75 each"
    assert asked["heart_rate_gap", ""] == "≤ 8 each"
    assert asked["copies", "signal"] == "≤ 0.02 each"
    best = {b.metric: b.asked() for b in BARS if b.best}
    assert best == {
        "rhythm_agreement": "≥ 0.95 best",
        "tstr_over_trtr": "≥ 0.92 best",
        "frechet_over_floor": "≤ 5 best",
        "coverage": "≥ 0.6 best",
    }


def test_only_what_learns_decides_a_bar():
    frame = a_frame(coverage=(0.5, 0.4, 0.7), frechet_over_floor=(3.0, 2.0, 4.0))
    table = bars_table(frame).set_index("measure")
    assert set(table["decided by"]) == {"U-Net diffusion ‡"}  # the simulator's is 100
    assert table.loc["coverage", "verdict"] == "missed; the interval includes the bar"
    assert table.loc["Fréchet distance over its floor", "verdict"] == "met"
    assert table.loc["rhythm agreement", "verdict"].tolist() == ["missed", "missed"]  # not measured
    floor = frame[frame["metric"] == "coverage"].iloc[:1].assign(comparison="floor", value=0.6)
    wide = measures_table(pd.concat([frame, floor])).set_index("measure")
    assert wide.loc["coverage", "real records"].startswith("0.60")
    assert wide.loc["rhythm agreement", "real records"] == "–"
    assert wide.loc["coverage", "U-Net diffusion ‡"] == "0.50 [0.40, 0.70] ✗~"
    assert wide.loc["rhythm agreement", "bar"] == "≥ 0.95 best; ≥ 0.75 each"
    assert wide.loc["evaluations, ancestral over default", "Simulator ‡"] == "–"


def test_which_generators_are_the_papers_is_said():
    assert comparison.origin("timevqvae") == "Time-VQVAE is one of the paper's 3 generators."
    assert "not in the paper" in comparison.origin("unet")
    said = comparison.origins(["diffwave", "simulator"])
    assert said.startswith("Generators of the paper on this page: DiffWave. Beyond the paper: Sim")


def test_a_comparison_without_the_generators_pages_says_what_to_run(run):
    run.save_results("02_generators", "x", [Result("coverage", 0.5, dataset="x", generator="unet")])
    with pytest.raises(EcgreproError, match="no results of diffwave, .*--page 02_generators/x-dif"):
        measured(run, "x")
