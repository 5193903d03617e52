"""The layers that the networks share, against torch's own and by their invariances."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgrepro.generators.layers import (
    STEP_WIDTH,
    Attention,
    Condition,
    Convolve,
    Modulate,
    rotate,
    rotation,
    sinusoids,
)


@settings(deadline=None, max_examples=40)
@given(
    length=st.integers(1, 30),
    kernel=st.sampled_from([1, 2, 3, 5]),
    dilation=st.integers(1, 40),
    causal=st.booleans(),
)
def test_convolve_is_a_dilated_convolution(length, kernel, dilation, causal):
    """Against `conv1d`, also where the dilation reaches over the whole record."""
    causal = causal or kernel == 2  # looking both ways takes a middle
    layer = Convolve(3, 5, kernel, dilation, causal=causal)
    h = torch.randn(2, length, 3, requires_grad=True)
    reach = dilation * (kernel - 1)
    left = reach if causal else reach // 2
    padded = F.pad(h.transpose(1, 2), (left, reach - left))
    weight = layer.convolution.weight.reshape(5, 3, kernel)
    expected = F.conv1d(padded, weight, layer.convolution.bias, dilation=dilation).transpose(1, 2)
    found = layer(h)
    assert found.shape == (2, length, 5)
    assert torch.allclose(found, expected, atol=1e-5)
    inputs = (h, layer.convolution.weight, layer.convolution.bias)
    chosen = torch.randn_like(found)
    wanted = torch.autograd.grad((expected * chosen).sum(), inputs)
    got = torch.autograd.grad((found * chosen).sum(), inputs)
    for a, b in zip(got, wanted, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_causal_convolution_sees_nothing_ahead():
    layer = Convolve(2, 2, 2, 3, causal=True)
    h = torch.randn(1, 20, 2)
    changed = h.clone()
    changed[:, 10:] += 1
    assert torch.equal(layer(h)[:, :10], layer(changed)[:, :10])
    assert not torch.allclose(layer(h)[:, 10:], layer(changed)[:, 10:])


def test_modulate_is_the_layer_norm_at_first_and_scales_each_channel():
    layer = Modulate(6, 4)
    h, condition = torch.randn(3, 10, 6), torch.randn(3, 4)
    norm = F.layer_norm(h, (6,))
    assert torch.allclose(layer(h, condition), norm, atol=1e-6)
    torch.nn.init.normal_(layer.project.weight)
    scale, shift = layer.project(condition).chunk(2, dim=1)
    expected = norm * (1 + scale[:, None]) + shift[:, None]
    assert torch.allclose(layer(h, condition), expected, atol=1e-5)


def test_condition_tells_levels_and_classes_apart():
    layer = Condition(3, 16)
    level = torch.linspace(-1.5, 1.5, 100)
    assert sinusoids(level).shape == (100, STEP_WIDTH)
    found = layer(level, torch.zeros(100, dtype=torch.int64))
    assert torch.cdist(found, found).fill_diagonal_(1).min() > 1e-4
    classes = layer(torch.zeros(3), torch.arange(3))
    assert torch.cdist(classes, classes).fill_diagonal_(1).min() > 1e-2


@pytest.mark.parametrize("fused", [True, False])
def test_rotated_products_depend_on_the_distance_only(fused):
    q, k = (torch.randn(1, 1, 8).expand(1, 50, 8) for _ in range(2))
    turn = rotation(50, torch.logspace(0, -2.5, 4))
    turned_q, turned_k = (rotate(x, turn, fused=fused)[0] for x in (q, k))
    scores = turned_q @ turned_k.T
    for distance in range(-49, 50):
        diagonal = scores.diagonal(distance)
        assert torch.allclose(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4)
    assert scores[0].std() > 0.01
    assert torch.allclose(turned_q.norm(dim=1), q[0].norm(dim=1), atol=1e-5)
    assert torch.equal(turned_q[0], q[0, 0])  # position 0 is not turned


def test_attention_to_constant_content_is_the_same_at_every_shift():
    """A record shifted by whole positions is attended to alike, but for its ends."""
    layer = Attention(8, 2, 4)
    torch.nn.init.normal_(layer.out.weight)
    h = torch.randn(1, 1, 8).expand(1, 12, 8)
    out = layer(h, torch.randn(1, 4))
    assert torch.allclose(out, out[:, :1].expand_as(out), atol=1e-5)


def test_attention_begins_as_the_identity_and_a_record_is_independent_of_its_batch():
    layer = Attention(8, 2, 4)
    h, condition = torch.randn(3, 12, 8), torch.randn(3, 4)
    assert torch.equal(layer(h, condition), h)
    torch.nn.init.normal_(layer.out.weight)
    whole = layer(h, condition)
    for i in range(3):
        assert torch.allclose(
            layer(h[i : i + 1], condition[i : i + 1]), whole[i : i + 1], atol=1e-5
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotation_keeps_the_type(dtype):
    turn = rotation(5, torch.ones(2))
    for fused in (True, False):
        assert rotate(torch.randn(2, 5, 4, dtype=dtype), turn, fused=fused).dtype == dtype


def test_both_forms_of_the_rotation_agree_but_for_rounding():
    x, turn = torch.randn(3, 20, 8), rotation(20, torch.logspace(0, -2.5, 4))
    fused, plain = (rotate(x, turn, fused=fused) for fused in (True, False))
    assert torch.allclose(fused, plain, atol=1e-6)
