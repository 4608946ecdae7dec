"""Files that are whole or not there, and that know their checksum, so that damage is found when they are read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gcamccl_core.disk_faults import explain

CHECKSUM = "sha256"


class DamagedFileError(ValueError):
    """A file that is not what was written: truncated, altered or missing; the message names it."""


class DamageWarning(UserWarning):
    """Something kept was damaged, is set aside, and is made anew."""


def partial_suffix() -> str:
    """Give the ending of what this process has not finished writing, so that a later one can remove it."""
    return f".{socket.gethostname()}-{os.getpid()}.partial"


def is_leftover(path: Path) -> bool:
    """Whether a partial file or folder was left by a process of this machine that no longer lives."""
    found = re.search(rf"\.{re.escape(socket.gethostname())}-(\d+)\.partial$", path.name)
    if found is None:
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's, and alive
        return False
    return False


def remove_leftovers(folder: Path, pattern: str = "*.partial") -> list[Path]:
    """Remove what processes that no longer live have left half-written in a folder, and list it."""
    left = [path for path in folder.glob(pattern) if is_leftover(path)]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return left


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Hand out a partial file to write, and put it in its place once it is whole; if not, remove it.

    Parameters
    ----------
    path : path
        The file to write or replace; its folder is made if need be.

    Yields
    ------
    pathlib.Path
        Where to write meanwhile, beside it.

    Raises
    ------
    StorageError
        If it cannot be written; what was there before is as it was.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with whole_file(f"{folder}/a.txt") as partial:
    ...         written = partial.write_text("whole")
    ...     [each.name for each in Path(folder).iterdir()]
    ['a.txt']
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}{partial_suffix()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except Exception as fault:
        said = explain(fault, path)
        if said is None:
            raise
        raise said from fault
    finally:
        with suppress(OSError):  # on a read-only disk there is nothing to remove, and no way to
            partial.unlink(missing_ok=True)


def digest_file(path: Path) -> dict[str, object]:
    """Size and SHA-256 of a file, read once."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, CHECKSUM: digest}


def digest_folder(folder: Path) -> dict[str, dict[str, object]]:
    """Sizes and SHA-256 of all files in a folder, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}


def find_damage(folder: Path, recorded: Mapping[str, Mapping[str, object]]) -> str | None:
    """Say which file of a folder is not what was written, and how; None if all are.

    Parameters
    ----------
    folder : pathlib.Path
        Where the files lie.
    recorded : mapping
        As :func:`digest_folder` gave it when they were written.
    """
    for name, wanted in recorded.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if (size := path.stat().st_size) != wanted["bytes"]:
            how = "truncated" if size < int(str(wanted["bytes"])) else "too long"
            return f"{path} is {how}: {size} bytes instead of {wanted['bytes']}"
        if (found := digest_file(path)[CHECKSUM]) != wanted[CHECKSUM]:
            return f"{path} is damaged: its SHA-256 is {found} instead of {wanted[CHECKSUM]}"
    return None


def refuse_damage(folder: Path, recorded: Mapping[str, Mapping[str, object]]) -> None:
    """Raise DamagedFileError if a file of a folder is not what was written, see :func:`find_damage`."""
    if fault := find_damage(folder, recorded):
        raise DamagedFileError(fault)


def write_sealed(path: str | Path, content: Mapping[str, object]) -> Path:
    """Write a mapping as JSON, whole or not at all, with a checksum of itself.

    Parameters
    ----------
    path : path
        The file to write or replace.
    content : mapping
        What JSON can hold; anything else as text.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     read_sealed(write_sealed(f"{folder}/stamp.json", {"seed": 0}))
    {'seed': 0}
    """
    plain = json.loads(json.dumps(content, default=str))
    with whole_file(path) as partial:
        partial.write_text(json.dumps({**plain, CHECKSUM: _checksum(plain)}, indent=1, sort_keys=True) + "\n")
    return Path(path)


def read_sealed(path: str | Path) -> dict[str, Any]:
    """Read what :func:`write_sealed` wrote, without the checksum.

    Raises
    ------
    DamagedFileError
        If the file is truncated, altered, or holds no checksum of itself.
    """
    path = Path(path)
    try:
        content = dict(json.loads(path.read_text()))
        checksum = content.pop(CHECKSUM)
    except (ValueError, TypeError, KeyError) as fault:
        raise DamagedFileError(f"{path} is truncated or not ours: it holds no JSON with its checksum") from fault
    if checksum != _checksum(content):
        raise DamagedFileError(f"{path} is damaged or was edited: its content is not what its checksum says")
    return content


def _checksum(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def set_aside(path: Path, fault: Exception, instead: str) -> Path | None:
    """Move a damaged file or folder out of the way, under a name that says so, and warn.

    Parameters
    ----------
    path : pathlib.Path
        What is damaged.
    fault : Exception
        How.
    instead : str
        What happens now, for the warning.

    Returns
    -------
    pathlib.Path
        Where it lies now; None if another process has moved it meanwhile.
    """
    aside = path.with_name(f".damaged-{path.name}")
    try:
        if aside.is_dir():
            shutil.rmtree(aside)
        path.replace(aside)
    except FileNotFoundError:
        return None
    warnings.warn(f"{fault}; it is kept aside as {aside}, and {instead}", DamageWarning, stacklevel=3)
    return aside
