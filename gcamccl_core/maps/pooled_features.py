"""Global average pooling of a layer's feature maps, and nothing of the network beyond that layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from gcamccl_core.maps.hooks import eval_mode
from gcamccl_core.model.networks import CollaborativeNet

SUBJECTS_AT_ONCE = 32


def pool_features(
    net: CollaborativeNet, inputs: Mapping[str, Tensor], layers: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Mean over the positions of every feature map of a layer (Eq. 5), in eval mode and without gradients.

    Parameters
    ----------
    net : CollaborativeNet
        Left exactly as it was found; nothing after the layers is computed.
    inputs : mapping of str to Tensor (n, 1, *view shape)
        As ``net.prepare`` makes them.
    layers : mapping of str to str
        Block by view.

    Returns
    -------
    dict of str to array of shape (n, K), float64
        By view, in the unit of the feature maps.

    Examples
    --------
    >>> net = CollaborativeNet({"snp": (80,)})
    >>> pool_features(net, {"snp": torch.rand(3, 1, 80)}, {"snp": "conv1"})["snp"].shape
    (3, 16)
    """
    pooled = {}
    device = next(net.parameters()).device
    with eval_mode(net), torch.no_grad():
        for view, layer in layers.items():
            features = inputs[view].to(device)
            for name, block in net.encoders[view].named_children():
                features = block(features)
                if name == layer:
                    break
            pooled[view] = features.flatten(2).double().mean(dim=2).cpu().numpy()
    return pooled


def pool_cohort(
    net: CollaborativeNet, cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray, layers: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Pool the feature maps of some subjects of a cohort, a few dozen at a time, as :func:`pool_features` does."""
    pieces = [pool_features(net, inputs, layers) for inputs in in_batches(net, cohort, subjects)]
    return {view: np.concatenate([piece[view] for piece in pieces]) for view in layers}


def in_batches(
    net: CollaborativeNet, cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray
) -> Iterator[dict[str, Tensor]]:
    """Prepare some subjects of a cohort for the network, a few dozen at a time, in their order."""
    positions = np.asarray(subjects)
    for start in range(0, len(positions), SUBJECTS_AT_ONCE):
        yield net.prepare(cohort, positions[start : start + SUBJECTS_AT_ONCE])
