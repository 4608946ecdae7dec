"""The control that every map must beat: the same network with weights that have learnt nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.pathways import PUBLISHED


def random_weights_like(
    net: CollaborativeNet, seed: int = 0, inputs: Mapping[str, Tensor] | None = None, depth: int | None = None
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
    depth : int, optional
        How many layers of every view, counted from its output, are drawn anew, see :func:`cascade`; all if None.

    Raises
    ------
    ValueError
        If ``depth`` is negative.

    Examples
    --------
    >>> net = CollaborativeNet({"snp": (80,)})
    >>> control = random_weights_like(net, seed=1)
    >>> bool((control.heads["snp"].weight == net.heads["snp"].weight).any())
    False
    """
    if depth is not None and depth < 0:
        raise ValueError(f"depth must be a number of layers from the output, at least 0, got {depth}")
    control = copy.deepcopy(net)
    with torch.random.fork_rng():
        torch.manual_seed(_apart_from_training(seed))
        for module in control.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        drawn: list[nn.Module] = []
        for view, names in cascade_layers(net).items():
            for number, name in enumerate(names):
                layer = control.layer(view, name)
                if depth is None or number < depth:
                    drawn.append(layer)
                else:  # given back after the draw, so that a layer's new weights do not depend on the depth
                    layer.load_state_dict(net.layer(view, name).state_dict())
        if control.combine == "confidence" and all(
            depth is None or depth >= len(n) for n in cascade_layers(net).values()
        ):
            control.confidence.fill_(1)  # learnt from labels, like the weights
            control.offset.zero_()
        if inputs is not None:
            _measure_batch_norm(control, drawn, inputs)
    return control.eval()


def cascade_layers(net: CollaborativeNet) -> dict[str, list[str]]:
    """Name every view's layers in the order in which a cascade reaches them, from output to input.

    Parameters
    ----------
    net : CollaborativeNet

    Returns
    -------
    dict of str to list of str
        By view: its pathways beside the ConvNet, then ``"head"``, then the blocks, last to first.

    Examples
    --------
    >>> cascade_layers(CollaborativeNet({"fc": (40, 40), "snp": (80,)}))
    {'fc': ['head', 'conv4', 'conv3', 'conv2', 'conv1'], 'snp': ['head', 'conv3', 'conv2', 'conv1']}
    """
    return {
        view: [
            *(name for name in net.pathway_names[view] if name not in PUBLISHED),
            *(["head", *reversed(net.layer_names(view))] if view in net.encoders else ()),
        ]
        for view in net.views
    }


def cascade(
    net: CollaborativeNet, seed: int = 0, inputs: Mapping[str, Tensor] | None = None
) -> Iterator[CollaborativeNet]:
    """Copy a network again and again, each time with one more layer of every view drawn anew (Adebayo et al. 2018).

    The order is that of :func:`cascade_layers`; a view whose layers are used up stays random throughout while a
    deeper one goes on. A layer once drawn keeps its new weights to the end, where the copy equals
    :func:`random_weights_like`.

    Batch norm before the first new layer of its view keeps mean and variance, since what reaches it has not changed.
    From there on everything downstream is new, and measured on ``inputs``, behind kept layers that normalise as they
    do when maps are computed. (Dropout acts meanwhile, as it did when the trained network's were measured.)

    Parameters
    ----------
    net, seed, inputs
        As in :func:`random_weights_like`.

    Yields
    ------
    CollaborativeNet
        In eval mode: first an untouched copy, last one with nothing learnt.

    Examples
    --------
    >>> net = CollaborativeNet({"snp": (80,)})
    >>> [bool((each.heads["snp"].weight == net.heads["snp"].weight).all()) for each in cascade(net)]
    [True, False, False, False, False]
    >>> [torch.equal(each.encoders["snp"].conv2.conv.weight, net.encoders["snp"].conv2.conv.weight)
    ...  for each in cascade(net)]
    [True, True, True, False, False]
    """
    for depth in range(1 + max(map(len, cascade_layers(net).values()))):
        yield random_weights_like(net, seed, inputs, depth)


def _apart_from_training(seed: int) -> int:
    """Another seed for each: the same one would draw again some of the weights that training with it began from."""
    return int(np.random.SeedSequence([seed, len("random weights")]).generate_state(1)[0])


def _measure_batch_norm(control: CollaborativeNet, drawn: Sequence[nn.Module], inputs: Mapping[str, Tensor]) -> None:
    """Let batch norm in the layers drawn anew take mean and variance from the inputs; elsewhere it keeps its own."""
    new = {part for layer in drawn for part in layer.modules()}
    control.train()
    momenta = {}
    for norm in control.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.train(norm in new)
            momenta[norm] = norm.momentum
            norm.momentum = None  # the average over all that is seen, which is these inputs
    with torch.no_grad():
        control(inputs)
    for norm, momentum in momenta.items():
        norm.momentum = momentum
