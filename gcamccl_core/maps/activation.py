"""Class-specific activation maps: Grad-CAM, guided backpropagation, guided Grad-CAM, class contrast (Eq. 7 to 10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
import xarray as xr
from torch import Tensor
from tqdm.std import tqdm

from gcamccl_core.data.cohort import class_names
from gcamccl_core.maps.dataset import label_maps, write_maps
from gcamccl_core.maps.hooks import TracedPass, choose_layers, traced_pass
from gcamccl_core.model.networks import CollaborativeNet


def grad_cam(
    net: CollaborativeNet,
    inputs: Mapping[str, Tensor],
    view: str,
    target: int,
    layer: str | None = None,
    relu_gradients: bool = False,
) -> np.ndarray:
    r"""Weigh a layer's feature maps by the pooled gradients of a class's logit and upsample their sum to the input.

    .. math:: g_k^c = \mathrm{pool}\left(\partial y^c / \partial F^k\right) \;(7), \qquad
              \mathrm{map} = \mathrm{upsampling}\left(\sum_k g_k^c F^k\right) \;(8)

    or, with ``relu_gradients``, :math:`g_k^c = \mathrm{pool}(\mathrm{ReLU}(\partial y^c / \partial F^k))` (10).

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
    >>> net = CollaborativeNet({"fc": (40, 40), "snp": (80,)})
    >>> inputs = {"fc": torch.rand(2, 1, 40, 40), "snp": torch.rand(2, 1, 80)}
    >>> guided_backprop(net, inputs, view="snp", target=0).shape
    (2, 80)
    """
    return _map_one(net, inputs, view, target, layer, "guided_backprop")


def guided_grad_cam(
    net: CollaborativeNet,
    inputs: Mapping[str, Tensor],
    view: str,
    target: int,
    layer: str | None = None,
    relu_gradients: bool = True,
) -> np.ndarray:
    r"""Hadamard product of guided backpropagation and Grad-CAM, by default with the weights of Eq. 10.

    .. math:: \mathrm{map}_{guided\,gradcam} = \mathrm{map}_{guidedBP} \odot \mathrm{map}_{gradcam} \;(9)

    Parameters, shapes and errors are those of :func:`grad_cam`; ``relu_gradients=False`` takes the weights of Eq. 7.

    Examples
    --------
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
    >>> net = CollaborativeNet({"fc": (40, 40), "snp": (80,)})
    >>> inputs = {"fc": torch.rand(2, 1, 40, 40), "snp": torch.rand(2, 1, 80)}
    >>> low, high = (class_contrast(net, inputs, "fc", target) for target in (0, 1))
    >>> bool((low * high == 0).all())  # a connection speaks for one class at most
    True
    """
    return _map_one(net, inputs, view, target, layer, "class_contrast")


def _grad_cam(traced: TracedPass, view: str, target: int, relu_gradients: bool) -> Tensor:
    gradient, features = traced.feature_gradient(view, target), traced.features[view]
    if relu_gradients:
        gradient = torch.relu(gradient)
    weights = gradient.mean(dim=tuple(range(2, gradient.ndim)), keepdim=True)
    coarse = (weights * features).sum(dim=1, keepdim=True)
    size = traced.inputs[view].shape[2:]
    return F.interpolate(coarse, size=size, mode="bilinear" if len(size) == 2 else "linear", align_corners=False)[:, 0]


def _class_contrast(traced: TracedPass, view: str, target: int) -> Tensor:
    others = [c for c in range(traced.logits[view].shape[1]) if c != target]
    rest = torch.stack([traced.guided_gradient(view, c) for c in others]).mean(dim=0)
    return torch.relu(traced.guided_gradient(view, target) - rest)


_METHODS: dict[str, Callable[[TracedPass, str, int], Tensor]] = {
    "grad_cam": lambda traced, view, target: _grad_cam(traced, view, target, relu_gradients=False),
    "grad_cam_relu": lambda traced, view, target: _grad_cam(traced, view, target, relu_gradients=True),
    "guided_backprop": lambda traced, view, target: traced.guided_gradient(view, target),
    "guided_grad_cam": lambda traced, view, target: (
        traced.guided_gradient(view, target) * _grad_cam(traced, view, target, relu_gradients=True)
    ),
    "guided_grad_cam_plain": lambda traced, view, target: (
        traced.guided_gradient(view, target) * _grad_cam(traced, view, target, relu_gradients=False)
    ),
    "class_contrast": _class_contrast,
}
METHODS = ("grad_cam", "grad_cam_relu", "guided_backprop", "guided_grad_cam", "class_contrast")
_UNGUIDED = {"grad_cam", "grad_cam_relu"}


def _map_one(
    net: CollaborativeNet, inputs: Mapping[str, Tensor], view: str, target: int, layer: str | None, method: str
) -> np.ndarray:
    """One map of one view and class."""
    chosen = choose_layers(net, {view: layer} if layer else None, views=[view])
    if target not in range(net.n_classes):
        raise ValueError(f"target must be a class number from 0 to {net.n_classes - 1}, got {target!r}")
    with traced_pass(net, inputs, chosen, guided=method not in _UNGUIDED) as traced:
        return _METHODS[method](traced, view, target).detach().cpu().numpy()


def compute_maps(
    net: CollaborativeNet,
    cohort: xr.Dataset,
    methods: Sequence[str] = METHODS,
    layers: Mapping[str, str] | None = None,
    subjects: Sequence[int] | np.ndarray | None = None,
    batch_size: int = 16,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> xr.Dataset:
    """Compute the maps of all views, classes and methods, with one forward pass per batch of subjects.

    Maps are computed in eval mode, and belong on subjects that the model was not trained on: pass the positions of
    the test part. The network is left exactly as it was found.

    Parameters
    ----------
    net : CollaborativeNet
        A trained network with its scaling fitted.
    cohort : xarray.Dataset
        Holds every view of the network.
    methods : sequence of str
        Some of ``METHODS``: ``grad_cam`` (Eq. 7-8), ``grad_cam_relu`` (Eq. 10), ``guided_backprop``,
        ``guided_grad_cam`` (Eq. 9 with Eq. 10), ``class_contrast``; also ``guided_grad_cam_plain`` (Eq. 9 with Eq. 7).
    layers : mapping of str to str, optional
        Block by view, as in ``{"fc": "conv2"}``; ``net.default_layer(view)`` otherwise.
    subjects : array of int, optional
        Positions along ``subject``; every labelled subject if None.
    batch_size : int
        Subjects per forward pass.
    out : path, optional
        A netCDF file to write, whole or not at all.
    overwrite : bool
        Replace ``out`` if it is there.
    progress : bool
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        Per view float32 (subject, target_class, map_method, *view dims), beside an image ``<view>_symmetric``, the mean
        of map and transpose. Coordinates: those of the views, ``label`` (subject) and what
        the cohort knows along ``roi``. Choose a method with ``maps.sel(map_method="grad_cam")``. (Not ``method``, since
        ``sel(method=...)`` is an option of xarray's own.)

    Raises
    ------
    ValueError
        If a method, layer or subject does not exist, classes of network and cohort differ in number, or a map is
        not finite.
    FileExistsError
        If ``out`` is there and ``overwrite`` is False.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, seed=0)
    >>> net = CollaborativeNet({view: cohort[view].shape[1:] for view in ("fc", "snp")}).fit_scaling(cohort, range(30))
    >>> maps = compute_maps(net, cohort, methods=["grad_cam"], subjects=[30, 31], progress=False)
    >>> maps["snp"].dims
    ('subject', 'target_class', 'map_method', 'locus')
    """
    chosen = choose_layers(net, layers)
    positions = _check_request(net, cohort, methods, subjects, batch_size)
    if out is not None and Path(out).exists() and not overwrite:
        raise FileExistsError(f"{out} exists; choose another name or pass overwrite=True")
    shape = (len(positions), net.n_classes, len(methods))
    values = {view: np.empty((*shape, *net.views[view]), dtype=np.float32) for view in net.views}
    for start in tqdm(range(0, len(positions), batch_size), desc="activation maps", unit="batch", disable=not progress):
        batch = slice(start, start + batch_size)
        inputs = net.prepare(cohort, positions[batch])
        with traced_pass(net, inputs, chosen, guided=not _UNGUIDED.issuperset(methods)) as traced:
            for view in net.views:
                for target in range(net.n_classes):
                    for number, method in enumerate(methods):
                        found = _METHODS[method](traced, view, target)
                        values[view][batch, target, number] = found.detach().cpu().numpy()
    maps = label_maps(values, cohort.isel(subject=positions), methods, chosen)
    if out is not None:
        write_maps(maps, out, overwrite)
    return maps


def _check_request(
    net: CollaborativeNet,
    cohort: xr.Dataset,
    methods: Sequence[str],
    subjects: Sequence[int] | np.ndarray | None,
    batch_size: int,
) -> np.ndarray:
    """Positions of the subjects to map, if everything asked for exists."""
    unknown = [method for method in methods if method not in _METHODS]
    if unknown or not methods or isinstance(methods, str):
        raise ValueError(f"methods must list some of {', '.join(_METHODS)}; got {methods!r}")
    if len(class_names(cohort)) != net.n_classes:
        raise ValueError(f"the network has {net.n_classes} classes, the cohort {len(class_names(cohort))}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    positions = np.flatnonzero(cohort["label"].to_numpy() >= 0) if subjects is None else np.asarray(subjects)
    n = cohort.sizes["subject"]
    if positions.ndim != 1 or not len(positions) or not np.issubdtype(positions.dtype, np.integer):
        raise ValueError("subjects must be a list of integer positions, at least one; a boolean mask is none")
    if positions.min() < 0 or positions.max() >= n:
        raise ValueError(f"subjects must be positions from 0 to {n - 1}; got {positions.min()} to {positions.max()}")
    return positions
