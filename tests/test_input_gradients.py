"""Gradients by blocks of pixels are autograd's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gcamccl_core.maps.input_gradients import input_gradient, quick_input_gradients


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 7), st.integers(1, 5), st.integers(1, 5))
def test_equals_autograd_for_any_size(side, kernel, padding, channels, block):
    padding = min(padding, kernel - 1)
    if side + 2 * padding < kernel:
        return
    torch.manual_seed(side)
    conv = nn.Conv2d(1, channels, kernel, padding=padding).double()
    x = torch.rand(2, 1, side, side, dtype=torch.float64, requires_grad=True)
    z = conv(x)
    (expected,) = torch.autograd.grad(z.square().sum(), x)
    found = input_gradient(2 * z, conv.weight, padding, block)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(1, 3, 5, padding=2),
        nn.Conv2d(1, 3, 5, padding=2, stride=2),
        nn.Conv2d(1, 3, 5, padding="same"),
        nn.Conv2d(1, 3, 5, padding=6),
        nn.Conv2d(1, 3, (1, 5)),
        nn.Conv2d(1, 3, 3, dilation=2),
        nn.Conv2d(1, 3, 3, padding=1, padding_mode="circular"),
    ],
)
def test_networks_say_the_same_and_send_the_same_back(conv):
    net = nn.Sequential(conv, nn.ReLU(), nn.Conv2d(3, 2, 3))
    x = torch.rand(2, 1, 12, 12, requires_grad=True)
    plain = net(x)
    (expected,) = torch.autograd.grad(plain.square().sum(), x)
    with quick_input_gradients(net):
        quick = net(x)
    (found,) = torch.autograd.grad(quick.square().sum(), x)
    assert torch.equal(plain, quick)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not any(module._forward_hooks for module in net.modules())


def test_only_convolutions_of_one_channel_are_taken_and_only_where_a_gradient_is_wanted():
    net = nn.Sequential(nn.Conv2d(1, 3, 5, padding=2), nn.Conv2d(3, 1, 3))
    with quick_input_gradients(net):
        assert [len(module._forward_hooks) for module in net] == [1, 0]
        net(torch.rand(1, 1, 12, 12)).sum().backward()  # the input wants none: weights get theirs
    assert net[0].weight.grad is not None
