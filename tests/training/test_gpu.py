"""On a GPU: every generator is trained, saved, sampled from, and the classifier fitted.

Skipped where there is none; `test_devices.py` finds the commonest faults without one.
"""

import numpy as np
import pytest
import torch
from helpers.cohorts import sines as noise

from ecgrepro.classifier.classifier import Classifier
from ecgrepro.classifier.config import ClassifierConfig
from ecgrepro.generators import load_generator, make_generator
from ecgrepro.generators.registry import learned_generators

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

FEW = {"steps": 3, "batch_size": 4}
TINY = {
    "diffwave": {**FEW, "channels": 8, "blocks": 2, "sampling_steps": 3},
    "timediffusion": {**FEW, "channels": 8, "sampling_steps": 3},
    "timevqvae": {"tokenizer": {**FEW, "codes": 8}, "prior": FEW, "sampling_steps": 3},
    "unet": {**FEW, "widths": [32, 32], "sampling_steps": 3},
}
PUBLISHED = {**TINY["diffwave"], "process": "ddpm", "sampler": "ancestral"}


@pytest.fixture(scope="module")
def cohort():
    return noise(samples=1000)


@pytest.mark.parametrize("name", [*learned_generators(), "published diffwave"])
def test_a_generator(name, cohort, tmp_path):
    name, settings = ("diffwave", PUBLISHED) if " " in name else (name, TINY[name])
    generator = make_generator(name, settings, seed=0, device="cuda")
    generator.fit(cohort, validation=cohort, checkpoint_dir=tmp_path / "training")
    generator.save(tmp_path / "model")
    drawn = {
        device: load_generator(tmp_path / "model", device=device).sample({"AFIB": 3}, seed=1)
        for device in ("cuda", "cpu")
    }
    assert np.isfinite(drawn["cuda"].signals).all()
    if name != "timevqvae":  # codes are drawn: one that falls otherwise changes a record
        np.testing.assert_allclose(drawn["cuda"].signals, drawn["cpu"].signals, atol=0.02)
    again = generator.sample({"AFIB": 3}, seed=1)  # the one that was trained, not read
    np.testing.assert_allclose(again.signals, drawn["cuda"].signals, atol=1e-4)


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_the_classifier(precision, cohort, tmp_path):
    config = ClassifierConfig(updates=30, batch_size=8, evaluate_every=10, precision=precision)
    first, again = (Classifier(config, device="cuda").fit(cohort, cohort) for _ in range(2))
    assert np.array_equal(first.predict_proba(cohort), again.predict_proba(cohort))
    first.save(tmp_path / "model")
    read = Classifier.load(tmp_path / "model", device="cpu").predict_proba(cohort)
    np.testing.assert_allclose(read, first.predict_proba(cohort), atol=0.05)


def test_an_update_does_not_wait_for_the_gpu(cohort):
    """But for the look at the validation records, the CPU runs ahead of the GPU."""
    config = ClassifierConfig(updates=20, batch_size=8, evaluate_every=20)
    Classifier(config, device="cuda").fit(cohort, cohort)
    waits = {}
    for updates in (20, 40):
        longer = config.model_copy(update={"updates": updates, "evaluate_every": updates})
        with torch.profiler.profile() as seen:
            Classifier(longer, device="cuda").fit(cohort, cohort)
        names = ("cudaStreamSynchronize", "aten::_local_scalar_dense")
        waits[updates] = sum(e.count for e in seen.key_averages() if e.key in names)
    assert waits[40] - waits[20] < 10, waits
