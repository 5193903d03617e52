"""The running average of weights, against torch's own."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ecgrepro.training.ema import MovingAverage


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(18, 2))


def moved(model, average):
    """Updates of everything that can change; the average after each."""
    for step in range(30):
        with torch.no_grad():
            for value in [*model.parameters(), *model.buffers()]:
                value.add_(torch.randn(value.shape).to(value.dtype))
        average(step)


def test_as_torch_averages():
    def follow(averaged, current, count):
        if averaged[0].is_floating_point():
            kept = min(0.9, (1 + int(count)) / (10 + int(count)))
            torch._foreach_lerp_(averaged, current, 1 - kept)

    model = network()
    theirs = AveragedModel(model, multi_avg_fn=follow, use_buffers=True)
    ours = MovingAverage(model, 0.9, buffers=True)

    def both(step):
        theirs.update_parameters(model)
        ours.update(step)

    moved(model, both)
    expected = theirs.module.state_dict()
    for name, value in ours.module.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, expected[name]), name
    assert not ours.module.training


def test_buffers_stay_until_they_are_copied():
    model = network()
    average = MovingAverage(model, 0.9)
    before = [b.clone() for b in average.module.buffers()]
    moved(model, average.update)
    assert all(map(torch.equal, before, average.module.buffers()))
    average.copy_buffers()
    assert all(map(torch.equal, model.buffers(), average.module.buffers()))
