"""Generators and pools of a run: made once, and continued after a kill."""

import pytest
import yaml

from ecgrepro.cohort import Cohort
from ecgrepro.generators.diffwave import DiffWaveGenerator
from ecgrepro.provenance import PROJECT
from ecgrepro.studies.run import Run
from ecgrepro.studies.synthesis import synthetic_pool, trained_generator


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
