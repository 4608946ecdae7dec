"""The collaborative network: Table IV of the paper, for any size, any number of views and any number of classes."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from gcamccl_core.data.checks import name_some
from gcamccl_core.model.blocks import FEATURES, build_encoder
from gcamccl_core.model.checkpoint import read_tensors, write_tensors
from gcamccl_core.model.scaling import Scaling

OUTPUTS = ("softmax", "sigmoid")


class CollaborativeNet(nn.Module):
    """One ConvNet per view, each with its own classifier, tied together by the loss alone (section II-D, Table IV).

    Every view ends in 64 features and ``n_classes`` logits; the views' logits are the collaborative layer. A kernel
    or pool that does not fit a smaller input shrinks until two of its windows fit side by side, since a layer of a
    single position has nothing to map.

    Parameters
    ----------
    views : mapping of str to tuple of int
        Shape of one subject's view: ``(side, side)`` for an image, ``(length,)`` for a vector.
    n_classes : int
        Number of classes, C in Eq. 12. (With DCL and DCCA, what the heads hand out are latent variables, and this is
        their number.)
    dropout : float
        Share of the activations dropped in the middle layers; 0.2 in Table II.
    output : {"softmax", "sigmoid"}
        How logits become probabilities: over the classes (section II-D) or class by class (Table II).

    Raises
    ------
    ValueError
        If a view is too small or of an unknown shape, or another argument is out of range.

    Examples
    --------
    >>> net = CollaborativeNet({"fc": (264, 264), "snp": (750,)})
    >>> sum(parameter.numel() for parameter in net.parameters())
    318724
    >>> net.default_layer("fc"), net.default_layer("snp")
    ('conv3', 'conv2')
    """

    def __init__(
        self,
        views: Mapping[str, Sequence[int]],
        n_classes: int = 2,
        dropout: float = 0.2,
        output: str = "softmax",
    ) -> None:
        super().__init__()
        if not views:
            raise ValueError("a network needs at least one view")
        if n_classes < 2:
            raise ValueError(f"n_classes must be at least 2, got {n_classes}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {output!r}")
        self.views = {name: tuple(int(size) for size in shape) for name, shape in views.items()}
        self.n_classes, self.dropout, self.output = n_classes, dropout, output
        self.encoders, self.heads, self.scalings = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for name, shape in self.views.items():
            self.encoders[name] = build_encoder(name, shape, dropout)
            self.heads[name] = nn.Linear(FEATURES, n_classes)
            self.scalings[name] = Scaling(shape)
        # images train faster with their channels last; vectors stay as they are (torch's stubs lack this overload)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def layer_names(self, view: str) -> list[str]:
        """Names of a view's blocks, first to last."""
        return [name for name, _ in self.encoders[self._known(view)].named_children()]

    def default_layer(self, view: str) -> str:
        """Name of the last block whose output still has spatial extent: f_conv3 and s_conv2 in Table IV."""
        return self.layer_names(view)[-2]

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits of every view.

        Parameters
        ----------
        inputs : mapping of str to Tensor
            Every view, prepared: shape (n, 1, side, side) or (n, 1, length).

        Returns
        -------
        dict of str to Tensor
            Logits, shape (n, n_classes), by view.
        """
        return {view: self.heads[view](self._encode(view, inputs)) for view in self.views}

    def features(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Flattened features of every view (f_flatten and s_flatten in Table IV), shape (n, 64), by view.

        Parameters
        ----------
        inputs : mapping of str to Tensor
            As in :meth:`forward`.
        """
        return {view: self._encode(view, inputs) for view in self.views}

    def _encode(self, view: str, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.encoders[view](inputs[view]).flatten(1)

    def predict_proba(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Fused prediction: the mean over views of their class probabilities, shape (n, n_classes).

        Sigmoid outputs are divided by their sum over the classes first, so that rows sum to 1 either way.
        """
        return fused_log_proba(self(inputs), self.output).exp()

    def fit_scaling(self, cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray) -> CollaborativeNet:
        """Learn from the training subjects how to scale each view, see :class:`.Scaling`.

        Parameters
        ----------
        cohort : xarray.Dataset
            Holds every view of the network.
        subjects : array of int
            Positions of the training subjects.

        Raises
        ------
        ValueError
            If a variable is missing in all of them, or the cohort's views do not match the network's.
        """
        for name, scaling in self.scalings.items():
            assert isinstance(scaling, Scaling)
            scaling.fit(self._take(cohort, name, subjects))
        return self

    def prepare(self, cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray | None = None) -> dict[str, Tensor]:
        """Scaled inputs for :meth:`forward`; missing values take the training mean.

        Parameters
        ----------
        cohort : xarray.Dataset
            Holds every view of the network.
        subjects : array of int, optional
            Positions of the subjects; all if None.

        Returns
        -------
        dict of str to Tensor
            float32 on the network's device, shape (n, 1, side, side) or (n, 1, length), by view.

        Raises
        ------
        RuntimeError
            If the scaling has not been fitted.
        ValueError
            If the cohort's views do not match the network's.
        """
        return {name: self.scalings[name](self._take(cohort, name, subjects)) for name in self.views}

    def _take(self, cohort: xr.Dataset, name: str, subjects: Sequence[int] | np.ndarray | None) -> xr.DataArray:
        """One view of some subjects, if the cohort has it in the network's shape."""
        if name not in cohort or cohort[name].shape[1:] != self.views[name]:
            found = cohort[name].shape[1:] if name in cohort else "none"
            raise ValueError(f"the network expects view '{name}' of shape {self.views[name]}; the cohort has {found}")
        return cohort[name] if subjects is None else cohort[name].isel(subject=np.asarray(subjects))

    def _known(self, view: str) -> str:
        if view not in self.views:
            raise KeyError(f"no view '{view}'; the network has {name_some(self.views)}")
        return view


def fused_log_proba(logits: Mapping[str, Tensor], output: str = "softmax") -> Tensor:
    """Logarithm of the mean over the views of their class probabilities, shape (n, n_classes).

    Parameters
    ----------
    logits : mapping of str to Tensor
        By view, shape (n, n_classes).
    output : {"softmax", "sigmoid"}
        Sigmoid outputs are divided by their sum over the classes, so that rows sum to 1 either way.
    """
    scores = torch.stack(list(logits.values()))
    scores = scores if output == "softmax" else logsigmoid(scores)
    return scores.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits))


def describe(net: CollaborativeNet) -> pd.DataFrame:
    """Table IV of any network, read off while one subject of zeros passes through it.

    Parameters
    ----------
    net : CollaborativeNet
        Left as it was.

    Returns
    -------
    pandas.DataFrame
        One row per block and one per classifier: ``view``, ``layer``, ``input_shape`` and ``output_shape`` (tuples that
        start with ``"b"``, the batch size), ``operation`` (K kernel, P padding, MP max pooling) and ``parameters``.

    Examples
    --------
    >>> table = describe(CollaborativeNet({"snp": (750,)}))
    >>> print(table[["layer", "input_shape", "operation", "parameters"]].to_string(index=False))
    layer  input_shape     operation  parameters
    conv1  (b, 1, 750) K, MP = 31, 6         544
    conv2 (b, 16, 120) K, MP = 31, 6       15968
    conv3  (b, 32, 15)        K = 15       30912
     head      (b, 64)        linear         130
    """
    probe = copy.deepcopy(net).eval()
    rows: list[dict[str, object]] = []

    def note(view: str, layer: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        rows.append(
            {
                "view": view,
                "layer": layer,
                "input_shape": ("b", *inputs[0].shape[1:]),
                "operation": _operation(module),
                "output_shape": ("b", *output.shape[1:]),
                "parameters": sum(parameter.numel() for parameter in module.parameters()),
            }
        )

    for view in probe.views:
        for layer, module in [*probe.encoders[view].named_children(), ("head", probe.heads[view])]:
            module.register_forward_hook(partial(note, view, layer))
    device = next(probe.parameters()).device
    with torch.no_grad():
        probe({view: torch.zeros(1, 1, *shape, device=device) for view, shape in probe.views.items()})
    return pd.DataFrame(rows)


def _operation(module: nn.Module) -> str:
    """Write a block in the notation of Table IV."""
    if not isinstance(module, nn.Sequential):
        return "linear"
    sizes: dict[str, int] = {}
    for part in module:
        if isinstance(part, nn.Conv1d | nn.Conv2d):
            sizes |= {"K": part.kernel_size[0], "P": int(part.padding[0])}
        elif isinstance(part, nn.MaxPool1d | nn.MaxPool2d):
            sizes |= {"MP": int(part.kernel_size)}  # type: ignore[arg-type]  # one number, as blocks.py gives it
    used = {name: size for name, size in sizes.items() if size}
    return f"{', '.join(used)} = {', '.join(map(str, used.values()))}"


def save_net(net: CollaborativeNet, path: str | Path) -> Path:
    """Write a network as safetensors, whole or not at all; its arguments travel in the metadata.

    Parameters
    ----------
    net : CollaborativeNet
        Any network; weights, batch-norm statistics and scaling are kept.
    path : path
        The file to write or replace, usually ``*.safetensors``.
    """
    arguments = {name: getattr(net, name) for name in ("views", "n_classes", "dropout", "output")}
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
