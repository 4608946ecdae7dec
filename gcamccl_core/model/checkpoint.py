"""Tensors and a little JSON in one safetensors file: written whole or not at all, read back or refused; no pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], content: object) -> Path:
    """Write tensors with JSON beside them; a kill in the midst leaves the former file as it was.

    Parameters
    ----------
    path : path
        The file to write or replace, usually ``*.safetensors``.
    tensors : mapping of str to Tensor
        Of any shape, type and memory format.
    content : object
        Anything that JSON can hold; it goes into the file's metadata.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(
            {name: tensor.detach().contiguous() for name, tensor in tensors.items()},
            unfinished,
            metadata={"content": json.dumps(content)},
        )
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], Any]:
    """Read tensors and JSON that :func:`write_tensors` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated or holds something else.

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
            return tensors, json.loads(stored.metadata()["content"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as fault:
        raise ValueError(f"{path} is truncated or not ours; delete it and train anew ({fault})") from fault
