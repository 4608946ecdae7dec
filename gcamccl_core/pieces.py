"""Arrays larger than memory: which lie on disk, how they are read a piece at a time, and what memory there is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from tqdm.std import tqdm

PIECE = 2**25  # bytes of an array held at a time: 120 images of 264 regions


def on_disk(data: xr.Dataset | xr.DataArray | xr.Variable) -> bool:
    """Whether values are still in the file that they were opened from; of a dataset, whether any variable's are.

    Examples
    --------
    >>> on_disk(xr.DataArray([1.0, 2.0]))
    False
    """
    if isinstance(data, xr.Dataset):
        return any(on_disk(variable) for variable in data.variables.values())
    variable = data.variable if isinstance(data, xr.DataArray) else data
    return not variable._in_memory  # xarray has no public word for it that reads nothing


def rows_at_once(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """How many entries along the first dimension make a piece, at least one.

    Examples
    --------
    >>> rows_at_once((40_000, 264, 264), np.dtype("float32"))
    120
    """
    return max(1, PIECE // max(1, int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize))


def in_pieces(data: np.ndarray | xr.DataArray | xr.Variable, doing: str = "") -> Iterator[tuple[slice, np.ndarray]]:
    """Read an array a piece after the other along its first dimension.

    Parameters
    ----------
    data : array, xarray.DataArray or xarray.Variable
        In memory or on disk.
    doing : str
        What the pieces are read for: shown beside a bar where data on disk take more than a few seconds.

    Yields
    ------
    rows : slice
        Which entries along the first dimension; of a single number, nothing to choose.
    values : array
        Theirs.

    Examples
    --------
    >>> [(rows.start, rows.stop, values.tolist()) for rows, values in in_pieces(np.arange(3))]
    [(0, 3, [0, 1, 2])]
    """
    if data.ndim == 0:
        yield slice(None), np.asarray(data)
        return
    at_once = rows_at_once(data.shape, data.dtype)
    silent = isinstance(data, np.ndarray) or not doing or not on_disk(data)
    with tqdm(total=len(data), desc=doing, unit="subject", disable=silent, delay=3, leave=False) as bar:
        for start in range(0, len(data), at_once):
            rows = slice(start, min(start + at_once, len(data)))
            yield rows, np.asarray(data[rows])
            bar.update(rows.stop - rows.start)


def available_memory() -> int:
    """Bytes that this process may still take: what the machine has free, or what its container allows, if less."""
    try:
        free = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())["MemAvailable"]
        available = int(free.split()[0]) * 1024
    except (OSError, KeyError):  # not Linux
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        used = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["anon"]
        return available if limit == "max" else min(available, max(0, int(limit) - int(used)))
    except (OSError, KeyError):
        return available


def in_words(size: float) -> str:
    """Say a number of bytes.

    Examples
    --------
    >>> in_words(11.2e9), in_words(5e6)
    ('10.4 GiB', '4.8 MiB')
    """
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def require_memory(size: float, what: str, instead: str) -> None:
    """Refuse work that would not fit into memory, before it starts.

    Parameters
    ----------
    size : float
        Bytes that it takes.
    what : str
        What takes them, as in "the maps of 40,000 subjects".
    instead : str
        What to do.

    Raises
    ------
    MemoryError
        If there is less.
    """
    if size > (available := available_memory()):
        raise MemoryError(f"{what}: this takes {in_words(size)} of memory, {in_words(available)} are free; {instead}")
