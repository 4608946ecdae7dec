"""A view with some of its features replaced by their training mean, and what the network then says of a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.scaling import Scaling


class ReplacedFeatures:
    """One view of some subjects, and the network's mean probability of a class when features of it are replaced.

    Only this view's part of the network is called, in the mode that it is in.

    Parameters
    ----------
    net : CollaborativeNet
        The network.
    view : str
        Which view.
    target : int
        Number of the class.
    inputs : Tensor
        The view of these subjects, prepared: shape (n, 1, length) or (n, 1, side, side).
    baseline : Tensor
        What stands in for a feature, scaled like ``inputs``: the shape of the view, or one number.
    batch_size : int
        Subjects per forward pass.

    Examples
    --------
    >>> net = CollaborativeNet({"snp": (80,)}).eval()
    >>> people = ReplacedFeatures(net, "snp", 1, torch.ones(3, 1, 80), torch.tensor(1.0), batch_size=2)
    >>> people.probability(np.arange(80) < 20) == people.probability(np.zeros(80, dtype=bool))
    True
    """

    def __init__(
        self, net: CollaborativeNet, view: str, target: int, inputs: Tensor, baseline: Tensor, batch_size: int
    ) -> None:
        self.net, self.view = net, view
        self.shape, self.target = net.views[view], target
        self.inputs, self.baseline, self.batch_size = inputs, baseline, batch_size
        self._ends: dict[int, float] = {}

    def probability(self, replaced: np.ndarray) -> float:
        """Mean over the subjects of :math:`h_c` of this view, softmax or sigmoid as the network's ``output`` says.

        Parameters
        ----------
        replaced : array of shape (n_features,), bool
            In the order of :func:`.flatten_features`. A connection is replaced in both triangles of an image; its
            diagonal stays.
        """
        count = int(replaced.sum())
        if 0 < count < len(replaced):
            return self._compute(replaced)
        if count not in self._ends:  # nothing or everything replaced: the same for every ranking
            self._ends[count] = self._compute(replaced)
        return self._ends[count]

    def _compute(self, replaced: np.ndarray) -> float:
        mask = torch.as_tensor(_lay_out(replaced, self.shape), device=self.inputs.device)
        total = 0.0
        with torch.no_grad():
            for batch in torch.split(self.inputs, self.batch_size):
                logits = self.net.logits_of(self.view, torch.where(mask, self.baseline, batch))
                h = logits.softmax(dim=1) if self.net.output == "softmax" else logits.sigmoid()
                total += h[:, self.target].double().sum().item()
        return total / len(self.inputs)


def _lay_out(features: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Lay marked features out as their view, the inverse of flatten_features; an image's diagonal is never marked."""
    if len(shape) == 1:
        return features
    image = np.zeros(shape, dtype=bool)
    image[np.triu_indices(shape[0], k=1)] = features
    return image | image.T


def training_means(
    net: CollaborativeNet, cohort: xr.Dataset, train: Sequence[int] | np.ndarray | None = None
) -> dict[str, Tensor]:
    """Mean of every feature over the training subjects, scaled as the network's input.

    Parameters
    ----------
    net : CollaborativeNet
        Its scaling is fitted.
    cohort : xarray.Dataset
        Holds every view of the network.
    train : array of int, optional
        Positions of the training subjects. If None, what the network keeps for missing values, see :class:`.Scaling`.

    Returns
    -------
    dict of str to Tensor
        By view, the view's shape; of an image without ``train`` a single number, the mean over all its entries. It is 0
        for measures, which are centred, and not for correlations and genotypes, which the network takes as they are.

    Raises
    ------
    ValueError
        If ``train`` is empty.
    RuntimeError
        If the scaling has not been fitted.

    Examples
    --------
    >>> cohort = xr.Dataset({"snp": (("subject", "locus"), np.full((4, 80), 2.0), {"kind": "genotype"})})
    >>> net = CollaborativeNet({"snp": (80,)}).fit_scaling(cohort, range(4))
    >>> training_means(net, cohort)["snp"][:3]
    tensor([2., 2., 2.])
    """
    if train is not None:
        if not len(train):
            raise ValueError("train must name at least one training subject, or be None")
        return {view: x.mean(dim=0)[0] for view, x in net.prepare(cohort, train).items()}
    means = {}
    for view, scaling in net.scalings.items():
        assert isinstance(scaling, Scaling)
        if bool(scaling.fill.isnan().any()):
            raise RuntimeError(f"the scaling of view '{view}' is not fitted; call fit_scaling first")
        means[view] = (scaling.fill - scaling.center) / scaling.scale
    return means
