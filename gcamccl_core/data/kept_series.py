"""A subject's time series in one file, and beside it what it was made from and its checksum."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gcamccl_core.data.time_series import RegionSeries
from gcamccl_core.kept_files import (
    DamagedFileError,
    DamageWarning,
    digest_file,
    read_sealed,
    refuse_damage,
    set_aside,
    whole_file,
    write_sealed,
)


def keep_series(series: RegionSeries, path: Path, row: Mapping[str, object]) -> None:
    """Write a subject's series whole or not at all, without pickle; what vouches for it comes last.

    Parameters
    ----------
    series : RegionSeries
        What one scan gave.
    path : pathlib.Path
        The file to write or replace, ``*.npz``; its row lies beside it as ``*.json``.
    row : mapping
        What the table of scans says of it; ``row["stamp"]`` is the fingerprint of what it was made from.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    summary = path.with_suffix(".json")
    summary.unlink(missing_ok=True)  # until the new series is there, nothing vouches for the old one
    columns: dict[str, Any] = {name: series.coverage[name].to_numpy() for name in ("voxels", "expected", "coverage")}
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            signal=series.signal.astype(np.float32),
            regions=np.array(series.regions, dtype=str),
            stamp=np.array(row["stamp"]),
            roi=series.coverage["roi"].to_numpy(str),
            **columns,
        )
    write_sealed(summary, {"row": row, "files": {path.name: digest_file(path)}})


def kept_row(path: Path, stamp: str) -> dict[str, Any] | None:
    """Give the row of a series that was made alike; one that is damaged is set aside, with a warning.

    Parameters
    ----------
    path : pathlib.Path
        The file that :func:`keep_series` wrote, or would write.
    stamp : str
        Fingerprint of what it would be made from now.

    Returns
    -------
    dict or None
        None if it is to be made, anew or for the first time.
    """
    summary = path.with_suffix(".json")
    if not (path.is_file() and summary.is_file()):
        return None
    try:
        held = read_sealed(summary)
        refuse_damage(path.parent, held["files"])
    except DamagedFileError as fault:
        with warnings.catch_warnings():
            warnings.simplefilter("always", DamageWarning)
            set_aside(path, fault, "the scan is processed anew")
        return None
    return held["row"] if held["row"]["stamp"] == stamp else None
