"""Recipes are chosen on validation records and confirmed on test records with other seeds."""

import numpy as np

from ecgrepro.studies.classifiers import Outcome
from ecgrepro.studies.experiments.recipes import TRIED, Search, controls, recipes
from ecgrepro.workflow.run import Run
from ecgrepro.workflow.sections.recipes import choose, compute

FADING = "real + unet x1, fading out"


def test_the_best_on_validation_is_confirmed_on_test_with_other_seeds(tmp_path, monkeypatch):
    """The recipe that is best on the test records alone must not be chosen."""
    run = Run("smoke", "simulated", tmp_path)
    parts, search = run.splits("chapman"), Search.of(run.profile)
    right = {name: np.eye(7)[parts[name].targets] for name in ("validation", "test")}
    wrong = {name: np.roll(p, 1, axis=1) for name, p in right.items()}
    asked = []

    def fake(run, task):
        name = task.arm.name
        asked.append((name, task.seed))
        on_validation = right if name.endswith("fading out") else wrong
        on_test = right if name.startswith("pre-trained on unet") else wrong
        return Outcome(on_validation["validation"], on_test["test"], 30)

    monkeypatch.setattr("ecgrepro.workflow.products.arm_outcome", fake)
    monkeypatch.setattr("ecgrepro.workflow.sections.recipes.arm_outcome", fake)
    assert choose(run, "chapman")[0.25].name == FADING
    section = compute(run, "chapman")
    rows = [row for row in section.rows if row.fraction == 0.25]
    tried = [row for row in rows if row.scope == TRIED]
    assert {row.arm for row in tried} == {arm.name for arm in recipes(search, "chapman", 0.25)}
    assert {seed for name, seed in asked if name == "pre-trained on unet"} == {10}
    assert {seed for name, seed in asked if name == FADING} == {10, 0, 1}
    paired = [row for row in rows if row.comparison and row.metric == "macro_f1"]
    assert {row.arm for row in paired} == {FADING}
    twin = "real + simulator x1, fading out (the same recipe)"
    assert {row.comparison for row in paired} == {twin, *[a.name for a in controls(search, 0.25)]}
    assert all(row.value == 0 and row.p_value == 1 for row in paired)
