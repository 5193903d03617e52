import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from ecgrepro.cohort.cohort import LEADS
from ecgrepro.cohort.leads import TWELVE
from ecgrepro.cohort.rhythms import RHYTHMS
from ecgrepro.errors import EcgreproError
from ecgrepro.simulation.beats import make_beats
from ecgrepro.simulation.noise import ELECTRODES
from ecgrepro.simulation.records import DOWER, HOSPITALS, simulate_record, simulate_records

LEAD = {name: i for i, name in enumerate(LEADS)}
rhythm_codes = st.sampled_from(list(RHYTHMS))
hospitals = st.sampled_from(list(HOSPITALS))
seeds = st.integers(0, 2**31)


def beats_of(rhythm, n=60, ectopy=0.0):
    return [make_beats(rhythm, np.random.default_rng(i), 10, ectopy) for i in range(n)]


def rates_of(rhythm, n=60):
    return np.array([60 / np.diff(b.within(10)).mean() for b in beats_of(rhythm, n)])


def irregularity(rhythm, n=60):
    """Median over records of the spread of RR intervals, relative to their mean."""
    rr = [np.diff(b.within(10)) for b in beats_of(rhythm, n)]
    return np.median([x.std() / x.mean() for x in rr])


@settings(max_examples=30, deadline=None)
@given(rhythm_codes, hospitals, seeds, st.sampled_from([50, 100, 128, 500]))
def test_limb_leads_obey_einthoven_and_goldberger(rhythm, hospital, seed, fs):
    (ecg,) = simulate_records([rhythm], hospital=hospital, seed=seed, fs=fs)
    i, ii, iii, avr, avl, avf = ecg[:6]
    assert ecg.shape == (12, 10 * fs) and ecg.dtype == np.float32 and np.isfinite(ecg).all()
    assert np.abs(iii - (ii - i)).max() < 1e-5
    assert np.abs(avr + (i + ii) / 2).max() < 1e-5
    assert np.abs(avl - (i - ii / 2)).max() < 1e-5
    assert np.abs(avf - (ii - i / 2)).max() < 1e-5
    assert np.abs(ecg).max() < 12


def test_electrodes_and_leads_agree():
    """A potential common to all electrodes shows in no lead; limb leads are differences."""
    leads = TWELVE @ ELECTRODES
    assert np.allclose(leads @ np.ones(9), 0)
    ra, la, ll = np.eye(9)[:3]
    assert np.allclose(leads[LEAD["III"]], ll - la)
    assert np.allclose(leads[LEAD["aVR"]], ra - (la + ll) / 2)
    assert np.allclose(leads[LEAD["V3"]] + (ra + la + ll) / 3, np.eye(9)[5])


def test_the_same_seed_gives_the_same_bytes_in_any_chunks():
    rhythms = [code for code in RHYTHMS for _ in range(2)]
    whole = simulate_records(rhythms, hospital="chapman", seed=3, fs=250)
    parts = [
        simulate_records(rhythms[k : k + 5], hospital="chapman", seed=3, fs=250, first=k)
        for k in range(0, len(rhythms), 5)
    ]
    assert np.array_equal(whole, np.concatenate(parts))
    other = simulate_records(rhythms, hospital="chapman", seed=4, fs=250)
    assert not np.isclose(whole, other).all(axis=(1, 2)).any()


def test_a_record_is_the_same_heart_at_any_sampling_rate():
    (fine,) = simulate_records(["SR"], hospital="chapman", seed=8, fs=500)
    (coarse,) = simulate_records(["SR"], hospital="chapman", seed=8, fs=250)
    sos = signal.butter(4, [0.5, 30], "bandpass", fs=500, output="sos")
    low = signal.butter(4, [0.5, 30], "bandpass", fs=250, output="sos")
    a = signal.sosfiltfilt(sos, fine)[:, ::2]
    b = signal.sosfiltfilt(low, coarse)
    assert np.abs(a - b)[:, 250:-250].max() < 0.05 * np.abs(a).max()


@pytest.mark.parametrize(
    ("rhythm", "low", "high"),
    [("SR", 57, 103), ("SB", 36, 63), ("ST", 97, 155), ("SA", 50, 97), ("SVT", 140, 235),
     ("AFL", 55, 175), ("AFIB", 40, 175)],
)  # fmt: skip
def test_heart_rate_is_that_of_the_rhythm(rhythm, low, high):
    rates = rates_of(rhythm)
    assert low < rates.min() and rates.max() < high


def test_rates_overlap_at_the_borders():
    assert rates_of("SB", 400).max() > rates_of("SR", 400).min()
    assert rates_of("SR", 400).max() > rates_of("ST", 400).min()
    assert rates_of("ST", 400).max() > rates_of("SVT", 400).min()


def test_irregularity_is_ordered_as_the_rhythms_are():
    spread = {rhythm: irregularity(rhythm) for rhythm in RHYTHMS}
    assert spread["SVT"] < spread["SR"] < min(spread["SA"], spread["AFIB"])
    assert max(spread["ST"], spread["SB"]) < 0.06
    assert min(spread["SA"], spread["AFIB"]) > 0.12


def test_sinus_arrhythmia_is_a_wave_and_fibrillation_has_no_memory():
    """Successive differences against spread: small for a wave, the square root of 2 for chance."""
    ratio = {}
    for rhythm in ("SA", "AFIB"):
        rr = [np.diff(b.within(30)) for b in
              (make_beats(rhythm, np.random.default_rng(i), 30, 0) for i in range(40))]  # fmt: skip
        ratio[rhythm] = np.median([np.sqrt(np.mean(np.diff(x) ** 2)) / x.std() for x in rr])
    assert ratio["SA"] < 1.35 < ratio["AFIB"] < 1.5


def test_sinus_arrhythmia_varies_by_more_than_120_ms():
    ranges = [np.ptp(np.diff(b.within(10))) for b in beats_of("SA", 200)]
    assert np.mean(np.array(ranges) > 0.12) > 0.9
    ranges = [np.ptp(np.diff(b.within(10))) for b in beats_of("SR", 200)]
    assert np.mean(np.array(ranges) > 0.12) < 0.1


def test_fixed_block_flutter_conducts_whole_waves():
    for beats in beats_of("AFL", 80):
        if beats.atrial_wander == 0:
            ratio = np.diff(beats.times).mean() * beats.atrial_rate
            assert abs(ratio - round(ratio)) < 0.05 and round(ratio) in (2, 3, 4)


@settings(max_examples=100, deadline=None)
@given(rhythm_codes, seeds, st.floats(4, 30))
def test_beats_are_in_order_and_cover_the_record(rhythm, seed, seconds):
    beats = make_beats(rhythm, np.random.default_rng(seed), seconds, 0.5)
    assert (np.diff(beats.times) > 0.2).all()
    assert beats.times[0] < 0.5 and beats.times[-1] > seconds - 2
    assert len(beats.rr) == len(beats.times) == len(beats.ventricular)


@pytest.mark.parametrize("rhythm", ["SR", "SB", "ST", "AFIB", "SVT"])
def test_r_peaks_stand_where_the_beats_are(rhythm):
    """A plain energy detector on the signal finds the beats that were simulated."""
    found = wanted = hit = 0
    for number in range(12):
        ecg, heart = simulate_record(rhythm, "ptb-xl", 5, number, 250)
        sos = signal.butter(2, [8, 30], "bandpass", fs=250, output="sos")
        energy = (signal.sosfiltfilt(sos, ecg[[0, 1, 6, 7, 8, 9, 10, 11]]) ** 2).sum(0)
        energy = np.convolve(energy, np.ones(15) / 15, "same")
        peaks, _ = signal.find_peaks(energy, height=0.25 * np.percentile(energy, 98), distance=55)
        times = heart.beats.within(10)
        times = times[(times > 0.1) & (times < 9.9)]
        near = np.abs(peaks[:, None] / 250 - times[None]).min(0)
        found, wanted, hit = found + len(peaks), wanted + len(times), hit + (near < 0.06).sum()
    assert hit / wanted > 0.97 and found / wanted < 1.06


def median_beat(rhythm, hospital, n=60):
    """Median over records of the mean beat, from 0.3 s before to 0.5 s after R; (12, samples)."""
    forms = []
    for number in range(n):
        ecg, heart = simulate_record(rhythm, hospital, 11, number, 500)
        starts = np.rint((heart.beats.within(10) - 0.3) * 500).astype(int)
        windows = [ecg[:, s : s + 400] for s in starts if 0 <= s <= ecg.shape[1] - 400]
        form = np.median(windows, axis=0)
        forms.append(form - form[:, 100:110].mean(axis=1, keepdims=True))
    return np.median(forms, axis=0)


@pytest.mark.parametrize("hospital", list(HOSPITALS))
def test_the_typical_sinus_beat_is_one_that_a_cardiologist_expects(hospital):
    beat = median_beat("SR", hospital)
    p, qrs, t = beat[:, 50:90], beat[:, 130:175], beat[:, 240:330]
    r, s = qrs.max(1), -qrs.min(1)
    i, ii, avr, v1, v2, v5, v6 = (LEAD[name] for name in ("I", "II", "aVR", "V1", "V2", "V5", "V6"))
    assert 0.4 < r[ii] < 1.5 and 0.3 < r[i] < 1.2
    assert p[ii].max() > 0.05 and t[ii].max() > 0.1  # P and T upright in II
    assert s[avr] > 3 * r[avr] and t[avr].min() < -0.05  # aVR upside down
    assert 0.05 < r[v1] < s[v1]  # rS in V1
    assert r[LEAD["V5"]] > 3 * s[v5] and s[v2] > r[v2]  # R grows, S shrinks over the chest
    ratio = (r / (r + s))[6:]
    assert (np.diff(ratio[:5]) > 0).all() and ratio[0] < 0.35 and ratio[-1] > 0.8
    assert 0.06 < v6_width(beat[v6]) < 0.13


def v6_width(lead):
    """QRS duration in seconds: where the slope is steep."""
    steep = np.flatnonzero(np.abs(np.gradient(lead[110:190]) * 500) > 3)
    return np.ptp(steep) / 500


def test_flutter_has_a_line_at_its_rate_and_fibrillation_a_band():
    flutter, fibrillation = [], []
    for number in range(20):
        ecg, heart = simulate_record("AFL", "ptb-xl", 2, number, 100)
        f, power = signal.periodogram(ecg[LEAD["aVF"]], 100, "hann", nfft=4000)
        near = np.abs(f - heart.beats.atrial_rate) < 0.15
        flutter.append(power[near].max() / np.median(power[(f > 3) & (f < 7)]))
        ecg, heart = simulate_record("AFIB", "ptb-xl", 2, number, 100)
        f, power = signal.periodogram(ecg[LEAD["V1"]], 100, "hann", nfft=4000)
        fibrillation.append(power[(f > 4) & (f < 9)].sum() / power[(f > 9) & (f < 14)].sum())
    assert np.median(flutter) > 5
    assert np.median(fibrillation) > 1


@pytest.mark.parametrize(
    ("rhythms", "settings", "named"),
    [
        (["VT"], {}, "VT"),
        (["SR"], {"hospital": "mayo"}, "mayo"),
        (["SR"], {"fs": -1}, "-1"),
        (["SR"], {"fs": float("nan")}, "nan"),
        (["SR"], {"seconds": 0}, "seconds"),
    ],
)
def test_what_cannot_be_simulated_is_named(rhythms, settings, named):
    with pytest.raises(EcgreproError, match=named):
        simulate_records(rhythms, **{"hospital": "ptb-xl", "seed": 0, **settings})


def test_no_rhythms_give_no_records():
    assert simulate_records([], hospital="ptb-xl", seed=0).shape == (0, 12, 5000)


def test_the_dower_matrix_has_a_row_for_each_independent_lead():
    assert DOWER.shape == (8, 3) and TWELVE.shape == (12, 8)
