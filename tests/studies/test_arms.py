"""How an arm changes the classifier's settings."""

import pytest

from ecgrepro.studies.arms import CONTROLS, HOSPITALS, MERGED, Arm
from ecgrepro.studies.profiles import load_profile


def test_how_an_arm_trains():
    profile = load_profile("smoke")
    config, before = profile.classifier, profile.transfer.pretrain_updates
    gentle = Arm("g", start="simulator", gentle=True).settings(config, before)
    assert gentle.learning_rate == pytest.approx(config.learning_rate / 10)
    assert gentle.updates + before == config.updates
    assert Arm("plain").settings(config, before) == config
    for name in CONTROLS:
        changed = Arm(name, control=name).settings(config, before)
        assert changed.updates == config.updates
        assert (changed == config) == (name == "oversampling")  # which changes the records


def test_whose_generators_an_arm_draws_from():
    assert Arm("a", "unet").generator_hospitals("chapman") == ("chapman",)
    assert Arm("a", "unet", hospital="ptb-xl").generator_hospitals("chapman") == ("ptb-xl",)
    assert Arm("a", "unet").generator_hospitals(MERGED) == HOSPITALS
