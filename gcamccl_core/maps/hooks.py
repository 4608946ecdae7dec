"""One forward pass, held open for many backward ones, that leaves the network exactly as it was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gcamccl_core.model.networks import CollaborativeNet


class TracedPass:
    """Logits, feature maps and inputs of one forward pass, and the gradients between them, each computed once.

    Attributes
    ----------
    inputs : dict of str to Tensor (n, 1, *view shape)
        Detached copies of what the network was given.
    logits : dict of str to Tensor (n, n_classes)
        y^c of each view's head.
    features : dict of str to Tensor (n, K, *layer shape)
        F^k, the output of the traced layer of each view.
    """

    def __init__(self, inputs: dict[str, Tensor]) -> None:
        self.inputs = inputs
        self.logits: dict[str, Tensor] = {}
        self.features: dict[str, Tensor] = {}
        self._guided = False
        self._relu_calls = 0
        self._known: dict[tuple[str, str, int], Tensor] = {}

    def feature_gradient(self, view: str, target: int) -> Tensor:
        """Gradient of y^c with respect to F^k, shape (n, K, *layer shape)."""
        return self._gradient("features", view, target, self.features[view])

    def guided_gradient(self, view: str, target: int) -> Tensor:
        """Gradient of y^c with respect to the input, negative parts removed at every ReLU, shape (n, *view shape)."""
        self._guided = True
        try:
            return self._gradient("guided", view, target, self.inputs[view])[:, 0]
        finally:
            self._guided = False

    def release(self) -> None:
        """Let go of the graph, so that the next batch does not find its memory taken."""
        for kept in (self.inputs, self.logits, self.features, self._known):
            kept.clear()

    def _gradient(self, kind: str, view: str, target: int, source: Tensor) -> Tensor:
        key = (kind, view, target)
        if key not in self._known:
            score = self.logits[view][:, target].sum()  # subjects do not interact in eval mode: one pass serves all
            (self._known[key],) = torch.autograd.grad(score, source, retain_graph=True)
        return self._known[key]

    def _guide(self, module: nn.Module, grad_output: Any) -> Any:
        """Pass on positive gradients alone; a ReLU's own mask commutes with that, so before it is as good as after."""
        return (torch.relu(grad_output[0]),) if self._guided else None

    def _count_relu(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self._relu_calls += 1


def choose_layers(
    net: CollaborativeNet, layers: Mapping[str, str] | None = None, views: Sequence[str] | None = None
) -> dict[str, str]:
    """Name the layer F^k of every view: the one asked for, or ``net.default_layer(view)``.

    Raises
    ------
    ValueError
        If a view or layer does not exist; the message lists those that do.

    Examples
    --------
    >>> choose_layers(CollaborativeNet({"fc": (264, 264), "snp": (750,)}), {"snp": "conv1"})
    {'fc': 'conv3', 'snp': 'conv1'}
    """
    layers = dict(layers or {})
    views = list(net.views) if views is None else views
    for view in {**layers, **dict.fromkeys(views)}:
        if view not in net.views:
            raise ValueError(f"the network has no view '{view}'; it has {', '.join(net.views)}")
        if view in layers and layers[view] not in net.layer_names(view):
            names = ", ".join(net.layer_names(view))
            raise ValueError(f"view '{view}' has no layer '{layers[view]}'; its layers are {names}")
    return {view: layers.get(view) or net.default_layer(view) for view in views}


@contextmanager
def traced_pass(
    net: nn.Module, inputs: Mapping[str, Tensor], layers: Mapping[str, str], guided: bool = True
) -> Iterator[TracedPass]:
    """Run the network once, in eval mode, and keep its graph open for gradients inside the ``with`` block.

    Mode of every module, hooks, parameters' ``grad`` and ``requires_grad`` and the random number generators are the
    same afterwards, also after an error.

    Parameters
    ----------
    net : CollaborativeNet
        Any module with ``encoders[view]`` (named blocks) that turns a dict of inputs into a dict of logits.
    inputs : mapping of str to Tensor (n, 1, *view shape)
        Prepared inputs of every view; moved to the network's device.
    layers : mapping of str to str
        For each view to trace, the block of ``net.encoders[view]`` whose output is F^k.
    guided : bool
        Whether guided gradients will be asked for, and so every ReLU must be one that hooks can reach.

    Raises
    ------
    ValueError
        If a traced layer has a single position, or guided gradients are wanted and a ReLU is functional or in place.
    """
    parameter = next(net.parameters())
    modes = [(module, module.training) for module in net.modules()]
    devices = [parameter.device] if parameter.device.type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.callback(_restore_modes, modes)
        net.eval()
        traced = TracedPass(
            {name: x.detach().to(parameter.device, copy=True).requires_grad_() for name, x in inputs.items()}
        )
        if guided:
            for module in _find_relus(net, layers):
                stack.callback(module.register_forward_hook(traced._count_relu).remove)
                # a pre-hook: torch marks a module for good once it has had a full backward hook
                stack.callback(module.register_full_backward_pre_hook(traced._guide).remove)
        for view, layer in layers.items():
            stack.callback(_record(net, view, layer, traced.features).remove)
        stack.callback(traced.release)
        traced.logits = net(traced.inputs)
        _refuse_single_position(traced, layers)
        if guided:
            _refuse_functional_relu(traced)
        yield traced


def _restore_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        module.training = training


def _record(net: nn.Module, view: str, layer: str, features: dict[str, Tensor]) -> torch.utils.hooks.RemovableHandle:
    def keep(module: nn.Module, args: Any, output: Tensor) -> None:
        features[view] = output

    return net.get_submodule(f"encoders.{view}.{layer}").register_forward_hook(keep)


def _find_relus(net: nn.Module, layers: Mapping[str, str]) -> list[nn.Module]:
    """All ReLU modules of the network, if guided backpropagation can be done with them."""
    for view in layers:
        if not any(isinstance(module, nn.ReLU) for module in net.get_submodule(f"encoders.{view}").modules()):
            raise ValueError(
                f"the encoder of view '{view}' has no nn.ReLU module, so guided backpropagation would be a plain "
                "gradient; build it with nn.ReLU modules instead of functional calls"
            )
    in_place = [name for name, module in net.named_modules() if isinstance(module, nn.ReLU) and module.inplace]
    if in_place:
        raise ValueError(f"guided backpropagation cannot hook in-place ReLUs: {', '.join(in_place)}; set inplace=False")
    return [module for module in net.modules() if isinstance(module, nn.ReLU)]


def _refuse_single_position(traced: TracedPass, layers: Mapping[str, str]) -> None:
    for view, features in traced.features.items():
        if features[0, 0].numel() == 1:
            raise ValueError(
                f"layer '{layers[view]}' of view '{view}' has a single position, so its map would be constant; "
                "choose an earlier layer"
            )


def _refuse_functional_relu(traced: TracedPass) -> None:
    """Compare the ReLUs in the graph with those that came from modules: a functional one would escape the hooks."""
    pending = [logits.grad_fn for logits in traced.logits.values()]
    seen = set()
    while pending:
        node = pending.pop()
        if node is not None and node not in seen:
            seen.add(node)
            pending += [parent for parent, _ in node.next_functions]
    in_graph = sum("relu" in node.name().lower() for node in seen)
    if in_graph > traced._relu_calls:
        raise ValueError(
            f"{in_graph - traced._relu_calls} of the network's {in_graph} ReLUs are functional calls or variants that "
            "guided backpropagation cannot reach; use nn.ReLU modules"
        )
