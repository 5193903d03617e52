"""Generators and pools of a run: made once, and continued after a kill."""

import shutil

import pytest
import torch
import yaml

from ecgrepro import EcgreproError
from ecgrepro.cohort import Cohort
from ecgrepro.generators.diffusion.diffwave import DiffWaveGenerator
from ecgrepro.studies.synthesis import synthetic_pool, trained_generator
from ecgrepro.support.provenance import PROJECT
from ecgrepro.workflow.run import Run


@pytest.fixture
def run(tmp_path):
    smoke = yaml.safe_load((PROJECT / "profiles" / "smoke.yaml").read_text())
    tiny = {"steps": 3, "batch_size": 4, "channels": 8, "blocks": 2, "sampling_steps": 2}
    profile = tmp_path / "tiny.yaml"
    changes = {"generators": {"diffwave": tiny}, "pool": {"minimum": 20}}
    profile.write_text(yaml.safe_dump(smoke | changes))
    return Run(str(profile), "simulated", tmp_path / "run")


def test_a_stopped_pool_goes_on(run, monkeypatch):
    draw, batches = DiffWaveGenerator._draw, []

    def stopping(self, plan, **options):
        batches.append(len(plan))
        if len(batches) == 2:
            raise KeyboardInterrupt
        return draw(self, plan, **options)

    monkeypatch.setattr(DiffWaveGenerator, "_draw", stopping)
    with pytest.raises(KeyboardInterrupt):
        synthetic_pool(run, "chapman", "diffwave")
    pool = synthetic_pool(run, "chapman", "diffwave")
    assert sum(batches) - batches[1] == len(pool)  # the first batch was not drawn again
    expected = trained_generator(run, "chapman", "diffwave").sample(
        {code: n for code, n in pool.counts().items() if n}, seed=run.profile.pool.seed
    )
    assert pool.fingerprint == expected.fingerprint
    drawn = len(batches)
    assert synthetic_pool(run, "chapman", "diffwave").fingerprint == pool.fingerprint
    assert len(batches) == drawn


def test_killed_between_the_work_and_its_name(run):
    """The finished folder still has its temporary name: what is in it is taken as it is."""
    first = trained_generator(run, "chapman", "diffwave")
    pool = synthetic_pool(run, "chapman", "diffwave")
    for folder in [p.parent for p in run.directory.rglob("made_from.json")]:
        (folder / "made_from.json").unlink()
        folder.rename(folder.with_name(f"{folder.name}.partial"))
    assert trained_generator(run, "chapman", "diffwave").digest() == first.digest()
    again = synthetic_pool(run, "chapman", "diffwave")
    assert isinstance(again, Cohort) and again.fingerprint == pool.fingerprint


def trained_place(run):
    """The folder of its generator, which has a lock file beside it."""
    (place,) = (p for p in run.artifacts.glob("diffwave-chapman-*") if p.is_dir())
    return place


def test_a_generator_trained_on_another_machine_is_taken(run, tmp_path, monkeypatch):
    """Its folder is copied; nothing is trained, and where it was trained is said."""
    here = Run(run.source, "simulated", tmp_path / "here")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("ecgrepro.workflow.run.device_name", lambda: "another device")
        elsewhere.setattr("ecgrepro.workflow.artifacts.versions", lambda: {"torch": "another"})
        first = trained_generator(run, "chapman", "diffwave")
        pool = synthetic_pool(run, "chapman", "diffwave")
    trained = trained_place(run)
    shutil.copytree(trained, here.artifacts / trained.name)
    monkeypatch.setattr(DiffWaveGenerator, "fit", None)
    assert trained_generator(here, "chapman", "diffwave").digest() == first.digest()
    assert here.provenance()["generators_trained_on"] == {"diffwave of chapman": "another device"}
    assert here.provenance()["device"] == "cpu"
    assert synthetic_pool(here, "chapman", "diffwave").fingerprint == pool.fingerprint
    (here.artifacts / trained.name / "made_from.json").write_text("{")
    with pytest.raises(EcgreproError, match="is incomplete .* copy it again, or remove it"):
        trained_generator(here, "chapman", "diffwave")
    (here.artifacts / trained.name / "model" / "generator.json").unlink()
    with pytest.raises(EcgreproError, match="incomplete|not a saved generator"):
        synthetic_pool(here, "chapman", "diffwave")


def test_other_weights_make_another_pool(run, tmp_path):
    """The generator's weights count, not only its settings."""
    pool = synthetic_pool(run, "chapman", "diffwave")
    trained = trained_place(run)
    model = DiffWaveGenerator.load(trained / "model")
    with torch.no_grad():
        next(model.denoiser.network.parameters()).add_(0.1)
    shutil.rmtree(trained / "model")
    model.save(trained / "model")
    assert synthetic_pool(run, "chapman", "diffwave").fingerprint != pool.fingerprint
