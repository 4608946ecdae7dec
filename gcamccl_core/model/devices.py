"""Where networks are trained and mapped: a GPU if there is one, unless told otherwise."""

from __future__ import annotations

import os

import torch

VARIABLE = "GCAMCCL_DEVICE"


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """Choose where to compute.

    Parameters
    ----------
    name : str, optional
        ``"cpu"`` or ``"cuda"``; what the environment variable ``GCAMCCL_DEVICE`` says if None, and a GPU
        if there is one where that is unset, too.

    Raises
    ------
    ValueError
        If there is no such device, or none by this name on this machine.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    asked = name if name is not None else os.environ.get(VARIABLE) or None
    if asked is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise ValueError(f"there is no device {asked!r}; 'cpu' and 'cuda' are known (variable {VARIABLE})") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'cpu' or 'cuda', got {str(device)!r} (variable {VARIABLE})")
    if device.index:
        raise ValueError(
            f"device must be 'cpu' or 'cuda', got {str(device)!r}; choose among several GPUs by the variable "
            "CUDA_VISIBLE_DEVICES"
        )
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device {str(device)!r} is asked for and torch finds no GPU; ask for 'cpu', or "
            f"install a build of torch for your GPU (variable {VARIABLE})"
        )
    return device
