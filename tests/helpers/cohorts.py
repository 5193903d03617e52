"""Small cohorts and records made in memory."""

from dataclasses import replace

import numpy as np
import pandas as pd

from ecgrepro.cohort.cohort import LEADS, Cohort
from ecgrepro.cohort.leads import INDEPENDENT, twelve_leads
from ecgrepro.cohort.rhythms import RHYTHMS


def a_cohort(n=12, samples=50, seed=0, **more) -> Cohort:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "record_id": [str(i) for i in range(n)],
            "patient_id": [str(i // 2) for i in range(n)],
            "source": "test",
            "rhythm": [list(RHYTHMS)[i % 7] for i in range(n)],
            "fold": [i // 2 % 10 + 1 for i in range(n)],
            "age": [50.0 + i if i % 3 else None for i in range(n)],
            "sex": "female",
            "origin": "real",
        }
    )
    return Cohort(rng.normal(size=(n, 12, samples)).astype(np.float32), table, fs=100.0, **more)


def sines(n=24, samples=200, classes=("SR", "SB", "AFIB"), seed=0):
    """Twelve scaled copies of a sine whose frequency is the class's own, z-scored."""
    rng = np.random.default_rng(seed)
    rhythms = [classes[i % len(classes)] for i in range(n)]
    t = np.arange(samples) / 100
    rate = np.array([{"SR": 2.0, "SB": 1.0, "AFIB": 4.0}[r] for r in rhythms])
    phase = rng.uniform(0, 2 * np.pi, n)
    wave = np.sin(2 * np.pi * rate[:, None] * t + phase[:, None])
    signals = wave[:, None] * np.linspace(0.5, 1.5, 12)[:, None]
    signals = signals + 0.1 * rng.normal(size=signals.shape)
    signals -= signals.mean(-1, keepdims=True)
    signals /= signals.std(-1, keepdims=True)
    table = pd.DataFrame(
        {
            "record_id": [f"r{i}" for i in range(n)],
            "patient_id": [f"p{i}" for i in range(n)],
            "source": "chapman",
            "rhythm": rhythms,
            "fold": 1,
            "age": 50.0,
            "sex": "",
            "origin": "real",
        }
    )
    return Cohort(signals=signals.astype(np.float32), table=table, fs=100, name="sines")


def beats(times, fs=100, seconds=10, noise=0.02, seed=0, width=0.012):
    """A record with a narrow wave at each of ``times`` (s), of another height in each lead."""
    t = np.arange(seconds * fs) / fs
    wave = sum(np.exp(-(((t - time) / width) ** 2)) for time in times)
    rng = np.random.default_rng(seed)
    height = np.linspace(-1, 1, 12) + 0.1  # V leads up, limb leads down
    return height[:, None] * wave + noise * rng.standard_normal((12, len(t)))


POSITIONS = [LEADS.index(lead) for lead in INDEPENDENT]


def millivolts(n=12, samples=200, seed=0, **facts) -> Cohort:
    """Sines in mV, each lead with an amplitude of its own, Einthoven-exact."""
    z = sines(n, samples, seed=seed, **facts)
    amplitude = np.linspace(0.1, 0.5, 8, dtype=np.float32)[:, None]
    independent = np.asarray(z.signals[:, POSITIONS]) * amplitude
    return replace(z, signals=twelve_leads(independent), units="mV", fingerprint="")


def assert_einthoven(digital: np.ndarray) -> None:
    """Of integers, (samples, 12), in integers."""
    one, two, three, avr, avl, avf = digital[:, :6].T
    np.testing.assert_array_equal(three, two - one)
    np.testing.assert_array_equal(2 * avr, -(one + two))
    np.testing.assert_array_equal(2 * avl, 2 * one - two)
    np.testing.assert_array_equal(2 * avf, 2 * two - one)


def planted(train: Cohort, test: Cohort, **facts) -> Cohort:
    """The training records with a copy of test record 3 among them, under another name."""
    copy = test.select([3])
    table = copy.table.assign(record_id="made-7", patient_id="", origin="unet", **facts)
    return Cohort.concat([train, replace(copy, table=table, fingerprint="copy")])
