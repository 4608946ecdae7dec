"""Class-specific activation maps: CAM, Grad-CAM, deconvnet, guided backpropagation, guided Grad-CAM (Eq. 5 to 10)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from gcamccl_core.maps.cam_head import CamHead
from gcamccl_core.maps.cohort_maps import METHODS, compute_maps
from gcamccl_core.maps.hooks import choose_layers, traced_pass
from gcamccl_core.maps.map_rules import choose_rules, needs_relu_rules
from gcamccl_core.model.networks import CollaborativeNet

__all__ = [
    "METHODS",
    "cam",
    "class_contrast",
    "compute_maps",
    "deconvnet",
    "grad_cam",
    "guided_backprop",
    "guided_grad_cam",
]


def cam(
    net: CollaborativeNet,
    inputs: Mapping[str, Tensor],
    view: str,
    target: int,
    layer: str | None = None,
    *,
    head: CamHead,
) -> np.ndarray:
    r"""Weigh a layer's feature maps by a retrained classifier's weights and upsample their sum to the input (Eq. 6).

    .. math:: S^c = \sum_k w_k^c\,\mathrm{pool}\left(F^k\right) \;(5), \qquad
              \mathrm{map}_{cam} = \mathrm{upsampling}\left(\sum_k w_k^c F^k\right) \;(6)

    The head's intercept does not enter. Before it is upsampled, the mean of the map over its positions is S^c.

    Parameters
    ----------
    net, inputs, view, target
        As for :func:`grad_cam`.
    layer : str, optional
        The head's layer, also if not given.
    head : CamHead
        From :func:`.retrain_cam_head`, on this network.

    Returns
    -------
    array of shape (n, *view shape)
        Logits of the head, as computed: no ReLU on the map, no rescaling per subject. Upsampling is (bi)linear,
        ``align_corners=False``.

    Raises
    ------
    ValueError
        If view, target or layer do not exist, the layer is not the head's or has a single position.

    Examples
    --------
    >>> import torch
    >>> net = CollaborativeNet({"snp": (80,)})
    >>> head = CamHead({"snp": np.ones((2, 32))}, {"snp": np.zeros(2)}, {"snp": "conv2"}, ["low", "high"], {"snp": 1.0})
    >>> cam(net, {"snp": torch.rand(3, 1, 80)}, "snp", 1, head=head).shape
    (3, 80)
    """
    return _map_one(net, inputs, view, target, layer or head.layers.get(view), "cam", head)


def grad_cam(
    net: CollaborativeNet,
    inputs: Mapping[str, Tensor],
    view: str,
    target: int,
    layer: str | None = None,
    relu_gradients: bool = False,
) -> np.ndarray:
    r"""Weigh feature maps by the pooled gradients of a class's logit, upsample their sum to the input (Eq. 7 and 8).

    .. math:: g_k^c = \mathrm{pool}\left(\partial y^c / \partial F^k\right) \;(7), \qquad
              \mathrm{map} = \mathrm{upsampling}\left(\sum_k g_k^c F^k\right) \;(8)

    or, with ``relu_gradients``, :math:`g_k^c = \mathrm{pool}(\mathrm{ReLU}(\partial y^c / \partial F^k))` (Eq. 10).

    Parameters
    ----------
    net : CollaborativeNet
        A trained network; left exactly as it was found.
    inputs : mapping of str to Tensor (n, 1, *view shape)
        Every view's inputs as ``net.prepare`` makes them, of subjects that the model was not trained on.
    view : str
        The view to map; y^c is the logit of this view's head.
    target : int
        Number of the class c.
    layer : str, optional
        Block of ``net.encoders[view]`` whose output is F^k; ``net.default_layer(view)`` if not given.
    relu_gradients : bool
        Weights of Eq. 10 instead of Eq. 7.

    Returns
    -------
    array of shape (n, *view shape)
        As computed: no ReLU on the map, no rescaling per subject. Upsampling is (bi)linear, ``align_corners=False``.

    Raises
    ------
    ValueError
        If view, target or layer do not exist, or the layer has a single position.

    Examples
    --------
    >>> import torch
    >>> net = CollaborativeNet({"fc": (40, 40), "snp": (80,)})
    >>> inputs = {"fc": torch.rand(2, 1, 40, 40), "snp": torch.rand(2, 1, 80)}
    >>> grad_cam(net, inputs, view="fc", target=1).shape
    (2, 40, 40)
    """
    return _map_one(net, inputs, view, target, layer, "grad_cam_relu" if relu_gradients else "grad_cam")


def guided_backprop(
    net: CollaborativeNet, inputs: Mapping[str, Tensor], view: str, target: int, layer: str | None = None
) -> np.ndarray:
    """Gradient of a class's logit with respect to the input, with negative gradients removed at every ReLU.

    Parameters and errors are those of :func:`grad_cam`; ``layer`` has no influence and is there so that all map
    functions are called alike.

    Returns
    -------
    array of shape (n, *view shape)
        Logits per unit of the prepared input.

    Examples
    --------
    >>> import torch
    >>> net = CollaborativeNet({"fc": (40, 40), "snp": (80,)})
    >>> inputs = {"fc": torch.rand(2, 1, 40, 40), "snp": torch.rand(2, 1, 80)}
    >>> guided_backprop(net, inputs, view="snp", target=0).shape
    (2, 80)
    """
    return _map_one(net, inputs, view, target, layer, "guided_backprop")


def deconvnet(
    net: CollaborativeNet, inputs: Mapping[str, Tensor], view: str, target: int, layer: str | None = None
) -> np.ndarray:
    r"""Gradient of a class's logit with respect to the input, every ReLU passing back what is positive, and only that.

    .. math:: \frac{\partial y^c}{\partial z} \;\leftarrow\;
              \mathrm{ReLU}\left(\frac{\partial y^c}{\partial\,\mathrm{ReLU}(z)}\right)

    Whether z itself was positive does not count, which sets it apart from :func:`guided_backprop`. Zeiler and Fergus
    (2014); the paper names it beside guided backpropagation (section II-C) and gives no equation. Max pooling passes
    gradients back to where its maxima were. Parameters and errors are those of :func:`guided_backprop`.

    Returns
    -------
    array of shape (n, *view shape)
        Logits per unit of the prepared input.

    Examples
    --------
    >>> import torch
    >>> net = CollaborativeNet({"fc": (40, 40), "snp": (80,)})
    >>> inputs = {"fc": torch.rand(2, 1, 40, 40), "snp": torch.rand(2, 1, 80)}
    >>> deconvnet(net, inputs, view="snp", target=0).shape
    (2, 80)
    """
    return _map_one(net, inputs, view, target, layer, "deconvnet")


def guided_grad_cam(
    net: CollaborativeNet,
    inputs: Mapping[str, Tensor],
    view: str,
    target: int,
    layer: str | None = None,
    relu_gradients: bool = True,
) -> np.ndarray:
    r"""Hadamard product of guided backpropagation and Grad-CAM (Eq. 9), by default with the weights of Eq. 10.

    .. math:: \mathrm{map}_{guided\,gradcam} = \mathrm{map}_{guidedBP} \odot \mathrm{map}_{gradcam} \;(9)

    Parameters, shapes and errors are those of :func:`grad_cam`; ``relu_gradients=False`` takes the weights of Eq. 7.

    Examples
    --------
    >>> import torch
    >>> net = CollaborativeNet({"fc": (40, 40), "snp": (80,)})
    >>> inputs = {"fc": torch.rand(2, 1, 40, 40), "snp": torch.rand(2, 1, 80)}
    >>> product = guided_backprop(net, inputs, "fc", 1) * grad_cam(net, inputs, "fc", 1, relu_gradients=True)
    >>> bool(np.allclose(guided_grad_cam(net, inputs, "fc", 1), product))
    True
    """
    method = "guided_grad_cam" if relu_gradients else "guided_grad_cam_plain"
    return _map_one(net, inputs, view, target, layer, method)


def class_contrast(
    net: CollaborativeNet, inputs: Mapping[str, Tensor], view: str, target: int, layer: str | None = None
) -> np.ndarray:
    r"""Guided backpropagation of one class minus the mean of the other classes, in the same subject, positive part.

    .. math:: \mathrm{map}^c = \mathrm{ReLU}\left(\mathrm{map}_{guidedBP}^c
              - \tfrac{1}{C-1} \sum_{c' \neq c} \mathrm{map}_{guidedBP}^{c'}\right)

    Not in the paper: what a guided ReLU lets through for every class alike cancels. Parameters, shapes and errors are
    those of :func:`guided_backprop`.

    Examples
    --------
    >>> import torch
    >>> net = CollaborativeNet({"fc": (40, 40), "snp": (80,)})
    >>> inputs = {"fc": torch.rand(2, 1, 40, 40), "snp": torch.rand(2, 1, 80)}
    >>> low, high = (class_contrast(net, inputs, "fc", target) for target in (0, 1))
    >>> bool((low * high == 0).all())  # a connection speaks for one class at most
    True
    """
    return _map_one(net, inputs, view, target, layer, "class_contrast")


def _map_one(
    net: CollaborativeNet,
    inputs: Mapping[str, Tensor],
    view: str,
    target: int,
    layer: str | None,
    method: str,
    head: CamHead | None = None,
) -> np.ndarray:
    """One map of one view and class."""
    chosen = choose_layers(net, {view: layer} if layer else None, views=[view])
    if head is not None:
        head.check(net, chosen)
    if target not in range(net.n_classes):
        raise ValueError(f"target must be a class number from 0 to {net.n_classes - 1}, got {target!r}")
    rule = choose_rules([method], head)[method]
    with traced_pass(net, inputs, chosen, guided=needs_relu_rules([method])) as traced:
        return rule(traced, view, target).detach().cpu().numpy()
