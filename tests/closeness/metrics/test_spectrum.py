"""Spectra, autocorrelation, amplitudes, correlations of leads: scipy and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import welch
from scipy.stats import wasserstein_distance

from ecgrepro.closeness.metrics.leads import (
    lead_correlation_distance,
    lead_residuals,
    mean_correlation,
)
from ecgrepro.closeness.metrics.spectrum import (
    amplitude_distance,
    autocorrelation_difference,
    mean_autocorrelation,
    mean_spectrum,
    spectrum_distance,
)
from ecgrepro.cohort.cohort import LEADS
from ecgrepro.cohort.leads import IDENTITIES, twelve_leads
from ecgrepro.errors import EcgreproError

FS = 100.0


def sines(frequency, n=6, leads=2, seed=0, seconds=10):
    """Sines of random phase, (n, leads, samples)."""
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, (n, leads, 1))
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * FS)) / FS + phase)


def noise(seed, n=8, leads=3, samples=400):
    return np.random.default_rng(seed).normal(size=(n, leads, samples))


def test_the_distance_of_two_sines_is_that_of_their_frequencies():
    step = 1 / 2.56
    found = spectrum_distance(sines(10 * step), sines(25 * step), FS)
    assert found == pytest.approx(15 * step, rel=1e-3)


def test_spectra_are_the_mean_of_those_of_scipy():
    x, y = noise(0), np.cumsum(noise(1), axis=2)
    frequencies, spectrum = mean_spectrum(y, FS)
    each = [[welch(lead, FS, nperseg=256)[1] for lead in record] for record in y]
    expected = np.mean([p / p.sum(axis=1, keepdims=True) for p in np.array(each)], axis=0)
    assert spectrum == pytest.approx(expected, rel=1e-9)
    assert spectrum.sum(axis=1) == pytest.approx(1)
    far = spectrum_distance(x, y, FS)
    white = mean_spectrum(x, FS)[1]
    for lead in range(3):
        expected = wasserstein_distance(frequencies, frequencies, white[lead], spectrum[lead])
        assert far[lead] == pytest.approx(expected, rel=1e-9)


def test_a_flat_lead_in_one_record_adds_nothing_and_in_all_is_an_error():
    x = noise(0)
    flat = np.concatenate([x, 0 * x[:1]])
    assert mean_spectrum(flat, FS)[1] == pytest.approx(mean_spectrum(x, FS)[1])
    x[:, 1] = 2.0
    with pytest.raises(EcgreproError, match="lead 1 is flat in every record"):
        spectrum_distance(noise(1), x, FS)


def test_autocorrelation_is_the_sum_of_products():
    x = noise(2, n=3, samples=300)
    found = mean_autocorrelation(x, FS)
    centred = x - x.mean(axis=2, keepdims=True)
    for lag in (0, 1, 50, 200):
        products = (centred[:, :, lag:] * centred[:, :, : 300 - lag]).sum(2)
        expected = (products / (centred**2).sum(2)).mean(0)
        assert found[:, lag] == pytest.approx(expected, abs=1e-12)
    assert found.shape == (3, 201)


def test_autocorrelation_tells_rates_apart_but_not_signs():
    slow, fast = sines(1.0), sines(2.0, seed=1)
    assert (autocorrelation_difference(slow, fast, FS) > 0.3).all()
    assert autocorrelation_difference(slow, -slow, FS) == pytest.approx(0, abs=1e-12)
    assert (autocorrelation_difference(slow, sines(1.0, seed=5), FS) < 0.02).all()


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_amplitudes_are_those_of_scipy(seed, n, m):
    x, y = noise(seed, n, samples=30), 2 * noise(seed + 1, m, samples=30) + 1
    expected = [wasserstein_distance(x[:, i].ravel(), y[:, i].ravel()) for i in range(3)]
    assert amplitude_distance(x, y) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_order_of_records_does_not_matter_and_equal_sets_are_at_zero(seed):
    x, y = noise(seed), noise(seed + 1)
    mixed = np.random.default_rng(seed).permutation(x)
    for far in (
        lambda a, b: spectrum_distance(a, b, FS),
        lambda a, b: autocorrelation_difference(a, b, FS),
        amplitude_distance,
        lead_correlation_distance,
    ):
        assert far(mixed, y) == pytest.approx(far(x, y), rel=1e-9)
        assert far(x, mixed) == pytest.approx(0, abs=1e-12)
        assert far(x, y) == pytest.approx(far(y, x), rel=1e-9)


def twelve(seed):
    return twelve_leads(noise(seed, leads=8))


def test_identities_hold_in_derived_leads_and_not_in_others():
    assert max(lead_residuals(twelve(0), LEADS, "mV").values()) < 1e-12
    broken = twelve(0)
    added = 0.5 * noise(5, leads=1)[:, 0]
    broken[:, LEADS.index("III")] += added
    found = lead_residuals(broken, LEADS, "mV")
    size = np.sqrt(np.square(broken[:, [0, 1, 2, 5]]).mean())
    assert found["I + III = II"] == pytest.approx(
        np.sqrt(0.25 * np.square(noise(5, leads=1)).mean()) / size
    )
    assert [name for name, value in found.items() if value > 1e-9] == ["I + III = II"]
    assert set(found) == set(IDENTITIES)


def test_identities_need_millivolts_and_limb_leads():
    with pytest.raises(EcgreproError, match="in mV, not in 'z'"):
        lead_residuals(twelve(0), LEADS, "z")
    with pytest.raises(EcgreproError, match="need the leads III"):
        lead_residuals(twelve(0)[:, [0, 1, 3, 4, 5]], ("I", "II", "aVR", "aVL", "aVF"), "mV")
    with pytest.raises(EcgreproError, match="zero in every record"):
        lead_residuals(0 * twelve(0), LEADS, "mV")


def test_correlations_are_those_of_numpy_and_swapped_leads_show():
    x = twelve(3)
    expected = np.mean([np.corrcoef(record) for record in x], axis=0)
    assert mean_correlation(x) == pytest.approx(expected, abs=1e-9)
    swapped = x[:, [1, 0, *range(2, 12)]]
    inverted = x * np.array([-1, *[1] * 11])[:, None]
    assert lead_correlation_distance(x, swapped) > 0.1
    assert lead_correlation_distance(x, inverted) > 0.1
    assert lead_correlation_distance(x, 3 * x + 1) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda x: x[:, :, :50], r"differ in \(leads, samples\)"),
        (lambda x: x[:0], "hold something"),
        (lambda x: x[0], "must have shape"),
        (lambda x: np.where(np.arange(8)[:, None, None] == 5, np.nan, x), "position 5 holds NaN"),
    ],
)
def test_signals_that_cannot_be_compared_are_named(spoil, said):
    with pytest.raises(EcgreproError, match=said):
        amplitude_distance(noise(0), spoil(noise(1)))
