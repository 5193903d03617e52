import numpy as np
import pandas as pd
import pytest
from helpers.cohorts import a_cohort
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ecgrepro import EcgreproError
from ecgrepro.cohort.cohort import LEADS
from ecgrepro.generators import GENERATORS
from ecgrepro.studies.experiments import quality, sweeps
from ecgrepro.studies.experiments.quality import Hearts
from ecgrepro.studies.findings import bars as comparison
from ecgrepro.studies.findings.bars import (
    BARS,
    Bar,
    bars_table,
    measured,
    measures_table,
    overall,
)
from ecgrepro.studies.selection import first_of_each
from ecgrepro.studies.statistics.proportions import median_bounds, wilson
from ecgrepro.studies.strips import Strips, first_records, first_strips
from ecgrepro.support.results import COLUMNS, Result, read_results, write_results
from ecgrepro.workflow import trials
from ecgrepro.workflow.products import judge, synthetic_pool
from ecgrepro.workflow.quality import heart_results, hearts, quality_results
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections.generators import POINTS, training_curves


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


def test_planted_copies_are_found_and_strangers_are_not(run):
    parts, strangers = run.splits("chapman"), run.cohort("ptb-xl")
    train = parts["train"]
    half = train.select(np.arange(len(train) // 2))

    def found(pool):
        rows = quality.copies(judge(run, "chapman"), train, parts["test"], pool, dataset="chapman")
        return {row.scope: row.value for row in rows if row.metric == "copies"}

    for pool, share in ((train, 1.0), (strangers, 0.0)):
        assert found(pool)["signal"] == pytest.approx(share, abs=0.02)
    mixed = found(half.concat([half, strangers]))
    expected = len(half) / (len(half) + len(strangers))
    for space in ("signal", "embedding"):
        assert mixed[space] == pytest.approx(expected, abs=0.06)


def test_the_simulator_has_the_heart_rates_of_simulated_recordings(run):
    found = by_key(heart_results(run, "chapman", "simulator"))
    medians = [found["heart_rate", code, "", ""].value for code in ("SB", "SR", "ST")]
    assert medians == sorted(medians)
    assert found["heart_rate_gap", "", "", ""].value < 25
    gap = found["heart_rate", "SR", "", ""].value - found["heart_rate", "SR", "real", ""].value
    assert found["heart_rate_gap", "SR", "", ""].value == pytest.approx(gap)
    failures = found["detector_failures", "", "", ""]
    assert failures.low <= failures.value <= failures.high < 0.2
    variability = [found["rr_variability", code, "", ""].value for code in ("SR", "AFIB")]
    assert variability[1] > 3 * variability[0]


def test_a_rhythm_that_is_never_detected_is_not_near_the_real_one(run):
    pool = synthetic_pool(run, "chapman", "simulator")
    nothing = Hearts(pool, *np.full((2, len(pool)), np.nan))
    real = hearts(run, "chapman", run.cohort("chapman"))
    found = by_key(quality.heart_rate_results(nothing, real, nothing, dataset="chapman"))
    assert found["heart_rate", "SR", "", ""].value is None
    assert found["heart_rate_gap", "", "", ""].value == np.inf
    assert nothing.quantiles("rates") == {}
    low, first, median, third, high = real.quantiles("rates")["SR"]
    assert low <= first <= median <= third <= high
    assert median == found["heart_rate", "SR", "real", ""].value


def test_records_beyond_the_detector_count_at_least_one_real_failure():
    cohort = a_cohort(n=14)
    some, none = np.full(14, 70.0), np.full(14, 70.0)
    some[:7] = np.nan
    rows = quality.heart_rate_results(
        Hearts(cohort, some, some), Hearts(cohort, none, none), Hearts(cohort, some, some)
    )
    assert by_key(rows)["failures_over_real", "", "", ""].value == pytest.approx(0.5 * 14)


def test_distances_from_the_rates_asked_for():
    rates = pd.DataFrame({"rhythm": "SR", "asked": 70.0, "found": 70.0 + np.arange(7)})
    (row,) = quality.pace_results(rates, generator="unet")
    assert (row.value, row.low, row.high, row.n) == (3.0, 0.0, 6.0, 7)
    assert quality.pace_results(rates.iloc[:0]) == []


@pytest.mark.slow
def test_every_measure_of_a_generator(run):
    found = by_key(quality_results(run, "chapman", "simulator"))
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
    parts, profile = run.splits("chapman"), run.profile
    train, test = parts["train"], parts["test"]
    counts = sweeps.matched_counts(train, test, profile.quality.records)
    scales = trials.guidance_trials(run, "chapman", "diffwave")
    assert [t.guidance for t in scales] == [1, 1.5, 2]  # the profile's, and the generator's own
    assert [t.evaluations for t in scales] == [4, 8, 8]
    steps = trials.step_trials(run, "chapman", "unet")
    assert [t.name for t in steps] == ["dpmpp_2m 2", "dpmpp_2m 4", "ancestral 32"]
    assert all(t.cohort.counts() == counts for t in (*scales, *steps))
    assert len({t.cohort.fingerprint for t in steps}) == 3
    drawn = {t.cohort.fingerprint: t.seconds for t in trials.draw_trials(run, "chapman", "unet")}
    assert all(drawn[t.cohort.fingerprint] == t.seconds for t in steps)  # found, not drawn again
    some = sweeps.matched_records(train, test, counts, profile.pool.seed)
    rows = sweeps.trial_results(steps, judge(run, "chapman"), *some, dataset="chapman")
    saved = by_key(sweeps.sampler_results(steps, rows, 4))
    far = {r.scope: r.value for r in rows if r.metric == "frechet_distance" and not r.comparison}
    key = ("", "ancestral 32", "dpmpp_2m 4")
    assert saved["evaluations_saved", *key].value == 8
    assert saved["frechet_to_ancestral", *key].value == pytest.approx(
        far["dpmpp_2m 4"] / far["ancestral 32"]
    )


def test_a_generator_without_settings_of_its_sampler_has_no_trials(run):
    assert trials.guidance_trials(run, "chapman", "simulator") == []
    assert trials.step_trials(run, "chapman", "simulator") == []
    nothing = run.splits("chapman")["test"]
    assert sweeps.trial_results([], judge(run, "chapman"), nothing, nothing) == []
    assert sweeps.sampler_results([], [], None) == []


def test_matched_records_are_as_many_of_each_rhythm():
    train, test = a_cohort(n=70, seed=1), a_cohort(n=35, seed=2)
    counts = sweeps.matched_counts(train, test, 14)
    assert set(counts.values()) == {2}
    for cohort in sweeps.matched_records(train, test, counts, seed=0):
        assert cohort.counts() == counts


def test_only_what_was_published_is_shown_as_published(run):
    assert GENERATORS["diffwave"].published["blocks"] == 30
    assert GENERATORS["unet"].published is None
    assert trials.as_published(run, "chapman", "unet") == {}


def test_strips_leave_out_what_is_not_there():
    cohort = a_cohort(n=9)
    assert first_records(cohort) == {code: i for i, code in enumerate(cohort.classes)}
    first = first_strips(cohort, seconds=0.2)
    np.testing.assert_array_equal(first["SB"], cohort.signals[1, LEADS.index("II"), :20])
    strips = Strips.of({"real": first, "synthetic": {"SB": first["SB"]}}, ["SR", "SB"])
    assert strips.traces.shape == (2, 2, 20)
    grid = strips.grid()
    assert {name: list(row) for name, row in grid.items()} == {
        "real": ["SR", "SB"],
        "synthetic": ["SB"],
    }
    np.testing.assert_array_equal(grid["synthetic"]["SB"], first["SB"])


def test_long_trainings_are_thinned_to_their_end():
    history = [
        {"step": i, "loss": 1 / i, "stage": "prior", **({"validation_loss": 2.0} if i == 9 else {})}
        for i in range(1, 1000)
    ]
    (curve,) = training_curves(history)
    steps, losses = curve["training"]
    assert len(steps) == len(losses) == POINTS
    assert (steps[0], steps[-1], losses[-1]) == (1, 999, 1 / 999)
    assert curve["validation"] == [[9], [2.0]]
    assert training_curves([]) == []


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


def test_trials_do_not_stand_among_the_overall_results():
    frame = a_frame(coverage=(0.5, 0.4, 0.7), parameters=(9.0, None, None))
    trial = frame.iloc[:1].assign(arm="guidance 2")
    kept = overall(pd.concat([frame, trial]))
    assert kept["metric"].tolist() == ["coverage", "coverage"]
    pd.testing.assert_frame_equal(bars_table(kept), bars_table(frame))


def test_a_comparison_without_the_generators_pages_says_what_to_run(tmp_path):
    shared = {"profile": "smoke", "data": "simulated", "section": "02_generators"}
    row = Result("coverage", 0.5, dataset="x", generator="unet")
    write_results(tmp_path / "x-unet.json", [row], shared)
    found = read_results(tmp_path)
    assert len(measured(found, "x", ["unet"])) == 1
    with pytest.raises(EcgreproError, match="no results of diffwave, .*--page 02_generators/x-dif"):
        measured(found, "x", ["diffwave", "timevqvae"])
