"""What the section of augmentation hands to its notebook."""

import numpy as np

from ecgrepro.studies.arms import ACROSS, BOTH, CROSSING, MERGED, REAL, WITHIN
from ecgrepro.studies.classifiers import Outcome
from ecgrepro.studies.experiments.designs import augmentation_arms
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections import augmentation


class Judge:
    """Embeds records by a few samples."""

    def embed(self, cohort):
        return np.asarray(cohort.signals[:, 0, :4], np.float64)


def test_the_merged_data_are_also_told_apart_and_crossed(tmp_path, monkeypatch):
    """Each hospital's part of the merged probabilities stands beside that hospital's own."""
    run = Run("smoke", "simulated", tmp_path)

    def fake(run, task):
        test = run.splits(task.dataset)["test"]
        right = np.eye(7)[test.targets]
        away = task.arm.name == ACROSS
        if task.dataset == MERGED and task.arm.name == REAL:  # right on PTB-XL alone
            wrong = np.roll(right, 1, axis=1)
            right = np.where((test.table["source"] == "ptb-xl").to_numpy()[:, None], right, wrong)
        return Outcome(right, np.roll(right, 1, axis=1) if away else right, 30)

    train = run.splits(MERGED)["train"]
    monkeypatch.setattr("ecgrepro.workflow.products.arm_outcome", fake)
    monkeypatch.setattr(augmentation, "judge", lambda *_: Judge())
    monkeypatch.setattr(augmentation, "arm_training_set", lambda *_: train)
    section = augmentation.compute(run, MERGED)
    shift = [row for row in section.rows if row.metric == "source_auc"]
    assert shift and all(row.value is not None or "too few" in row.note for row in shift)
    crossing = {
        (r.dataset, r.arm, r.comparison): r.value
        for r in section.rows
        if r.scope == CROSSING and r.metric == "accuracy"
    }
    for home in ("ptb-xl", "chapman"):
        assert crossing[home, WITHIN, ""] == 1 and crossing[home, ACROSS, WITHIN] == -1
    assert crossing["ptb-xl", BOTH, ""] == 1 and crossing["chapman", BOTH, ""] == 0
    arms = augmentation_arms(run.profile.augmentation, list(run.profile.generators))
    assert section.facts["training_sets"]["arm"] == [arm.name for arm in arms]
    assert {row.scope for row in section.rows} >= {MERGED, "ptb-xl", "chapman"}
