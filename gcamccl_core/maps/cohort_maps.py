"""Activation maps of many subjects: all views, classes and methods, with one forward pass per batch."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from tqdm.std import tqdm

from gcamccl_core.data.netcdf_files import refuse_existing
from gcamccl_core.maps.cam_head import CamHead
from gcamccl_core.maps.dataset import label_maps, write_maps
from gcamccl_core.maps.gradient_rules import STEPS, Background
from gcamccl_core.maps.hooks import check_classes, choose_layers, traced_pass
from gcamccl_core.maps.map_rules import Rule, choose_rules, needs_background, needs_relu_rules
from gcamccl_core.maps.stored_maps import HELD, size_of_maps, store_maps
from gcamccl_core.model.devices import choose_device
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.pieces import available_memory, require_memory

METHODS = ("grad_cam", "grad_cam_relu", "guided_backprop", "guided_grad_cam", "class_contrast")
BATCH_SIZES = {"cpu": 16, "cuda": 128}  # a GPU waits for its launches where few subjects go at once
WITHOUT_LAYERS = ("gradient", "gradient_x_input", "class_contrast")


def default_methods(net: CollaborativeNet) -> tuple[str, ...]:
    """List the maps that a network has by default: the paper's, or of one without ConvNets those that need no layer.

    Examples
    --------
    >>> default_methods(CollaborativeNet({"snp": (80,)}, pathways={"snp": ["linear"]}))
    ('gradient', 'gradient_x_input', 'class_contrast')
    """
    return METHODS if all(net.layer_names(view) for view in net.views) else WITHOUT_LAYERS


def compute_maps(
    net: CollaborativeNet,
    cohort: xr.Dataset,
    methods: Sequence[str] | None = None,
    layers: Mapping[str, str] | None = None,
    subjects: Sequence[int] | np.ndarray | None = None,
    batch_size: int | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
    cam_head: CamHead | None = None,
    background: Sequence[int] | np.ndarray | None = None,
    steps: int = STEPS,
    seed: int = 0,
    device: str | torch.device | None = None,
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
    methods : sequence of str, optional
        :func:`.default_methods` if None. Some of ``METHODS``: ``grad_cam`` (Eq. 7, 8), ``grad_cam_relu`` (Eq. 10),
        ``guided_backprop``, ``guided_grad_cam`` (Eq. 9 with Eq. 10), ``class_contrast``; also
        ``guided_grad_cam_plain`` (Eq. 9 with Eq. 7), ``deconvnet``, ``cam`` (Eq. 6), which needs ``cam_head``, and
        the signed maps of :mod:`.gradient_rules`, which the paper does not have: ``gradient``, ``gradient_x_input``,
        and ``integrated_gradients`` and ``expected_gradients``, which need ``background``.
    layers : mapping of str to str, optional
        Block by view, as in ``{"fc": "conv2"}``; ``net.default_layer(view)`` otherwise, none without a ConvNet.
    subjects : array of int, optional
        Positions along ``subject``; every labelled subject if None.
    batch_size : int, optional
        Subjects per forward pass; 16 if None, on a GPU 128.
    out : path, optional
        A netCDF file to write, whole or not at all. Maps of more than 1 GiB are written batch by batch, and what is
        handed back has its values left in the file, see :func:`.open_maps`.
    overwrite : bool
        Replace ``out`` if it is there.
    progress : bool
        Show a progress bar.
    cam_head : CamHead, optional
        From :func:`.retrain_cam_head`, on the same layers; ``cam`` alone needs it.
    background : array of int, optional
        Positions of the training subjects, with whose mean ``integrated_gradients`` compares every subject and with
        some of whom ``expected_gradients``.
    steps : int
        Points on the way from there to the subject; each costs a forward pass, and a backward one per view and class.
    seed : int
        What ``expected_gradients`` draws; for one subject always the same, whoever else is mapped.
    device : str, optional
        Where to compute, see :func:`.choose_device`: on a GPU if there is one. The network stays where it is.

    Returns
    -------
    xarray.Dataset
        Per view float32 (subject, target_class, map_method, *view dims), beside an image ``<view>_symmetric``, the mean
        of map and transpose. Coordinates: those of the views, ``label`` (subject) and what
        the cohort knows along ``roi``. Choose a method with ``maps.sel(map_method="grad_cam")``. (Not ``method``, since
        ``sel(method=...)`` is an option of xarray's own.) Where a background was used, ``attrs["background"]`` tells
        its size, the steps and the seed, as JSON.

    Raises
    ------
    ValueError
        If a method, layer or subject does not exist, classes of network and cohort differ in number, ``cam`` has no
        head or one of other layers, a method lacks its ``background``, or a map is not finite.
    FileExistsError
        If ``out`` is there and ``overwrite`` is False.
    MemoryError
        If the maps do not fit into memory, and there is no ``out``.
    StorageError
        If ``out`` cannot be written.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, seed=0)
    >>> net = CollaborativeNet({view: cohort[view].shape[1:] for view in ("fc", "snp")}).fit_scaling(cohort, range(30))
    >>> maps = compute_maps(net, cohort, methods=["grad_cam"], subjects=[30, 31], progress=False)
    >>> maps["snp"].dims
    ('subject', 'target_class', 'map_method', 'locus')
    """
    methods = default_methods(net) if methods is None else methods
    place = choose_device(device)
    batch_size = BATCH_SIZES[place.type] if batch_size is None else batch_size
    net = net if next(net.parameters()).device.type == place.type else copy.deepcopy(net).to(place)
    chosen = choose_layers(net, layers)
    positions = check_request(net, cohort, subjects, batch_size)
    training = None
    if background is not None and needs_background(methods):
        training = Background(net.prepare(cohort, check_positions("background", background, cohort)), steps, seed)
    rules = choose_rules(methods, cam_head, training)
    if "cam" in rules and cam_head is not None:
        cam_head.check(net, chosen)
    if out is not None:
        refuse_existing(out, overwrite)
    batches = _map_batches(net, cohort, _divide(positions, batch_size, progress), methods, rules, chosen)
    mapped, size = cohort.isel(subject=positions), size_of_maps(net.views, len(positions), net.n_classes, len(methods))
    notes = {"subjects": 0 if training is None else training.size, "steps": steps, "seed": seed}
    attrs = {} if training is None else {"background": json.dumps(notes)}
    if out is not None and size > min(HELD, available_memory()):
        return store_maps(batches, mapped, methods, chosen, attrs, out, overwrite)
    require_memory(size, f"the maps of {len(positions)} subjects", "pass out='maps.nc', and they are written to disk")
    shape = (len(positions), net.n_classes, len(methods))
    values = {view: np.empty((*shape, *net.views[view]), dtype=np.float32) for view in net.views}
    for batch, found in batches:
        for view, array in found.items():
            values[view][batch] = array
    maps = label_maps(values, mapped, methods, chosen).assign_attrs(attrs)
    if out is not None:
        write_maps(maps, out, overwrite)
    return maps


def _divide(positions: np.ndarray, batch_size: int, progress: bool) -> Iterator[np.ndarray]:
    starts = range(0, len(positions), batch_size)
    for start in tqdm(starts, desc="activation maps", unit="batch", disable=not progress):
        yield positions[start : start + batch_size]


def _map_batches(
    net: CollaborativeNet,
    cohort: xr.Dataset,
    batches: Iterable[np.ndarray],
    methods: Sequence[str],
    rules: Mapping[str, Rule],
    layers: Mapping[str, str | None],
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Map a batch of subjects after the other; hand out their places among all that are mapped, and maps by view."""
    done = 0
    for positions in batches:
        shape = (len(positions), net.n_classes, len(methods))
        values = {view: np.empty((*shape, *net.views[view]), dtype=np.float32) for view in net.views}
        inputs, guided = net.prepare(cohort, positions), needs_relu_rules(methods)
        with traced_pass(net, inputs, layers, guided=guided, numbers=positions.tolist()) as traced:
            for view, array in values.items():
                for target in range(net.n_classes):
                    for number, method in enumerate(methods):
                        array[:, target, number] = rules[method](traced, view, target).detach().cpu().numpy()
        yield slice(done, done + len(positions)), values
        done += len(positions)


def check_request(
    net: CollaborativeNet,
    cohort: xr.Dataset,
    subjects: Sequence[int] | np.ndarray | None,
    batch_size: int,
) -> np.ndarray:
    """Positions of the subjects to map, if everything asked for exists."""
    check_classes(net, cohort)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    labelled = np.flatnonzero(cohort["label"].to_numpy() >= 0)
    return check_positions("subjects", labelled if subjects is None else subjects, cohort)


def check_positions(name: str, given: Sequence[int] | np.ndarray, cohort: xr.Dataset) -> np.ndarray:
    """Positions of subjects, if they are positions of subjects."""
    positions, n = np.asarray(given), cohort.sizes["subject"]
    if positions.ndim != 1 or not len(positions) or not np.issubdtype(positions.dtype, np.integer):
        raise ValueError(f"{name} must be a list of integer positions, at least one; a boolean mask is none")
    if positions.min() < 0 or positions.max() >= n:
        raise ValueError(f"{name} must be positions from 0 to {n - 1}; got {positions.min()} to {positions.max()}")
    return positions
