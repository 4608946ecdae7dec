"""Where a result came from: fingerprints of code, data and parameters, stamps, and where runs are kept."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xarray as xr

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
    """Hash parameters, arrays and nested mappings into 16 hexadecimal digits; equal content, equal digits.

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
    if isinstance(part, np.ndarray):
        digest.update(f"array{part.dtype}{part.shape}".encode())
        digest.update(np.ascontiguousarray(part).tobytes() if part.dtype != object else repr(part.tolist()).encode())
    elif isinstance(part, Mapping):
        digest.update(b"{")
        for key in sorted(part, key=str):
            _absorb(digest, str(key))
            _absorb(digest, part[key])
        digest.update(b"}")
    elif isinstance(part, list | tuple):
        digest.update(b"[")
        for item in part:
            _absorb(digest, item)
        digest.update(b"]")
    else:
        digest.update(f"{type(part).__name__}:{part!r};".encode())


def hash_core(*rooms: str) -> str:
    """Fingerprint the core's source, or that of some rooms (``"data"``, ``"model"``, ``"maps"``, ``"report"``)."""
    folders = [CORE / room for room in rooms] if rooms else [CORE]
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    return fingerprint([(file.relative_to(CORE).as_posix(), file.read_bytes()) for file in files])


def hash_data(dataset: xr.Dataset) -> str:
    """Fingerprint every variable and coordinate of a cohort by name, dimensions, type and values."""
    return fingerprint(
        {str(name): [list(var.dims), np.asarray(var.to_numpy())] for name, var in dataset.variables.items()}
    )


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
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()} {platform.system()}",
    }


def write_json(path: str | Path, content: object) -> Path:
    """Write JSON whole or not at all, making the folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1, sort_keys=True, default=str) + "\n")
    partial.replace(path)
    return path
