"""Waves at known places are measured there; what cannot be measured is counted, not hidden."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance

from ecgrepro.closeness.metrics.heart import (
    LEAD,
    MEASURES,
    failure_rates,
    measure_distances,
    measures,
)
from ecgrepro.errors import EcgreproError

FS = 250


def ecg(rr=0.8, pr=0.16, qt=0.36, r=1.0, fs=FS, seed=0, seconds=10):
    """Twelve leads of one ECG in mV: P, Q, R, S and T as Gaussians, no two leads of one size.

    ``pr`` is from the beginning of P to that of Q, ``qt`` from there to the end of T, each wave
    reaching two of its widths from its middle.
    """
    t = np.arange(int(seconds * fs)) / fs
    lead = np.zeros(len(t))
    for beat in np.arange(0.5, seconds - 0.5, rr):  # the R peak
        q = beat - 0.045
        waves = [(q - pr + 0.04, 0.02, 0.15), (q + 0.015, 0.008, -0.1 * r), (beat, 0.010, r),
                 (beat + 0.03, 0.008, -0.2 * r), (q + qt - 0.08, 0.04, 0.3)]  # fmt: skip
        lead += sum(h * np.exp(-(((t - at) / w) ** 2) / 2) for at, w, h in waves)
    noise = 0.005 * np.random.default_rng(seed).normal(size=(12, len(t)))
    sizes = np.linspace(0.6, 1.4, 12)
    sizes[LEAD] = 1
    return sizes[:, None] * lead + noise


def found(**changes):
    return measures([ecg(**changes)], FS).iloc[0]


def test_every_measure_of_a_normal_ecg_is_near_what_was_drawn():
    row = found()
    assert list(row.index) == list(MEASURES)
    assert row["heart_rate"] == pytest.approx(75, abs=1)
    assert row["rr_variability"] < 0.01
    assert row["r_amplitude"] == pytest.approx(1, abs=0.1)
    assert row["pr"] == pytest.approx(160, abs=40)
    assert row["qt"] == pytest.approx(360, abs=40)
    assert row["qrs"] == pytest.approx(90, abs=30)
    assert row["qtc"] == pytest.approx(row["qt"] / 0.8 ** (1 / 3))


def test_longer_intervals_are_measured_longer():
    pr = [found(pr=seconds)["pr"] for seconds in (0.14, 0.18, 0.22)]
    qt = [found(qt=seconds, rr=1.0)["qt"] for seconds in (0.34, 0.40, 0.46)]
    assert np.diff(pr) == pytest.approx(40, abs=20)
    assert np.diff(qt) == pytest.approx(60, abs=25)


def test_a_downward_complex_has_a_negative_amplitude():
    assert measures([-ecg()], FS)["r_amplitude"][0] == pytest.approx(-1, abs=0.1)


def test_where_no_beat_is_found_all_is_missing_and_counted():
    noise = np.random.default_rng(0).normal(size=(12, 10 * FS))
    rates = failure_rates(measures([ecg(), noise, noise[::-1], ecg(rr=1.0)], FS))
    assert (rates == 0.5).all()
    with pytest.raises(EcgreproError, match="no record was measured"):
        failure_rates(measures([], FS))


def test_distances_are_those_of_scipy_over_what_was_measured():
    rng = np.random.default_rng(0)
    real, made = (
        pd.DataFrame(rng.normal(shift, 1, (30, len(MEASURES))), columns=list(MEASURES))
        for shift in (0, 2)
    )
    made.loc[:9, "qt"] = np.nan
    made["pr"] = np.nan
    far = measure_distances(real, made)
    assert far["qt"] == pytest.approx(wasserstein_distance(real["qt"], made["qt"][10:]))
    assert np.isnan(far["pr"])
    assert measure_distances(real, real).abs().max() == 0


@pytest.mark.slow
def test_detected_rates_of_the_recordings_follow_their_labels(recordings):
    """SB < SR < tachycardia, with few failures; QT grows as the rate falls."""
    from ecgrepro.datasets import load_cohort

    cohort = load_cohort("chapman", recordings / "ecg-arrhythmia", labels="rhythm4")
    rhythm = cohort.table["rhythm"].to_numpy()
    chosen = np.concatenate([np.flatnonzero(rhythm == c)[:40] for c in ("SB", "SR", "GSVT")])
    table = measures(cohort.signals[chosen], cohort.fs)
    medians = table.groupby(rhythm[chosen]).median()
    assert medians.loc["SB", "heart_rate"] < medians.loc["SR", "heart_rate"]
    assert medians.loc["SR", "heart_rate"] < medians.loc["GSVT", "heart_rate"]
    assert medians.loc["SB", "qt"] > medians.loc["SR", "qt"] > medians.loc["GSVT", "qt"]
    assert medians["qtc"].between(350, 470).all()
    assert medians["qrs"].between(70, 150).all()
    assert failure_rates(table)["heart_rate"] <= 0.05
