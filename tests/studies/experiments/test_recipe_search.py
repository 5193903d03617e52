"""Recipes are chosen on validation records and confirmed on test records."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.cohorts import a_cohort

from ecgrepro.studies.arms import Arm
from ecgrepro.studies.experiments.recipe_search import (
    best_recipe,
    corrected_together,
    validation_results,
)
from ecgrepro.studies.experiments.recipes import CONFIRMED, TRIED
from ecgrepro.support.results import Result


def test_the_family_is_every_share_and_every_control():
    keys = {"arm": "a", "scope": CONFIRMED}
    rows = [
        Result("macro_f1", 0.1, 0.0, 0.2, comparison=name, fraction=share, p_value=p, **keys)
        for name, share, p in (("c", 0.1, 0.01), ("d", 0.1, 0.02), ("c", 0.25, 0.03))
    ]
    rows.insert(1, Result("macro_f1", 0.9, fraction=0.1, **keys))
    found = corrected_together(rows)
    assert [row.p_value for row in found] == pytest.approx([0.03, None, 0.04, 0.04])
    assert [replace(row, p_value=None) for row in found] == [replace(r, p_value=None) for r in rows]


def test_the_recipe_of_the_highest_mean_is_chosen_and_of_equals_the_first():
    validation = a_cohort(n=70)
    right = np.eye(7)[validation.targets]
    wrong = np.roll(right, 1, axis=1)
    found = {"a": [right, wrong], "b": [right, right], "c": [right, right]}
    rows = validation_results(validation, found, "chapman", 0.25)
    assert [(row.arm, row.value, row.scope, row.n) for row in rows] == [
        ("a", 0.5, TRIED, 70), ("b", 1.0, TRIED, 70), ("c", 1.0, TRIED, 70)
    ]  # fmt: skip
    assert best_recipe([Arm(name) for name in found], rows) == Arm("b")
