"""Recipes are chosen on validation records and confirmed on test records with other seeds."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgrepro import EcgreproError
from ecgrepro.profiles import load_profile
from ecgrepro.results import Result
from ecgrepro.studies import helping
from ecgrepro.studies.arms import CONTROLS, REAL, Arm, Outcome
from ecgrepro.studies.drawing import best
from ecgrepro.studies.helping import CONFIRMED, HARMS, HELPS, OPEN, TRIED, Setting, settings
from ecgrepro.studies.recipes import controls, recipes
from ecgrepro.studies.reference import freeze, frozen_facts, frozen_results
from ecgrepro.studies.run import Run


def test_what_is_tried_and_what_it_has_to_beat(tmp_path):
    run = Run("smoke", "simulated", tmp_path)
    found = recipes(run, "chapman", 0.25)
    assert len({arm.name for arm in found}) == len(found) == 11
    assert all(arm.generator == "unet" or arm.start == "unet" for arm in found)
    for what in ("balanced", "keep", "guidance", "fading", "start", "gentle", "hospital"):
        assert any(getattr(arm, what) for arm in found), what
    assert not any(arm.start or arm.balanced or arm.fading for arm in recipes(run, "chapman", 0.0))
    beaten = controls(run, 0.25)
    assert beaten[0] == Arm(REAL) and {arm.control for arm in beaten} == {"", *CONTROLS}
    assert {arm.generator for arm in beaten} | {arm.start for arm in beaten} == {"", "simulator"}


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2)), min_size=1), st.floats(0, 1))
def test_the_best_stay_and_a_tenth_of_each_rhythm_in_any_case(records, least):
    score, targets = map(np.array, zip(*records, strict=True))
    kept = best(score.copy(), least, targets)
    assert kept[score >= least].all()
    for target in set(targets):
        own = targets == target
        many = max((score[own] >= least).sum(), -(-own.sum() // 10))
        assert kept[own].sum() == many
        assert not (~kept[own]).any() or score[own][kept[own]].min() >= score[own][~kept[own]].max()


def gains(*bounds):
    rows = [
        Result("macro_f1", sum(b[:2]) / 2, *b[:2], arm="a", comparison=f"c{i}", scope=CONFIRMED,
               p_value=b[2])
        for i, b in enumerate(bounds)
    ]  # fmt: skip
    rows += [Result("macro_f1", 0.9, arm="a", scope=CONFIRMED)]
    return Setting("chapman", 0.1, Arm("a"), rows).verdict


def test_a_recipe_helps_only_if_it_beats_every_control():
    assert gains((0.01, 0.1, 0.01), (0.02, 0.1, 0.04)) == HELPS
    assert gains((0.01, 0.1, 0.01), (0.02, 0.1, 0.06)) == OPEN
    assert gains((0.01, 0.1, 0.01), (-0.02, 0.1, 0.5)) == OPEN
    assert gains((0.01, 0.1, 0.01), (-0.2, -0.1, 0.01)) == HARMS


def test_the_best_on_validation_is_confirmed_on_test_with_other_seeds(tmp_path, monkeypatch):
    """The recipe that is best on the test records alone must not be chosen."""
    run = Run("smoke", "simulated", tmp_path)
    parts = run.splits("chapman")
    right = {name: np.eye(7)[parts[name].targets] for name in ("validation", "test")}
    wrong = {name: np.roll(p, 1, axis=1) for name, p in right.items()}
    asked = []

    def fake(run, dataset, arm, seed, fraction=1.0):
        asked.append((arm.name, seed))
        on_validation = right if arm.name.endswith("fading out") else wrong
        on_test = right if arm.name.startswith("pre-trained on unet") else wrong
        return Outcome(on_validation["validation"], on_test["test"])

    monkeypatch.setattr(helping, "run_arm", fake)
    monkeypatch.setattr("ecgrepro.studies.arms.run_arm", fake)
    low = next(s for s in settings(run, "chapman") if s.fraction == 0.25)
    assert low.best.name == "real + unet x1, fading out"
    tried = [row for row in low.rows if row.scope == TRIED]
    assert {row.arm for row in tried} == {arm.name for arm in recipes(run, "chapman", 0.25)}
    assert {seed for name, seed in asked if name == "pre-trained on unet"} == {10}
    assert {seed for name, seed in asked if name == low.best.name} == {10, 0, 1}
    paired = [row for row in low.rows if row.comparison and row.metric == "macro_f1"]
    assert {row.comparison for row in paired} == {arm.name for arm in controls(run, 0.25)}
    assert all(row.value == 0 and row.p_value == 1 for row in paired)


def test_choosing_seeds_are_no_testing_seeds(tmp_path):
    text = load_profile("smoke").model_dump_json()
    content = json.loads(text)
    for change, message in (
        ({"helping": {**content["helping"], "seeds": [0]}}, "choosing is not testing"),
        ({"helping": {**content["helping"], "generator": "diffwave"}, "generators": {"unet": {}}},
         "is not in generators"),
        ({"transfer": {**content["transfer"], "pretrain_updates": 30}}, "leaves none of"),
    ):  # fmt: skip
        path = tmp_path / "wrong.yaml"
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(EcgreproError, match=message):
            load_profile(path)


def test_the_frozen_run_is_of_real_recordings_and_committed_code(tmp_path):
    facts = {"profile": "p", "data": "partial real", "commit": "c" * 40, "dirty": False,
             "device": "cpu", "seeds": [0, 1]}  # fmt: skip
    sections = ("03_closeness", "04_augmentation", "05_transfer", "07_helping")

    def write(section, **changes):
        path = tmp_path / "run" / "results" / section / "chapman.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        provenance = {**facts, "section": section, **changes}
        row = vars(Result("macro_f1", 0.5))
        path.write_text(json.dumps({"provenance": provenance, "results": [row]}))

    for section in sections[:-1]:
        write(section)
    with pytest.raises(EcgreproError, match="no results of 07_helping"):
        freeze(tmp_path / "run", tmp_path / "reference")
    for change in ({"data": "simulated"}, {"dirty": True}):
        write("07_helping", **change)
        with pytest.raises(EcgreproError, match="only a run on real recordings by committed code"):
            freeze(tmp_path / "run", tmp_path / "reference")
    write("07_helping")
    assert len(freeze(tmp_path / "run", tmp_path / "reference")) == 4
    found = frozen_results(tmp_path / "reference")
    assert list(found["section"]) == list(sections[:-1])  # what helps is no evidence for a claim
    assert frozen_facts(tmp_path / "reference")["seeds"] == ["[0, 1]"]
