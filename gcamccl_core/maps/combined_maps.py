"""Maps made from maps: one class against the others in the same subject, and the mean over networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from gcamccl_core.data.checks import name_some
from gcamccl_core.maps.dataset import is_image, map_views, symmetric_name


def contrast_classes(maps: xr.Dataset) -> xr.Dataset:
    r"""Subtract from the map of each class the mean of the other classes' maps, in the same subject, sign kept.

    .. math:: \mathrm{contrast}^c = \mathrm{map}^c - \frac{1}{C-1} \sum_{c' \neq c} \mathrm{map}^{c'}

    With softmax outputs, only differences count: what is added to all logits alike is not seen, and of two classes the
    network knows :math:`p^c = 1 / (1 + e^{-(y^c - y^{c'})})`. The map of one logit also shows what raises both, which
    decides nothing; in the contrast it cancels, and one class's is the other's with the sign changed. (With sigmoid
    outputs every class decides by itself; the contrast then compares classes, and explains no one probability.) For
    C > 2 it is what the map of :math:`y^c - \tfrac{1}{C-1} \sum_{c' \neq c} y^{c'}` would be, wherever a map is
    linear in the logit, as those of plain gradients and Grad-CAM (Eq. 7) are.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them. Methods without negative values can be contrasted too; what they left
        out for one class does not come back.

    Returns
    -------
    xarray.Dataset
        As ``maps``, every name along ``map_method`` ending in ``_contrast``; the symmetrised maps are those of the
        contrasts. The positive part, which speaks for the class, is taken by :func:`.class_values`.

    Raises
    ------
    ValueError
        If there are fewer than two classes or no maps.

    Examples
    --------
    >>> dims = ("subject", "target_class", "map_method", "measure")
    >>> maps = xr.Dataset({"thickness": (dims, [[[[5.0, 1]], [[2.0, 4]]]], {"role": "map"})})
    >>> maps = maps.assign_coords(target_class=["low", "high"], map_method=["gradient"])
    >>> found = contrast_classes(maps).sel(map_method="gradient_contrast")
    >>> found["thickness"].sel(target_class="high").to_numpy().tolist()
    [[-3.0, 3.0]]
    """
    names = _map_variables(maps)
    n_classes = maps.sizes["target_class"]
    if n_classes < 2:
        raise ValueError(
            f"a contrast needs at least two classes, the maps have {name_some(maps['target_class'].to_numpy())} alone; "
            "contrast before you select"
        )
    result = maps.copy()
    for name in names:
        values = maps[name]
        contrast = values.to_numpy().copy()  # target_class is the second dimension
        for number in range(n_classes):
            contrast[:, number] -= values.drop_isel(target_class=number).mean("target_class").to_numpy()
        result[name] = values.copy(data=contrast)
    methods = [f"{method}_contrast" for method in maps["map_method"].to_numpy()]
    return result.assign_coords(map_method=methods)


def average_runs(runs: Sequence[xr.Dataset]) -> xr.Dataset:
    r"""Mean over networks of the maps of the same subjects, each network's maps first brought to the same scale.

    .. math:: \overline{\mathrm{map}}^c_{sf} = \frac{1}{R} \sum_{r=1}^R \frac{\mathrm{map}^c_{r,sf}}{\sigma_r}

    with :math:`\sigma_r` the standard deviation over subjects, classes and features of the map of run r, view by
    view and method by method, so that a network of large logits counts no more than another. Nothing is
    subtracted: zero stays zero, and the sign keeps its meaning. One number serves all classes, so that their sizes
    stay comparable. To average contrasts, contrast every run first: what the classes share then does not set the scale.

    Parameters
    ----------
    runs : sequence of xarray.Dataset
        As :func:`.compute_maps` makes them, of networks that differ in their first weights, say, on the same subjects.
        None of the networks may have been trained on these.

    Returns
    -------
    xarray.Dataset
        As the first of the runs, in standard deviations of a run; ``attrs["runs"]`` counts them. A symmetrised map is
        divided by the same number as the map that it belongs to, and stays its mean with its transpose. A
        constant map tells no feature from another: it is zero here, and counts among the R.

    Raises
    ------
    ValueError
        If there is no run, or runs differ in views, subjects, classes, methods, features, labels, mapped layers or the
        people that a pattern was correlated over; the message names what differs.

    Examples
    --------
    >>> dims = ("subject", "target_class", "map_method", "measure")
    >>> coords = {"target_class": ["high"], "map_method": ["gradient"], "subject": ["s1"], "measure": ["a", "b"]}
    >>> one, large = (
    ...     xr.Dataset({"thickness": (dims, [[[values]]], {"role": "map"})}, coords=coords)
    ...     for values in ([0.0, 2.0], [300.0, 100.0])
    ... )
    >>> average_runs([one, large])["thickness"].to_numpy().ravel().tolist()
    [1.5, 1.5]
    """
    if isinstance(runs, xr.Dataset) or not runs:
        raise ValueError("average_runs needs a list of datasets of maps, one per network, at least one")
    for number, run in enumerate(runs[1:], start=2):
        _refuse_difference(runs[0], run, number)
    result = runs[0].assign_attrs(runs=len(runs))
    for view in map_views(result):
        scales = [_spread_by_method(run[view]) for run in runs]
        for name in [view, symmetric_name(view)] if is_image(result, view) else [view]:
            total = xr.zeros_like(result[name])
            for run, scale in zip(runs, scales, strict=True):
                total = total + run[name] / scale
            result[name] = result[name].copy(data=(total / len(runs)).to_numpy())
    return result


def _spread_by_method(values: xr.DataArray) -> xr.DataArray:
    """Give the standard deviation of each method's maps; infinite for a constant one, so that it counts as zero."""
    spread = []
    for method in values["map_method"].to_numpy():
        of_method = values.sel(map_method=method).to_numpy()
        constant = of_method.min() == of_method.max()  # np.std may find a little in a constant
        spread.append(np.inf if constant else of_method.std(dtype=np.float64))
    return xr.DataArray(np.asarray(spread, dtype=values.dtype), dims="map_method")


def _refuse_difference(first: xr.Dataset, other: xr.Dataset, number: int) -> None:
    """Raise a ValueError that names the first thing in which a run is not like the first."""
    views, of_other = _map_variables(first), _map_variables(other)
    if views != of_other:
        raise ValueError(f"run {number} has the maps {name_some(of_other)}, run 1 has {name_some(views)}")
    for dim in dict.fromkeys(dim for name in views for dim in first[name].dims):
        one, two = first.get_index(dim), other.get_index(dim)
        if not one.equals(two):
            strangers = one.symmetric_difference(two)
            what = f"only one of them has {name_some(strangers)}" if len(strangers) else "their order differs"
            raise ValueError(
                f"run {number} differs from run 1 along '{dim}': {what}; map the same subjects, classes, methods and "
                "features with every network"
            )
    if "label" in first.coords:
        unlike = (first["label"] != other["label"]).to_numpy() if "label" in other.coords else np.ones(1, dtype=bool)
        if unlike.any():
            raise ValueError(f"run {number} differs from run 1 in 'label'; map the same cohort with every network")
    if first.attrs.get("correlated_over") != other.attrs.get("correlated_over"):
        raise ValueError(f"run {number} is a pattern over other people than run 1; correlate all over the same")
    if first.attrs.get("layers") != other.attrs.get("layers"):
        raise ValueError(
            f"run {number} maps the layers {other.attrs.get('layers')}, run 1 {first.attrs.get('layers')}; pass the "
            "same layers to compute_maps"
        )


def _map_variables(maps: xr.Dataset) -> list[str]:
    """Names of all maps, as computed and symmetrised; a ValueError if there are none."""
    views = map_views(maps)
    if not views:
        raise ValueError("the dataset holds no maps; make some with compute_maps")
    return [name for view in views for name in ([view, symmetric_name(view)] if is_image(maps, view) else [view])]
