"""netCDF files that are whole or not there, written a piece at a time where their content is larger than memory."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5netcdf
import numpy as np
import xarray as xr

from gcamccl_core.disk_faults import require_room
from gcamccl_core.kept_files import whole_file


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Raise FileExistsError if a file is there and may not be replaced."""
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another name or pass overwrite=True")


@dataclass(frozen=True)
class Layout:
    """What a variable will be like whose values come in pieces.

    Parameters
    ----------
    dims : tuple of str
        Names of its dimensions; pieces follow one another along the first.
    shape : tuple of int
        Of the whole variable.
    dtype : numpy.dtype
        Numbers.
    attrs : mapping
        Its attributes.
    """

    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    attrs: Mapping[str, object] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class PieceWriter:
    """Appends pieces to the variables of an open netCDF file; :func:`write_in_pieces` hands it out."""

    def __init__(self, file: h5netcdf.File, layouts: Mapping[str, Layout]) -> None:
        self._layouts, self.filled = layouts, dict.fromkeys(layouts, 0)
        self._variables = {}
        for name, layout in layouts.items():
            for dimension, size in zip(layout.dims, layout.shape, strict=True):
                if dimension not in file.dimensions:
                    file.dimensions[dimension] = size
            self._variables[name] = file.create_variable(name, layout.dims, layout.dtype)
            for key, value in layout.attrs.items():
                self._variables[name].attrs[key] = value

    def append(self, name: str, values: np.ndarray) -> slice:
        """Write the next entries of a variable, and say where they went.

        Raises
        ------
        ValueError
            If they have another shape or kind than was announced, or there is no room for so many.
        """
        layout, start = self._layouts[name], self.filled[name]
        rows = slice(start, start + len(values))
        if values.shape[1:] != layout.shape[1:]:
            raise ValueError(f"a piece of '{name}' is of shape {values.shape}; expected (any, {layout.shape[1:]})")
        if not np.can_cast(values.dtype, layout.dtype, "same_kind"):
            raise ValueError(f"a piece of '{name}' holds {values.dtype}; expected {layout.dtype}")
        if rows.stop > layout.shape[0]:
            raise ValueError(f"'{name}' has room for {layout.shape[0]} entries; its pieces hold more, {rows.stop}")
        if len(values):
            self._variables[name][rows] = values.astype(layout.dtype, copy=False)
        self.filled[name] = rows.stop
        return rows

    def finish(self) -> None:
        """Raise if entries are missing."""
        for name, layout in self._layouts.items():
            if self.filled[name] < layout.shape[0]:
                raise ValueError(f"the pieces of '{name}' end after {self.filled[name]} of {layout.shape[0]} entries")


@contextmanager
def write_in_pieces(
    path: str | Path, frame: xr.Dataset, layouts: Mapping[str, Layout], overwrite: bool = False
) -> Iterator[PieceWriter]:
    """Write a dataset of which some variables come in pieces, whole or not at all.

    Parameters
    ----------
    path : path
        The file to write.
    frame : xarray.Dataset
        Everything else: coordinates, small variables, attributes.
    layouts : mapping of str to Layout
        The variables to come, in the order in which they will be found in the file.
    overwrite : bool
        Replace a file that is already there.

    Yields
    ------
    PieceWriter
        Takes the pieces.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is False.
    StorageError
        If the disk has too little room, before anything is written, or the file cannot be written.
    ValueError
        If a piece does not fit, or some are missing in the end.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> layout = Layout(("subject", "measure"), (3, 2), np.dtype("float32"))
    >>> with TemporaryDirectory() as folder:
    ...     with write_in_pieces(f"{folder}/x.nc", xr.Dataset(attrs={"source": "here"}), {"x": layout}) as writer:
    ...         written = [writer.append("x", np.full((size, 2), size)) for size in (1, 2)]
    ...     xr.load_dataset(f"{folder}/x.nc", engine="h5netcdf")["x"].to_numpy().tolist()
    [[1.0, 1.0], [2.0, 2.0], [2.0, 2.0]]
    """
    refuse_existing(path, overwrite)
    require_room(Path(path), sum(layout.size for layout in layouts.values()))
    with whole_file(path) as partial:
        frame.to_netcdf(partial, engine="h5netcdf")
        with h5netcdf.File(partial, "a") as file:
            writer = PieceWriter(file, layouts)
            yield writer
        writer.finish()


def open_in_part(path: str | Path, roles: Collection[str]) -> xr.Dataset:
    """Open a netCDF file and read all of it, but for the variables of some roles, whose values stay on disk.

    Parameters
    ----------
    path : path
        The file; leave it where it is as long as the dataset is in use.
    roles : collection of str
        Values of ``attrs["role"]``.
    """
    stored = xr.open_dataset(path, engine="h5netcdf", cache=False)
    for variable in stored.variables.values():
        if variable.attrs.get("role") not in roles:
            variable.load()
    return stored
