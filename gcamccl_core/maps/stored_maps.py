"""Maps larger than memory: written to disk batch by batch, and opened with their values left there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from gcamccl_core.data.netcdf_files import Layout, open_in_part, write_in_pieces
from gcamccl_core.maps.dataset import MAP_ROLES, label_maps

HELD = 2**30  # bytes of maps that are held in memory, although they are written to a file as well


def size_of_maps(shapes: Mapping[str, Sequence[int]], n_subjects: int, n_classes: int, n_methods: int) -> int:
    """Bytes that maps take, the symmetrised ones of images included.

    Parameters
    ----------
    shapes : mapping of str to sequence of int
        Of one subject's views.
    n_subjects, n_classes, n_methods : int
        Of how many maps.

    Examples
    --------
    >>> size_of_maps({"fc": (264, 264), "snp": (750,)}, n_subjects=1, n_classes=2, n_methods=1)
    1121136
    """
    values = sum(int(np.prod(shape)) * (2 if len(shape) == 2 else 1) for shape in shapes.values())
    return n_subjects * n_classes * n_methods * values * np.dtype(np.float32).itemsize


def store_maps(
    batches: Iterable[tuple[slice, Mapping[str, np.ndarray]]],
    cohort: xr.Dataset,
    methods: Sequence[str],
    layers: Mapping[str, str | None],
    attrs: Mapping[str, object],
    path: str | Path,
    overwrite: bool = False,
) -> xr.Dataset:
    """Write maps batch by batch, whole or not at all, and open them with their values left on disk.

    Parameters
    ----------
    batches : iterable of (slice, mapping of str to array (k, n_classes, n_methods, *view shape))
        Positions of some subjects in ``cohort``, one batch after the other, and their maps by view.
    cohort : xarray.Dataset
        The cohort of all subjects to map, in this order.
    methods, layers
        As for :func:`.label_maps`, which names every batch, and refuses one that is not finite.
    attrs : mapping
        More attributes.
    path, overwrite
        The netCDF file to write; whether to replace one that is there.

    Returns
    -------
    xarray.Dataset
        As :func:`open_maps` opens it.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is False.
    StorageError
        If the disk has too little room.
    ValueError
        If a map is not finite; the message names the subjects.
    """
    following = iter(batches)
    rows, values = next(following)
    first = label_maps(values, cohort.isel(subject=rows), methods, layers)
    n, coords = cohort.sizes["subject"], {}
    for name, coord in first.coords.items():
        coords[name] = cohort[name].variable if "subject" in coord.dims else coord.variable
    frame = xr.Dataset(coords=coords, attrs={**first.attrs, **attrs})
    layouts = {
        str(name): Layout(each.dims, (n, *each.shape[1:]), each.dtype, each.attrs)
        for name, each in first.data_vars.items()
    }
    with write_in_pieces(path, frame, layouts, overwrite) as writer:
        for name in layouts:
            writer.append(name, first[name].to_numpy())
        for rows, values in following:
            batch = label_maps(values, cohort.isel(subject=rows), methods, layers)
            for name in layouts:
                writer.append(name, batch[name].to_numpy())
    return open_maps(path)


def open_maps(path: str | Path) -> xr.Dataset:
    """Open maps that :func:`.compute_maps` wrote, their values left on disk; :func:`.select_biomarkers` reads them so.

    Parameters
    ----------
    path : path
        A netCDF file. Leave it where it is as long as the maps are in use.

    Returns
    -------
    xarray.Dataset
        Coordinates are in memory; ``maps["fc"].isel(subject=[3]).load()`` reads one subject's maps.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file of maps {path}")
    return open_in_part(path, MAP_ROLES)
