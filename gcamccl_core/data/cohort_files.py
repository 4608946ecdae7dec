"""Cohorts in files: saved whole or not at all, loaded into memory, or opened with their views left on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from tqdm.std import tqdm

from gcamccl_core.data.checks import (
    CohortError,
    ViewCheck,
    check_cohort,
    check_group,
    check_label,
    check_subjects,
    name_some,
    view_names,
)
from gcamccl_core.data.netcdf_files import Layout, open_in_part, refuse_existing, write_in_pieces
from gcamccl_core.disk_faults import require_room
from gcamccl_core.kept_files import whole_file
from gcamccl_core.pieces import in_pieces, on_disk


@dataclass(frozen=True)
class ViewInPieces:
    """A view whose values come a few subjects at a time, since all of them would not fit into memory.

    Parameters
    ----------
    subjects : sequence of str
        Ids, in the order in which the values come.
    dims : sequence of str
        Dimensions after ``subject``: one of a vector, two of an image.
    shape : sequence of int
        Of one subject's values.
    pieces : iterable of array of shape (k, *shape)
        Any number k of subjects at a time. Read once.
    kind : str
        ``"correlation"``, ``"genotype"`` or ``"measure"``.
    coords : mapping, optional
        Names along the dimensions, and what is known of them, as for :class:`xarray.DataArray`.
    dtype : str
        Of the numbers on disk.
    attrs : mapping, optional
        More attributes.

    Examples
    --------
    >>> ids = [f"s{number}" for number in range(4)]
    >>> scans = (np.full((2, 1), number) for number in range(2))
    >>> ViewInPieces(ids, ["measure"], [1], scans).layout.shape
    (4, 1)
    """

    subjects: Sequence[str]
    dims: Sequence[str]
    shape: Sequence[int]
    pieces: Iterable[np.ndarray]
    kind: str = "measure"
    coords: Mapping[str, object] = field(default_factory=dict)
    dtype: str = "float32"
    attrs: Mapping[str, object] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """What the variable will be like."""
        attrs = {**self.attrs, "kind": self.kind, "role": "view"}
        shape = (len(self.subjects), *map(int, self.shape))
        return Layout(("subject", *self.dims), shape, np.dtype(self.dtype), attrs)


def save_cohort(cohort: xr.Dataset, path: str | Path, overwrite: bool = False) -> Path:
    """Check a cohort and write it as netCDF, whole or not at all; views that lie on disk are copied in pieces.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort that passes :func:`check_cohort`.
    path : path
        The file to write, usually ``*.nc``.
    overwrite : bool
        Replace a file that is already there.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is False.
    StorageError
        If the disk has too little room, or the file cannot be written.
    """
    if on_disk(cohort):
        names = view_names(cohort)
        return save_in_pieces(cohort.drop_vars(names), {name: cohort[name] for name in names}, path, overwrite)
    refuse_existing(path, overwrite)
    require_room(Path(path), cohort.nbytes)
    with whole_file(path) as partial:
        check_cohort(cohort).to_netcdf(partial, engine="h5netcdf")
    return Path(path)


def save_in_pieces(
    tables: xr.Dataset,
    views: Mapping[str, ViewInPieces | xr.DataArray],
    path: str | Path,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write a cohort whose views come in pieces, whole or not at all; each piece is checked before it is written.

    Parameters
    ----------
    tables : xarray.Dataset
        A cohort without its views: ``subject``, ``label``, covariates.
    views : mapping of str to ViewInPieces or xarray.DataArray
        In the order of the subjects of ``tables``.
    path, overwrite
        As in :func:`save_cohort`.
    progress : bool
        Show a bar when it takes more than a few seconds.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is False.
    CohortError
        If tables or views break the schema, or a view's subjects are others or in another order.
    StorageError
        If the disk has too little room, before anything is written, or the file cannot be written.
    ValueError
        If a piece has another shape than its view, or the pieces hold more or fewer subjects.
    """
    check_subjects(tables)
    check_label(tables)
    check_group(tables)
    if not views:
        raise CohortError("a cohort needs at least one view")
    parts = {name: view if isinstance(view, ViewInPieces) else _in_pieces(view) for name, view in views.items()}
    if taken := [name for name in parts if name in tables.variables or name in parts[name].dims]:
        raise CohortError(f"view {name_some(taken)} is named like another variable or a dimension; rename it")
    subjects = tables["subject"].to_numpy()
    checks = {}
    for name, view in parts.items():
        if list(map(str, view.subjects)) != list(map(str, subjects)):
            raise CohortError(f"the subjects of view '{name}' are others than the cohort's, or in another order")
        layout = view.layout
        checks[name] = ViewCheck(name, layout.dims, layout.shape, layout.attrs, subjects)
    frame = tables.assign_coords({key: each for view in parts.values() for key, each in view.coords.items()})
    layouts = {name: view.layout for name, view in parts.items()}
    with write_in_pieces(path, frame, layouts, overwrite) as writer:
        for name, view in parts.items():
            silent = {"disable": not progress, "delay": 3, "leave": False}
            with tqdm(total=len(subjects), desc=f"write {name}", unit="subject", **silent) as bar:
                for piece in view.pieces:
                    values = np.asarray(piece)
                    checks[name].add(writer.append(name, values), values)
                    checks[name].refuse()
                    bar.update(len(values))
            if writer.filled[name] == len(subjects):
                checks[name].finish()
    return Path(path)


def _in_pieces(view: xr.DataArray) -> ViewInPieces:
    coords = {str(name): each.variable for name, each in view.coords.items() if name != "subject"}
    kind = str(view.attrs.get("kind", "measure"))
    dims, pieces = [str(name) for name in view.dims[1:]], (values for _, values in in_pieces(view))
    return ViewInPieces(
        list(view["subject"].to_numpy()), dims, view.shape[1:], pieces, kind, coords, view.dtype.name, view.attrs
    )


def load_cohort(path: str | Path) -> xr.Dataset:
    """Read a cohort from netCDF into memory and check it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CohortError
        If the file is truncated, is no netCDF, or breaks the schema.
    """
    return check_cohort(_read(path, views=True))


def open_on_disk(path: str | Path) -> xr.Dataset:
    """Open a cohort that may be larger than memory: its views stay in the file, and are checked a piece at a time.

    Whoever asks for some subjects, ``cohort["fc"].isel(subject=[3, 7]).to_numpy()``, reads those and no others.
    Training with Table IV's network, its predictions and :func:`.compute_maps` read a batch at a time.

    Parameters
    ----------
    path : path
        What :func:`save_cohort`, :func:`save_in_pieces` or :func:`.simulate_cohort_to` wrote. Leave the file where it
        is as long as the cohort is in use.

    Returns
    -------
    xarray.Dataset
        A checked cohort; everything but the views is in memory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CohortError
        If the file is truncated, is no netCDF, or breaks the schema.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> with TemporaryDirectory() as folder:
    ...     cohort = open_on_disk(save_cohort(simulate_cohort(n_subjects=40, seed=1), f"{folder}/cohort.nc"))
    ...     on_disk(cohort["fc"]), on_disk(cohort["label"]), cohort["fc"][:2].to_numpy().shape
    (True, False, (2, 264, 264))
    """
    cohort = _read(path, views=False)
    try:
        return check_cohort(cohort)
    except CohortError:
        cohort.close()
        raise


def _read(path: str | Path, views: bool) -> xr.Dataset:
    """Read everything, or everything but the views."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no cohort file {path}")
    try:
        if views:
            with xr.open_dataset(path, engine="h5netcdf") as stored:
                return stored.load()
        return open_in_part(path, ["view"])
    except (OSError, ValueError, RuntimeError, KeyError) as fault:
        raise CohortError(f"{path} cannot be read as netCDF; it may be truncated ({fault})") from fault
