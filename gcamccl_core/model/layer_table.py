"""Table IV of any network, read off as a subject passes through it."""

from __future__ import annotations

import copy
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn

from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.pathways import BlockPathway, RowPathway


def describe(net: CollaborativeNet) -> pd.DataFrame:
    """Table IV of any network, read off while one subject of zeros passes through it.

    Parameters
    ----------
    net : CollaborativeNet
        Left as it was.

    Returns
    -------
    pandas.DataFrame
        One row per block and one per classifier: ``view``, ``layer``, ``input_shape`` and ``output_shape`` (tuples that
        start with ``"b"``, the batch size), ``operation`` (K kernel, P padding, MP max pooling) and ``parameters``.

    Examples
    --------
    >>> table = describe(CollaborativeNet({"snp": (750,)}))
    >>> print(table[["layer", "input_shape", "operation", "parameters"]].to_string(index=False))
    layer  input_shape     operation  parameters
    conv1  (b, 1, 750) K, MP = 31, 6         544
    conv2 (b, 16, 120) K, MP = 31, 6       15968
    conv3  (b, 32, 15)        K = 15       30912
     head      (b, 64)        linear         130
    """
    probe = copy.deepcopy(net).eval()
    rows: list[dict[str, object]] = []

    def note(view: str, layer: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        rows.append(
            {
                "view": view,
                "layer": layer,
                "input_shape": ("b", *inputs[0].shape[1:]),
                "operation": _operation(module),
                "output_shape": ("b", *output.shape[1:]),
                "parameters": sum(parameter.numel() for parameter in module.parameters()),
            }
        )

    for view in probe.views:
        blocks = [*probe.encoders[view].named_children(), ("head", probe.heads[view])] if view in probe.encoders else []
        paths = probe.beside(view).items()
        for layer, module in [*blocks, *paths]:
            module.register_forward_hook(partial(note, view, layer))
    device = next(probe.parameters()).device
    with torch.no_grad():
        probe({view: torch.zeros(1, 1, *shape, device=device) for view, shape in probe.views.items()})
    return pd.DataFrame(rows)


def _operation(module: nn.Module) -> str:
    """Write a block in the notation of Table IV."""
    if isinstance(module, RowPathway | BlockPathway):
        return "rows" if isinstance(module, RowPathway) else "blocks"
    if not isinstance(module, nn.Sequential):
        return "linear"
    sizes: dict[str, int] = {}
    for part in module:
        if isinstance(part, nn.Conv1d | nn.Conv2d):
            sizes |= {"K": part.kernel_size[0], "P": int(part.padding[0])}
        elif isinstance(part, nn.MaxPool1d | nn.MaxPool2d):
            sizes |= {"MP": int(part.kernel_size)}  # type: ignore[arg-type]  # one number, as blocks.py gives it
    used = {name: size for name, size in sizes.items() if size}
    return f"{', '.join(used)} = {', '.join(map(str, used.values()))}"
