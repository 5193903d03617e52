"""Recipes are chosen on validation records and confirmed on test records with other seeds."""

import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgrepro import Cohort, EcgreproError
from ecgrepro.studies.arms import (
    CONTROLS,
    REAL,
    Arm,
    Outcome,
    arm_settings,
    run_arm,
    training_set,
)
from ecgrepro.studies.classifiers import real_classifier
from ecgrepro.studies.experiments import recipe_search as helping
from ecgrepro.studies.experiments.recipe_search import (
    CONFIRMED,
    HARMS,
    HELPS,
    OPEN,
    TRIED,
    compared,
    settings,
    verdict,
)
from ecgrepro.studies.experiments.recipes import controls, recipes, simulated_twin
from ecgrepro.studies.pretraining import pretrained, share
from ecgrepro.studies.profiles import load_profile
from ecgrepro.studies.selection import CONFIDENT, best, kept_pool
from ecgrepro.studies.synthesis import synthetic_pool
from ecgrepro.support.results import Result
from ecgrepro.workflow.reference import freeze, frozen_facts, frozen_page, frozen_results
from ecgrepro.workflow.run import Run


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
    return verdict(rows)


def test_a_recipe_helps_only_if_it_beats_every_control():
    assert gains((0.01, 0.1, 0.01), (0.02, 0.1, 0.04)) == HELPS
    assert gains((0.01, 0.1, 0.01), (0.02, 0.1, 0.06)) == OPEN
    assert gains((0.01, 0.1, 0.01), (-0.02, 0.1, 0.5)) == OPEN
    assert gains((0.01, 0.1, 0.01), (-0.2, -0.1, 0.06)) == OPEN
    assert gains((0.01, 0.1, 0.01), (-0.2, -0.1, 0.01)) == HARMS


def test_the_family_is_every_share_and_every_control():
    keys = {"arm": "a", "scope": CONFIRMED}
    rows = [
        Result("macro_f1", 0.1, 0.0, 0.2, comparison=name, fraction=share, p_value=p, **keys)
        for name, share, p in (("c", 0.1, 0.01), ("d", 0.1, 0.02), ("c", 0.25, 0.03))
    ]
    rows.insert(1, Result("macro_f1", 0.9, fraction=0.1, **keys))
    found = helping.corrected_together(rows)
    assert [row.p_value for row in found] == pytest.approx([0.03, None, 0.04, 0.04])
    assert [replace(row, p_value=None) for row in found] == [replace(r, p_value=None) for r in rows]


def test_the_curves_over_shares_are_of_test_records_and_of_the_recipe_chosen_at_each():
    def row(arm, share, value, comparison="", scope=CONFIRMED):
        low, high = value - 0.1, value + 0.1
        return Result("macro_f1", value, low, high, arm=arm, fraction=share, comparison=comparison,
                      scope=scope)  # fmt: skip

    rows = [
        row("a", 0.0, 0.9, scope=TRIED), row("a", 0.0, 0.5), row(helping.ALL_REAL, 0.0, 0.8),
        row("a", 0.0, -0.3, helping.ALL_REAL), row("b", 0.1, 0.6), row(REAL, 0.1, 0.4),
        row("b, simulator (the same recipe)", 0.1, 0.45), row("b", 0.1, 0.2, REAL),
    ]  # fmt: skip
    found = helping.share_curves(rows)
    drawn = {name: [list(axis) for axis in curve] for name, curve in found.items()}
    assert drawn.pop("chosen recipe") == [[0, 10], [0.5, 0.6], [0.4, 0.5], [0.6, 0.7]]
    assert drawn.pop("the same recipe, simulator's records")[:2] == [[10], [0.45]]
    assert drawn.pop(REAL)[:2] == [[10], [0.4]]
    assert drawn == {helping.ALL_REAL: [[0, 10], [0.8, 0.8]]}


def test_the_same_recipe_with_the_simulators_records_is_a_control(tmp_path):
    run = Run("smoke", "simulated", tmp_path)
    beaten = [replace(arm, name="") for arm in controls(run, 0.25)]
    for arm in recipes(run, "chapman", 0.25):
        twin = simulated_twin(run, arm)
        assert "unet" not in f"{twin.name} {twin.generator} {twin.start}"
        kept = ("ratio", "balanced", "hospital", "fading", "gentle", "keep")
        assert all(getattr(twin, what) == getattr(arm, what) for what in kept)
        share = [a for a, _ in compared(run, 0.25, arm)]
        assert share[0] == arm and (twin in share) == (replace(twin, name="") not in beaten)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Run:
    """A run whose pools are the simulator's: nothing has to be trained."""
    return Run("smoke", "simulated", tmp_path_factory.mktemp("run"))


def added(run: Run, dataset: str, arm: Arm, fraction: float = 0.25) -> tuple[Cohort, Cohort]:
    """The real and the synthetic records of an arm's training set."""
    train = training_set(run, dataset, arm, 0, fraction)
    synthetic = (train.table["fold"] == 0).to_numpy()
    return train.select(~synthetic), train.select(synthetic)


def test_what_a_recipe_adds_to_the_share(simulated):
    full = simulated.splits("chapman")["train"]
    few = share(full, 0.25, 0)
    real, synthetic = added(simulated, "chapman", Arm("x1", "simulator", 1.0))
    assert list(real.table["record_id"]) == list(few.table["record_id"])
    assert synthetic.counts() == full.counts()
    real, synthetic = added(simulated, "chapman", Arm("rare", "simulator", balanced=True))
    most = max(few.counts().values())
    pool = synthetic_pool(simulated, "chapman", "simulator").counts()
    assert synthetic.counts() == {
        code: min(most - n, pool[code]) if n else 0 for code, n in few.counts().items()
    }
    real, none = added(simulated, "chapman", Arm("tuned", start="simulator"))
    assert len(real) == len(few) and not len(none)
    none, synthetic = added(simulated, "chapman", Arm("alone", "simulator", 1.0), fraction=0.0)
    assert not len(none) and synthetic.counts() == full.counts()


def test_whose_records_they_are_and_which_are_kept(simulated, monkeypatch):
    other = Arm("other", "simulator", balanced=True, hospital="ptb-xl")
    _, synthetic = added(simulated, "chapman", other)
    assert set(synthetic.table["source"]) == {"ptb-xl"}
    _, mine = added(simulated, "chapman", replace(other, hospital=""))
    assert set(mine.table["source"]) == {"chapman"}
    pool = synthetic_pool(simulated, "chapman", "simulator")
    judge = real_classifier(simulated, "chapman")
    sure = judge.predict_proba(pool)[np.arange(len(pool)), pool.targets]
    monkeypatch.setattr("ecgrepro.studies.selection.SURE", float(np.median(sure)))
    kept = kept_pool(simulated, "chapman", "simulator", keep=CONFIDENT)
    assert 0 < len(kept) < len(pool) and set(kept.counts()) == set(pool.counts())
    own = judge.predict_proba(kept)[np.arange(len(kept)), kept.targets]
    left = set(pool.table["record_id"]) - set(kept.table["record_id"])
    assert own.mean() > sure[pool.table["record_id"].isin(left)].mean()


def test_how_a_recipe_trains(simulated):
    config = simulated.profile.classifier
    gentle = arm_settings(simulated, Arm("g", start="simulator", gentle=True))
    assert gentle.learning_rate == pytest.approx(config.learning_rate / 10)
    before = simulated.profile.transfer.pretrain_updates
    assert gentle.updates + before == config.updates
    mixed, fading = (
        run_arm(simulated, "chapman", Arm("f", "simulator", 1.0, fading=f), 0, 0.25)
        for f in (False, True)
    )
    assert not np.array_equal(mixed.test, fading.test)


def test_pretraining_on_a_copy_of_a_test_record_is_refused(tmp_path, monkeypatch):
    run = Run("smoke", "simulated", tmp_path)
    test = run.splits("chapman")["test"]
    table = test.table.assign(patient_id="", fold=0, origin="simulator")
    copies = replace(test, table=table, fingerprint="copies")
    monkeypatch.setattr("ecgrepro.studies.pretraining.synthetic_pool", lambda *_: copies)
    with pytest.raises(EcgreproError, match="is the test record"):
        pretrained(run, "chapman", "simulator", 0)


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
    twin = "real + simulator x1, fading out (the same recipe)"
    assert {row.comparison for row in paired} == {twin, *[a.name for a in controls(run, 0.25)]}
    assert all(row.value == 0 and row.p_value == 1 for row in paired)


def test_choosing_seeds_are_no_testing_seeds(tmp_path):
    few = load_profile("smoke").model_copy(update={"generators": {"simulator": {}, "diffwave": {}}})
    assert load_profile("smoke").helper == "unet" and few.helper == "diffwave"
    text = load_profile("smoke").model_dump_json()
    content = json.loads(text)
    for change, message in (
        ({"helping": {**content["helping"], "seeds": [0]}}, "choosing is not testing"),
        ({"helping": {**content["helping"], "generator": "diffwave"}, "generators": {"unet": {}}},
         "'diffwave' is none of unet"),
        ({"generators": {"simulator": {}}}, "none that learns: diffwave"),
        ({"transfer": {**content["transfer"], "pretrain_updates": 30}}, "leaves none of"),
    ):  # fmt: skip
        path = tmp_path / "wrong.yaml"
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(EcgreproError, match=message):
            load_profile(path)


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_frozen_run_is_of_real_recordings_and_committed_code(tmp_path, monkeypatch):
    facts = {"profile": "p", "data": "partial real", "commit": "c" * 40, "dirty": False,
             "device": "cpu", "seeds": [0, 1],
             "generators_trained_on": {"unet of chapman": "a GPU"}}  # fmt: skip
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
    frozen = freeze(tmp_path / "run", tmp_path / "reference")
    assert len(frozen) == 4 and all(path.is_file() for path in frozen)
    with monkeypatch.context() as patch:  # what was frozen before outlives a full disk
        patch.setattr("shutil.copyfile", full_disk)
        with pytest.raises(EcgreproError, match="No space left on device; free some space"):
            freeze(tmp_path / "run", tmp_path / "reference")
    assert all(path.is_file() for path in frozen)
    (tmp_path / "run" / "results" / "04_augmentation" / "chapman.json").write_text("[1]")
    with pytest.raises(EcgreproError, match="chapman.json is no results file .* run its page"):
        freeze(tmp_path / "run", tmp_path / "reference")
    beside = freeze(tmp_path / "run", tmp_path / "reference", confirmation=True)
    assert [path.parts[-3:] for path in beside] == [("confirmed", "07_helping", "chapman.json")]
    again = frozen_page("07_helping", "chapman", tmp_path / "reference", kind="confirmed")
    assert again == [Result("macro_f1", 0.5)] and all(path.is_file() for path in frozen)
    found = frozen_results(tmp_path / "reference")
    assert list(found["section"]) == list(sections[:-1])  # what helps is no evidence for a claim
    assert not frozen_page("07_helping", "ptb-xl", tmp_path / "reference")
    assert frozen_page("07_helping", "chapman", tmp_path / "reference") == [Result("macro_f1", 0.5)]
    assert frozen_facts()["generators"], "the project's own frozen run says nothing of them"
    facts = frozen_facts(tmp_path / "reference")
    assert facts["seeds"] == ["0, 1"] and facts["generators"] == ["a GPU (unet)"]
