"""Keep a network in one file and read it back, without pickle."""

from __future__ import annotations

from pathlib import Path

from gcamccl_core.model.checkpoint import read_tensors, write_tensors
from gcamccl_core.model.networks import CollaborativeNet


def save_net(net: CollaborativeNet, path: str | Path) -> Path:
    """Write a network as safetensors, whole or not at all; its arguments travel in the metadata.

    Parameters
    ----------
    net : CollaborativeNet
        Any network; weights, batch-norm statistics and scaling are kept.
    path : path
        The file to write or replace, usually ``*.safetensors``.
    """
    names = ("views", "n_classes", "dropout", "output", "combine", "blocks", "classes")
    arguments = {name: getattr(net, name) for name in names}
    arguments["pathways"] = net.pathway_names
    return write_tensors(path, net.state_dict(), {"arguments": arguments})


def load_net(path: str | Path) -> CollaborativeNet:
    """Read a network that :func:`save_net` wrote, ready to predict (eval mode).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated or holds something else.
    """
    tensors, content = read_tensors(path)
    try:
        net = CollaborativeNet(**content["arguments"])
        net.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as fault:
        raise ValueError(f"{path} holds no network ({fault})") from fault
    return net.eval()
