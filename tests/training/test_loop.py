"""The shared training loop: determinism, exact resume, guards."""

import io
import os
import re
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from helpers.trainings import (
    Diverging,
    Recurring,
    Regression,
    data,
    distance,
    losses,
    run,
    same,
    start,
    wait_for,
)
from safetensors.torch import load_file, save_file
from torch import nn

import ecgrepro.training.loop
from ecgrepro.errors import EcgreproError
from ecgrepro.training import display
from ecgrepro.training.checkpoint import CHECKPOINT
from ecgrepro.training.guard import DivergenceGuard, TrainingState
from ecgrepro.training.randomness import class_weights, step_generator
from ecgrepro.training.schedule import budget_used, crosses_point, learning_rate, make_optimizer
from ecgrepro.training.settings import TrainingSettings

pytestmark = pytest.mark.usefixtures("one_thread")


class Stop(Exception):
    pass


@contextmanager
def stopping(kind, call):
    """Raise Stop in the forward of a model's class at its ``call``-th call; yields the calls."""
    calls, forward = [], kind.forward

    def stop(self, *args):
        calls.append(1)
        if len(calls) == call:
            raise Stop
        return forward(self, *args)

    kind.forward = stop
    try:
        yield calls
    finally:
        kind.forward = forward


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


@pytest.mark.parametrize("accumulate", [3, 16])
def test_accumulated_parts_of_a_batch_equal_the_whole(accumulate):
    settings = {"steps": 60, "learning_rate": 1e-2}
    whole, history = run(TrainingSettings(**settings), model=Regression(noise=0))
    parts, again = run(
        TrainingSettings(**settings, accumulate=accumulate), model=Regression(noise=0)
    )
    assert distance(whole, parts) < 1e-5
    assert [e["loss"] for e in history] == pytest.approx([e["loss"] for e in again], rel=1e-4)


def test_more_parts_than_records_are_refused():
    with pytest.raises(ValueError, match=r"accumulate\n.*one part for each of the batch's 4 rec"):
        TrainingSettings(batch_size=4, accumulate=5)


def test_parameters_are_averaged_and_buffers_are_the_last():
    model = Recurring()
    averaged, _ = run(TrainingSettings(steps=50, checkpoint_minutes=100), model=model)
    assert not averaged.training
    assert averaged.seen == 50
    buffers = zip(averaged.buffers(), model.buffers(), strict=True)
    assert all(torch.equal(ours, last) for ours, last in buffers)
    parameters = zip(averaged.parameters(), model.parameters(), strict=True)
    assert not any(torch.equal(ours, last) for ours, last in parameters)


def test_validation_is_in_eval_mode_with_current_buffers():
    class Telling(Recurring):
        def forward(self, *args):
            loss = super().forward(*args)
            return loss if self.training else self.seen * (1 - torch.is_grad_enabled())

    settings = TrainingSettings(steps=40, validations=4)
    _, history = run(settings, model=Telling(), validation=data(100))
    assert [e["validation_loss"] for e in history if "validation_loss" in e] == [10, 20, 30, 40]


def test_validation_and_the_caller_do_not_share_chance_with_the_training():
    settings = TrainingSettings(steps=40, validations=4)
    torch.manual_seed(7)
    plain, _ = run(settings, model=Recurring())
    after = torch.get_rng_state()
    torch.manual_seed(8)
    watched, _ = run(settings, model=Recurring(), validation=data(20))
    assert same(plain, watched)
    torch.manual_seed(8)
    Recurring()
    assert torch.equal(torch.get_rng_state(), after)  # as the model's own seed left it


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_and_resumed_ends_in_the_same_weights(tmp_path, number):
    settings = TrainingSettings(steps=150, checkpoint_minutes=0)
    whole, history = run(settings)
    script = (
        f"run(TrainingSettings.model_validate({settings.model_dump()}), sys.argv[1], slow=0.01)"
    )
    process = start(script, tmp_path)
    wait_for(tmp_path / CHECKPOINT)
    time.sleep(float(np.random.default_rng().uniform(0.05, 0.8)))
    process.send_signal(number)
    assert process.wait(120) != 0
    resumed, again = run(settings, tmp_path)
    assert same(whole, resumed)
    assert losses(history) == losses(again)
    assert again[0]["seconds"] > 0
    assert not list(tmp_path.glob("*.tmp"))


def test_a_signal_saves_at_once_what_the_interval_would_not(tmp_path):
    class Signalling(Regression):
        def forward(self, *args):
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 8:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().forward(*args)

    settings = TrainingSettings(steps=30, checkpoint_minutes=1000)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        run(settings, tmp_path, model=Signalling())
    assert end.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    with stopping(Regression, 0) as calls:
        resumed, _ = run(settings, tmp_path)
    assert len(calls) == 30 - 8
    assert same(run(settings)[0], resumed)


KILLED = """
import os
settings = TrainingSettings(steps=300, checkpoint_minutes=0, validations=3)
rng = np.random.default_rng()
for attempt in range(11):
    child = os.fork()  # torch is imported once
    if not child:
        run(settings, sys.argv[1], model=Recurring(slow=0.004), validation=data(20))
        os._exit(0)
    if attempt < 10:
        time.sleep(rng.uniform(0.02, 0.2))
        os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
def test_killed_ten_times_ends_in_the_same_weights(tmp_path):
    process = start(KILLED, tmp_path, stdout=subprocess.PIPE, text=True)
    codes = process.communicate(timeout=300)[0].split()
    assert codes == [*["-9"] * 10, "0"]
    settings = TrainingSettings(steps=300, checkpoint_minutes=0, validations=3)
    whole, history = run(settings, model=Recurring(), validation=data(20))
    with stopping(Recurring, 0) as calls:
        killed, again = run(settings, tmp_path, model=Recurring(), validation=data(20))
    assert not calls
    assert same(whole, killed)
    assert losses(history) == losses(again)


@pytest.mark.parametrize("kind", [Regression, Recurring])
def test_resume_in_process_is_exact_and_a_finished_training_is_not_repeated(tmp_path, kind):
    settings = TrainingSettings(steps=60, checkpoint_minutes=0)
    whole, _ = run(settings, model=kind())
    with stopping(kind, 25) as calls:
        with pytest.raises(Stop):
            run(settings, tmp_path, model=kind())
        resumed, history = run(settings, tmp_path, model=kind())
        assert len(calls) == 25 + 60 - 24
        again, _ = run(settings, tmp_path, model=kind())
        assert len(calls) == 25 + 60 - 24
    assert same(whole, resumed)
    assert history[-1]["step"] == 60
    assert same(whole, again)


def test_checkpoint_of_another_training_is_refused(tmp_path):
    run(TrainingSettings(steps=5), tmp_path, identity={"data": "a", "seed": 0})
    with pytest.raises(EcgreproError, match="another training .other data"):
        run(TrainingSettings(steps=5), tmp_path, identity={"data": "b", "seed": 0})


def test_truncated_checkpoint_is_refused(tmp_path):
    run(TrainingSettings(steps=5), tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(EcgreproError, match="not a readable checkpoint.*delete it"):
        run(TrainingSettings(steps=5), tmp_path)


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_noticed(tmp_path):
    run(TrainingSettings(steps=5), tmp_path)
    path = tmp_path / CHECKPOINT
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [*rng.integers(0, header, 60), *rng.integers(header, len(whole), 20)]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(EcgreproError, match="readable checkpoint|is damaged"):
            run(TrainingSettings(steps=5), tmp_path)


def test_a_checkpoint_without_checksum_is_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / CHECKPOINT)
    with pytest.raises(EcgreproError, match="no checksum"):
        run(TrainingSettings(steps=5), tmp_path)


def test_checkpoint_directory_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EcgreproError, match="cannot keep checkpoints"):
        run(TrainingSettings(steps=5), tmp_path / "file" / "deeper")


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path):
    settings = TrainingSettings(steps=60, checkpoint_minutes=0)
    with stopping(Regression, 25), pytest.raises(Stop):
        run(settings, tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(EcgreproError, match="cannot write the checkpoint.*before it is kept"):
            run(settings, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert same(run(settings)[0], run(settings, tmp_path)[0])


@pytest.mark.parametrize("every", [1, 32])
@pytest.mark.parametrize("bad", [float("nan"), 1e9])
def test_divergence_raises_with_step_and_rate_and_saves_nothing(tmp_path, monkeypatch, bad, every):
    monkeypatch.setattr(
        ecgrepro.training.loop,
        "DivergenceGuard",
        lambda state, **_: DivergenceGuard(state, every=every),
    )  # 32 as on a GPU, where the bad weights exist before the loss is looked at
    settings = TrainingSettings(steps=100, checkpoint_minutes=1000)
    with pytest.raises(EcgreproError, match=r"diverged at step 50: .*learning rate \d"):
        run(settings, tmp_path, model=Diverging(bad))
    assert not list(tmp_path.iterdir())
    settings = TrainingSettings(steps=100, checkpoint_minutes=0)
    with pytest.raises(EcgreproError, match=r"diverged at step 50"):
        run(settings, tmp_path, model=Diverging(bad))
    tensors = load_file(tmp_path / CHECKPOINT)
    assert tensors["optimizer.0.step"] == 50
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_a_guard_looks_at_many_steps_together_and_names_the_first_bad_one():
    guard = DivergenceGuard(TrainingState(), every=4)
    for step, loss in enumerate([1.0, 2.0, float("inf")]):
        guard.note(step, 0.1 * step, torch.tensor(loss), torch.tensor(1.0))
    assert guard.state.losses == []
    with pytest.raises(EcgreproError, match=r"step 2: loss inf, learning rate 0.2"):
        guard.note(3, 0.3, torch.tensor(1.0), torch.tensor(1.0))
    assert guard.state.losses == [1.0, 2.0]


def test_a_gradient_that_is_not_finite_stops_the_training():
    class Steep(Regression):
        def forward(self, signals, targets, generator):
            return (self.net(signals).sum() * 0).abs().sqrt()  # 0, with a slope that is not finite

    with pytest.raises(EcgreproError, match="diverged at step 0: gradient norm nan"):
        run(TrainingSettings(steps=5), model=Steep())


def test_checkpoints_hold_no_pickle(tmp_path):
    run(TrainingSettings(steps=5), tmp_path)
    tensors = load_file(tmp_path / CHECKPOINT)
    assert {k.split(".")[0] for k in tensors} == {"model", "averaged", "optimizer"}


def test_a_compiled_model_keeps_its_names(tmp_path):
    settings = TrainingSettings(steps=5)
    plain, _ = run(settings, tmp_path / "plain")
    model = Regression()
    model.compile(backend="eager")  # as the training does on a GPU, where it pays
    compiled, _ = run(settings, tmp_path / "compiled", model=model)
    names = [set(load_file(tmp_path / d / CHECKPOINT)) for d in ("plain", "compiled")]
    assert names[0] == names[1]
    assert list(plain.state_dict()) == list(compiled.state_dict())
    assert distance(plain, compiled) < 1e-6


def test_matrices_decay_and_vectors_do_not():
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.GroupNorm(1, 2), nn.Linear(2, 2))
    model[2].bias.requires_grad_(False)
    groups = make_optimizer(model, TrainingSettings(weight_decay=0.1)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert [p.ndim for p in groups[0]["params"]] == [3, 2]
    assert [p.ndim for p in groups[1]["params"]] == [1, 1, 1]


def test_minutes_end_the_training():
    settings = TrainingSettings(steps=100_000, minutes=0.01)
    _, history = run(settings, validation=data(20))
    assert history[-1]["step"] < 100_000
    assert history[-1]["seconds"] < 5
    assert len([e for e in history if "validation_loss" in e]) >= 3


@pytest.mark.parametrize("budget", [{"steps": 600}, {"steps": 10**7, "minutes": 0.025}])
def test_the_bar_shows_the_share_of_the_budget_and_the_time_left(monkeypatch, budget):
    screen, tqdm = io.StringIO(), display.tqdm
    monkeypatch.setattr(display, "tqdm", lambda **k: tqdm(**k | {"disable": False, "file": screen}))
    run(TrainingSettings(**budget), title="model")
    frames = [frame for frame in screen.getvalue().split("\r") if frame]
    shares = [int(frame.split("%")[0].removeprefix("model:")) for frame in frames]
    assert shares == sorted(shares)
    assert shares[0] == 0 and shares[-1] == 100
    middle = [frame for frame, share in zip(frames, shares, strict=True) if 20 < share < 90]
    left = [int(re.search(r"<00:(\d\d), ", frame)[1]) for frame in middle]
    assert left and ("minutes" not in budget or max(left) <= 2)
    assert all("step " in frame and "loss " in frame for frame in middle)


def test_tensorboard_reads_the_log(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = TrainingSettings(steps=50, checkpoint_minutes=0, validations=2)
    more = {"log_dir": tmp_path / "log", "validation": data(20)}
    with stopping(Regression, 30), pytest.raises(Stop):
        run(settings, tmp_path / "checkpoints", **more)
    _, history = run(settings, tmp_path / "checkpoints", **more)
    log = reader.EventAccumulator(str(tmp_path / "log")).Reload()
    assert set(log.Tags()["scalars"]) == {
        "gradient_norm", "learning_rate", "loss", "validation_loss",
    }  # fmt: skip
    found = [(e.step, pytest.approx(e.value)) for e in log.Scalars("loss")]
    assert [(e["step"], e["loss"]) for e in history] == found
    assert all(e.value > 0 for e in log.Scalars("gradient_norm"))


def test_a_log_without_tensorboard_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(EcgreproError, match=r"pip install 'ecgrepro\[log\]'"):
        run(TrainingSettings(steps=5), log_dir=tmp_path)


def test_learning_rate_warms_up_and_decays():
    settings = TrainingSettings(steps=100, learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(settings, budget_used(settings, k, 0.0)) for k in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert np.argmax(rates) in (9, 10)
    assert rates[-1] < 1e-3
    assert min(rates) > 0


@pytest.mark.parametrize("steps", [7, 100, 340])
def test_points_of_the_budget_are_passed_once_each(steps):
    for points in (0, 1, 3, min(steps, 100)):
        hits = [k for k in range(steps) if crosses_point(points, k / steps, (k + 1) / steps)]
        assert len(hits) == points
        assert not points or hits[-1] == steps - 1


def test_class_weights():
    targets = torch.tensor([0, 0, 0, 0, 2])
    assert class_weights(targets, 0).tolist() == [1, 1, 1, 1, 1]
    assert class_weights(targets, 1).tolist() == [0.25] * 4 + [1]
