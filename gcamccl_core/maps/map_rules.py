"""How each kind of map is computed from one forward pass that is held open (Eq. 6 to 10)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from gcamccl_core.maps.cam_head import CamHead
from gcamccl_core.maps.gradient_rules import (
    Background,
    expected_gradients_rule,
    gradient_x_input_rule,
    integrated_gradients_rule,
)
from gcamccl_core.maps.hooks import TracedPass

Rule = Callable[[TracedPass, str, int], Tensor]


def upsample(coarse: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge maps of a layer to the size of the input by (bi)linear interpolation, ``align_corners=False`` (Eq. 6, 8).

    Parameters
    ----------
    coarse : Tensor (n, *layer shape)
    size : sequence of int
        Shape of the view.

    Returns
    -------
    Tensor (n, *size)

    Examples
    --------
    >>> upsample(torch.tensor([[0.0, 1.0]]), size=[4]).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    mode = "bilinear" if len(size) == 2 else "linear"
    return F.interpolate(coarse[:, None], size=tuple(size), mode=mode, align_corners=False)[:, 0]


def grad_cam_rule(traced: TracedPass, view: str, target: int, relu_gradients: bool) -> Tensor:
    """Grad-CAM with the weights of Eq. 7, or with ``relu_gradients`` those of Eq. 10: shape (n, *view shape)."""
    gradient, features = traced.feature_gradient(view, target), traced.features[view]
    if relu_gradients:
        gradient = torch.relu(gradient)
    weights = gradient.mean(dim=tuple(range(2, gradient.ndim)), keepdim=True)
    return upsample((weights * features).sum(dim=1), traced.inputs[view].shape[2:])


def coarse_cam(traced: TracedPass, view: str, target: int, head: CamHead) -> Tensor:
    """Sum of the feature maps weighed by a retrained head's w_k^c, not upsampled yet: shape (n, *layer shape).

    Its mean over the positions is S^c of Eq. 5.
    """
    features = traced.features[view]
    weights = torch.as_tensor(head.weights_of(view, features.shape[1])[target]).to(features)
    return torch.einsum("k,nk...->n...", weights, features)


def cam_rule(traced: TracedPass, view: str, target: int, head: CamHead) -> Tensor:
    """Class activation mapping (Eq. 6): shape (n, *view shape)."""
    return upsample(coarse_cam(traced, view, target, head), traced.inputs[view].shape[2:])


def guided_grad_cam_rule(traced: TracedPass, view: str, target: int, relu_gradients: bool) -> Tensor:
    """Hadamard product of guided backpropagation and Grad-CAM (Eq. 9): shape (n, *view shape)."""
    return traced.guided_gradient(view, target) * grad_cam_rule(traced, view, target, relu_gradients)


def class_contrast_rule(traced: TracedPass, view: str, target: int) -> Tensor:
    """Guided backpropagation of a class minus the mean of the others, positive part: shape (n, *view shape)."""
    others = [c for c in range(traced.logits[view].shape[1]) if c != target]
    rest = torch.stack([traced.guided_gradient(view, c) for c in others]).mean(dim=0)
    return torch.relu(traced.guided_gradient(view, target) - rest)


_RULES: dict[str, Rule] = {
    "grad_cam": partial(grad_cam_rule, relu_gradients=False),
    "grad_cam_relu": partial(grad_cam_rule, relu_gradients=True),
    "guided_backprop": TracedPass.guided_gradient,
    "guided_grad_cam": partial(guided_grad_cam_rule, relu_gradients=True),
    "guided_grad_cam_plain": partial(guided_grad_cam_rule, relu_gradients=False),
    "class_contrast": class_contrast_rule,
    "deconvnet": TracedPass.deconvnet_gradient,
    "gradient": TracedPass.input_gradient,
    "gradient_x_input": gradient_x_input_rule,
}
_BACKGROUND_RULES: dict[str, Callable[..., Tensor]] = {
    "integrated_gradients": integrated_gradients_rule,
    "expected_gradients": expected_gradients_rule,
}
KNOWN = (*_RULES, *_BACKGROUND_RULES, "cam")
_WITHOUT_RELU_RULES = {"grad_cam", "grad_cam_relu", "gradient", "gradient_x_input", *_BACKGROUND_RULES, "cam"}


def choose_rules(
    methods: Sequence[str], head: CamHead | None = None, background: Background | None = None
) -> dict[str, Rule]:
    """Find how to compute each of some methods.

    Parameters
    ----------
    methods : sequence of str
        Some of ``KNOWN``.
    head : CamHead, optional
        Needed for ``cam``.
    background : Background, optional
        Needed for ``integrated_gradients`` and ``expected_gradients``.

    Returns
    -------
    dict of str to callable
        By method, a function of an open pass, a view and a class number that gives a Tensor (n, *view shape).

    Raises
    ------
    ValueError
        If a method is unknown, or wanted without the head or background that it needs.

    Examples
    --------
    >>> list(choose_rules(["deconvnet", "grad_cam"]))
    ['deconvnet', 'grad_cam']
    """
    unknown = [method for method in methods if method not in KNOWN]
    if unknown or not methods or isinstance(methods, str):
        raise ValueError(f"methods must list some of {', '.join(KNOWN)}; got {methods!r}")
    rules = dict(_RULES)
    if head is not None:
        rules["cam"] = partial(cam_rule, head=head)
    elif "cam" in methods:
        raise ValueError(
            "method 'cam' weighs feature maps by a retrained classifier (Eq. 5); call "
            "retrain_cam_head(net, cohort, split) and pass what it gives as cam_head"
        )
    if background is not None:
        rules |= {method: partial(rule, background=background) for method, rule in _BACKGROUND_RULES.items()}
    elif needs_background(methods):
        wanted = next(method for method in methods if method in _BACKGROUND_RULES)
        raise ValueError(
            f"method '{wanted}' compares every subject with training subjects; pass their positions as background, "
            "as in background=split.train"
        )
    return {method: rules[method] for method in methods}


def needs_background(methods: Sequence[str]) -> bool:
    """Whether any of the methods compares a subject with training subjects.

    Examples
    --------
    >>> needs_background(["gradient", "grad_cam"]), needs_background(["gradient", "expected_gradients"])
    (False, True)
    """
    return not _BACKGROUND_RULES.keys().isdisjoint(methods)


def needs_relu_rules(methods: Sequence[str]) -> bool:
    """Whether any of the methods changes what a ReLU passes back, so that the pass must be opened as ``guided``.

    Examples
    --------
    >>> needs_relu_rules(["grad_cam", "cam"]), needs_relu_rules(["grad_cam", "deconvnet"])
    (False, True)
    """
    return not _WITHOUT_RELU_RULES.issuperset(methods)
