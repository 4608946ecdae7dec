"""What is expensive is made once: artefacts kept under a run folder, addressed by what made them."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd
import xarray as xr

from gcamccl_core.provenance import fingerprint, resolve, stamp, write_json

STAMP = "stamp.json"
_watched: ContextVar[list[dict[str, str]] | None] = ContextVar("versions that artefacts were made with", default=None)


@dataclass(frozen=True)
class Format:
    """How an artefact is written into a folder of its own, and read back from it."""

    save: Callable[[Any, Path], object]
    load: Callable[[Path], Any]


def _save_table(table: pd.DataFrame, folder: Path) -> None:
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("a stored table keeps its columns alone; call reset_index() before it is stored")
    table.to_csv(folder / "table.csv", index=False)


def _load_dataset(folder: Path) -> xr.Dataset:
    with xr.open_dataset(folder / "dataset.nc", engine="h5netcdf") as stored:
        return stored.load()


DATASET = Format(lambda dataset, folder: dataset.to_netcdf(folder / "dataset.nc", engine="h5netcdf"), _load_dataset)
TABLE = Format(_save_table, lambda folder: pd.read_csv(folder / "table.csv"))


def cached(run_folder: str | Path, kind: str, key: object, make: Callable[[], Any], form: Format = DATASET) -> Any:
    """Load an artefact if this run has made it already, otherwise make and keep it.

    The artefact lies in ``<run_folder>/<kind>/<fingerprint of key>/`` with a ``stamp.json`` beside it. The folder
    appears whole or not at all: a process killed while it makes or writes leaves nothing that a later one would
    take for finished, and of two that make the same at once the first one's stays.

    Parameters
    ----------
    run_folder : path
        Relative to the project, usually the notebooks' parameter ``run_folder``.
    kind : str
        Name of the shelf, for example ``"maps"``.
    key : object
        All that determines the artefact: parameters, :func:`~gcamccl_core.provenance.hash_core` of the rooms that
        make it, :func:`~gcamccl_core.provenance.hash_data` of its input. Anything that can be fingerprinted.
    make : callable
        Makes the artefact; not called if it is there.
    form : Format
        How it is written and read: ``DATASET``, ``TABLE``, or your own pair of functions.

    Returns
    -------
    object
        Always as read back from the store, so that the first run and the second continue from the same values.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> run, calls = mkdtemp(), []
    >>> make = lambda: calls.append(1) or pd.DataFrame({"epoch": [1, 2]})
    >>> tables = [cached(run, "histories", {"seed": 0}, make, TABLE) for _ in range(3)]
    >>> len(calls), tables[2]["epoch"].tolist()
    (1, [1, 2])
    """
    digits = fingerprint(key)
    final = resolve(run_folder) / kind / digits
    if not final.is_dir():
        artefact = make()
        _remove_leftovers(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(mkdtemp(prefix=f".{digits}-{socket.gethostname()}-{os.getpid()}-", dir=final.parent))
        try:
            form.save(artefact, partial)
            write_json(partial / STAMP, stamp({"kind": kind, "key": key}))
            partial.chmod(0o755)  # mkdtemp keeps others out
            partial.rename(final)
        except OSError:
            if not final.is_dir():  # another process may have been first: then its artefact is as good
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    note_versions([json.loads((final / STAMP).read_text())["versions"]])
    return form.load(final)


@contextmanager
def watch_versions() -> Iterator[list[dict[str, str]]]:
    """List the versions of Python and packages that made what :func:`cached` hands out within.

    Yields
    ------
    list of dict
        As of :func:`~gcamccl_core.provenance.versions`, one entry per artefact; it grows as they are handed out.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> with watch_versions() as seen:
    ...     table = cached(mkdtemp(), "numbers", 1, lambda: pd.DataFrame({"one": [1]}), TABLE)
    >>> [sorted(each)[:2] for each in seen]
    [['gseapy', 'mne-connectivity']]
    """
    seen: list[dict[str, str]] = []
    token = _watched.set(seen)
    try:
        yield seen
    finally:
        _watched.reset(token)


def note_versions(made_with: list[dict[str, str]]) -> None:
    """Tell whoever watches what other processes have seen, see :func:`watch_versions`."""
    seen = _watched.get()
    if seen is not None:
        seen += made_with


def _remove_leftovers(final: Path) -> None:
    """Remove what processes of this machine that no longer live have left half-written of this artefact."""
    prefix = f".{final.name}-{socket.gethostname()}-"
    for partial in final.parent.glob(f"{prefix}*"):
        try:
            os.kill(int(partial.name.removeprefix(prefix).split("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(partial, ignore_errors=True)
        except PermissionError:  # somebody else's, and alive
            continue
