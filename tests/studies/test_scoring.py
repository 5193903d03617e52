"""Scores of arms, paired differences, and their correction."""

import numpy as np
import pytest
from helpers.cohorts import a_cohort

from ecgrepro.studies.arms import REAL, SCRATCH
from ecgrepro.studies.scoring import arm_results, corrected
from ecgrepro.support.results import Result


def test_arms_are_scored_alone_and_in_pairs():
    test = a_cohort(n=70)
    perfect = np.eye(7)[test.targets]
    by_arm = {REAL: np.stack([np.roll(perfect, 1, axis=1)] * 3), "better": np.stack([perfect] * 3)}
    rows = corrected(arm_results(test, by_arm, REAL, resamples=100, dataset="test"))
    value = {(r.metric, r.arm, r.comparison, r.rhythm): r for r in rows}
    assert value["macro_f1", "better", "", ""].value == 1
    assert value["macro_f1", REAL, "", ""].value == 0
    gain = value["macro_f1", "better", REAL, ""]
    assert gain.value == gain.low == 1 and gain.p_value < 0.05
    assert value["f1", "better", "", "SVT"].n == 10
    assert not [r for r in arm_results(test, by_arm, "x", resamples=100) if r.comparison]


def test_differences_are_corrected_over_their_table():
    rows = [
        Result("macro_f1", 0.1, arm=arm, comparison=SCRATCH, fraction=f, p_value=p)
        for arm, f, p in (("a", 0.1, 0.01), ("a", 1.0, 0.04), ("b", 0.1, 0.03))
    ]
    plain = Result("macro_f1", 0.5, arm="a")
    assert [r.p_value for r in corrected([*rows, plain])] == pytest.approx([0.03, 0.06, 0.06, None])
