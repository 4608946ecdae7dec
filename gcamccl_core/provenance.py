"""Where a result came from: fingerprints of code, data and parameters, stamps, and what has become stale."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import platform
from collections.abc import Collection, Hashable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.kept_files import whole_file
from gcamccl_core.pieces import in_pieces, on_disk

CORE = Path(__file__).parent
PACKAGES = ("torch", "numpy", "xarray", "scikit-learn", "nilearn", "mne-connectivity", "seaborn", "gseapy")


def project_root() -> Path:
    """Top of the checkout that holds the notebooks; the working directory if the core is installed alone."""
    top = CORE.parent
    return top if (top / "data_manifest").is_dir() else Path.cwd()


def resolve(path: str | Path) -> Path:
    """Read a path relative to the project, so that a notebook finds its run from whichever folder it is executed in."""
    path = Path(path).expanduser()
    return path if path.is_absolute() else project_root() / path


def fingerprint(*parts: object) -> str:
    """Hash parameters, arrays, tables and nested mappings into 16 hexadecimal digits; equal content, equal digits.

    Parameters
    ----------
    *parts : object
        Plain values, arrays, pandas tables, xarray data, dataclass instances, and mappings and sequences of these.

    Raises
    ------
    TypeError
        For anything else: its text might be shortened, or name an address in memory.

    Examples
    --------
    >>> fingerprint({"seed": 0, "regime": "clear"}) == fingerprint({"regime": "clear", "seed": 0})
    True
    >>> fingerprint(np.zeros(3)) == fingerprint(np.zeros(4))
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        _absorb(digest, part)
    return digest.hexdigest()[:16]


def _absorb(digest: hashlib._Hash, part: object) -> None:
    if isinstance(part, np.generic):
        part = part.item()
    if part is None or isinstance(part, bool | int | float | complex | str | bytes):
        digest.update(f"{type(part).__name__}:{part!r};".encode())
    elif isinstance(part, Path | Enum):
        _absorb(digest, part.as_posix() if isinstance(part, Path) else [type(part).__name__, part.name])
    elif isinstance(part, np.ndarray | xr.Variable):
        _absorb_array(digest, part)
    elif isinstance(part, Mapping):
        digest.update(b"{")
        for key in sorted(part, key=str):
            _absorb(digest, str(key))
            _absorb(digest, part[key])
        digest.update(b"}")
    elif isinstance(part, list | tuple):
        digest.update(f"[{len(part)};".encode())
        for item in part:
            _absorb(digest, item)
        digest.update(b"]")
    elif isinstance(part, set | frozenset):
        _absorb(digest, sorted(fingerprint(item) for item in part))
    elif isinstance(part, pd.DataFrame | pd.Series):
        _absorb(digest, xr.Dataset.from_dataframe(part.to_frame() if isinstance(part, pd.Series) else part))
    elif isinstance(part, xr.DataArray | xr.Dataset):
        _absorb(digest, hash_data(part if isinstance(part, xr.Dataset) else part.to_dataset(name=part.name or "_")))
    elif dataclasses.is_dataclass(part) and not isinstance(part, type):
        fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
        _absorb(digest, [type(part).__name__, fields])
    else:
        raise TypeError(f"cannot fingerprint a {type(part).__name__}: pass plain values, arrays or mappings of them")


def _absorb_array(digest: hashlib._Hash, array: np.ndarray | xr.Variable) -> None:
    """Absorb type, shape and bytes; text alike whether stored as fixed-width or as objects (files give objects)."""
    if array.dtype.kind in "OUST":
        digest.update(f"text{array.shape}".encode())
        _absorb(digest, [str(item) for item in np.asarray(array).ravel().tolist()])
    else:
        digest.update(f"array{array.dtype.str}{array.shape}".encode())
        for _, piece in in_pieces(array, "fingerprint"):
            digest.update(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)


def hash_core(*rooms: str) -> str:
    """Fingerprint what the core's code does, or that of some rooms (``"data"``, ``"model"``, ``"maps"``, ``"report"``).

    Comments, docstrings and layout do not count, so explaining a function better makes no long run stale.

    Raises
    ------
    FileNotFoundError
        If there is no such room.
    """
    folders = [CORE / room for room in rooms] if rooms else [CORE]
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"the core has no room '{folder.name}'")
    files = sorted({file for folder in folders for file in folder.rglob("*.py")})
    return fingerprint([(file.relative_to(CORE).as_posix(), code_of(file.read_text())) for file in files])


def hash_module(name: str, *rooms: str, without: Collection[str] = ()) -> str:
    """Fingerprint what a module's code does, and that of every module of the core that it imports, however indirectly.

    A narrower basis than :func:`hash_core`: what a long run does not use may change without making it stale.

    Parameters
    ----------
    name : str
        A module of the core, for example ``"gcamccl_core.model.training"``.
    *rooms : str
        Count modules of these rooms alone; of all rooms and the ground floor if none is given.
    without : collection of str
        Do not count these modules, nor what they alone import.

    Raises
    ------
    FileNotFoundError
        If there is no such module.
    """
    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        file = CORE.joinpath(*current.split(".")[1:]).with_suffix(".py")
        if current in found or current in without:
            continue
        if not file.is_file():
            raise FileNotFoundError(f"the core has no module '{current}'")
        source = _read_once(file)
        found[current] = code_of(source)
        waiting += imported_modules(source)
    kept = {each: code for each, code in found.items() if not rooms or each.split(".")[1] in rooms}
    return fingerprint(kept)


@cache
def _read_once(file: Path) -> str:
    """Read a module's source the first time only: a process that computes for hours keeps the code it started with."""
    return file.read_text()


@cache
def imported_modules(source: str, package: str = CORE.name) -> list[str]:
    """Names of a package's modules that some source imports with ``from``, as all of the project does.

    Examples
    --------
    >>> imported_modules("import numpy; from gcamccl_core.data.splits import Split")
    ['gcamccl_core.data.splits']
    """
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module]
    return [str(node.module) for node in statements if str(node.module).startswith(f"{package}.")]


@cache
def code_of(source: str) -> str:
    """Reduce Python source to its code: no comments, docstrings or layout.

    Examples
    --------
    >>> print(code_of("'Why this is here.'; half = 1/2  # not 0.5"))
    pass
    half = 1 / 2
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node, clean=False) is not None
            node.body[:1] = [ast.Pass()] if documented else node.body[:1]
    return ast.unparse(tree)


def hash_data(dataset: xr.Dataset) -> str:
    """Fingerprint every variable and coordinate by name, dimensions, type, values and attributes.

    The same before and after a way through netCDF, which gives lists back as arrays and text as objects, and the same
    whether values are in memory or on disk, from where they are read a piece at a time. The latent cognition of
    simulated people counts by name alone: nothing is fitted to it, and its last bit depends on how many threads a
    machine adds with.
    """
    hashed: dict[Hashable, list[object]] = {
        name: [list(v.dims), _plain(v.attrs)] for name, v in dataset.variables.items()
    }
    for name, v in dataset.variables.items():
        if name != "latent_cognition":
            hashed[name].append(v if on_disk(v) else np.asarray(v.to_numpy()))
    return fingerprint({str(name): parts for name, parts in hashed.items()}, _plain(dataset.attrs))


def _plain(attrs: Mapping[object, object]) -> dict[str, object]:
    return {str(name): np.atleast_1d(np.asarray(value)).tolist() for name, value in attrs.items()}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def stamp(parameters: Mapping[str, object], cohort: xr.Dataset | None = None) -> dict[str, object]:
    """Say what made a result: parameters, versions, hashes of the core and of the data, time and machine.

    Returns
    -------
    dict
        Ready for JSON; equal runs differ in ``date`` and ``machine`` alone.
    """
    return {
        "parameters": dict(parameters),
        "core": hash_core(),
        "data": None if cohort is None else hash_data(cohort),
        "versions": versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()} {platform.system()}",
    }


def stamp_table(parameters: Mapping[str, object], cohort: xr.Dataset | None = None) -> pd.DataFrame:
    """Set a stamp as a table of one row, for the closing cell of a notebook (``.T`` reads well).

    Returns
    -------
    pandas.DataFrame
        One column per parameter and per version, and ``core``, ``data``, ``date`` and ``machine``. What only simulated
        or downloaded cohorts are asked for is left out of the stamp of a cohort of one's own.

    Examples
    --------
    >>> stamp_table({"seed": 0})[["seed", "data"]].to_dict("records")
    [{'seed': 0, 'data': None}]
    """
    made = stamp(parameters, cohort)
    of_others = ("regime", "n_subjects", "label") if str(parameters.get("cohort", "")).endswith(".nc") else ()
    flat = {
        **{name: value for name, value in parameters.items() if name not in of_others},
        **versions(),
        **{key: made[key] for key in ("core", "data", "date", "machine")},
    }
    return pd.DataFrame([flat], index=["this run"], dtype=object)


def what_changed(made: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Name what differs between a stored stamp and the present, date and machine aside; empty means still valid.

    Parameters
    ----------
    made : mapping
        A stamp as stored with a result.
    now : mapping
        What the stamp would hold if the result were made now; only its keys are compared.

    Examples
    --------
    >>> what_changed({"core": "1f", "data": "0a", "date": "2021"}, {"core": "2e", "data": "0a"})
    ['core']
    """
    unlike = json.loads(json.dumps({"made": made, "now": now}, default=str))
    ignored = ("date", "machine")
    return [key for key in unlike["now"] if key not in ignored and unlike["made"].get(key) != unlike["now"][key]]


def write_json(path: str | Path, content: object) -> Path:
    """Write JSON whole or not at all, making the folder if need be."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1, sort_keys=True, default=str) + "\n")
    return Path(path)
