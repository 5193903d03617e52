import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ecgrepro.classifier.augmentation import classical, crop, draw_batches, draw_fading
from ecgrepro.classifier.classifier import Classifier
from ecgrepro.classifier.config import ClassifierConfig
from ecgrepro.classifier.resnet import ResNet1d
from ecgrepro.classifier.scores import scores
from ecgrepro.classifier.training import balanced_weights, record_losses
from ecgrepro.cohort.cohort import LEADS, Cohort
from ecgrepro.cohort.rhythms import classes
from ecgrepro.errors import EcgreproError

TINY = ClassifierConfig(
    widths=(8, 8),
    stem_stride=2,
    updates=90,
    batch_size=16,
    evaluate_every=30,
    augment="crop",
    dropout=0,
    averaging=0.8,
)
BRIEF = TINY.model_copy(update={"updates": 4, "evaluate_every": 2})
RATES = {"SR": 5, "SB": 2, "GSVT": 11, "AFIB": 23}  # spikes per record


def toy(counts: dict[str, int], seed: int = 0, samples: int = 200, labels: str = "rhythm4"):
    """Spike trains: the class is the number of spikes."""
    rng = np.random.default_rng(seed)
    rhythms = [code for code, n in counts.items() for _ in range(n)]
    signals = 0.3 * rng.standard_normal((len(rhythms), 12, samples))
    for i, code in enumerate(rhythms):
        step = samples // RATES.get(code, 5)
        signals[i, :, rng.integers(step) :: step] += 3
    table = pd.DataFrame(
        {
            "record_id": [f"r{seed}-{i}" for i in range(len(rhythms))],
            "patient_id": [f"p{seed}-{i}" for i in range(len(rhythms))],
            "source": "toy",
            "rhythm": rhythms,
            "fold": 1,
            "age": 50.0,
            "sex": "",
            "origin": "simulated",
        }
    )
    return Cohort(signals.astype(np.float32), table, fs=100.0, labels=labels, name=f"toy{seed}")


TRAIN = toy({"SR": 20, "SB": 20, "GSVT": 20, "AFIB": 20})
VALIDATION = toy({"SR": 5, "SB": 5, "GSVT": 5, "AFIB": 5}, seed=1)
TEST = toy({"SR": 10, "SB": 10, "GSVT": 10, "AFIB": 10}, seed=2)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def fitted() -> Classifier:
    return Classifier(TINY, seed=3, device="cpu").fit(TRAIN, VALIDATION)


@pytest.fixture(scope="module")
def brief() -> Classifier:
    return Classifier(BRIEF, seed=3, device="cpu").fit(TRAIN, VALIDATION)


def weights(classifier: Classifier) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in classifier.network.state_dict().items()}


def test_learns(fitted):
    found = scores(fitted.predict_proba(TEST), TEST.targets, fitted.classes)
    assert found["macro_f1"] > 0.95
    assert fitted.classes == TRAIN.classes == ("SR", "SB", "GSVT", "AFIB")
    assert fitted.missing_classes == ()


def test_probabilities_and_predictions(fitted):
    p = fitted.predict_proba(TEST)
    assert p.shape == (40, 4) and p.dtype == np.float64
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-12)
    assert fitted.predict(TEST).tolist() == [fitted.classes[k] for k in p.argmax(1)]


def test_features_before_the_head(fitted):
    features = fitted.embed(TEST)
    assert features.shape == (40, 16) and features.dtype == np.float32
    head = fitted.network.head
    logits = torch.from_numpy(features) @ head.weight.detach().T + head.bias.detach()
    np.testing.assert_allclose(
        torch.softmax(logits, 1).numpy(), fitted.predict_proba(TEST), atol=1e-5
    )


def test_history_and_the_weights_kept(fitted):
    assert [seen["update"] for seen in fitted.history] == [30, 60, 90]
    best = max(fitted.history, key=lambda s: (s["validation_macro_f1"], -s["validation_loss"]))
    assert (fitted.updates, fitted.best_update) == (90, best["update"])
    assert [seen["update"] for seen in fitted.history if "kept" in seen] == [best["update"]]
    now = scores(fitted.predict_proba(VALIDATION), VALIDATION.targets, fitted.classes)
    assert now["macro_f1"] == best["validation_macro_f1"]
    json.dumps(fitted.history)


@pytest.mark.parametrize("augment", ["none", "crop", "classical"])
def test_same_seed_same_bytes(augment):
    config = BRIEF.model_copy(update={"augment": augment, "dropout": 0.5})
    torch.manual_seed(1)
    first = Classifier(config, seed=7, device="cpu").fit(TRAIN, VALIDATION)
    torch.manual_seed(2)
    again = Classifier(config, seed=7, device="cpu").fit(TRAIN, VALIDATION)
    other = Classifier(config, seed=8, device="cpu").fit(TRAIN, VALIDATION)
    assert weights(first) == weights(again) != weights(other)
    assert first.history == again.history


def test_leaves_the_global_random_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    Classifier(BRIEF, device="cpu").fit(TRAIN, VALIDATION)
    assert torch.equal(torch.get_rng_state(), before)


def test_predictions_do_not_depend_on_company(fitted, monkeypatch):
    whole = fitted.predict_proba(TEST)
    monkeypatch.setattr("ecgrepro.classifier.classifier.CHUNK", 7)
    np.testing.assert_allclose(fitted.predict_proba(TEST), whole, atol=1e-6)
    np.testing.assert_allclose(fitted.predict_proba(TEST.select([3])), whole[[3]], atol=1e-6)


def test_empty_cohort_gives_empty_predictions(fitted):
    nobody = TEST.select([])
    assert fitted.predict_proba(nobody).shape == (0, 4)
    assert fitted.embed(nobody).shape == (0, 16)


def test_memory_mapped_cohort(brief, tmp_path):
    TEST.save(tmp_path / "cohort")
    opened = Cohort.open(tmp_path / "cohort")
    np.testing.assert_array_equal(brief.predict_proba(opened), brief.predict_proba(TEST))


def test_bf16_predicts_like_float32(fitted):
    config = TINY.model_copy(update={"precision": "bf16", "updates": 10, "evaluate_every": 5})
    p = Classifier(config, device="cpu").fit(TRAIN, VALIDATION).predict_proba(TEST)
    assert np.isfinite(p).all()


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_schedules(schedule):
    config = BRIEF.model_copy(update={"schedule": schedule, "updates": 1})
    assert Classifier(config, device="cpu").fit(TRAIN, VALIDATION).best_update == 1


def test_class_weights_favour_the_rare():
    lots = toy({"SR": 90, "SB": 6})
    lots = Cohort(  # indistinct classes, so that only their frequencies matter
        np.zeros_like(lots.signals), lots.table, fs=100.0, labels="rhythm4"
    )
    mean = {}
    for on in (False, True):
        config = TINY.model_copy(update={"class_weights": on, "evaluate_every": 90})
        mean[on] = Classifier(config, device="cpu").fit(lots, lots).predict_proba(lots)[0, 1]
    assert mean[True] > mean[False] + 0.1
    balanced = balanced_weights(torch.tensor([0, 0, 0, 2]), 3)
    torch.testing.assert_close(balanced, torch.tensor([4 / 6, 0.0, 2.0]))


@given(st.lists(st.floats(0.05, 20), min_size=4, max_size=4), st.integers(0, 3))
def test_class_weights_weigh_the_loss_and_do_not_move_its_optimum(weights, target):
    """A record's loss is least at its smoothed target, however rare the other classes are."""
    smoothed = torch.full((4,), 0.05 / 4)
    smoothed[target] += 0.95
    logits = smoothed.log()[None].double().requires_grad_()
    targets, weights = torch.tensor([target]), torch.tensor(weights)
    plain = record_losses(logits, targets, None, 0.05)
    weighed = record_losses(logits, targets, weights, 0.05)
    torch.testing.assert_close(weighed, plain * weights[target])
    weighed.sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits), atol=1e-5, rtol=0)


def test_updates_are_counted_where_they_are_made(monkeypatch):
    made = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *a, **k: made.append(1) or step(*a, **k))
    classifier = Classifier(BRIEF, device="cpu").fit(TRAIN, VALIDATION)
    assert len(made) == classifier.updates == BRIEF.updates


def test_class_without_training_record_is_recorded():
    some = toy({"SR": 10, "AFIB": 10})
    assert Classifier(BRIEF, device="cpu").fit(some, VALIDATION).missing_classes == ("SB", "GSVT")


def test_batches_use_records_equally_often():
    batches = draw_batches(records=10, updates=13, size=4, seed=0)
    assert batches.shape == (13, 4)
    assert np.bincount(batches.flatten(), minlength=10).tolist().count(5) >= 8
    assert sorted(batches.flatten()[:10].tolist()) == list(range(10))


def test_fading_batches_begin_synthetic_and_end_real():
    synthetic = torch.arange(30) >= 12
    batches = draw_fading(synthetic, updates=40, size=8, seed=0)
    share = synthetic[batches].float().mean(1)
    assert share[0] == 1 and (share.diff() <= 0).all() and (share[30:] == 0).all()
    assert batches.unique().tolist() == list(range(30))
    real = np.bincount(batches[~synthetic[batches]], minlength=12)[:12]
    assert real.max() - real.min() <= 1
    fitted = Classifier(BRIEF, device="cpu").fit(TRAIN, VALIDATION)
    order = draw_batches(len(TRAIN), BRIEF.updates, BRIEF.batch_size, seed=0)
    same = Classifier(BRIEF, device="cpu").fit(TRAIN, VALIDATION, order=order)
    assert weights(fitted) == weights(same)
    with pytest.raises(EcgreproError, match="order must have shape"):
        Classifier(BRIEF, device="cpu").fit(TRAIN, VALIDATION, order=order[1:])


def test_fewer_records_than_a_batch():
    few = TRAIN.select([0, 20, 40])
    assert Classifier(BRIEF, device="cpu").fit(few, VALIDATION).updates == 4


class TestTransfer:
    def test_starts_from_the_weights_of_another(self, fitted):
        still = BRIEF.model_copy(update={"updates": 1, "learning_rate": 1e-12})
        tuned = Classifier(still, seed=9, device="cpu").fit(TRAIN, VALIDATION, initial=fitted)
        for name, value in fitted.network.named_parameters():
            torch.testing.assert_close(tuned.network.get_parameter(name), value)
        before = weights(fitted)
        Classifier(BRIEF, device="cpu").fit(TRAIN, VALIDATION, initial=fitted)
        assert weights(fitted) == before, "the initial classifier must not change"

    def test_new_head_for_other_classes(self, fitted):
        train = toy({"SR": 10, "AFIB": 10, "AFL": 10}, labels="rhythm7")
        still = BRIEF.model_copy(update={"updates": 1, "learning_rate": 1e-12})
        tuned = Classifier(still, device="cpu").fit(train, train, initial=fitted)
        assert tuned.predict_proba(train).shape == (30, 7)
        name = "body.0.0.weight"
        torch.testing.assert_close(
            tuned.network.get_parameter(name), fitted.network.get_parameter(name)
        )

    def test_refusals(self, fitted):
        wide = Classifier(BRIEF.model_copy(update={"widths": (8, 16)}), device="cpu")
        with pytest.raises(EcgreproError, match=r"architecture is .*\(8, 8\).*\(8, 16\)"):
            wide.fit(TRAIN, VALIDATION, initial=fitted)
        short = toy({"SR": 5, "SB": 5}, samples=100)
        with pytest.raises(EcgreproError, match="differ in samples: 200 and 100"):
            Classifier(BRIEF, device="cpu").fit(short, short, initial=fitted)
        with pytest.raises(EcgreproError, match="has not been fitted"):
            Classifier(BRIEF, device="cpu").fit(TRAIN, VALIDATION, initial=Classifier(BRIEF))


class TestSaveAndLoad:
    def test_round_trip(self, fitted, tmp_path):
        fitted.save(tmp_path / "classifier")
        loaded = Classifier.load(tmp_path / "classifier", device="cpu")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["classifier"]
        np.testing.assert_array_equal(loaded.predict_proba(TEST), fitted.predict_proba(TEST))
        np.testing.assert_array_equal(loaded.embed(TEST), fitted.embed(TEST))
        for name in ("config", "seed", "classes", "labels", "signal", "history", "updates",
                     "best_update", "missing_classes"):  # fmt: skip
            assert getattr(loaded, name) == getattr(fitted, name), name

    def test_replaces_a_classifier_but_nothing_else(self, fitted, brief, tmp_path):
        brief.save(tmp_path / "a")
        fitted.save(tmp_path / "a")
        assert Classifier.load(tmp_path / "a", device="cpu").updates == fitted.updates
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "thesis.txt").write_text("precious")
        with pytest.raises(EcgreproError, match="holds no classifier"):
            fitted.save(tmp_path / "b")
        (tmp_path / "file").write_text("")
        with pytest.raises(EcgreproError, match="cannot write|holds no classifier"):
            fitted.save(tmp_path / "file" / "c")

    def test_failed_writing_leaves_the_earlier_one(self, fitted, brief, tmp_path, monkeypatch):
        brief.save(tmp_path / "a")

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("ecgrepro.classifier.classifier.save_file", full)
        with pytest.raises(EcgreproError, match="No space left"):
            fitted.save(tmp_path / "a")
        assert [p.name for p in tmp_path.iterdir()] == ["a"]
        assert Classifier.load(tmp_path / "a", device="cpu").updates == brief.updates

    @pytest.mark.parametrize("name", ["classifier.json", "weights.safetensors"])
    @pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbage"])
    def test_damage(self, brief, tmp_path, name, damage):
        path = brief.save(tmp_path / "a") / name
        whole = path.read_bytes()
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(
                {"empty": b"", "truncated": whole[: len(whole) // 2], "garbage": b"\xff" * 99}[
                    damage
                ]
            )
        message = "is missing" if damage == "missing" else "not a complete classifier"
        with pytest.raises(EcgreproError, match=message):
            Classifier.load(tmp_path / "a")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format": 99}, "format 99"),
            ({"config": {"depth": 3}}, "depth"),
            ({"config": {"widths": [8, 16]}}, "another architecture"),
            ({"classes": ["SR", "AFIB"]}, "another architecture"),
        ],
    )
    def test_other_version_or_architecture(self, brief, tmp_path, change, message):
        path = brief.save(tmp_path / "a") / "classifier.json"
        facts = json.loads(path.read_text())
        for key, value in change.items():
            facts[key] = {**facts[key], **value} if isinstance(value, dict) else value
        path.write_text(json.dumps(facts))
        with pytest.raises(EcgreproError, match=message):
            Classifier.load(tmp_path / "a")

    def test_unfitted(self, tmp_path):
        with pytest.raises(EcgreproError, match="not been fitted"):
            Classifier(TINY).save(tmp_path / "a")
        with pytest.raises(EcgreproError, match="not been fitted"):
            Classifier(TINY).predict_proba(TEST)


class TestErrors:
    def test_empty(self):
        nobody = TRAIN.select([])
        with pytest.raises(EcgreproError, match="training cohort 'toy0' has no record"):
            Classifier(BRIEF).fit(nobody, VALIDATION)
        with pytest.raises(EcgreproError, match="validation cohort 'toy0' has no record"):
            Classifier(BRIEF).fit(TRAIN, nobody)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, value, fitted):
        signals = TRAIN.signals.copy()
        signals[11, 3, 50] = value
        bad = Cohort(signals, TRAIN.table, fs=100.0, labels="rhythm4", name="bad")
        for call in (
            lambda: Classifier(BRIEF, device="cpu").fit(bad, VALIDATION),
            lambda: Classifier(BRIEF, device="cpu").fit(TRAIN, bad),
            lambda: fitted.predict_proba(bad),
            lambda: fitted.embed(bad),
        ):
            with pytest.raises(EcgreproError, match="record r0-11 of cohort 'bad'"):
                call()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"fs": 500.0}, "differ in fs: 500.0 and 100.0"),
            ({"units": "mV"}, "differ in units: mV and z"),
            ({"leads": LEADS[::-1]}, "differ in leads"),
            ({"signals": TEST.signals[:, :, :100]}, "differ in samples: 100 and 200"),
        ],
    )
    def test_cohort_of_another_kind(self, fitted, change, message):
        facts = {"signals": TEST.signals, "fs": 100.0, "labels": "rhythm4"}
        other = Cohort(table=TEST.table, name="other", **{**facts, **change})
        for call in (
            lambda: Classifier(BRIEF).fit(TRAIN, other),
            lambda: fitted.predict_proba(other),
        ):
            with pytest.raises(EcgreproError, match=message):
                call()

    def test_labels_of_another_map(self):
        other = toy({"SR": 5}, labels="rhythm7")
        with pytest.raises(EcgreproError, match="differ in labels: rhythm7 and rhythm4"):
            Classifier(BRIEF).fit(TRAIN, other)

    def test_divergence(self):
        huge = Cohort(TRAIN.signals * 1e30, TRAIN.table, fs=100.0, labels="rhythm4", units="mV")
        with pytest.raises(EcgreproError, match="diverged before update 2"):
            Classifier(BRIEF, device="cpu").fit(huge, huge)

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("epochs", 3, "Extra inputs"),
            ("updates", 0, "greater than or equal to 1"),
            ("widths", (), "at least 1"),
            ("widths", (0,), "greater than or equal to 1"),
            ("stem_kernel", 8, "must be odd"),
            ("kernels", (5, 4), "must be odd"),
            ("dropout", 1, "less than 1"),
            ("learning_rate", "fast", "valid number"),
            ("learning_rate", float("nan"), "less than or equal to 1"),
            ("augment", "mixup", "'none', 'crop' or 'classical'"),
            ("schedule", "step", "'one-cycle' or 'cosine'"),
            ("precision", "16", "'32' or 'bf16'"),
        ],
    )
    def test_settings(self, key, value, message):
        with pytest.raises(ValidationError, match=message):
            ClassifierConfig(**{key: value})


class TestNetwork:
    def test_shapes(self):
        net = ResNet1d(12, 7, widths=(8, 16), blocks=2, kernels=(5, 3), stem_kernel=15,
                       stem_stride=4, dropout=0.1)  # fmt: skip
        for samples in (1000, 999, 1):
            x = torch.randn(3, samples, 12)
            assert net.embed(x).shape == (3, net.width) == (3, 32)
            assert net(x).shape == (3, 7)

    def test_crop_moves_records_and_fills_with_zero(self):
        x = torch.arange(1.0, 101).reshape(1, 100, 1).expand(50, 100, 2).contiguous()
        moved = crop(x)(torch.arange(50), torch.Generator().manual_seed(0))
        shifts = set()
        for record in moved:
            value = record[50, 0].item() - 51
            shifts.add(value)
            assert torch.equal(record[:, 0], record[:, 1])
            true = torch.arange(1.0, 101) + value
            torch.testing.assert_close(record[:, 0], true * ((true >= 1) & (true <= 100)))
        assert max(map(abs, shifts)) <= 10 and len(shifts) > 10

    def test_classical_augmentation(self):
        x = torch.randn(400, 200, 12, generator=torch.Generator().manual_seed(1)) * 5
        changed, all_of_them = classical(x), torch.arange(400)
        y = changed(all_of_them, torch.Generator().manual_seed(0))
        assert torch.equal(y, changed(all_of_them, torch.Generator().manual_seed(0)))
        gone = (y == 0).all(1).float().mean().item()
        assert gone == pytest.approx(0.1, abs=0.02)
        assert y.abs().mean() == pytest.approx(x.abs().mean().item() * 0.9, rel=0.15)
        assert not torch.equal(y[0], y[1])


def test_classes_are_those_of_the_label_map(brief):
    assert brief.classes == classes("rhythm4")
