"""A network's inputs read from disk a batch at a time, where a tensor of all subjects would not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from gcamccl_core.data.checks import view_names
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.scaling import Scaling
from gcamccl_core.pieces import on_disk, require_memory

BYTES_PER_VALUE = 34  # of the training part where it must be held whole: itself, and in double precision, thrice
BYTES_PER_PAIR = 48  # of training subjects, where linear pathways are fitted


class StreamedView:
    """Prepared inputs of a view on disk: picked from like a tensor of shape (n, 1, *view shape), and read when picked.

    Parameters
    ----------
    view : xarray.DataArray of shape (n, length) or (n, side, side)
        On disk; of the subjects to pick from.
    scaling : Scaling
        Fitted.
    device : torch.device, optional
        Where to hand inputs out; where the scaling is, if None.
    """

    def __init__(self, view: xr.DataArray, scaling: Scaling, device: torch.device | None = None) -> None:
        self._view, self._scaling, self._device = view, scaling, device

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, positions: Tensor) -> Tensor:
        """Read the inputs of some subjects and of no others, float32, shape (k, 1, *view shape)."""
        picked: Tensor = self._scaling(self._view.isel(subject=positions.cpu().numpy()))
        return picked if self._device is None else picked.to(self._device)

    def to(self, device: torch.device) -> StreamedView:
        """Hand inputs out on another device."""
        return StreamedView(self._view, self._scaling, device)


Inputs = Tensor | StreamedView


def prepare_inputs(
    net: CollaborativeNet,
    cohort: xr.Dataset,
    subjects: Sequence[int] | np.ndarray | None = None,
    whole: bool = False,
) -> dict[str, Inputs]:
    """Scaled inputs of every view, see :meth:`.CollaborativeNet.prepare`; views on disk stay there.

    Parameters
    ----------
    net : CollaborativeNet
        With its scaling fitted.
    cohort : xarray.Dataset
        Holds every view of the network.
    subjects : array of int, optional
        Positions of the subjects; all if None.
    whole : bool
        Read views on disk, too, see :func:`require_whole`.

    Returns
    -------
    dict of str to Tensor or StreamedView
        Both can be picked from by a tensor of positions among the ``subjects``.

    Raises
    ------
    RuntimeError
        If the scaling has not been fitted.
    ValueError
        If the cohort's views do not match the network's.

    Examples
    --------
    >>> cohort = xr.Dataset({"snp": (("subject", "locus"), np.eye(9, dtype="float32"))})
    >>> net = CollaborativeNet({"snp": (9,)}).fit_scaling(cohort, range(9))
    >>> prepare_inputs(net, cohort, [4, 2])["snp"].shape
    torch.Size([2, 1, 9])
    """
    stored = [name for name in net.views if name in cohort and on_disk(cohort[name])]
    if whole or not stored:
        return dict(net.prepare(cohort, subjects))
    net.prepare(cohort, [0])  # says what does not match
    inputs: dict[str, Inputs] = {}
    for name in net.views:
        view = cohort[name] if subjects is None else cohort[name].isel(subject=np.asarray(subjects))
        scaling = net.scalings[name]
        assert isinstance(scaling, Scaling)
        inputs[name] = StreamedView(view, scaling) if name in stored else scaling(view)
    return inputs


def require_whole(cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray, what: str) -> None:
    """Refuse to hold subjects of a cohort on disk whole, as pathways beside the ConvNet need them, if there is no room.

    Parameters
    ----------
    cohort : xarray.Dataset
        In memory, there is nothing to refuse.
    subjects : array of int
        Positions of the training subjects.
    what : str
        For whom, as in "pathways beside the ConvNet".

    Raises
    ------
    MemoryError
        If there is too little memory; it says how much it would take.
    """
    if not on_disk(cohort):
        return
    values = sum(int(np.prod(cohort[name].shape[1:])) for name in view_names(cohort))
    size = BYTES_PER_VALUE * len(subjects) * values + BYTES_PER_PAIR * len(subjects) ** 2
    require_memory(
        size,
        f"fitting {what} to {len(subjects)} training subjects",
        "train on fewer, take Recipe.demo(), whose ConvNets read a batch at a time, or a machine with more memory",
    )
