"""The U-Net, against its plain form."""

import pytest
import torch
from helpers.oracles import assert_equal_to_plain

from ecgrepro.generators.diffusion.unet import UNet

SMALL = {"widths": (8, 12, 16), "blocks": 2, "head_width": 4, "embedding": 16, "pace": False}


@pytest.mark.parametrize("widths", [(8,), (8, 12), (8, 12, 16)])
def test_outputs_and_gradients_equal_those_of_the_plain_network(widths):
    assert_equal_to_plain(UNet(5, 3, **(SMALL | {"widths": widths})), positions=20)


def test_so_they_do_with_the_pace():
    assert_equal_to_plain(UNet(5, 3, **(SMALL | {"pace": True})), positions=20)


@pytest.mark.parametrize("positions", [1, 2, 7, 12, 25])
def test_any_number_of_positions(positions):
    """Also one that halving does not divide, and none of them is lost."""
    network = UNet(5, 3, **SMALL)
    x = torch.randn(2, positions, 5)
    assert torch.count_nonzero(network(x, torch.zeros(2), torch.tensor([0, 2]))) == 0
    assert_equal_to_plain(network, positions=positions)


def test_every_position_sees_every_other():
    network = UNet(4, 2, **SMALL)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.2)
    x = torch.randn(1, 50, 4, requires_grad=True)
    network(x, torch.zeros(1), torch.zeros(1, dtype=torch.int64))[0, 0].sum().backward()
    assert (x.grad[0].abs().sum(1) > 0).all()
