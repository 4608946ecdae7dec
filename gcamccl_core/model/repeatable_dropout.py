"""Dropout whose masks are worked out from numbers alone: no generator to keep, none to share between networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BITS = 31  # of a hash that are compared with the share to drop; the sign is left out


class RepeatableDropout(nn.Module):
    r"""Drop a share of the activations of several networks that lie side by side along the channels.

    Whether activation j of network k is kept at a step depends on the network's seed, the step, this layer and j alone:

    .. math:: \frac{h(h(h(\mathrm{seed}_k, \mathrm{layer}), \mathrm{step}), j)}{2^{31}} \geq p

    with h the finaliser of MurmurHash3. So a network trained among others is the one trained by itself, on a CPU or on
    a GPU.

    Parameters
    ----------
    share : float
        p, from 0 to below 1.
    seeds : sequence of int
        One per network.
    layer : int
        Number of the layer.

    Examples
    --------
    >>> dropout = RepeatableDropout(0.5, seeds=[7, 8], layer=0)
    >>> alone = RepeatableDropout(0.5, seeds=[8], layer=0)
    >>> both = dropout(torch.ones(4, 6, 10))  # of either network three channels
    >>> torch.equal(both[:, 3:], alone(torch.ones(4, 3, 10)))
    True
    """

    keys: Tensor
    step: Tensor

    def __init__(self, share: float, seeds: list[int], layer: int) -> None:
        super().__init__()
        self.share = share
        folded = torch.tensor([(seed ^ (seed >> 32)) & 0xFFFFFFFF for seed in seeds], dtype=torch.int64)
        low = torch.where(folded >= 2**31, folded - 2**32, folded).to(torch.int32)
        self.register_buffer("keys", mix(mix(low + 1) + layer), persistent=False)
        self.register_buffer("step", torch.zeros((), dtype=torch.int32), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Drop and scale up what is kept while training, shape (n, networks * channels, ...); hand on otherwise."""
        if not self.training or not self.share:
            return values
        n, width, *extent = values.shape
        # a network's own positions, in the order of subject, channel and place
        position = torch.arange(n * width // len(self.keys) * _product(extent), dtype=torch.int32, device=values.device)
        hashed = mix(mix(self.keys + self.step)[:, None] ^ mix(position)[None, :])
        kept = (hashed & (2**BITS - 1)) >= int(self.share * 2**BITS)
        kept = kept.view(len(self.keys), n, width // len(self.keys), *extent).transpose(0, 1).reshape(values.shape)
        return values * kept / (1 - self.share)


def mix(numbers: Tensor) -> Tensor:
    """Scatter 32-bit integers so that near ones end far apart: the finaliser of MurmurHash3, a bijection.

    Parameters
    ----------
    numbers : Tensor of int32
        Products wrap around, as those of unsigned numbers do.

    Examples
    --------
    >>> mix(torch.tensor([1, 2], dtype=torch.int32)).tolist()
    [1364076727, 821347078]
    """
    numbers = (numbers ^ ((numbers >> 16) & 0xFFFF)) * _signed(0x85EBCA6B)
    numbers = (numbers ^ ((numbers >> 13) & 0x7FFFF)) * _signed(0xC2B2AE35)
    return numbers ^ ((numbers >> 16) & 0xFFFF)


def _signed(number: int) -> int:
    return number - 2**32 if number >= 2**31 else number


def _product(sizes: list[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product
