"""The pace as a condition: measured, drawn, and kept by a network that was told it."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cohorts import beats
from hypothesis import given
from hypothesis import strategies as st

from ecgrepro.cohort.cohort import Cohort
from ecgrepro.cohort.preprocess import standardize
from ecgrepro.cohort.rpeaks import rates_and_variability
from ecgrepro.errors import EcgreproError
from ecgrepro.generators import load_generator, make_generator
from ecgrepro.generators.diffusion.pace import PaceCondition, draw_pace, measure_pace

SMALL = {"steps": 5, "batch_size": 8, "components": 20, "sampling_steps": 4, "embedding": 16}
SMALL |= {"widths": (16, 24), "head_width": 8}


def cohort(rates, fs=100.0):
    """Regular beats at ``rates`` per minute, the first at random; noise where the rate is 0."""
    rng = np.random.default_rng(1)
    signals = []
    for i, rate in enumerate(rates):
        rr = 60 / rate if rate else 1.0
        times = np.arange(rng.uniform(0, rr), 10, rr)
        regular = beats(times, fs=fs, seed=i, width=0.014)
        signals.append(regular if rate else rng.normal(size=regular.shape))
    ids = [f"r{i}" for i in range(len(rates))]
    facts = {"source": "chapman", "fold": 1, "age": 50.0, "sex": "", "origin": "real"}
    facts["rhythm"] = ["SB" if rate < 60 else "SR" for rate in rates]
    table = pd.DataFrame({"record_id": ids, "patient_id": ids} | facts)
    signals = standardize(np.array(signals, np.float32)).astype(np.float32)
    return Cohort(signals=signals, table=table, fs=fs, name="pulses")


def test_the_pace_is_that_of_the_beats_and_unknown_where_there_are_none():
    pace = measure_pace(cohort([50, 75, 0, 120]))
    assert pace.shape == (4, 2) and pace.dtype == torch.float32
    assert pace[[0, 1, 3], 0].exp().numpy() == pytest.approx([50, 75, 120], rel=0.03)
    assert (pace[[0, 1, 3], 1].exp() < 0.02).all()
    assert pace[2].isnan().all()


def test_a_sampling_frequency_that_is_too_low_is_named_with_a_way_out():
    slow = cohort([60, 80], fs=50.0)
    with pytest.raises(EcgreproError, match=r"'pulses'.*80 and 10000 Hz.*pace=false"):
        make_generator("unet", SMALL, device="cpu").fit(slow)
    make_generator("unet", SMALL | {"pace": False}, device="cpu").fit(slow)


paces = st.lists(
    st.tuples(st.floats(3, 6, width=32), st.floats(-5, 0, width=32)), min_size=1, max_size=20
)


@given(seen=paces, seed=st.integers(0, 1000))
def test_a_drawn_pace_lies_within_those_seen(seen, seed):
    seen = torch.tensor(seen)
    drawn = draw_pace(torch.cat([seen, torch.full((2, 2), torch.nan)]), np.random.default_rng(seed))
    assert (drawn >= seen.amin(0) - 1e-5).all() and (drawn <= seen.amax(0) + 1e-5).all()


def test_drawn_paces_are_distributed_as_those_seen_and_none_is_one_of_them():
    seen = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    drawn = torch.stack([draw_pace(seen, np.random.default_rng(s)) for s in range(2000)])
    for q in (0.1, 0.5, 0.9):
        assert drawn[:, 0].quantile(q).item() == pytest.approx(
            seen[:, 0].quantile(q).item(), abs=0.1
        )
    assert (drawn[:, None] - seen).abs().sum(-1).min() > 0


def test_where_no_pace_is_known_none_is_drawn():
    assert draw_pace(torch.full((3, 2), torch.nan), np.random.default_rng(0)).isnan().all()


def test_an_unknown_pace_says_nothing_and_one_percent_of_rate_is_told_apart():
    layer = PaceCondition(3, 16)
    level = torch.zeros(3)
    labels = torch.tensor([[1, torch.nan, torch.nan], [1, 4.0, torch.nan], [1, torch.nan, -3.0]])
    unknown = layer(level, labels)
    assert torch.allclose(unknown, unknown[:1].expand(3, -1), atol=1e-6)
    rates = torch.arange(40, 180, 1.01).log()
    found = layer(
        torch.zeros(len(rates)),
        torch.stack([torch.ones(len(rates)), rates, -3 * torch.ones(len(rates))], 1),
    )
    assert torch.cdist(found, found).fill_diagonal_(1).min() > 1e-3


def test_records_without_a_pace_train_and_sample_and_the_paces_are_saved(tmp_path):
    data = cohort([0, 50, 0, 70, 80, 90])  # SB: noise and one of rate 50
    generator = make_generator("unet", SMALL, device="cpu").fit(data)
    generator.save(tmp_path / "model")
    loaded = load_generator(tmp_path / "model", device="cpu")
    counts = {"SR": 2, "SB": 2}
    again = loaded.sample(counts, seed=1)
    assert again.fingerprint == generator.sample(counts, seed=1).fingerprint


@pytest.mark.slow
def test_samples_have_the_pace_they_were_asked_for():
    """Trained on regular beats of 60 to 120 per minute, all of one class."""
    torch.set_num_threads(1)
    data = cohort(np.linspace(60, 120, 120))
    budget = {"steps": 600, "learning_rate": 4e-3, "ema": 0.99, "batch_size": 16}
    settings = SMALL | budget | {"widths": (32, 48), "embedding": 32, "sampling_steps": 12}
    generator = make_generator("unet", settings, device="cpu").fit(data)
    asked = generator.asked_rates({"SR": 20}, seed=3)
    pool = generator.sample({"SR": 20}, seed=3)
    found = rates_and_variability(pool.signals, pool.fs)[0]
    assert np.median(np.abs(found - asked)) < 8  # 15 by chance
    assert np.corrcoef(found, asked)[0, 1] > 0.9
