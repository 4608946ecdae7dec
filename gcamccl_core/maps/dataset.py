"""The dataset of activation maps: how it is labelled, stored and read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.checks import name_some, without_name
from gcamccl_core.data.cohort import class_names
from gcamccl_core.data.netcdf_files import refuse_existing
from gcamccl_core.disk_faults import require_room
from gcamccl_core.kept_files import whole_file
from gcamccl_core.pieces import on_disk

MAP_ROLES = ("map", "symmetric map")


def label_maps(
    values: Mapping[str, np.ndarray], cohort: xr.Dataset, methods: Sequence[str], layers: Mapping[str, str | None]
) -> xr.Dataset:
    """Put names on arrays of maps: subjects, classes, methods and everything the cohort knows of the features.

    Parameters
    ----------
    values : mapping of str to array (n, n_classes, n_methods, *view shape)
        Maps by view.
    cohort : xarray.Dataset
        The cohort of these n subjects, in this order.
    methods : sequence of str
        Names along ``map_method``.
    layers : mapping of str to str or None
        Which layer's feature maps were used, kept in ``attrs["layers"]`` as JSON.

    Returns
    -------
    xarray.Dataset
        Per view a variable with ``attrs["role"] == "map"``, beside an image ``<view>_symmetric``.

    Raises
    ------
    ValueError
        If a map is not finite; the message names the subjects.
    """
    maps = xr.Dataset(attrs={"layers": json.dumps(dict(layers)), "classes": class_names(cohort)})
    for view, array in values.items():
        broken = np.array([not np.isfinite(of_subject).all() for of_subject in array])
        if broken.any():
            raise ValueError(
                f"the maps of view '{view}' are not finite in {broken.sum()} of {len(array)} subjects: "
                f"{name_some(cohort['subject'].to_numpy()[broken])}; the network's weights have diverged, train it anew"
            )
        dims = ("subject", "target_class", "map_method", *cohort[view].dims[1:])
        kind = cohort[view].attrs.get("kind", "measure")
        maps[view] = xr.DataArray(array, dims=dims, coords=cohort[view].coords, attrs={"role": "map", "kind": kind})
        if len(dims) == 5:
            maps[symmetric_name(view)] = maps[view].copy(data=symmetrise(array))
            maps[symmetric_name(view)].attrs["role"] = "symmetric map"
    regions = {str(name): variable for name, variable in cohort.variables.items() if variable.dims == ("roi",)}
    coords = {"target_class": class_names(cohort), "map_method": list(methods), "label": cohort["label"].variable}
    return maps.assign_coords({**coords, **regions})


def symmetrise(images: np.ndarray) -> np.ndarray:
    """Mean of images and their transposes, one at a time: each stays in a processor's cache.

    Parameters
    ----------
    images : array of shape (..., side, side)
        Of floats.

    Examples
    --------
    >>> symmetrise(np.array([[[0.0, 1], [3, 4]]])).tolist()
    [[[0.0, 2.0], [2.0, 4.0]]]
    """
    means = np.empty_like(images)
    side = images.shape[-1]
    for image, mean in zip(images.reshape(-1, side, side), means.reshape(-1, side, side), strict=True):
        np.add(image, image.T, out=mean)
        mean /= 2
    return means


def symmetric_name(view: str) -> str:
    """Name of the symmetrised map of an image view."""
    return f"{view}_symmetric"


def map_views(maps: xr.Dataset) -> list[str]:
    """Names of the views that a dataset of maps covers."""
    return [str(name) for name, variable in maps.data_vars.items() if variable.attrs.get("role") == "map"]


def write_maps(maps: xr.Dataset, path: str | Path, overwrite: bool = False) -> Path:
    """Write maps as netCDF, whole or not at all.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is False.
    StorageError
        If it cannot be written.
    """
    refuse_existing(path, overwrite)
    require_room(Path(path), maps.nbytes)
    with whole_file(path) as partial:
        maps.to_netcdf(partial, engine="h5netcdf")
    return Path(path)


def class_number(maps: xr.Dataset, target_class: str) -> int:
    """Give the number of a class, also where some classes were selected, or put in another order.

    Examples
    --------
    >>> maps = xr.Dataset(attrs={"classes": ["low", "high"]}).assign_coords(target_class=["high"])
    >>> class_number(maps, "high")
    1
    """
    present = [str(name) for name in maps["target_class"].to_numpy()]
    every = [str(name) for name in np.atleast_1d(maps.attrs.get("classes", present))]
    return (every if target_class in every else present).index(target_class)


def linkage_units(view: xr.DataArray) -> np.ndarray | None:
    """Give each feature the number of its linkage block; one without a block is a unit by itself.

    Returns
    -------
    array of shape (n_features,), int, or None
        None if the view has no coordinate ``<view>_block``.

    Examples
    --------
    >>> snp = xr.DataArray(np.zeros((2, 4)), dims=("subject", "locus"), name="snp")
    >>> linkage_units(snp.assign_coords(snp_block=("locus", ["a", "", "a", ""]))).tolist()
    [0, 1, 0, 2]
    """
    block = view.coords.get(f"{view.name}_block")
    if block is None:
        return None
    names = pd.Series(block.to_numpy()).astype(object)
    alone = without_name(block.to_numpy())
    names[alone] = [("alone", position) for position in np.flatnonzero(alone)]
    return pd.factorize(names)[0]


def is_image(maps: xr.Dataset, view: str) -> bool:
    """Whether a view's maps are images, with the dimensions (subject, target_class, map_method, i, j)."""
    return maps[view].ndim == 5


def flatten_features(array: np.ndarray, image: bool) -> np.ndarray:
    """Lay a view's features along the last axis: an image's upper triangle without the diagonal, a vector as it is.

    Parameters
    ----------
    array : array of shape (..., *view shape)
        Maps, truth or data.
    image : bool
        Whether the view is an image.

    Returns
    -------
    array of shape (..., n_features)

    Examples
    --------
    >>> flatten_features(np.arange(9).reshape(3, 3), image=True).tolist()
    [1, 2, 5]
    """
    if not image:
        return array
    rows, columns = np.triu_indices(array.shape[-1], k=1)
    return array[..., rows, columns]


def class_values(
    maps: xr.Dataset, view: str, target_class: str, method: str, subjects: str = "class", label: object = None
) -> np.ndarray:
    """Positive part of the maps that speak for a class, in the subjects of that class.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them; of an image view the symmetrised map is taken.
    view, target_class, method : str
        Which map.
    subjects : {"class", "all"}
        Subjects whose true label is the class, or every subject in ``maps``.
    label : array of int, optional
        True class number of every subject in ``maps``; the coordinate ``label`` if not given.

    Returns
    -------
    array of shape (n, n_features)
        Of an image the upper triangle, see :func:`flatten_features`.

    Raises
    ------
    ValueError
        If view, class or method are not among the maps, or no subject is of the class.
    """
    positions = positions_of(maps, view, target_class, method, subjects, label)
    return values_at(maps, view, target_class, method, None if subjects == "all" else positions)


def positions_of(
    maps: xr.Dataset, view: str, target_class: str, method: str, subjects: str = "class", label: object = None
) -> np.ndarray:
    """Positions in the maps of the subjects that :func:`class_values` takes, if all that is asked for is there."""
    for name, wanted, known in (
        ("view", view, map_views(maps)),
        ("target_class", target_class, maps["target_class"].to_numpy()),
        ("method", method, maps["map_method"].to_numpy()),
    ):
        if wanted not in known:
            raise ValueError(f"the maps have no {name} {wanted!r}; they have {name_some(known, limit=20)}")
    if subjects not in ("class", "all"):
        raise ValueError(f"subjects must be 'class' or 'all', got {subjects!r}")
    numbers = np.asarray(maps["label"] if label is None else label)
    if numbers.shape != (maps.sizes["subject"],):
        raise ValueError(
            f"label must give one class number for each of the {maps.sizes['subject']} subjects of the maps"
        )
    chosen = numbers == class_number(maps, target_class)
    if subjects == "class" and not chosen.any():
        raise ValueError(f"no subject of class '{target_class}' is among the maps' {len(numbers)}; map other subjects")
    return np.flatnonzero(chosen) if subjects == "class" else np.arange(len(chosen))


def values_at(
    maps: xr.Dataset, view: str, target_class: str, method: str, positions: np.ndarray | None = None
) -> np.ndarray:
    """Positive part of the maps that speak for a class, at some subjects' positions or all, as :func:`class_values`."""
    image = is_image(maps, view)
    array = maps[symmetric_name(view) if image else view].sel({"target_class": target_class, "map_method": method})
    if on_disk(array) and positions is not None:
        array, positions = array.isel(subject=positions), None
    of_class = array.to_numpy()
    return np.maximum(flatten_features(of_class if positions is None else of_class[positions], image), 0)
