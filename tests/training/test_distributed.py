"""Training in several processes: gloo on the CPU stands for several GPUs."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from helpers.trainings import (
    Diverging,
    Dying,
    Failing,
    Regression,
    distance,
    losses,
    run,
    same,
    start,
    wait_for,
)

from ecgrepro.errors import EcgreproError
from ecgrepro.training.checkpoint import CHECKPOINT
from ecgrepro.training.distributed import count_processes
from ecgrepro.training.settings import TrainingSettings

pytestmark = pytest.mark.slow  # each start of a process imports torch


def test_two_processes_train_as_one_does():
    parts = {"batch_size": 15, "accumulate": 3}  # 8 and 7 records, in parts of 3 and 2
    settings = TrainingSettings(steps=24, learning_rate=1e-2, **parts)
    signals = torch.randn(70, 2, 10, generator=torch.Generator().manual_seed(3))
    more = {"validation": (signals, torch.arange(70) % 3)}
    one, history = run(settings, model=Regression(noise=0), **more)
    two, again = run(settings, model=Regression(noise=0), devices=2, **more)
    assert distance(one, two) < 1e-5
    assert not two.training
    assert [e["step"] for e in history] == [e["step"] for e in again]
    for key in ("loss", "validation_loss"):
        found = [e[key] for e in again if key in e]
        assert found == pytest.approx([e[key] for e in history if key in e], rel=1e-4)
        assert found


SCRIPT = """
if __name__ == "__main__":
    run(TrainingSettings(steps=60, checkpoint_minutes=0), sys.argv[1], slow=0.02, devices=2)
"""


def test_interrupted_and_resumed_ends_in_the_same_weights(tmp_path):
    settings = TrainingSettings(steps=60, checkpoint_minutes=0)
    whole, history = run(settings, devices=2)
    process = start(SCRIPT, tmp_path)
    wait_for(tmp_path / CHECKPOINT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 128 + signal.SIGTERM
    resumed, again = run(settings, tmp_path, devices=2)
    assert same(whole, resumed)
    assert losses(history) == losses(again)
    assert not same(whole, run(settings)[0])  # each process has noise of its own


def test_killed_takes_its_processes_with_it(tmp_path):
    process = start(SCRIPT, tmp_path)
    wait_for(tmp_path / CHECKPOINT)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.wait(10)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


@pytest.mark.parametrize(
    "model, kind, message",
    [
        (Diverging(float("nan")), EcgreproError, "diverged at step 50: loss nan"),
        (Failing(), RuntimeError, "process 1 failed:\n(.|\n)*ZeroDivisionError: no reason"),
        (Dying(), EcgreproError, "process 1 of 2 was ended by SIGKILL"),
    ],
)
def test_what_fails_in_a_process_is_raised_here(tmp_path, model, kind, message):
    settings = TrainingSettings(steps=100, checkpoint_minutes=1000)
    with pytest.raises(kind, match=message):
        run(settings, tmp_path, model=model, devices=2)
    assert not list(tmp_path.iterdir())


TORCHRUN = """
import json, sys
sys.path[:0] = json_path
from helpers.trainings import *
from ecgrepro.training.settings import TrainingSettings
settings = TrainingSettings(steps=60, learning_rate=1e-2)
model, history = run(settings, sys.argv[1], model=Regression(noise=0))
assert torch.distributed.get_world_size() == 2
rank = torch.distributed.get_rank()
torch.save(model.state_dict(), f"{sys.argv[1]}/{rank}.pt")
"""


def test_torchrun(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(TORCHRUN.replace("json_path", json.dumps(sys.path)))
    program = Path(sys.executable).with_name("torchrun")
    subprocess.run(
        [program, "--standalone", "--nproc-per-node=2", script, tmp_path], check=True, timeout=300
    )
    one, _ = run(TrainingSettings(steps=60, learning_rate=1e-2), model=Regression(noise=0))
    for rank in (0, 1):
        found = Regression()
        found.load_state_dict(torch.load(tmp_path / f"{rank}.pt"))
        assert distance(one, found) < 1e-5
    assert (tmp_path / CHECKPOINT).exists()


def test_how_many_processes(monkeypatch):
    cpu, gpu, second = (torch.device(name) for name in ("cpu", "cuda", "cuda:1"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert count_processes(cpu, "auto", most=16) == 1
    assert count_processes(cpu, 3, most=16) == 3
    assert count_processes(gpu, "auto", most=16) == 4
    assert count_processes(gpu, "auto", most=2) == 2
    assert count_processes(second, "auto", most=16) == 1
    for device, devices, message in [
        (cpu, 0, "devices must be"),
        (cpu, "all", "devices must be"),
        (cpu, 5, "gives work to 4"),
        (gpu, 5, "4 visible"),
        (second, 2, "device cuda:1 is one"),
    ]:
        with pytest.raises(EcgreproError, match=message):
            count_processes(device, devices, most=4)
