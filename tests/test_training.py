"""The shared training loop: determinism, exact resume, guards."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ecgrepro.errors import EcgreproError
from ecgrepro.generators.settings import TrainingSettings
from ecgrepro.training import (
    CHECKPOINT,
    class_weights,
    learning_rate,
    progress,
    step_generator,
    train,
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Regression(nn.Module):
    """A loss with noise of its own: predicts the target from a noisy signal."""

    def __init__(self, slow: float = 0.0):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 1))
        self.slow = slow

    def forward(self, signals, targets, generator):
        time.sleep(self.slow)
        noise = torch.randn(signals.shape, generator=generator)
        return (self.net(signals + 0.1 * noise).squeeze(1) - targets).square().mean()


def data(n=60):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 2, 10, generator=generator), torch.arange(n) % 3


def run(settings, directory=None, *, seed=0, slow=0.0, identity=None, **more):
    return train(
        Regression(slow),
        *data(),
        settings,
        seed=seed,
        identity=identity or {"what": "test"},
        checkpoint_dir=directory,
        device="cpu",
        **more,
    )


def same(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def losses(history):
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in history]


def test_learns_and_is_deterministic():
    settings = TrainingSettings(steps=200, learning_rate=1e-2, ema=0.9)
    (first, history), (second, again) = run(settings), run(settings)
    assert same(first, second)
    assert losses(history) == losses(again)
    assert history[-1]["step"] == 200
    assert history[-1]["loss"] < 0.3 * history[0]["loss"]
    other, _ = run(settings, seed=1)
    assert not same(first, other)


def test_validation_is_on_averaged_weights_and_the_same_each_time():
    settings = TrainingSettings(steps=40, validations=4)
    model, history = run(settings, validation=data(20))
    checked = [e for e in history if "validation_loss" in e]
    assert [e["step"] for e in checked] == [10, 20, 30, 40]
    with torch.no_grad():
        expected = model(*data(20), step_generator(0, 2**40, "cpu")).item()
    assert checked[-1]["validation_loss"] == pytest.approx(expected)


SCRIPT = """
import sys
sys.path[:0] = json_path
import torch
torch.set_num_threads(1)
from test_training import run
from ecgrepro.generators.settings import TrainingSettings
run(TrainingSettings(steps=150, checkpoint_minutes=0), sys.argv[1], slow=0.01)
"""


def start(directory):
    script = SCRIPT.replace("json_path", json.dumps(sys.path))
    return subprocess.Popen([sys.executable, "-c", script, str(directory)])


def wait_for(path):
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{path} did not appear")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_and_resumed_ends_in_the_same_weights(tmp_path, number):
    settings = TrainingSettings(steps=150, checkpoint_minutes=0)
    whole, history = run(settings)
    process = start(tmp_path)
    wait_for(tmp_path / CHECKPOINT)
    time.sleep(float(np.random.default_rng().uniform(0.05, 0.8)))
    process.send_signal(number)
    assert process.wait(30) != 0
    resumed, again = run(settings, tmp_path)
    assert same(whole, resumed)
    assert losses(history) == losses(again)
    assert again[0]["seconds"] > 0
    assert not list(tmp_path.glob("*.partial-*"))


def test_resume_in_process_is_exact_and_a_finished_training_is_not_repeated(tmp_path, monkeypatch):
    settings = TrainingSettings(steps=60, checkpoint_minutes=0)
    whole, _ = run(settings)

    class Stop(Exception):
        pass

    calls = []
    forward = Regression.forward

    def stopping(self, *args):
        calls.append(1)
        if len(calls) == 25:
            raise Stop
        return forward(self, *args)

    monkeypatch.setattr(Regression, "forward", stopping)
    with pytest.raises(Stop):
        run(settings, tmp_path)
    resumed, history = run(settings, tmp_path)
    assert len(calls) == 25 + 60 - 24
    assert same(whole, resumed)
    assert history[-1]["step"] == 60
    again, _ = run(settings, tmp_path)
    assert len(calls) == 25 + 60 - 24
    assert same(whole, again)


def test_checkpoint_of_another_training_is_refused(tmp_path):
    run(TrainingSettings(steps=5), tmp_path, identity={"data": "a", "seed": 0})
    with pytest.raises(EcgreproError, match="another training .other data"):
        run(TrainingSettings(steps=5), tmp_path, identity={"data": "b", "seed": 0})


def test_truncated_checkpoint_is_refused(tmp_path):
    run(TrainingSettings(steps=5), tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(EcgreproError, match="not a readable checkpoint"):
        run(TrainingSettings(steps=5), tmp_path)


def test_checkpoint_directory_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EcgreproError, match="cannot keep checkpoints"):
        run(TrainingSettings(steps=5), tmp_path / "file" / "deeper")


@pytest.mark.parametrize("bad", [float("nan"), 1e9])
def test_divergence_raises_with_step_and_rate_and_saves_nothing(tmp_path, bad):
    class Diverging(Regression):
        calls = 0

        def forward(self, *args):
            self.calls += 1
            loss = super().forward(*args)
            return loss * bad if self.calls > 50 else loss

    settings = TrainingSettings(steps=100, checkpoint_minutes=1000)
    with pytest.raises(EcgreproError, match=r"diverged at step 50: .*learning rate \d"):
        train(
            Diverging(), *data(), settings, seed=0, identity={}, checkpoint_dir=tmp_path,
            device="cpu",
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_a_gradient_that_is_not_finite_stops_the_training():
    class Steep(Regression):
        def forward(self, signals, targets, generator):
            return (self.net(signals).sum() * 0).abs().sqrt()  # 0, with a slope that is not finite

    with pytest.raises(EcgreproError, match="diverged at step 0: gradient norm nan"):
        train(Steep(), *data(), TrainingSettings(steps=5), seed=0, identity={}, device="cpu")


def test_checkpoints_hold_no_pickle(tmp_path):
    run(TrainingSettings(steps=5), tmp_path)
    tensors = load_file(tmp_path / CHECKPOINT)
    assert {k.split(".")[0] for k in tensors} == {"model", "averaged", "optimizer"}


def test_minutes_end_the_training():
    settings = TrainingSettings(steps=100_000, minutes=0.01)
    _, history = run(settings)
    assert history[-1]["step"] < 100_000
    assert history[-1]["seconds"] < 5


def test_learning_rate_warms_up_and_decays():
    settings = TrainingSettings(steps=100, learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(settings, progress(settings, k, 0.0)) for k in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert np.argmax(rates) in (9, 10)
    assert rates[-1] < 1e-3
    assert min(rates) > 0


def test_class_weights():
    targets = torch.tensor([0, 0, 0, 0, 2])
    assert class_weights(targets, 0).tolist() == [1, 1, 1, 1, 1]
    assert class_weights(targets, 1).tolist() == [0.25] * 4 + [1]
