"""Time-Diffusion's network: causality, reach, and its plain form."""

import pytest
import torch
from helpers.oracles import assert_equal_to_plain

from ecgrepro.generators.diffusion.timediffusion import TemporalConvolutions


def network(positions=20, *, causal=True, scatter=True):
    torch.manual_seed(0)
    made = TemporalConvolutions(5, 3, positions, channels=8, embedding=16, causal=causal)
    if scatter:
        for p in made.parameters():
            torch.nn.init.normal_(p, std=0.3)
    return made


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("positions", [1, 16, 21])
def test_outputs_and_gradients_equal_those_of_the_plain_network(causal, positions):
    assert_equal_to_plain(network(positions, causal=causal), positions=positions)


def test_output_is_zero_at_first():
    x = torch.randn(2, 20, 5)
    y = network(scatter=False)(x, torch.zeros(2), torch.tensor([0, 2]))
    assert y.shape == x.shape
    assert torch.count_nonzero(y) == 0


def test_what_comes_later_changes_nothing_unless_it_looks_both_ways():
    x, level, labels = torch.randn(2, 20, 5), torch.zeros(2), torch.tensor([0, 2])
    changed = x.clone()
    changed[:, 12:] += 1
    causal, both = network(), network(causal=False)
    before, after = causal(x, level, labels), causal(changed, level, labels)
    assert torch.equal(before[:, :12], after[:, :12])
    assert not torch.allclose(before[:, 12:], after[:, 12:])
    assert not torch.allclose(both(x, level, labels)[:, :12], both(changed, level, labels)[:, :12])


@pytest.mark.parametrize("positions", [1, 2, 15, 16, 17, 100])
def test_the_last_position_sees_the_whole_record(positions):
    made = network(positions)
    dilations = [2**i for i in range(len(made.blocks))]
    assert [b.first.convolution.dilation[-1] for b in made.blocks] == dilations
    assert dilations[-1] >= positions
    x = torch.randn(1, positions, 5, requires_grad=True)
    made(x, torch.zeros(1), torch.zeros(1, dtype=torch.int64))[0, -1].square().sum().backward()
    assert (x.grad[0].abs().sum(1) > 0).all()


def test_weights_are_normalized():
    """Each filter is a direction times a length: only the length scales the output."""
    layer = network().blocks[0].first.convolution
    length, direction = (
        layer.parametrizations.weight.original0,
        layer.parametrizations.weight.original1,
    )
    norms = layer.weight.flatten(1).norm(dim=1)
    assert torch.allclose(norms, length.flatten().abs(), atol=1e-5)
    before = layer.weight.clone()
    with torch.no_grad():
        direction *= 3
    assert torch.allclose(layer.weight, before, atol=1e-5)
