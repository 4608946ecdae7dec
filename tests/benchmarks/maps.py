"""Activation maps of everybody, 3 methods x 2 classes x 2 views, against Captum in batches and subject by subject."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
import xarray as xr
from captum.attr import GuidedBackprop, GuidedGradCam, LayerAttribution, LayerGradCam
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.model.networks import CollaborativeNet

from .data import PAPER, network, study
from .goals import goal_of
from .machine import matrix_rate
from .timing import alternate, compare, share_of_limit

METHODS = ("grad_cam", "guided_backprop", "guided_grad_cam_plain")  # Eq. 9 with Eq. 7, which Captum has
OURS, BATCHED, THRIFTY, SINGLE = "ours", "Captum in batches", "Captum, parts used twice", "Captum, subject by subject"
BATCH_SIZES = (4, 8, 16, 32, 64)
TRIED = 32  # subjects that the best batch size is found on
Branches = Mapping[str, tuple[nn.Module, nn.Module]]  # by view: logits as a function of the input, and the layer F^k


class Branch(nn.Module):
    """What Captum needs: the logits of one view as a function of that view's input."""

    def __init__(self, net: CollaborativeNet, view: str) -> None:
        super().__init__()
        self.encoder, self.head = net.encoders[view], net.heads[view]

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.encoder(values).flatten(1))


def own_branches(net: CollaborativeNet) -> dict[str, tuple[nn.Module, nn.Module]]:
    """Give our network to Captum, in our memory format."""
    return {view: (Branch(net, view).eval(), net.layer(view, net.default_layer(view))) for view in net.views}


def captum_maps(
    branches: Branches,
    net: CollaborativeNet,
    cohort: xr.Dataset,
    subjects: Sequence[int] | np.ndarray,
    batch_size: int,
    thrifty: bool = False,
) -> dict[str, np.ndarray]:
    """Compute the same maps by Captum's classes, one call per view, class, method and batch.

    Captum's ``GuidedGradCam`` sets a negative Grad-CAM to zero, and works out both of its parts again. ``thrifty``
    multiplies the maps that are there instead, which is Eq. 9 as ours, and saves the third method's calls.

    Returns
    -------
    dict of str to array (n, n_classes, 3, *view shape)
        By view, methods in the order of ``METHODS``.
    """
    inputs = net.prepare(cohort, subjects)
    maps = {}
    for view, (branch, layer) in branches.items():
        grad_cam, guided, product = LayerGradCam(branch, layer), GuidedBackprop(branch), GuidedGradCam(branch, layer)
        size = tuple(inputs[view].shape[2:])
        mode = "bilinear" if len(size) == 2 else "linear"
        by_class = []
        for target in range(net.n_classes):
            batches = []
            for batch in inputs[view].split(batch_size):
                coarse = grad_cam.attribute(batch.clone(), target=target)
                found = [
                    LayerAttribution.interpolate(coarse, size, interpolate_mode=mode).detach(),
                    guided.attribute(batch.clone().requires_grad_(), target=target).detach(),
                ]
                if thrifty:
                    found.append(found[0] * found[1])
                else:
                    values = batch.clone().requires_grad_()
                    found.append(product.attribute(values, target=target, interpolate_mode=mode).detach())
                batches.append(torch.stack([each[:, 0] for each in found], dim=1))
            by_class.append(torch.cat(batches))
        maps[view] = torch.stack(by_class, dim=1).numpy()
    return maps


def measure(quick: bool = False) -> list[dict[str, object]]:
    """Time all maps of all labelled subjects.

    Returns
    -------
    list of dict
        Rows of the table of ratios.
    """
    warnings.filterwarnings("ignore", message=".*backward hooks.*")  # Captum's own remark on how it works
    cohort = study(60 if quick else 854)
    subjects = np.flatnonzero(cohort["label"].to_numpy() >= 0)
    net = network(cohort, subjects, list(PAPER)).eval()
    own = own_branches(net)
    check_agreement(net, cohort, subjects[:6])
    best = fastest_batch(own, net, cohort, subjects[: 8 if quick else TRIED])
    by_captum = partial(captum_maps, own, net, cohort, subjects)
    contestants = {
        OURS: partial(compute_maps, net, cohort, METHODS, subjects=subjects, progress=False),
        BATCHED: partial(by_captum, best),
        THRIFTY: partial(by_captum, best, thrifty=True),
        SINGLE: partial(by_captum, 1),
    }
    seconds = alternate(contestants, 1 if quick else 3, warm_up=False, label="maps")
    limit = matrix_rate("float32", 512 if quick else 3072)
    flops = count_flops(net, cohort, subjects[:4]) / 4 * len(subjects)
    reached = share_of_limit(flops / 1e9, float(seconds[OURS].median()), limit)
    what = f"all maps, 3 methods x 2 classes x 2 views, {len(subjects)} subjects"
    peers = {"maps": BATCHED, "maps_thrifty": THRIFTY, "maps_single": SINGLE}
    rows = [{"key": key, "what": what, **compare(seconds, OURS, peer)} for key, peer in peers.items()]
    for row in rows[:2]:
        row["peer"] = f"{row['peer']} (of {best}, its best size)"
    rows[0] |= {**reached, **goal_of("maps", quick)}
    return rows


def fastest_batch(branches: Branches, net: CollaborativeNet, cohort: xr.Dataset, subjects: np.ndarray) -> int:
    """Find the batch size with which Captum takes least."""
    seconds = {}
    captum_maps(branches, net, cohort, subjects[:4], 4)
    for size in [size for size in BATCH_SIZES if size <= len(subjects)]:
        start = time.perf_counter()
        captum_maps(branches, net, cohort, subjects, size)
        seconds[size] = time.perf_counter() - start
    return min(seconds, key=seconds.__getitem__)


def check_agreement(net: CollaborativeNet, cohort: xr.Dataset, subjects: np.ndarray) -> None:
    """Raise AssertionError unless our maps are Captum's on the same network, the third as the product of the others."""
    ours = compute_maps(net, cohort, METHODS, subjects=subjects, progress=False)
    captums = captum_maps(own_branches(net), net, cohort, subjects, len(subjects), thrifty=True)
    for view in net.views:
        for number, method in enumerate(METHODS):
            mine, theirs = ours[view].to_numpy()[:, :, number], captums[view][:, :, number]
            reach = 1e-4 * np.abs(theirs).max()
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=reach, err_msg=f"{view}, {method}")


def count_flops(net: CollaborativeNet, cohort: xr.Dataset, subjects: np.ndarray) -> float:
    """Fewest floating-point operations for these maps: forward once, and back to the input once per class.

    A way back to an input takes as many as the way forward. What is needed to reach the feature maps is left out: it
    is below a hundredth, and part of the same way.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(net.prepare(cohort, subjects))
    return float(counter.get_total_flops()) * (1 + net.n_classes)
