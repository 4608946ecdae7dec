"""Tensors and a little JSON in one safetensors file: written whole or not at all, read back or refused; no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gcamccl_core.kept_files import CHECKSUM, DamagedFileError, set_aside, whole_file


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], content: object) -> Path:
    """Write tensors with JSON beside them and a checksum of both; a kill in the midst leaves the former file as it was.

    Parameters
    ----------
    path : path
        The file to write or replace, usually ``*.safetensors``.
    tensors : mapping of str to Tensor
        Of any shape, type and memory format.
    content : object
        Anything that JSON can hold; it goes into the file's metadata.

    Raises
    ------
    StorageError
        If the file cannot be written, with the reason and what to do.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(content)
    held = json.dumps({"content": text, CHECKSUM: _checksum(kept, text)})  # one entry: several have no fixed order
    with whole_file(path) as partial:
        save_file(kept, partial, metadata={"held": held})
    return Path(path)


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], Any]:
    """Read tensors and JSON that :func:`write_tensors` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DamagedFileError
        If the file is truncated, altered or holds something else.

    Examples
    --------
    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_tensors(Path(folder) / "best.safetensors", {"weight": torch.ones(2)}, {"epoch": 7})
    ...     read_tensors(path)
    ({'weight': tensor([1., 1.])}, {'epoch': 7})
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            held = json.loads(stored.metadata()["held"])
        text, checksum = held["content"], held[CHECKSUM]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as fault:
        raise DamagedFileError(f"{path} is truncated or not ours; delete it and train anew ({fault})") from fault
    if checksum != _checksum(tensors, text):
        raise DamagedFileError(
            f"{path} is damaged: its content is not what its checksum says; delete it and train anew"
        )
    return tensors, json.loads(text)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], Any] | None:
    """Read a checkpoint as :func:`read_tensors` does; None if there is none, or, with a warning, if it is damaged."""
    if not path.is_file():
        return None
    try:
        return read_tensors(path)
    except DamagedFileError as fault:
        set_aside(path, fault, "training starts from the beginning")
        return None


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}:{tensor.dtype}{tuple(tensor.shape)};".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
