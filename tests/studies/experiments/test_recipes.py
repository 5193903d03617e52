"""What recipes there are, and what each has to beat."""

from dataclasses import replace

import pytest

from ecgrepro.studies.arms import CONTROLS, REAL, Arm
from ecgrepro.studies.experiments.recipes import (
    Search,
    controls,
    opponents,
    recipes,
    simulated_twin,
)
from ecgrepro.studies.profiles import load_profile


@pytest.fixture
def search() -> Search:
    return Search.of(load_profile("smoke"))


def test_what_is_tried_and_what_it_has_to_beat(search):
    found = recipes(search, "chapman", 0.25)
    assert len({arm.name for arm in found}) == len(found) == 11
    assert all(arm.generator == "unet" or arm.start == "unet" for arm in found)
    for what in ("balanced", "keep", "guidance", "fading", "start", "gentle", "hospital"):
        assert any(getattr(arm, what) for arm in found), what
    assert not any(
        arm.start or arm.balanced or arm.fading for arm in recipes(search, "chapman", 0.0)
    )
    beaten = controls(search, 0.25)
    assert beaten[0] == Arm(REAL) and {arm.control for arm in beaten} == {"", *CONTROLS}
    assert {arm.generator for arm in beaten} | {arm.start for arm in beaten} == {"", "simulator"}


def test_the_same_recipe_with_the_simulators_records_is_a_control(search):
    beaten = [replace(arm, name="") for arm in controls(search, 0.25)]
    for arm in recipes(search, "chapman", 0.25):
        twin = simulated_twin(search, arm)
        assert "unet" not in f"{twin.name} {twin.generator} {twin.start}"
        kept = ("ratio", "balanced", "hospital", "fading", "gentle", "keep")
        assert all(getattr(twin, what) == getattr(arm, what) for what in kept)
        against = [a for a, _ in opponents(search, 0.25, arm)]
        assert against[0] == arm and (twin in against) == (replace(twin, name="") not in beaten)
