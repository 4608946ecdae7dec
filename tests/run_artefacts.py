"""What a run leaves, without when it was made: two runs that found the same are then equal, byte by byte.

Left out are locks, what is unfinished, and the caches of chapter 11's practice study but its cohort and series.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import xarray as xr

from gcamccl_core.provenance import hash_data

TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)?")
WHEN = ("date", "sha256", "files", "bytes", "notebooks")  # of stamps: when, and checksums of what holds a time
LEFT_OUT = ("unfinished", "source", "rendering", "made_from", "logs")  # folders of a run that are no results
OF_PRACTICE = ("cohort.nc", "series/*.npz")  # of raw/


def without_times(text: str) -> str:
    """Replace every date with a time of day in it, as stamps write them, by a word.

    Examples
    --------
    >>> without_times("made 2026-11-27T11:09:48+00:00")
    'made <time>'
    """
    return TIME.sub("<time>", text)


def of_notebook(path: Path) -> bytes:
    """Cells and outputs without papermill's times, without progress bars, and without the stamp's date."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        cell.pop("id", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return without_times(json.dumps(notebook, sort_keys=True)).encode()  # nbformat.writes would draw new ids


def of_json(path: Path) -> bytes:
    """Content without what says when."""
    return without_times(json.dumps(_strip(json.loads(path.read_text())), sort_keys=True)).encode()


def _strip(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _strip(value) for name, value in content.items() if name not in WHEN}
    return [_strip(each) for each in content] if isinstance(content, list) else content


def of_arrays(path: Path) -> bytes:
    """Arrays of an npz file, whose members hold the time of their writing; its stamp names times of scans."""
    with np.load(path, allow_pickle=False) as held:
        arrays = {name: held[name] for name in sorted(held.files) if name != "stamp"}
    lines = io.BytesIO()
    for name, values in arrays.items():
        lines.write(f"{name}{values.dtype}{values.shape}".encode() + np.ascontiguousarray(values).tobytes())
    return lines.getvalue()


def of_dataset(path: Path) -> bytes:
    """Fingerprint of a dataset."""
    with xr.open_dataset(path, engine="h5netcdf") as stored:
        return hash_data(stored.load()).encode()


def of_index(path: Path) -> bytes:
    """The search index of a book, without the words that are parts of times."""
    text = re.sub(r'"?\d{4}-?\d\d-?\d\dt\d+"?:[^,}]*,?|"?\d+[t:]\d[\w:+.]*"?:[^,}]*,?', "", path.read_text())
    return without_times(text).encode()


KINDS: dict[str, Callable[[Path], bytes]] = {
    ".ipynb": of_notebook,
    ".json": of_json,
    ".npz": of_arrays,
    ".nc": of_dataset,
    ".html": lambda path: without_times(path.read_text()).encode(),
    ".gz": lambda path: gzip.decompress(path.read_bytes()),
}


def artefacts(run: Path) -> dict[str, str]:
    """Fingerprint every artefact of a run folder, by its path below it.

    Parameters
    ----------
    run : pathlib.Path
        A run folder, or any other folder of files.

    Returns
    -------
    dict of str to str
        Equal for two runs that found the same.
    """
    found = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        place = path.relative_to(run)
        if place.name.startswith(".lock") or set(place.parts) & set(LEFT_OUT) or place.name.endswith(".lock"):
            continue
        if place.parts[0] == "raw" and not any(place.match(f"raw/{pattern}") for pattern in OF_PRACTICE):
            continue
        read = of_index if place.name == "searchindex.js" else KINDS.get(path.suffix, Path.read_bytes)
        content = read(path)
        found[place.as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Name the artefacts that are not the same in both, or in one alone.

    Examples
    --------
    >>> differences({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"})
    ['b', 'c']
    """
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
