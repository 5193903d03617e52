"""All metrics at once: values and floors, intervals, matched sizes, budgets, what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score, roc_auc_score

from ecgrepro.closeness import FAMILIES, FLOOR, METRICS
from ecgrepro.closeness.compare import compare
from ecgrepro.closeness.families import PROJECTIONS, Use
from ecgrepro.closeness.intervals import Budget
from ecgrepro.closeness.matching import HELD_OUT, OTHERS, SETS, draw, privacy_draw
from ecgrepro.closeness.metrics.dtw import dtw_to_nearest
from ecgrepro.closeness.metrics.frechet import frechet_distance
from ecgrepro.closeness.metrics.heart import (
    MEASURES,
    failure_rates,
    measure_distances,
    measures,
)
from ecgrepro.closeness.metrics.leads import lead_correlation_distance, lead_residuals
from ecgrepro.closeness.metrics.mmd import median_distance, mmd, sliced_wasserstein
from ecgrepro.closeness.metrics.prdc import prdc
from ecgrepro.closeness.metrics.spectrum import (
    amplitude_distance,
    autocorrelation_difference,
    mean_spectrum,
    spectrum_distance,
)
from ecgrepro.cohort.cohort import Cohort
from ecgrepro.datasets import load_cohort
from ecgrepro.errors import EcgreproError

POINTS = ("distribution", "fidelity")  # what can be said of points that are no signals
ON_POINTS = tuple(m for m in METRICS if METRICS[m].family in POINTS)


def cohort(x, who, rhythms="SR", per_patient=1, **facts):
    """Embeddings disguised as a cohort of one lead."""
    n = len(x)
    table = pd.DataFrame(
        {
            "record_id": [f"{who}{i}" for i in range(n)],
            "patient_id": [f"{who}{i // per_patient}" for i in range(n)],
            "source": "test",
            "rhythm": rhythms,
            "fold": 1,
            "age": 50.0,
            "sex": "",
            "origin": who,
        }
    )
    signals = np.asarray(x, np.float32)[:, None, :]
    return Cohort(signals, table, **{"fs": 100, "leads": ("I",), "name": who} | facts)


def embed(cohort):
    return cohort.signals[:, 0]


def three(rng, n=60, d=4, scale=1.0, shift=0.0, rhythms="SR", per_patient=1):
    draws = [rng.normal(size=(n, d)) for _ in range(3)]
    draws[2] = draws[2] * scale + shift
    names = ("train", "test", "diffusion")
    return [cohort(x, w, rhythms, per_patient) for x, w in zip(draws, names, strict=True)]


def on_points(*cohorts, embed=embed, resamples=10, **settings):
    budget = Budget(resamples=resamples)
    return compare(*cohorts, embed=embed, families=POINTS, budget=budget, **settings)


def values(rows, rhythm=""):
    return {r.metric: r for r in rows if r.rhythm == rhythm and r.comparison != FLOOR}


def floors(rows, rhythm=""):
    return {r.metric: r for r in rows if r.rhythm == rhythm and r.comparison == FLOOR}


def test_values_and_floors_are_those_of_the_metrics():
    train, test, synthetic = three(np.random.default_rng(0), shift=0.7)
    rows = on_points(train, test, synthetic)
    assert tuple(values(rows)) == tuple(floors(rows)) == ON_POINTS
    bandwidth = median_distance(embed(test), embed(train))
    for found, of in ((values(rows), synthetic), (floors(rows), train)):
        expected = prdc(embed(test), embed(of))
        expected["frechet_distance"] = frechet_distance(embed(of), embed(test))
        expected["mmd"] = mmd(embed(test), embed(of), bandwidth)
        expected["sliced_wasserstein"] = sliced_wasserstein(embed(of), embed(test), PROJECTIONS)
        for metric, row in found.items():
            assert row.value == pytest.approx(expected[metric], rel=1e-5), metric
            assert row.low <= row.value <= row.high and row.n == 60


def test_the_same_seed_gives_the_same_rows():
    cohorts = three(np.random.default_rng(0))
    first = on_points(*cohorts, seed=4)
    assert first == on_points(*cohorts, seed=4)
    assert first != on_points(*cohorts, seed=5)


def test_a_defect_is_clear_of_the_floor_and_a_perfect_set_is_not():
    rng = np.random.default_rng(0)
    rows = on_points(*three(rng, n=120, shift=1.5), resamples=40)
    bad, floor = values(rows), floors(rows)
    for metric in ("precision", "density", "coverage"):
        assert bad[metric].high < floor[metric].low, metric
    for metric in ("frechet_distance", "mmd", "sliced_wasserstein"):
        assert bad[metric].low > floor[metric].high, metric
    rows = on_points(*three(rng, n=120), resamples=40)
    for metric, row in values(rows).items():
        floor = floors(rows)[metric]
        assert row.low <= floor.high and floor.low <= row.high, row


def test_sizes_and_class_mix_are_matched():
    rng = np.random.default_rng(0)
    train = cohort(rng.normal(size=(90, 3)), "train", ["SR"] * 60 + ["SB"] * 30)
    test = cohort(rng.normal(size=(75, 3)), "test", ["SR"] * 50 + ["SB"] * 25)
    made = cohort(rng.normal(size=(80, 3)), "made", ["SB"] * 40 + ["SR"] * 30 + ["AFIB"] * 10)
    seen = []

    def spy(cohort):
        seen.append(cohort.counts())
        return embed(cohort)

    rows = on_points(train, test, made, embed=spy)
    assert seen[0] == seen[1] == seen[2]
    assert {r: n for r, n in seen[0].items() if n} == {"SR": 30, "SB": 25}
    assert {row.rhythm: row.n for row in rows} == {"": 55, "SR": 30, "SB": 25, "AFIB": 0}
    assert values(rows, "AFIB")["recall"].value is None
    assert "too few records" in values(rows, "AFIB")["recall"].note
    assert not floors(rows, "AFIB")
    alone = on_points(*(c.where(rhythm="SB") for c in (train, test, made)))
    assert values(alone)["recall"].n == 25
    assert not [r for r in on_points(train, test, made, by_rhythm=False) if r.rhythm]


def test_rare_rhythms_are_reported_as_too_few():
    rhythms = ["SR"] * 40 + ["AFL"] * 19
    rows = on_points(*three(np.random.default_rng(0), n=59, rhythms=rhythms))
    few = values(rows, "AFL")["coverage"]
    assert few.n == 19 and few.note == "too few records in the smallest set: 20 are needed"
    assert values(rows, "SR")["coverage"].note == ""
    assert values(rows)["coverage"].n == 59


def test_large_sets_are_drawn_down():
    budget = Budget(records=50, resamples=5)
    cohorts = three(np.random.default_rng(0), n=200)
    rows = compare(*cohorts, embed=embed, families=POINTS, budget=budget)
    assert rows[0].n == 50


def test_intervals_cover_the_expected_value():
    """95 % intervals in 80 repetitions, with single records and with four per patient."""
    rhythms = np.repeat(["SR", "SB", "ST", "AFIB"], 16)  # each too few: overall values only
    for per_patient in (1, 4):
        rows = []
        for seed in range(80):
            rng = np.random.default_rng(seed)
            base = [
                np.repeat(rng.normal(size=(64 // per_patient, 4)), per_patient, 0)
                + rng.normal(size=(64, 4)) * (per_patient > 1)
                for _ in range(3)
            ]
            base[2] = base[2] * 1.3 + 0.6
            cohorts = [
                cohort(x, who, rhythms, per_patient) for x, who in zip(base, "abc", strict=True)
            ]
            found = values(on_points(*cohorts, resamples=30, seed=seed, by_rhythm=False))
            rows.append([(row.value, row.low, row.high) for row in found.values()])
        value, low, high = np.transpose(rows)
        expected = value.mean(axis=1, keepdims=True)
        hits = ((low <= expected) & (expected <= high)).mean(axis=1)
        assert (hits >= 0.88).all(), dict(zip(ON_POINTS, hits, strict=True))


@pytest.mark.slow
def test_sets_of_one_distribution_are_rarely_told_apart():
    alarms = {}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = on_points(*three(rng, n=100, d=6), resamples=30, seed=seed, by_rhythm=False)
        for name, row in values(rows).items():
            floor = floors(rows)[name]
            alarms[name] = alarms.get(name, 0) + (row.low > floor.high or floor.low > row.high)
    assert max(alarms.values()) <= 2, alarms


def test_patients_are_resampled_whole():
    """With copies of the same record per patient, the interval is that of the patients."""
    rng = np.random.default_rng(0)
    x = [np.repeat(rng.normal(size=(15, 3)), 8, 0) for _ in range(3)]
    x = [e + 1e-3 * rng.normal(size=e.shape) for e in x]
    widths = []
    for per_patient in (8, 1):
        cohorts = [cohort(e, w, "SR", per_patient) for e, w in zip(x, "abc", strict=True)]
        row = on_points(*cohorts, resamples=60)[0]
        widths.append(row.high - row.low)
    assert widths[0] > 1.8 * widths[1]


def test_records_without_a_patient_are_their_own():
    cohorts = three(np.random.default_rng(0))
    named = on_points(*cohorts)
    cohorts[2].table["patient_id"] = ""
    assert on_points(*cohorts) == named


def test_bad_cohorts_are_named():
    train, test, made = three(np.random.default_rng(0))
    x = embed(made)
    cases = {
        "synthetic cohort is empty": made.select([]),
        "differ in fs": cohort(x, "m", fs=500),
        "differ in leads": cohort(x, "m", leads=("II",)),
        "differ in units": cohort(x, "m", units="mV"),
        "differ in labels": cohort(x, "m", labels="rhythm4"),
        r"differ in shape \(leads, samples\)": cohort(x[:, :3], "m"),
        "60 synthetic records hold NaN .*m0": cohort(x * np.nan, "m"),
        "constant": cohort(x * 0, "m"),
        "only 0 records per set": cohort(x, "m", "AFIB"),
        "only 8 records per set": made.select(np.arange(8)),
    }
    for message, bad in cases.items():
        with pytest.raises(EcgreproError, match=message):
            on_points(train, test, bad)
    with pytest.raises(EcgreproError, match="patient train.* in real train and in real test"):
        on_points(train, train, made)
    with pytest.raises(EcgreproError, match="5 rows for 60"):
        on_points(train, test, made, embed=lambda c: embed(c)[:5])
    with pytest.raises(EcgreproError, match="differ in dimensions"):
        on_points(train, test, made, embed=lambda c: embed(c)[:, : 2 + (c.name == "test")])
    with pytest.raises(EcgreproError, match="at least 62 are needed for k = 30"):
        on_points(train, test, made, k=30)
    with pytest.raises(EcgreproError, match="k is the number of neighbours, .* not 0"):
        on_points(train, test, made, k=0)
    with pytest.raises(EcgreproError, match="unknown family 'beauty': choose from distribution"):
        compare(train, test, made, embed=embed, families=["beauty"])
    with pytest.raises(EcgreproError, match="no family"):
        compare(train, test, made, embed=embed, families=[])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"resamples": 1}, "resamples must be a whole number of at least 2: 1"),
        ({"records": 10}, "records must be a whole number of at least 20"),
        ({"heart": 2.5}, "heart must be a whole number of at least 10: 2.5"),
        ({"seconds": 0}, "seconds must be a positive number, not 0"),
    ],
)
def test_impossible_budgets_are_named(settings, said):
    with pytest.raises(EcgreproError, match=said):
        Budget(**settings)


@pytest.fixture(scope="module")
def signals():
    """Three sets of simulated records with 12 of each of three rhythms, in mV and in z."""
    found = {}
    for scale in ("mV", "z"):
        cohort = load_cohort("simulated-chapman", None, "rhythm4", scale, records=420, seed=3)
        parts = cohort.split(train=[1, 2, 3, 4], test=[5, 6, 7], made=[8, 9, 10])
        counts = dict.fromkeys(("SR", "GSVT", "AFIB"), 12)
        drawn = draw(parts, counts, np.random.default_rng(0)).cohorts
        found[scale] = {name: replace(c, name=name) for name, c in drawn.items()}
    return found


@pytest.fixture(scope="module")
def place(signals):
    """An embedding that nothing was trained for: principal components of log spectra."""

    def describe(cohort):
        parts = [np.log(mean_spectrum(x[None], cohort.fs)[1] + 1e-4) for x in cohort.signals]
        return np.stack(parts).reshape(len(cohort), -1)

    plane = PCA(6, random_state=0).fit(describe(signals["z"]["train"]))
    return lambda cohort: plane.transform(describe(cohort))


def read(cohort):
    """A classifier that takes every fifth record for sinus rhythm."""
    codes = cohort.table["rhythm"].to_numpy().copy()
    codes[::5] = "SR"
    return codes


TABLES = {}  # of records, in whatever order, by what they were drawn from


def measured(cohort):
    found = measures(cohort.signals, cohort.fs)
    TABLES[cohort.name] = found
    return found


@pytest.fixture(scope="module")
def whole(signals, place):
    budget = Budget(resamples=20, heart=36, dtw=36)
    cohorts = signals["mV"].values()
    return compare(*cohorts, embed=place, predict=read, measure=measured, budget=budget)


def test_every_metric_has_a_value_and_a_floor_overall_and_by_rhythm(whole):
    for rhythm in ("", "SR", "GSVT", "AFIB"):
        found, floor = values(whole, rhythm), floors(whole, rhythm)
        assert tuple(found) == tuple(m for m in METRICS if m != "tstr")
        for name, row in found.items():
            if name == "trts" and rhythm:
                assert row.value is None and "F1 of a rhythm depends on" in row.note
            elif METRICS[name].family in POINTS and rhythm:
                assert row.value is None and "too few" in row.note and row.n == 12
            elif METRICS[name].family == "privacy" and rhythm:
                assert "too few" in row.note  # halves of twelve
            else:
                assert METRICS[name].low <= row.low <= row.value <= row.high <= METRICS[name].high
                assert floor[name].value is not None, name


def test_signal_and_lead_metrics_are_those_of_their_functions(whole, signals):
    test = signals["mV"]["test"]
    for of, found in (("made", values(whole)), ("train", floors(whole))):
        other = signals["mV"][of]
        pair, fs = (test.signals, other.signals), test.fs
        expected = {
            "spectrum_distance": spectrum_distance(*pair, fs).mean(),
            "autocorrelation_difference": autocorrelation_difference(*pair, fs).mean(),
            "dtw": np.median(dtw_to_nearest(*pair, fs)),
            "lead_correlation_distance": lead_correlation_distance(*pair),
            "lead_residual": max(lead_residuals(other.signals, other.leads, "mV").values()),
        }
        for name, value in expected.items():
            assert found[name].value == pytest.approx(value, rel=1e-9), name
        amplitude = amplitude_distance(*pair).mean()
        assert found["amplitude_distance"].value == pytest.approx(amplitude, rel=0.02)


def test_metrics_of_the_heart_are_those_of_their_functions(whole, signals):
    tables = {name: TABLES[name] for name in signals["mV"]}
    for of, failing, found in (
        ("made", "made", values(whole)), ("train", "test", floors(whole))
    ):  # fmt: skip
        apart = measure_distances(tables["test"], tables[of])
        for name in MEASURES:
            assert found[f"{name}_distance"].value == pytest.approx(apart[name], rel=1e-9), name
        failed = failure_rates(tables[failing])
        assert found["beat_failures"].value == failed["heart_rate"]
        waves = failed[["p_duration", "pr", "qrs", "qt"]].mean()
        assert found["wave_failures"].value == pytest.approx(waves)


def test_what_is_read_is_scored_as_scikit_learn_does(whole, signals):
    for of, found in (("made", values(whole)), ("test", floors(whole))):
        asked, said = signals["mV"][of].table["rhythm"], read(signals["mV"][of])
        assert found["trts"].value == pytest.approx(f1_score(asked, said, average="macro"))
        agreement = np.mean([(said[asked == r] == r).mean() for r in asked.unique()])
        assert found["rhythm_agreement"].value == pytest.approx(agreement)


def test_the_discriminator_is_scored_as_scikit_learn_does(signals, place):
    cohorts = dict(zip(SETS, signals["mV"].values(), strict=True))
    sets = draw(cohorts, dict.fromkeys(("SR", "GSVT", "AFIB"), 12), np.random.default_rng(0))
    use = Use(sets, {name: place(c) for name, c in sets.cohorts.items()}, None)
    area = use.measure(sets.rows())[0, 2]
    scores = use.scores["synthetic"]
    truth = np.repeat([1, 0], [36, 36])
    joined = np.concatenate([scores["real test"], scores["synthetic"]])
    assert area == pytest.approx(roc_auc_score(truth, joined))


def test_what_a_cohort_does_not_have_is_said_and_not_raised(signals, place):
    def told(cohorts, family, **settings):
        rows = compare(*cohorts, embed=place, families=[family], by_rhythm=False,
                       budget=Budget(resamples=5), **settings)  # fmt: skip
        return {row.metric: row.note for row in rows if row.note}

    z = list(signals["z"].values())
    assert told(z, "leads") == {"lead_residual": "lead identities hold in mV only"}
    assert set(told(z, "use")) == {"rhythm_agreement", "trts"}
    two = [Cohort(c.signals[:, :2], c.table, c.fs, c.leads[:2], c.units, c.labels) for c in z]
    assert "twelve leads" in told(two, "heart")["heart_rate_distance"]
    slow = [Cohort(c.signals[:, :, ::2], c.table, 50, c.leads, c.units, c.labels) for c in z]
    assert "between 80 and" in told(slow, "heart")["beat_failures"]
    one = [Cohort(c.signals[:, :1], c.table, c.fs, c.leads[:1], c.units, c.labels) for c in z]
    assert told(one, "leads")["lead_correlation_distance"] == "there is only one lead"


def test_a_budget_of_time_ends_early_and_says_so(signals, place):
    seen = []

    def count(cohort):
        seen.append(len(cohort))
        return pd.DataFrame(60.0 + np.arange(len(cohort))[:, None] + np.zeros(8), columns=MEASURES)

    budget = Budget(resamples=500, seconds=1e-4)
    rows = compare(*signals["mV"].values(), embed=place, measure=count, by_rhythm=False,
                   families=["heart", "signal"], budget=budget)  # fmt: skip
    found = values(rows)
    assert found["heart_rate_distance"].n == 10 == max(seen[2:])
    assert found["dtw"].n == 10
    assert all(row.note == "20 half-samples for lack of time" for row in found.values()
               if row.value is not None)  # fmt: skip


def test_one_metric_that_fails_does_not_cost_the_others(signals, place):
    flat = signals["z"]["made"]
    still = np.array(flat.signals)
    still[:, 4] = 0
    made = replace(flat, signals=still, fingerprint="flat")
    real = (signals["z"]["train"], signals["z"]["test"])
    rows = compare(*real, made, embed=None, by_rhythm=False, families=["signal"],
                   budget=Budget(resamples=5, dtw=10))  # fmt: skip
    found = values(rows)
    assert found["spectrum_distance"].value is None
    assert "lead 4 is flat in every record" in found["spectrum_distance"].note
    assert found["dtw"].value is not None
    with pytest.raises(EcgreproError, match="lead 4 is flat"):
        compare(*real, made, embed=None, families=["leads"])


def test_a_value_without_a_floor_is_not_shown(signals, place):
    """No training record has a P wave that can be measured."""

    def without(cohort):
        found = pd.DataFrame(np.random.default_rng(0).uniform(50, 90, (len(cohort), 8)),
                             columns=list(MEASURES))  # fmt: skip
        if cohort.name == "train":
            found["p_duration"] = np.nan
        return found

    rows = compare(*signals["z"].values(), embed=place, measure=without, by_rhythm=False,
                   families=["heart"], budget=Budget(resamples=5, heart=36))  # fmt: skip
    found, floor = values(rows), floors(rows)
    assert found["p_duration_distance"].value is None and "p_duration_distance" not in floor
    assert found["p_duration_distance"].note == "it cannot be measured in real records"
    assert found["pr_distance"].value is not None


def test_one_wild_sample_moves_no_floor_and_no_scale(signals, place):
    def amplitude(made):
        rows = compare(signals["mV"]["train"], signals["mV"]["test"], made, embed=place,
                       by_rhythm=False, families=["signal"],
                       budget=Budget(resamples=5, dtw=10))  # fmt: skip
        return values(rows)["amplitude_distance"].value, floors(rows)["amplitude_distance"].value

    made = signals["mV"]["made"]
    wild = np.array(made.signals)
    wild[3, 2, 77] = 3000.0
    before, after = amplitude(made), amplitude(replace(made, signals=wild, fingerprint="wild"))
    assert after[1] == before[1] and after[0] >= before[0]
    exact = amplitude_distance(signals["mV"]["test"].signals, wild).mean()
    assert after[0] == pytest.approx(exact, rel=0.05)


def test_the_floor_of_the_discriminator_does_not_know_patients_again():
    rng = np.random.default_rng(0)
    who = [np.repeat(5 * rng.normal(size=(15, 40)), 8, 0) for _ in range(2)]
    made = 5 * rng.normal(size=(120, 40))
    sets = [cohort(x, w, per_patient=8) for x, w in zip(who, ("train", "test"), strict=True)]
    rows = compare(*sets, cohort(made, "made"), embed=embed, families=["use"], by_rhythm=False,
                   budget=Budget(resamples=5))  # fmt: skip
    assert floors(rows)["discriminator_auc"].value < 0.65


def test_a_classifier_of_another_label_map_is_named(signals, place):
    with pytest.raises(EcgreproError, match="reads XYZ, which is none of SR, SB"):
        compare(*signals["z"].values(), embed=place, families=["use"],
                predict=lambda c: np.array(["XYZ"] * len(c)))  # fmt: skip


def test_a_rhythm_of_one_record_is_in_half_of_the_halves():
    rng = np.random.default_rng(0)
    cohorts = dict(zip(SETS, three(rng, n=21, rhythms=["SR"] * 20 + ["SB"]), strict=True))
    sets = draw(cohorts, {"SR": 20, "SB": 1}, rng)
    there = [20 in sets.half(rng)["synthetic"] for _ in range(200)]
    assert 0.4 < np.mean(there) < 0.6


def test_privacy_is_judged_in_one_mix_of_rhythms():
    rng = np.random.default_rng(0)
    real = ["SR"] * 60 + ["SB"] * 12 + ["AFIB"] * 8
    cohorts = dict(zip(SETS, three(rng, n=80, rhythms=real), strict=True))
    cohorts["synthetic"] = cohorts["synthetic"].where(rhythm=["SR", "SB"])
    sets = privacy_draw(cohorts, ["SR", "SB", "AFIB"], 2000, rng)
    assert set(sets.rhythms) == {"SR", "SB"}
    held_out, made = sets.counts[HELD_OUT], sets.counts["synthetic"]
    assert held_out == sets.counts[OTHERS] == {"SR": 30, "SB": 6}
    assert made == {"SR": 60, "SB": 12} and sets.counts["real train"] == {"SR": 60, "SB": 12}


def test_a_memorizer_is_given_away_whatever_its_mix_of_rhythms():
    """A rare rhythm limits how many records keep the mix, not how many betray their patients."""
    rng = np.random.default_rng(0)
    train = cohort(rng.normal(size=(620, 6)), "train", ["SR"] * 600 + ["SB"] * 20)
    test = cohort(rng.normal(size=(120, 6)), "test", ["SR"] * 100 + ["SB"] * 20)
    rows = compare(train, test, train, embed=embed, families=["privacy"], by_rhythm=False,
                   budget=Budget(resamples=10))  # fmt: skip
    assert values(rows)["membership_auc"].value >= 0.95


def test_nothing_is_embedded_for_what_needs_no_embedding(signals):
    rows = compare(*signals["z"].values(), embed=None, families="signal", by_rhythm=False,
                   budget=Budget(resamples=5, dtw=12))  # fmt: skip
    assert [r.metric for r in rows if r.comparison == FLOOR] == list(values(rows))


def test_copies_are_found_by_privacy_and_strangers_are_not():
    rng = np.random.default_rng(0)
    train, test, honest = (cohort(rng.normal(size=(n, 6)), w) for n, w in
                           ((400, "train"), (200, "test"), (300, "made")))  # fmt: skip
    budget = Budget(resamples=50)

    def judged(made):
        rows = compare(train, test, made, embed=embed, families=["privacy"], budget=budget)
        return values(rows), floors(rows)

    found, floor = judged(honest)
    for name, row in found.items():
        assert row.low <= floor[name].high and floor[name].low <= row.high, name
    assert found["membership_auc"].low < 0.5 < found["membership_auc"].high
    found, floor = judged(train)
    assert found["membership_auc"].value >= 0.95 and found["near_copies"].value == 1
    assert found["authenticity"].value == found["distance_ratio"].value == 0
    for name in ("membership_auc", "near_copies"):
        assert found[name].low > floor[name].high, name


def test_the_halves_of_the_test_records_share_no_patient():
    rng = np.random.default_rng(0)
    rhythms = ["SR", "SB", "ST"] * 20
    cohorts = dict(zip(SETS, three(rng, n=60, rhythms=rhythms, per_patient=4), strict=True))
    sets = privacy_draw(cohorts, ["SR", "SB", "ST"], 50, rng)
    halves = [set(sets.cohorts[name].table["patient_id"]) for name in (HELD_OUT, OTHERS)]
    assert not halves[0] & halves[1] and len(halves[0] | halves[1]) == 15
    assert len(sets.cohorts["real train"]) == 60 and len(sets.cohorts["synthetic"]) <= 50


def test_halves_are_of_whole_patients_and_of_every_rhythm():
    rng = np.random.default_rng(0)
    found = three(rng, n=56, rhythms=["SR"] * 40 + ["SB"] * 16, per_patient=4)
    sets = draw(dict(zip(SETS, found, strict=True)), {"SR": 40, "SB": 16}, rng)
    for _ in range(5):
        half = sets.half(rng)["real test"]
        assert len(half) == 28 and (half < 40).sum() == 20
        counts = np.bincount(sets.patients["real test"][half], minlength=14)
        assert ((counts == 4) | (counts == 0)).all()
    assert set(sets.half(rng, "SB")["synthetic"]) <= set(range(40, 56))
    fewer = sets.fewer(28, rng)
    assert fewer.counts["synthetic"] == {"SR": 20, "SB": 8} and sets.fewer(56, rng) is sets


def test_a_share_of_none_or_all_has_an_interval_all_the_same():
    train, test, made = three(np.random.default_rng(0), shift=100.0)
    row = values(on_points(train, test, made))["precision"]
    assert (row.value, row.low) == (0, 0) and row.high == pytest.approx(0.06, abs=0.002)


def test_the_catalogue_is_complete():
    assert {m.family for m in METRICS.values()} == set(FAMILIES)
    for name, metric in METRICS.items():
        assert metric.sees and metric.misses and metric.low < metric.high, name
        assert metric.worse(2, 1) == (metric.better == "lower")
