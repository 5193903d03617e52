"""What synthetic arms are compared with."""

from ecgrepro.studies.arms import REAL, Arm
from ecgrepro.studies.experiments.augmentation import control_comparisons


def test_synthetic_arms_are_held_against_what_costs_nothing_and_what_learned_nothing():
    found = [Arm(REAL), Arm("weights", control="class weights"), Arm("d1", "diffwave", 1.0),
             Arm("d2", "diffwave", 2.0), Arm("s1", "simulator", 1.0),
             Arm("sb", "simulator", balanced=True)]  # fmt: skip
    assert control_comparisons(found) == {"weights": ["d1", "d2"], "s1": ["d1"]}
