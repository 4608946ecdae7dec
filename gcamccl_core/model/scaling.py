"""How one view is scaled before it enters the network: learnt from the training subjects, kept with the weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from gcamccl_core.data.checks import name_some
from gcamccl_core.model.stored_moments import StoredMoments
from gcamccl_core.pieces import on_disk

AS_THEY_ARE = ("correlation", "genotype")
ROUNDING = 1e-6  # relative to a feature's size, or to the spread of the others: below it, nothing varies


def center_and_spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every feature over subjects; a spread of 0 where rounding alone varies.

    What is left of a feature after its confounds are removed can be rounding; divided by its spread, it would be as
    loud as any other, and a new subject's value could be anything.

    Parameters
    ----------
    values : array of shape (n, ...)
        One row per subject.

    Returns
    -------
    center, spread : arrays of shape (...)
        In the precision of the values.

    Examples
    --------
    >>> center, spread = center_and_spread(np.array([[0.1, 1, 5], [np.nextafter(0.1, 1), 3, 5]]))
    >>> center.round(3).tolist(), spread.tolist()
    ([0.1, 2.0, 5.0], [0.0, 1.0, 0.0])
    """
    center = values.mean(axis=0, dtype=np.float64).astype(values.dtype)
    spread = np.sqrt(np.square(values - center).mean(axis=0))
    spread[np.ptp(values, axis=0) == 0] = 0  # exact, where rounding of the mean leaves a constant some spread
    spread[spread <= ROUNDING * np.maximum(np.abs(center), _typical(spread))] = 0
    return center, spread


def _typical(spread: np.ndarray) -> float:
    """Median of the spreads of what varies at all."""
    return float(np.median(spread[spread > 0])) if (spread > 0).any() else 0.0


class _Moments:
    """Of a view in memory, missing values apart: by variable of a vector, of all values of an image together."""

    def __init__(self, view: xr.DataArray) -> None:
        self._values = view.to_numpy().astype(np.float64)
        self._axis = 0 if view.ndim == 2 else None
        self.missing = np.asarray(np.isnan(self._values).all(axis=self._axis))

    @property
    def mean(self) -> np.ndarray:
        return np.asarray(np.nanmean(self._values, axis=self._axis))

    @property
    def spread(self) -> np.ndarray:
        return np.asarray(np.nanstd(self._values, axis=self._axis))

    @property
    def constant(self) -> np.ndarray:
        return np.asarray(np.nanmax(self._values, axis=self._axis) == np.nanmin(self._values, axis=self._axis))


class Scaling(nn.Module):
    """Centre and scale of one view, and what stands in for a missing value, as buffers; NaN until fitted.

    Correlations and genotypes stay as they are: they have units of their own. Measures come in all units: other images
    get one mean and one standard deviation, other vectors one per variable.

    Parameters
    ----------
    shape : tuple of int
        Shape of one subject's view.

    Examples
    --------
    >>> view = xr.DataArray([[0.0, 5], [2, 5]], dims=("subject", "snp"), name="snp")
    >>> Scaling((2,)).fit(view)(view)
    tensor([[[-1.,  0.]],
    <BLANKLINE>
            [[ 1.,  0.]]])
    """

    center: Tensor
    scale: Tensor
    fill: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        size = tuple(shape) if len(shape) == 1 else ()
        self.register_buffer("center", torch.full(size, torch.nan))
        self.register_buffer("scale", torch.full(size, torch.nan))
        self.register_buffer("fill", torch.full(size, torch.nan))

    def fit(self, view: xr.DataArray) -> Scaling:
        """Learn from the view of the training subjects, shape (n, length) or (n, side, side).

        Raises
        ------
        ValueError
            If a variable of a vector is missing in all of them.
        """
        moments = StoredMoments(view) if on_disk(view) else _Moments(view)
        if moments.missing.any():
            lacking = view[view.dims[1]].to_numpy()[moments.missing]
            raise ValueError(
                f"view '{view.name}': no training subject has a value of {name_some(lacking)}; leave these out"
            )
        self.fill.copy_(torch.as_tensor(moments.mean))
        if view.attrs.get("kind") in AS_THEY_ARE:
            self.center.zero_()
            self.scale.fill_(1)
        else:
            spread = moments.spread
            rounding = ROUNDING * np.maximum(np.abs(moments.mean), _typical(spread))
            self.center.copy_(self.fill)
            # what varies by rounding alone becomes 0, whatever a new subject's value
            scale = np.where(moments.constant | (spread <= rounding), np.inf, spread)
            self.scale.copy_(torch.as_tensor(scale))
        return self

    def forward(self, view: xr.DataArray) -> Tensor:
        """Scaled values, float32, shape (n, 1, length) or (n, 1, side, side); missing ones take the training mean.

        Raises
        ------
        RuntimeError
            If the scaling has not been fitted.
        """
        if bool(self.scale.isnan().any()):
            raise RuntimeError(f"the scaling of view '{view.name}' is not fitted; call fit_scaling first")
        values = torch.tensor(view.to_numpy(), dtype=torch.float32, device=self.scale.device)
        return ((values.where(~values.isnan(), self.fill) - self.center) / self.scale).unsqueeze(1)
