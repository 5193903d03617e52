"""Small models, and trainings of them in this process and in others."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from helpers.processes import restore_signals
from torch import nn

from ecgrepro.training.loop import train


class Regression(nn.Module):
    """A loss with noise of its own: predicts the target from a noisy signal."""

    def __init__(self, slow: float = 0.0, noise: float = 0.1):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 1))
        self.slow, self.noise = slow, noise

    def forward(self, signals, targets, generator):
        if self.slow:
            time.sleep(self.slow)
        noise = torch.randn(signals.shape, generator=generator)
        return (self.net(signals + self.noise * noise).squeeze(1) - targets).square().mean()


class Recurring(Regression):
    """With dropout, batch norm and a buffer of its own: all that a step may change or draw."""

    def __init__(self, slow: float = 0.0):
        super().__init__(slow)
        middle = nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Dropout(0.3)
        self.net = nn.Sequential(*self.net[:3], *middle, self.net[3])
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, *args):
        self.seen += self.training
        return super().forward(*args)


def data(n=60):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 2, 10, generator=generator), torch.arange(n) % 3


def run(settings, directory=None, *, model=None, seed=0, slow=0.0, identity=None, **more):
    return train(
        model or Regression(slow),
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


def distance(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return max((x - y).abs().max().item() for x, y in pairs)


def losses(history):
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in history]


SCRIPT = """
import signal, sys, time
sys.path[:0] = json_path
import numpy as np
import torch
torch.set_num_threads(1)
from helpers.trainings import *
from ecgrepro.training.settings import TrainingSettings
"""


def start(script, *args, **more):
    script = SCRIPT.replace("json_path", json.dumps(sys.path)) + script
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(command, preexec_fn=restore_signals, **more)


def wait_for(path):
    for _ in range(6000):  # five minutes: a busy machine takes one to import torch
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{path} did not appear")


class Diverging(Regression):
    """Its loss is multiplied by ``bad`` from call 51 on: at step 50."""

    def __init__(self, bad):
        super().__init__()
        self.bad, self.calls = bad, 0

    def forward(self, *args):
        self.calls += 1
        loss = super().forward(*args)
        return loss * self.bad if self.calls > 50 else loss


class Failing(Regression):
    """Breaks, with an error that is not ours, in the second process only."""

    def forward(self, *args):
        if torch.distributed.get_rank() == 1:
            raise ZeroDivisionError("no reason")
        return super().forward(*args)


class Dying(Regression):
    """The second process is killed, as by the kernel when memory runs out."""

    def forward(self, *args):
        if torch.distributed.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(*args)
