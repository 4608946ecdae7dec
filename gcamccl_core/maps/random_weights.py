"""The control that every map must beat: the same network with weights that have learnt nothing."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch

from gcamccl_core.model.networks import CollaborativeNet


def random_weights_like(
    net: CollaborativeNet, seed: int = 0, inputs: Mapping[str, torch.Tensor] | None = None
) -> CollaborativeNet:
    """Copy a network and draw all its weights anew: what the maps show without anything learnt.

    Parameters
    ----------
    net : CollaborativeNet
        Left as it is; its scaling is kept, so that both networks see the same inputs.
    seed : int
        Another seed, other weights; the state of torch's generator is left alone.
    inputs : mapping of str to Tensor, optional
        Prepared training subjects, from which batch norm takes its mean and variance, so that the copy normalises like
        a trained network; without them they are 0 and 1.

    Examples
    --------
    >>> net = CollaborativeNet({"snp": (80,)})
    >>> control = random_weights_like(net, seed=1)
    >>> bool((control.heads["snp"].weight == net.heads["snp"].weight).any())
    False
    """
    control = copy.deepcopy(net)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in control.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        if inputs is not None:
            norms = [
                module for module in control.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
            ]
            momenta = [norm.momentum for norm in norms]
            for norm in norms:
                norm.momentum = None  # the average over all that is seen, which is these inputs
            with torch.no_grad():
                control.train()(inputs)
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
    return control.eval()
