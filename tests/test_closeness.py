"""Closeness metrics against closed forms and reference libraries, and the floors beside them."""

import contextlib
import io
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from ecgrepro.closeness import METRICS, compare, coverage, frechet_distance, prdc
from ecgrepro.cohort import Cohort
from ecgrepro.errors import EcgreproError

seeds = st.integers(0, 2**32 - 1)


def whitened(rng, n, d):
    """A sample whose mean is exactly 0 and whose covariance is exactly the identity."""
    x = rng.normal(size=(n, d))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(x.T)))).T


def reference_frechet(x, y):
    s1, s2 = np.cov(x.T), np.cov(y.T)
    shift = x.mean(axis=0) - y.mean(axis=0)
    return shift @ shift + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)


@pytest.mark.parametrize("d", [1, 3, 16])
def test_frechet_of_diagonal_gaussians_is_the_closed_form(d):
    rng = np.random.default_rng(d)
    a, b, shift = rng.uniform(0.1, 3, d), rng.uniform(0.1, 3, d), rng.normal(size=d)
    x, y = whitened(rng, 200, d) * a, whitened(rng, 150, d) * b + shift
    expected = (shift**2).sum() + ((a - b) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_commuting_gaussians_is_the_closed_form():
    rng = np.random.default_rng(0)
    d = 8
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    a, b = rng.uniform(0.1, 3, d), rng.uniform(0.1, 3, d)
    x, y = whitened(rng, 100, d) * a @ basis.T, whitened(rng, 90, d) * b @ basis.T
    assert frechet_distance(x, y) == pytest.approx(((a - b) ** 2).sum(), rel=1e-9)


@given(seeds, st.integers(1, 12), st.integers(15, 60), st.integers(15, 60))
@settings(max_examples=30, deadline=None)
def test_frechet_agrees_with_scipy_sqrtm(seed, d, n, m):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    y = rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    if d == 1:
        expected = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    else:
        expected = reference_frechet(x, y)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_frechet_is_not_that_of_a_symmetrized_product():
    rng = np.random.default_rng(3)
    d = 6
    x = rng.normal(size=(300, d)) @ rng.normal(size=(d, d))
    y = rng.normal(size=(300, d)) @ rng.normal(size=(d, d))
    product = np.cov(x.T) @ np.cov(y.T)
    wrong_root = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(0)).sum()
    wrong = reference_frechet(x, y) + 2 * np.trace(sqrtm(product).real) - 2 * wrong_root
    right = frechet_distance(x, y)
    assert right == pytest.approx(reference_frechet(x, y), rel=1e-8)
    assert abs(wrong - right) > 0.04 * right


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_frechet_with_fewer_records_than_dimensions(seed):
    """Rank-deficient covariances: zero for equal sets, and invariant to a rotation."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(12, 40)), rng.normal(size=(9, 40)) + 1
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    rotation = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    moved = frechet_distance(x @ rotation + 5, y @ rotation + 5)
    assert moved == pytest.approx(frechet_distance(x, y), rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-9)


def test_frechet_ignores_dead_dimensions():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 6)), 2 * rng.normal(size=(60, 6))
    padded = [np.hstack([e, np.zeros((len(e), 7))]) for e in (x, y)]
    assert frechet_distance(*padded) == pytest.approx(frechet_distance(x, y), rel=1e-9)


def test_the_sample_size_bias_is_the_documented_one():
    rng = np.random.default_rng(0)
    d, n, m = 10, 400, 600
    values = [frechet_distance(rng.normal(size=(n, d)), rng.normal(size=(m, d))) for _ in range(60)]
    expected = (d + d * (d + 1) / 4) * (1 / n + 1 / m)
    assert np.mean(values) == pytest.approx(expected, rel=0.07)


def reference_prdc(real, synthetic, k):
    with contextlib.redirect_stdout(io.StringIO()):
        return compute_prdc(real, synthetic, k)


@given(seeds, st.integers(12, 80), st.integers(12, 80), st.integers(1, 8), st.integers(1, 10))
@settings(max_examples=25, deadline=None)
def test_prdc_agrees_with_the_reference_package(seed, n, m, d, k):
    rng = np.random.default_rng(seed)
    real, synthetic = rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.3 + 0.2
    expected = reference_prdc(real, synthetic, k)
    found = prdc(real, synthetic, k)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6)


def test_prdc_is_the_same_in_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(size=(150, 5)), rng.normal(size=(130, 5)) + 0.3
    whole = prdc(real, synthetic)
    monkeypatch.setattr(coverage, "CHUNK", 7)
    assert prdc(real, synthetic) == whole == reference_prdc(real, synthetic, 5)


def test_prdc_of_far_and_of_equal_sets():
    x = np.random.default_rng(0).normal(size=(60, 4))
    assert set(prdc(x, x + 100).values()) == {0.0}
    same = prdc(x, x)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)


def test_near_copies_keep_their_distance():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 8)) + 1000
    y = x + 1e-6 * rng.normal(size=x.shape)
    y[0] = x[0]
    found = coverage.distances(x, y)
    assert found[0, 0] == 0
    np.testing.assert_allclose(found, cdist(x, y), rtol=1e-6)


@given(seeds, st.integers(1, 5), st.integers(2, 60))
@settings(max_examples=30, deadline=None)
def test_radii_of_a_subset_are_those_of_a_fresh_search(seed, k, listed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 3))
    rows = np.sort(rng.choice(60, rng.integers(k + 1, 60), replace=False))
    distance = coverage.distances(x, x)
    nearest = coverage.nearest_others(distance, listed)
    found = coverage.subset_radii(distance, nearest, rows, k)
    np.testing.assert_allclose(found, coverage.radii(x[rows], k), rtol=1e-9)


BAD = {
    "empty": (np.zeros((0, 3)), "at least"),
    "constant": (np.ones((9, 3)), "constant"),
    "NaN": (np.where(np.eye(9, 3) > 0, np.nan, 1.0), "3 of 9 records .* NaN"),
    "one-dimensional": (np.arange(9.0), "shape"),
    "text": (np.full((9, 3), "a"), "numbers"),
    "dimensions": (np.random.default_rng(0).normal(size=(9, 4)), "same classifier"),
}


@pytest.mark.parametrize("bad, message", BAD.values(), ids=BAD)
@pytest.mark.parametrize("metric", [frechet_distance, prdc])
def test_bad_embeddings_are_named(metric, bad, message):
    good = np.random.default_rng(1).normal(size=(20, 3))
    with pytest.raises(EcgreproError, match=message):
        metric(good, bad)


def test_bad_numbers_of_neighbours():
    x = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(EcgreproError, match="at least 6 records"):
        prdc(x, x, k=5)
    for k in (0, -1, 2.5):
        with pytest.raises(EcgreproError, match="whole number"):
            prdc(x, x, k=k)


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
    return Cohort(signals, table, **{"fs": 100, "leads": ("I",)} | facts)


def embed(cohort):
    return cohort.signals[:, 0]


def three(rng, n=60, d=4, scale=1.0, shift=0.0, rhythms="SR", per_patient=1):
    draws = [rng.normal(size=(n, d)) for _ in range(3)]
    draws[2] = draws[2] * scale + shift
    names = ("train", "test", "diffusion")
    return [cohort(x, w, rhythms, per_patient) for x, w in zip(draws, names, strict=True)]


def rows_of(rows, rhythm="all"):
    return {row["metric"]: row for row in rows if row["rhythm"] == rhythm}


def test_values_and_floors_are_those_of_the_metrics():
    train, test, synthetic = three(np.random.default_rng(0), shift=0.7)
    rows = rows_of(compare(train, test, synthetic, embed=embed, resamples=20))
    assert tuple(rows) == METRICS
    for name, of in (("value", synthetic), ("floor", train)):
        expected = prdc(embed(test), embed(of))
        expected["frechet_distance"] = frechet_distance(embed(of), embed(test))
        for metric, row in rows.items():
            assert row[name] == pytest.approx(expected[metric], rel=1e-9), metric
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows.values())
    assert all(row["floor_low"] <= row["floor"] <= row["floor_high"] for row in rows.values())


def test_the_same_seed_gives_the_same_rows():
    cohorts = three(np.random.default_rng(0))
    first = compare(*cohorts, embed=embed, resamples=10, seed=4)
    assert first == compare(*cohorts, embed=embed, resamples=10, seed=4)
    assert first != compare(*cohorts, embed=embed, resamples=10, seed=5)


def test_a_defect_is_clear_of_the_floor_and_a_perfect_set_is_not():
    rng = np.random.default_rng(0)
    bad = rows_of(compare(*three(rng, n=120, shift=1.5), embed=embed, resamples=40))
    for metric in ("precision", "density", "coverage"):
        assert bad[metric]["high"] < bad[metric]["floor_low"], metric
    assert bad["frechet_distance"]["low"] > bad["frechet_distance"]["floor_high"]
    good = rows_of(compare(*three(rng, n=120), embed=embed, resamples=40))
    for row in good.values():
        assert row["low"] <= row["floor_high"] and row["floor_low"] <= row["high"], row


def test_sizes_and_class_mix_are_matched():
    rng = np.random.default_rng(0)
    train = cohort(rng.normal(size=(90, 3)), "train", ["SR"] * 60 + ["SB"] * 30)
    test = cohort(rng.normal(size=(75, 3)), "test", ["SR"] * 50 + ["SB"] * 25)
    made = cohort(rng.normal(size=(80, 3)), "made", ["SB"] * 40 + ["SR"] * 30 + ["AFIB"] * 10)
    seen = []

    def spy(cohort):
        seen.append(cohort.counts())
        return embed(cohort)

    rows = compare(train, test, made, embed=spy, resamples=5)
    assert seen[0] == seen[1] == seen[2]
    assert {r: n for r, n in seen[0].items() if n} == {"SR": 30, "SB": 25}
    assert {row["rhythm"]: row["n"] for row in rows} == {"all": 55, "SR": 30, "SB": 25, "AFIB": 0}
    assert rows_of(rows, "AFIB")["recall"]["value"] is None
    assert "too few: 0 records" in rows_of(rows, "AFIB")["recall"]["note"]
    alone = compare(*(c.where(rhythm="SB") for c in (train, test)), made.where(rhythm="SB"),
                    embed=embed, resamples=5)  # fmt: skip
    assert rows_of(alone)["recall"]["n"] == 25


def test_rare_rhythms_are_reported_as_too_few():
    rhythms = ["SR"] * 40 + ["AFL"] * 19
    rows = compare(*three(np.random.default_rng(0), n=59, rhythms=rhythms), embed=embed)
    assert rows_of(rows, "AFL")["coverage"]["note"].startswith("too few: 19 records")
    assert rows_of(rows, "SR")["coverage"]["note"] == ""
    assert rows_of(rows)["coverage"]["n"] == 59


def test_large_sets_are_drawn_down(monkeypatch):
    monkeypatch.setattr("ecgrepro.closeness.LARGEST", 50)
    rows = compare(*three(np.random.default_rng(0), n=200), embed=embed, resamples=5)
    assert rows[0]["n"] == 50


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
            found = compare(*cohorts, embed=embed, resamples=30, seed=seed)[:5]
            rows.append([(row["value"], row["low"], row["high"]) for row in found])
        value, low, high = np.transpose(rows)
        expected = value.mean(axis=1, keepdims=True)
        hits = ((low <= expected) & (expected <= high)).mean(axis=1)
        assert (hits >= 0.88).all(), dict(zip(METRICS, hits, strict=True))


def test_patients_are_resampled_whole():
    """With copies of the same record per patient, the interval is that of the patients."""
    rng = np.random.default_rng(0)
    x = [np.repeat(rng.normal(size=(15, 3)), 8, 0) for _ in range(3)]
    x = [e + 1e-3 * rng.normal(size=e.shape) for e in x]
    widths = []
    for per_patient in (8, 1):
        cohorts = [cohort(e, w, "SR", per_patient) for e, w in zip(x, "abc", strict=True)]
        row = compare(*cohorts, embed=embed, resamples=60)[0]
        widths.append(row["high"] - row["low"])
    assert widths[0] > 1.8 * widths[1]


def test_records_without_a_patient_are_their_own():
    cohorts = three(np.random.default_rng(0))
    named = compare(*cohorts, embed=embed, resamples=10)
    cohorts[2].table["patient_id"] = ""
    assert compare(*cohorts, embed=embed, resamples=10) == named


def test_bad_cohorts_are_named():
    train, test, made = three(np.random.default_rng(0))
    x = embed(made)
    cases = {
        "synthetic cohort is empty": made.select([]),
        "differ in fs": cohort(x, "m", fs=500),
        "differ in leads": cohort(x, "m", leads=("II",)),
        "differ in units": cohort(x, "m", units="mV"),
        "differ in labels": cohort(x, "m", labels="rhythm4"),
        r"differ in \(leads, samples\)": cohort(x[:, :3], "m"),
        "60 synthetic records hold NaN .*m0": cohort(x * np.nan, "m"),
        "constant": cohort(x * 0, "m"),
        "only 0 records per set": cohort(x, "m", "AFIB"),
        "only 8 records per set": made.select(np.arange(8)),
    }
    for message, bad in cases.items():
        with pytest.raises(EcgreproError, match=message):
            compare(train, test, bad, embed=embed)
    with pytest.raises(EcgreproError, match="patient train.* in real train and in real test"):
        compare(train, train, made, embed=embed)
    with pytest.raises(EcgreproError, match="5 rows for 60"):
        compare(train, test, made, embed=lambda c: embed(c)[:5])
    with pytest.raises(EcgreproError, match="differ in dimensions"):
        compare(train, test, made, embed=lambda c: embed(c)[:, : 2 + (c.table.origin[0] == "test")])
    with pytest.raises(EcgreproError, match="at least 62 are needed for k = 30"):
        compare(train, test, made, embed=embed, k=30)
    with pytest.raises(EcgreproError, match="resamples"):
        compare(train, test, made, embed=embed, resamples=1)


def test_it_is_quick():
    rng = np.random.default_rng(0)
    cohorts = three(rng, n=400, d=128, rhythms=["SR"] * 300 + ["AFIB"] * 100)
    started = time.process_time()
    compare(*cohorts, embed=embed, resamples=50)
    assert time.process_time() - started < 5
