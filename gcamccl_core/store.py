"""What is expensive is made once: artefacts kept under a run folder, addressed by what made them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd
import xarray as xr

from gcamccl_core.disk_faults import StorageError, explain, require_room, require_writable
from gcamccl_core.kept_files import (
    DamagedFileError,
    digest_folder,
    partial_suffix,
    read_sealed,
    refuse_damage,
    remove_leftovers,
    set_aside,
    write_sealed,
)
from gcamccl_core.locks import hold_lock
from gcamccl_core.provenance import fingerprint, resolve, stamp

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


def _save_dataset(dataset: xr.Dataset, folder: Path) -> None:
    require_room(folder / "dataset.nc", dataset.nbytes)
    dataset.to_netcdf(folder / "dataset.nc", engine="h5netcdf")


def _load_dataset(folder: Path) -> xr.Dataset:
    with xr.open_dataset(folder / "dataset.nc", engine="h5netcdf") as stored:
        return stored.load()


DATASET = Format(_save_dataset, _load_dataset)
TABLE = Format(_save_table, lambda folder: pd.read_csv(folder / "table.csv"))


def cached(run_folder: str | Path, kind: str, key: object, make: Callable[[], Any], form: Format = DATASET) -> Any:
    """Load an artefact if this run has made it already, otherwise make and keep it.

    The artefact lies in ``<run_folder>/<kind>/<fingerprint of key>/`` with a ``stamp.json`` beside it, which knows the
    checksums of all files. The folder appears whole or not at all: a process killed while it makes or writes leaves
    nothing that a later one would take for finished, and of two that make the same at once the first one's stays. One
    that was damaged since is set aside, with a warning, and made anew.

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

    Raises
    ------
    StorageError
        If the artefact cannot be written, with the reason and what to do.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> run, calls = mkdtemp(), []
    >>> make = lambda: calls.append(1) or pd.DataFrame({"epoch": [1, 2]})
    >>> tables = [cached(run, "histories", {"seed": 0}, make, TABLE) for _ in range(3)]
    >>> len(calls), tables[2]["epoch"].tolist()
    (1, [1, 2])
    """
    final = resolve(run_folder) / kind / fingerprint(key)
    with suppress(DamagedFileError):
        if final.is_dir():
            return _load(final, form)
    if final.is_dir():
        with hold_lock(final.with_name(f".lock-{final.name}"), str(final), "setting it aside", patience=None):
            try:  # another process may have set it aside and made it anew meanwhile
                if final.is_dir():
                    return _load(final, form)
            except DamagedFileError as fault:
                set_aside(final, fault, "the artefact is made anew")
    require_writable(final.parent)
    _keep(make(), final, {"kind": kind, "key": key}, form)
    return _load(final, form)


def _keep(artefact: Any, final: Path, parameters: dict[str, object], form: Format) -> None:
    """Write an artefact into a folder that gets its name when all is there."""
    partial = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(final.parent, f".{final.name}-*")
        partial = Path(mkdtemp(prefix=f".{final.name}-", suffix=partial_suffix(), dir=final.parent))
        form.save(artefact, partial)
        write_sealed(partial / STAMP, {**stamp(parameters), "files": digest_folder(partial)})
        partial.chmod(0o755)  # mkdtemp keeps others out
        partial.rename(final)
    except Exception as fault:
        if isinstance(fault, OSError) and final.is_dir():  # another process was first: its artefact is as good
            return
        if isinstance(fault, StorageError) and partial is not None:  # say the name that the user knows
            raise StorageError(fault.errno, str(fault.strerror).replace(str(partial), str(final))) from fault
        said = explain(fault, final)
        if said is None:
            raise
        raise said from fault
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _load(final: Path, form: Format) -> Any:
    made = read_sealed(final / STAMP) if (final / STAMP).is_file() else {}
    if "files" not in made:
        raise DamagedFileError(f"{final / STAMP} is missing or lists no checksums")
    refuse_damage(final, made["files"])
    note_versions([made["versions"]])
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
