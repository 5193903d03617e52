"""Which arms each experiment has."""

import pytest

from ecgrepro.studies.arms import CONTROLS, REAL, Arm, other_hospital
from ecgrepro.studies.experiments.designs import (
    augmentation_arms,
    pretrained_arm,
    transfer_arms,
    transfer_tasks,
)
from ecgrepro.studies.profiles import load_profile


def test_the_arms_of_a_profile():
    profile = load_profile("smoke")
    generators = list(profile.generators)
    found = augmentation_arms(profile.augmentation, generators)
    assert found[0] == Arm(REAL)
    assert [arm.control for arm in found[1:4]] == list(CONTROLS)
    assert found[4:] == [
        arm
        for name in generators
        for arm in (Arm(f"real + {name} x1", name, 1.0),
                    Arm(f"real + {name}, balanced", name, balanced=True))
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["lite", "paper"])
@pytest.mark.parametrize("data", ["simulated", "real"])
def test_the_large_profiles_hold_every_arm_of_the_study(name, data):
    profile = load_profile(name, data)
    generators = ("diffwave", "timediffusion", "timevqvae", "unet", "simulator")
    arms = augmentation_arms(profile.augmentation, list(profile.generators))
    kinds = {(arm.generator, arm.ratio, arm.balanced, arm.control) for arm in arms}
    wanted = {("", 0.0, False, ""), *(("", 0.0, False, control) for control in CONTROLS)}
    wanted |= {(g, ratio, False, "") for g in generators for ratio in (0.5, 1.0, 2.0)}
    assert kinds == wanted | {(g, 0.0, True, "") for g in generators}
    assert profile.transfer.fractions == [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1]
    for dataset, other in (("ptb-xl", "chapman"), ("chapman", "ptb-xl")):
        starts = [arm.start for arm in transfer_arms(list(profile.generators), dataset)]
        assert starts == ["", *generators, other]
    assert len(profile.seeds) >= 5


def test_the_upper_control_of_transfer_has_seen_the_other_hospital():
    assert other_hospital("chapman") == "ptb-xl" and other_hospital("ptb-xl") == "chapman"
    assert pretrained_arm("chapman") == "pre-trained on chapman (real records)"
    assert transfer_arms([], "ptb-xl")[-1] == Arm(pretrained_arm("chapman"), start="chapman")


def test_nothing_is_trained_from_scratch_without_a_record():
    tasks = transfer_tasks(["unet"], "chapman", [0, 0.5], [0, 1])
    assert all(task.fraction or task.arm.start for task in tasks)
    assert len(tasks) == 2 * (1 + 2 + 3)  # on all records; at 0 those with a start; at a half all
