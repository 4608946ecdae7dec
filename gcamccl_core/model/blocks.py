"""Table IV of the paper as data: the blocks of each ConvNet, and how they shrink to fit a smaller view."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from itertools import count

from torch import nn

FEATURES = 64


@dataclass(frozen=True)
class Block:
    """One row of Table IV: convolution, max pooling, batch norm, ReLU and, in the middle layers, dropout."""

    channels: int
    kernel: int
    pool: int = 1
    padding: int = 0
    dropout: bool = False


TABLE_IV = {  # by number of dimensions: images, then vectors; the last block spans whatever extent is left
    2: (Block(16, 7, 2, 3), Block(32, 5, 4, 2, dropout=True), Block(32, 3, 3, 1, dropout=True)),
    1: (Block(16, 31, 6), Block(32, 31, 6, dropout=True)),
}

LAYERS = {2: (nn.Conv2d, nn.MaxPool2d, nn.BatchNorm2d), 1: (nn.Conv1d, nn.MaxPool1d, nn.BatchNorm1d)}


def build_encoder(view: str, shape: tuple[int, ...], dropout: float) -> nn.Sequential:
    """Build one view's blocks, ``conv1`` and on, of ``conv``, ``pool``, ``norm``, ``relu`` and ``dropout`` each.

    Parameters
    ----------
    view : str
        Name of the view, for the error.
    shape : tuple of int
        ``(side, side)`` for an image, ``(length,)`` for a vector.
    dropout : float
        Share of the activations dropped in the middle layers.

    Raises
    ------
    ValueError
        If the shape is of neither form, or smaller than the smallest possible size, which it names.

    Examples
    --------
    >>> [name for name, _ in build_encoder("fc", (264, 264), dropout=0.2).named_children()]
    ['conv1', 'conv2', 'conv3', 'conv4']
    """
    encoder, channels = nn.Sequential(), 1
    for number, block in enumerate(_plan_view(view, shape), start=1):
        encoder.add_module(f"conv{number}", _build_block(block, channels, len(shape), dropout))
        channels = block.channels
    return encoder


def check_view(name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError if no network can have a view of this name or shape."""
    if not name.isidentifier() or hasattr(nn.ModuleDict, name):
        raise ValueError(
            f"view {name!r} needs a name of letters, digits and underscores that torch does not use itself"
        )
    if len(shape) not in TABLE_IV or len(set(shape)) != 1:
        raise ValueError(f"view '{name}' has shape {shape}; expected (side, side) or (length,)")


def _plan_view(name: str, shape: tuple[int, ...]) -> list[Block]:
    """Blocks of one view, or an error that says the smallest size possible."""
    check_view(name, shape)
    blocks = _shrink_to_fit(len(shape), shape[0])
    if blocks is None:
        smallest = next(size for size in count(1) if _shrink_to_fit(len(shape), size))
        raise ValueError(f"view '{name}' of size {shape[0]} is too small; the smallest possible size is {smallest}")
    return blocks


def _shrink_to_fit(dimensions: int, extent: int) -> list[Block] | None:
    """Table IV's blocks with kernels and pools no larger than fits twice side by side; None if not even 1 does."""
    blocks = []
    for block in TABLE_IV[dimensions]:
        if block.padding:  # the kernel stays odd, so that padding keeps the extent
            padding = min(block.padding, (extent - 2) // 2)
            kernel = 2 * padding + 1
        else:
            padding, kernel = 0, min(block.kernel, extent // 2)
        extent += 2 * padding - kernel + 1
        pool = min(block.pool, extent // 2)
        if min(kernel, pool) < 1:
            return None
        extent //= pool
        blocks.append(replace(block, kernel=kernel, padding=padding, pool=pool))
    return [*blocks, Block(FEATURES, kernel=extent)]


def _build_block(block: Block, channels: int, dimensions: int, dropout: float) -> nn.Sequential:
    """One block; pooling follows the convolution at once, so that the rest works on fewer positions."""
    conv, pool, norm = LAYERS[dimensions]
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["conv"] = conv(channels, block.channels, block.kernel, padding=block.padding)
    if block.pool > 1:
        parts["pool"] = pool(block.pool)
    parts["norm"] = norm(block.channels)
    parts["relu"] = nn.ReLU()  # a module of its own and not in place: guided backpropagation hooks it
    if block.dropout:
        parts["dropout"] = nn.Dropout(dropout)
    return nn.Sequential(parts)
