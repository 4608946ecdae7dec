"""One forward pass, held open for many backward ones, that leaves the network exactly as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

from gcamccl_core.data.checks import class_names
from gcamccl_core.maps.input_gradients import quick_input_gradients
from gcamccl_core.maps.relu_rules import RuledRelus
from gcamccl_core.model.networks import CollaborativeNet


class TracedPass:
    """Logits, feature maps and inputs of one forward pass, and the gradients between them, each computed once.

    Attributes
    ----------
    inputs : dict of str to Tensor (n, 1, *view shape)
        Detached copies of what the network was given.
    views : list of str
        The traced views.
    logits : dict of str to Tensor (n, n_classes)
        y^c of each view's head.
    features : dict of str to Tensor (n, K, *layer shape)
        F^k, the output of the traced layer of each view that has one.
    relus : RuledRelus
        What every ReLU passes back.
    numbers : list of int
        One per subject, to draw at random for each by itself.
    """

    def __init__(
        self, net: nn.Module, inputs: dict[str, Tensor], views: Sequence[str], numbers: Sequence[int] | None = None
    ) -> None:
        self.inputs, self.views = inputs, list(views)
        self.numbers = list(range(len(next(iter(inputs.values()))))) if numbers is None else list(numbers)
        self.logits: dict[str, Tensor] = {}
        self.features: dict[str, Tensor] = {}
        self.relus = RuledRelus()
        self._net = net
        self._known: dict[tuple[str, str, int], Tensor] = {}

    def feature_gradient(self, view: str, target: int) -> Tensor:
        """Gradient of y^c with respect to F^k, shape (n, K, *layer shape).

        Raises ValueError if the view has no ConvNet, and so no F^k.
        """
        if view not in self.features:
            raise ValueError(
                f"view '{view}' has no convolution, so it has no feature maps: choose a map of gradients at the input, "
                "such as 'gradient' or 'class_contrast'"
            )
        return self._gradient("features", view, target, self.features[view])

    def guided_gradient(self, view: str, target: int) -> Tensor:
        """Gradient of y^c with respect to the input; every ReLU passes a positive gradient where its input is positive.

        Shape (n, *view shape). Raises RuntimeError if the pass was opened without ``guided``.
        """
        return self._ruled_gradient("guided", view, target)

    def deconvnet_gradient(self, view: str, target: int) -> Tensor:
        """Gradient of y^c with respect to the input; every ReLU passes a positive gradient whatever its input was.

        Shape (n, *view shape). Raises RuntimeError if the pass was opened without ``guided``.
        """
        return self._ruled_gradient("deconvnet", view, target)

    def input_gradient(self, view: str, target: int) -> Tensor:
        """Gradient of y^c with respect to the input, as it is: shape (n, *view shape)."""
        return self._gradient("plain", view, target, self.inputs[view])[:, 0]

    def gradients_at(self, inputs: Mapping[str, Tensor]) -> dict[tuple[str, int], Tensor]:
        """Plain gradients at other inputs, by one more forward pass.

        Parameters
        ----------
        inputs : mapping of str to Tensor (n, 1, *view shape)
            Every view, on the network's device.

        Returns
        -------
        dict of tuple of str and int to Tensor (n, 1, *view shape)
            By traced view and class, the gradient of y^c with respect to that view's input.
        """
        points = {view: x.detach().requires_grad_() for view, x in inputs.items()}
        logits = self._net(points)
        return {
            (view, target): torch.autograd.grad(logits[view][:, target].sum(), points[view], retain_graph=True)[0]
            for view in self.views
            for target in range(logits[view].shape[1])
        }

    def once(
        self, kind: str, view: str, target: int, compute: Callable[[], Mapping[tuple[str, int], Tensor]]
    ) -> Tensor:
        """Look up a result of ``compute``, which gives those of all traced views and classes and is called once."""
        if (kind, view, target) not in self._known:
            self._known |= {(kind, *key): found for key, found in compute().items()}
        return self._known[kind, view, target]

    def release(self) -> None:
        """Let go of the graph, so that the next batch does not find its memory taken."""
        for kept in (self.inputs, self.logits, self.features, self._known):
            kept.clear()

    def _ruled_gradient(self, rule: str, view: str, target: int) -> Tensor:
        with self.relus.following(rule):
            return self._gradient(rule, view, target, self.inputs[view])[:, 0]

    def _gradient(self, kind: str, view: str, target: int, source: Tensor) -> Tensor:
        key = (kind, view, target)
        if key not in self._known:
            score = self.logits[view][:, target].sum()  # subjects do not interact in eval mode: one pass serves all
            (self._known[key],) = torch.autograd.grad(score, source, retain_graph=True)
        return self._known[key]


def check_classes(net: CollaborativeNet, cohort: xr.Dataset) -> None:
    """Raise ValueError if the cohort's classes are not those that the network was trained on, in their order."""
    names = class_names(cohort)
    if len(names) != net.n_classes:
        raise ValueError(f"the network has {net.n_classes} classes, the cohort {len(names)}")
    if net.classes is not None and names != net.classes:
        raise ValueError(
            f"the network's classes are {', '.join(net.classes)}, the cohort's {', '.join(names)}: number and name "
            "them alike, in label and in label.attrs['classes'] (GCAMCCLClassifier.to_cohort makes a cohort that fits)"
        )


def choose_layers(
    net: CollaborativeNet, layers: Mapping[str, str | None] | None = None, views: Sequence[str] | None = None
) -> dict[str, str | None]:
    """Name the layer F^k of every view: the one asked for, or ``net.default_layer(view)``; None without a ConvNet.

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
            names = ", ".join(net.layer_names(view)) or "none, since it has no convolution"
            raise ValueError(f"view '{view}' has no layer '{layers[view]}'; its layers are {names}")
    return {view: layers.get(view) or (net.default_layer(view) if net.layer_names(view) else None) for view in views}


@contextmanager
def traced_pass(
    net: nn.Module,
    inputs: Mapping[str, Tensor],
    layers: Mapping[str, str | None],
    guided: bool = True,
    numbers: Sequence[int] | None = None,
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
    layers : mapping of str to str or None
        For each view to trace, the block of ``net.encoders[view]`` whose output is F^k; None if it has no ConvNet.
    guided : bool
        Whether guided or deconvnet gradients will be asked for, and so every ReLU must be one that hooks can reach.
    numbers : sequence of int, optional
        Number of each subject, which decides what is drawn at random for it; 0 to n - 1 if not given.

    Raises
    ------
    ValueError
        If a traced layer has a single position, or guided gradients are wanted and a ReLU is functional or in place.
    """
    parameter = next(net.parameters())
    devices = [parameter.device] if parameter.device.type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(eval_mode(net))
        stack.enter_context(quick_input_gradients(net))
        copies = {name: x.detach().to(parameter.device, copy=True).requires_grad_() for name, x in inputs.items()}
        traced = TracedPass(net, copies, list(layers), numbers)
        if guided:
            stack.enter_context(traced.relus.attached(net, [view for view, layer in layers.items() if layer]))
        stack.callback(traced.release)
        with ExitStack() as recording:  # of this pass alone: F^k stays that of the inputs when gradients_at runs others
            for view, layer in layers.items():
                if layer is None:
                    continue
                recording.callback(_record(net, view, layer, traced.features).remove)
            traced.logits = net(traced.inputs)
        _refuse_single_position(traced, layers)
        if guided:
            traced.relus.refuse_others(traced.logits.values())
        yield traced


@contextmanager
def eval_mode(net: nn.Module) -> Iterator[None]:
    """Put the network in eval mode inside the ``with`` block; every module's own mode comes back, also after an error.

    Examples
    --------
    >>> net = nn.Dropout()
    >>> with eval_mode(net):
    ...     net.training
    False
    >>> net.training
    True
    """
    modes = [(module, module.training) for module in net.modules()]
    try:
        net.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def _record(net: nn.Module, view: str, layer: str, features: dict[str, Tensor]) -> torch.utils.hooks.RemovableHandle:
    def keep(module: nn.Module, args: Any, output: Tensor) -> None:
        features[view] = output

    return net.get_submodule(f"encoders.{view}.{layer}").register_forward_hook(keep)


def _refuse_single_position(traced: TracedPass, layers: Mapping[str, str | None]) -> None:
    for view, features in traced.features.items():
        if features[0, 0].numel() == 1:
            raise ValueError(
                f"layer '{layers[view]}' of view '{view}' has a single position, so its map would be constant; "
                "choose an earlier layer"
            )
