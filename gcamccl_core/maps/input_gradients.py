"""Gradients at an image that enters by a single channel, which processors are slow at: by blocks of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, pixel_shuffle

BLOCK = 4  # pixels a side; with as many channels as pixels in a block, a processor's lanes are full


def input_gradient(gradient: Tensor, weight: Tensor, padding: int, block: int = BLOCK) -> Tensor:
    r"""Gradient at the single input channel of a convolution of stride 1, from that at its output.

    .. math:: \frac{\partial y}{\partial x_{ab}} = \sum_{c,u,v} w_{cuv}\,
              \frac{\partial y}{\partial z_{c,\,a + p - u,\,b + p - v}}

    is a convolution with one output channel. Here the pixels of a block are channels, whose kernels are the same but
    for where they lie in a larger one: the same sums in another order, several times as quick on a CPU.

    Parameters
    ----------
    gradient : Tensor of shape (n, channels, side, side)
        At the convolution's output z.
    weight : Tensor of shape (channels, 1, kernel, kernel)
        Its weights w.
    padding : int
        Zeros that it adds on each side, p; less than the kernel.
    block : int
        Pixels a side.

    Returns
    -------
    Tensor of shape (n, 1, side, side)

    Examples
    --------
    >>> x = torch.rand(2, 1, 9, 9, requires_grad=True)
    >>> conv = nn.Conv2d(1, 3, 5, padding=1)
    >>> z = conv(x)
    >>> (expected,) = torch.autograd.grad(z.square().sum(), x)
    >>> torch.allclose(input_gradient(2 * z, conv.weight, padding=1), expected, atol=1e-5)
    True
    """
    kernel = weight.shape[-1]
    side = gradient.shape[-1] + kernel - 1 - 2 * padding
    turned = weight[:, 0].flip(1, 2)
    kernels = weight.new_zeros(block, block, len(weight), kernel + block - 1, kernel + block - 1)
    for i in range(block):
        for j in range(block):
            kernels[i, j, :, i : i + kernel, j : j + kernel] = turned
    around, missing = kernel - 1 - padding, -side % block
    if missing:
        gradient = pad(gradient, (0, missing, 0, missing))
    blocks = conv2d(gradient, kernels.flatten(0, 1), stride=block, padding=around)
    return pixel_shuffle(blocks, block)[..., :side, :side]


@contextmanager
def quick_input_gradients(net: nn.Module) -> Iterator[None]:
    """Let gradients go back by :func:`input_gradient` through a network's convolutions of one input channel.

    For forward passes inside the ``with`` block, on a CPU, whose gradients are wanted at inputs or at layers: the
    weights of these convolutions get none. What the network says does not change.
    """
    with ExitStack() as stack:
        for module in net.modules():
            if isinstance(module, nn.Conv2d) and _is_simple(module):
                # before all other hooks, so that they see the output as it stays in the graph
                stack.callback(module.register_forward_hook(_replace, prepend=True).remove)
        yield


def _is_simple(conv: nn.Conv2d) -> bool:
    square = isinstance(conv.padding, tuple) and len({*conv.padding}) == 1 and len({*conv.kernel_size}) == 1
    plain = conv.stride == conv.dilation == (1, 1) and conv.groups == 1 and conv.padding_mode == "zeros"
    return conv.in_channels == 1 and square and plain and int(conv.padding[0]) < conv.kernel_size[0]


def _replace(module: nn.Conv2d, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
    if output.device.type != "cpu" or not args[0].requires_grad:
        return None
    return _QuickInputGradient.apply(args[0], output.detach(), module.weight.detach(), int(module.padding[0]))


class _QuickInputGradient(torch.autograd.Function):
    """Hand on an output that is there already; only the way back is ours."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, output: Tensor, weight: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.padding = padding
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,), (gradient,) = ctx.saved_tensors, gradients
        return input_gradient(gradient, weight, ctx.padding), None, None, None
