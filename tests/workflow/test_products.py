"""What the jobs of a run make: made once, continued after a kill, resolved to an arm's records."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from ecgrepro import Cohort, EcgreproError, make_generator
from ecgrepro.generators.diffusion.diffwave import DiffWaveGenerator
from ecgrepro.studies.arms import CONFIDENT, CONTROLS, REAL, Arm, Task
from ecgrepro.studies.experiments.designs import augmentation_arms
from ecgrepro.studies.selection import filter_pool, subsample_patients
from ecgrepro.support.provenance import PROJECT
from ecgrepro.workflow import products
from ecgrepro.workflow.products import (
    arm_outcome,
    arm_probabilities,
    arm_training_set,
    judge,
    pretrained,
    synthetic_pool,
    trained_generator,
)
from ecgrepro.workflow.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(tmp_path) -> Run:
    """A run whose only generator is trained in three steps."""
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


def test_a_run_refuses_a_saved_generator_that_saw_other_folds(tmp_path, monkeypatch):
    """As one that another machine trained and whose folder was copied."""
    run = Run("smoke", "simulated", tmp_path)
    parts = run.splits("chapman")
    everything = Cohort.concat([parts["train"], parts["test"]])
    make_generator("simulator").fit(everything).save(tmp_path / "made" / "model")
    monkeypatch.setattr(products, "_generator_folder", lambda *_: tmp_path / "made")
    with pytest.raises(EcgreproError, match="simulator was fitted to other records"):
        synthetic_pool(run, "chapman", "simulator")


def test_a_generator_that_the_profile_lacks_is_named(run):
    with pytest.raises(EcgreproError, match="profile 'tiny' has no generator 'unet': it has diff"):
        trained_generator(run, "chapman", "unet")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Run:
    """A run whose pools are the simulator's: no generator has to be trained."""
    return Run("smoke", "simulated", tmp_path_factory.mktemp("run"))


def added(run: Run, dataset: str, arm: Arm, fraction: float = 0.25) -> tuple[Cohort, Cohort]:
    """The real and the synthetic records of an arm's training set."""
    train = arm_training_set(run, Task(dataset, arm, 0, fraction))
    synthetic = (train.table["fold"] == 0).to_numpy()
    return train.select(~synthetic), train.select(synthetic)


def test_what_a_recipe_adds_to_the_fraction(simulated):
    full = simulated.splits("chapman")["train"]
    few = subsample_patients(full, 0.25, 0)
    real, synthetic = added(simulated, "chapman", Arm("x1", "simulator", 1.0))
    assert list(real.table["record_id"]) == list(few.table["record_id"])
    assert synthetic.counts() == full.counts()
    real, synthetic = added(simulated, "chapman", Arm("rare", "simulator", balanced=True))
    most = max(few.counts().values())
    pool = synthetic_pool(simulated, "chapman", "simulator").counts()
    assert synthetic.counts() == {
        code: min(most - n, pool[code]) if n else 0 for code, n in few.counts().items()
    }
    real, none = added(simulated, "chapman", Arm("tuned", start="simulator"))
    assert len(real) == len(few) and not len(none)
    none, synthetic = added(simulated, "chapman", Arm("alone", "simulator", 1.0), fraction=0.0)
    assert not len(none) and synthetic.counts() == full.counts()


def test_whose_records_they_are_and_which_are_kept(simulated, monkeypatch):
    other = Arm("other", "simulator", balanced=True, hospital="ptb-xl")
    _, synthetic = added(simulated, "chapman", other)
    assert set(synthetic.table["source"]) == {"ptb-xl"}
    _, mine = added(simulated, "chapman", replace(other, hospital=""))
    assert set(mine.table["source"]) == {"chapman"}
    pool = synthetic_pool(simulated, "chapman", "simulator")
    real = judge(simulated, "chapman")
    sure = real.predict_proba(pool)[np.arange(len(pool)), pool.targets]
    monkeypatch.setattr("ecgrepro.studies.selection.CONFIDENCE", float(np.median(sure)))
    train = simulated.splits("chapman")["train"]
    kept = filter_pool(pool, CONFIDENT, real, train)
    _, used = added(simulated, "chapman", Arm("kept", "simulator", 9.0, keep=CONFIDENT), 1.0)
    assert set(used.table["record_id"]) == set(kept.table["record_id"])
    assert 0 < len(kept) < len(pool) and set(kept.counts()) == set(pool.counts())
    own = real.predict_proba(kept)[np.arange(len(kept)), kept.targets]
    left = set(pool.table["record_id"]) - set(kept.table["record_id"])
    assert own.mean() > sure[pool.table["record_id"].isin(left)].mean()


def test_how_a_recipe_trains(simulated):
    mixed, fading = (
        arm_outcome(simulated, Task("chapman", Arm("f", "simulator", 1.0, fading=f), 0, 0.25))
        for f in (False, True)
    )
    assert not np.array_equal(mixed.test, fading.test)


def test_pretraining_on_a_copy_of_a_test_record_is_refused(tmp_path, monkeypatch):
    run = Run("smoke", "simulated", tmp_path)
    test = run.splits("chapman")["test"]
    table = test.table.assign(patient_id="", fold=0, origin="simulator")
    copies = replace(test, table=table, fingerprint="copies")
    monkeypatch.setattr("ecgrepro.workflow.products.synthetic_pool", lambda *_: copies)
    with pytest.raises(EcgreproError, match="is the test record"):
        pretrained(run, "chapman", "simulator", 0)


def test_controls_reach_the_classifier(simulated):
    real = arm_probabilities(simulated, "chapman", Arm(REAL))
    for name in CONTROLS:
        control = arm_probabilities(simulated, "chapman", Arm(name, control=name))
        assert control.shape == real.shape and not np.array_equal(control, real), name


def test_a_classifier_that_was_pretrained_in_the_other_hospital(simulated):
    found = pretrained(simulated, "ptb-xl", "chapman", 0)
    assert found.classifier.updates == simulated.profile.transfer.pretrain_updates
    made_from = json.loads((simulated.artifacts / found.name / "made_from.json").read_text())
    assert made_from["pool"] == simulated.splits("chapman")["train"].fingerprint


def test_an_arm_is_trained_once(simulated, monkeypatch):
    task = Task("chapman", Arm(REAL), 0)
    first = arm_outcome(simulated, task)
    monkeypatch.setattr(products, "run_arm", None)
    again = arm_outcome(simulated, replace(task, arm=Arm("another name")))
    assert np.array_equal(again.test, first.test) and again.updates == first.updates


@pytest.mark.slow
def test_every_arm_takes_the_same_number_of_updates(smoke_run):
    """Arms, controls and fine-tuned classifiers alike; only a start as it is has fewer."""
    profile = Run("smoke", "simulated", smoke_run).profile
    found = {True: [], False: []}
    for place in (smoke_run / "artifacts").glob("arm-*/"):
        tuned = "train" in json.loads((place / "made_from.json").read_text())
        found[tuned].append(json.loads((place / "updates.json").read_text()))
    arms = augmentation_arms(profile.augmentation, list(profile.generators))
    assert len(found[True]) > 2 * len(arms)
    assert set(found[True]) == {profile.classifier.updates}
    assert set(found[False]) == {profile.transfer.pretrain_updates}
