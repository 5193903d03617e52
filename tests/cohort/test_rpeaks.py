import numpy as np
import pytest
from helpers.cohorts import beats
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgrepro import EcgreproError
from ecgrepro.cohort.preprocess import preprocess
from ecgrepro.cohort.rpeaks import r_peaks, rates_and_variability
from ecgrepro.datasets import load_cohort
from ecgrepro.simulation.records import simulate_records


@settings(max_examples=20, deadline=None, derandomize=True)
@given(rate=st.floats(50, 175), fs=st.sampled_from([100, 250, 500]), start=st.floats(0.2, 0.35))
def test_a_regular_rhythm_has_its_rate(rate, fs, start):
    record = beats(np.arange(start, 9.9, 60 / rate), fs, noise=0.005)
    assert rates_and_variability(record[None], fs)[0][0] == pytest.approx(rate, rel=0.04)


def test_a_regular_rhythm_hardly_varies():
    assert (
        rates_and_variability(beats(np.arange(0.2, 9.9, 0.8), noise=0.005)[None], 100)[1][0] < 0.03
    )


def test_irregular_beats_have_another_variability():
    rng = np.random.default_rng(1)
    rr = rng.uniform(0.45, 1.1, 30)
    times = np.cumsum(rr)
    times = times[times < 9.8]
    found = rates_and_variability(beats(times)[None], 100)[1][0]
    inside = np.diff(times)
    assert found == pytest.approx(inside.std() / inside.mean(), rel=0.1)


def test_peaks_are_where_the_beats_are():
    times = np.arange(0.5, 9.8, 0.8)
    assert r_peaks(beats(times), 100) == pytest.approx(times * 100, abs=3)


def test_scale_does_not_matter_and_one_noisy_lead_neither():
    record = beats(np.arange(0.5, 9.8, 0.7))
    rate = rates_and_variability(record[None], 100)[0]
    assert rates_and_variability(1e-3 * record[None], 100)[0] == pytest.approx(rate)
    for lead in (1, 7):
        spoiled = record.copy()
        spoiled[lead] = np.random.default_rng(0).standard_normal(1000)
        assert rates_and_variability(spoiled[None], 100)[0] == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize(
    "record",
    [
        np.zeros((12, 1000)),
        np.ones((12, 1000)),
        np.sin(np.arange(12000) / 100).reshape(12, 1000),  # slow waves, no QRS complex
        beats([3.0, 6.0]),  # too few
    ],
    ids=["flat", "constant", "slow", "two beats"],
)
def test_where_there_is_no_rhythm_there_is_no_rate(record):
    assert len(r_peaks(record, 100)) == 0
    rates, variability = rates_and_variability(record[None], 100)
    assert np.isnan(rates).all() and np.isnan(variability).all()


def test_noise_fails():
    rng = np.random.default_rng(0)
    raw = rng.standard_normal((30, 12, 5000))
    noise = np.stack([preprocess(x, 500, fs=100, scale="z") for x in raw])
    assert np.isnan(rates_and_variability(noise, 100)[0]).mean() > 0.95


def test_limb_and_chest_leads_must_agree():
    record = beats(np.arange(0.5, 9.8, 0.8))
    other = beats(np.arange(0.9, 9.8, 0.8))
    record[6:] = other[6:]
    assert np.isnan(rates_and_variability(record[None], 100)[0]).all()


def test_simulated_rhythms_are_told_apart_by_their_rates():
    rates = {}
    for rhythm in ("SB", "SR", "ST"):
        raw = simulate_records([rhythm] * 12, hospital="ptb-xl", seed=0, fs=500)
        found = rates_and_variability([preprocess(x, 500, fs=100, scale="z") for x in raw], 100)[0]
        rates[rhythm] = np.nanmedian(found)
    assert rates["SB"] < 62 < rates["SR"] < 100 < rates["ST"]


def test_no_record_gives_no_rate():
    rates, variability = rates_and_variability(np.empty((0, 12, 1000)), 100)
    assert rates.shape == variability.shape == (0,)


@pytest.mark.parametrize(
    ("record", "fs", "said"),
    [
        (np.zeros((8, 1000)), 100, r"12 leads, samples\), not \(8, 1000\)"),
        (np.zeros((12, 1000)), 50, "fs must lie between"),
        (np.full((12, 1000), np.nan), 100, "not finite"),
    ],
)
def test_what_cannot_be_measured_is_named(record, fs, said):
    with pytest.raises(EcgreproError, match=said):
        r_peaks(record, fs)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "folder"), [("chapman", "ecg-arrhythmia"), ("ptb-xl", "ptb-xl")])
def test_real_recordings_have_the_rates_of_their_labels(some_recordings, name, folder):
    cohort = load_cohort(name, some_recordings / folder)
    rates, variability = rates_and_variability(cohort.signals, cohort.fs)
    failed, rhythm = np.isnan(rates), cohort.table["rhythm"].to_numpy()
    assert failed.mean() <= 0.02
    median = {code: np.nanmedian(rates[rhythm == code]) for code in ("SB", "SR", "ST")}
    assert median["SB"] < 60 < median["SR"] < 100 < median["ST"]
    inside = (rates < 62) | (rhythm != "SB") | failed
    assert inside.mean() > 0.99  # a bradycardia is slow, whatever the record
    irregular = np.nanmedian(variability[rhythm == "AFIB"])
    assert irregular > 4 * np.nanmedian(variability[np.isin(rhythm, ["SB", "SR", "ST"])])
