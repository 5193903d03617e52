"""A brief training on real recordings puts each rhythm where it belongs."""

import numpy as np
import pytest
import torch

from ecgrepro.classifier.classifier import Classifier
from ecgrepro.cohort.rpeaks import rates_and_variability
from ecgrepro.datasets import load_cohort
from ecgrepro.generators import make_generator

BRIEF = {
    "steps": 800,
    "batch_size": 16,
    "learning_rate": 4e-3,
    "ema": 0.99,
    "widths": [64, 96, 128],
    "embedding": 128,
    "sigma_min": 0.4,
    "sampling_steps": 12,
    "guidance": 2.0,
}


@pytest.mark.slow
def test_the_unet_learns_the_rhythms_of_real_records_briefly(recordings):
    """Chapman, four groups: a real-trained classifier reads most samples as what was asked for,
    and heart rates of bradycardia, sinus rhythm and tachycardia are those of the recordings."""
    torch.set_num_threads(1)
    cohort = load_cohort("chapman", recordings / "ecg-arrhythmia", labels="rhythm4")
    parts = cohort.split(train=range(1, 8), validation=[8], test=[9, 10])
    generator = make_generator("unet", BRIEF, device="cpu").fit(parts["train"])
    pool = generator.sample(dict.fromkeys(("SR", "SB", "GSVT", "AFIB"), 15), seed=0)
    judge = Classifier(seed=0).fit(parts["train"], parts["validation"])
    wanted = pool.table["rhythm"].to_numpy()
    assert (judge.predict(pool) == wanted).mean() > 0.75

    def rates(cohort):
        found = rates_and_variability(cohort.signals, cohort.fs)[0]
        groups = cohort.table["rhythm"].to_numpy()
        return {code: np.nanmedian(found[groups == code]) for code in ("SB", "SR", "GSVT")}

    synthetic, real = rates(pool), rates(parts["test"])
    assert synthetic["SB"] < synthetic["SR"] < synthetic["GSVT"]
    assert all(abs(synthetic[code] - real[code]) < 15 for code in real)
