"""Mean and spread of a view on disk, read a piece at a time, to the bit as of the same view in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from gcamccl_core.pieces import in_pieces, rows_at_once

Term = Callable[[np.ndarray], np.ndarray]
SMALLEST_HALF = 128  # entries that numpy adds one after the other, before it adds sums of halves


class StoredMoments:
    """What :class:`.Scaling` learns of a view, missing values apart: numpy's ``nanmean`` and its kin.

    A vector has moments of its own for every variable; of an image, all values together have one. Sums are added up in
    the order in which numpy adds up the whole array, so that they come out the same to the bit: row after row for
    variables, by halves of halves for all values together.

    Parameters
    ----------
    view : xarray.DataArray of shape (n, length) or (n, side, side)
        On disk or in memory.

    Examples
    --------
    >>> moments = StoredMoments(xr.DataArray([[0.0, 5], [2, np.nan]], dims=("subject", "snp")))
    >>> moments.missing.tolist(), moments.mean.tolist(), moments.spread.tolist()
    ([False, False], [1.0, 5.0], [1.0, 0.0])
    """

    def __init__(self, view: xr.DataArray) -> None:
        self._view = view
        self._by_variable = view.ndim == 2
        self._axis = 0 if self._by_variable else None
        self._count = sum(
            (np.sum(~np.isnan(values), axis=self._axis) for _, values in in_pieces(view)), np.zeros((), dtype=int)
        )
        self.missing = np.asarray(self._count == 0)
        with np.errstate(invalid="ignore"):  # of a variable that is missing in all
            self.mean = np.asarray(self._sum(lambda values: values) / self._count)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviations."""
        return np.asarray(np.sqrt(self._sum(lambda values: np.square(values - self.mean)) / self._count))

    @property
    def constant(self) -> np.ndarray:
        """Whether nothing varies."""
        lowest, highest = np.asarray(np.inf), np.asarray(-np.inf)
        for _, values in in_pieces(self._view):
            lowest = np.fmin(lowest, np.fmin.reduce(values, axis=self._axis))
            highest = np.fmax(highest, np.fmax.reduce(values, axis=self._axis))
        return np.asarray(lowest == highest)

    def _sum(self, term: Term) -> np.ndarray:
        """Sum of a term of every value that is not missing."""
        if not self._by_variable or self._view.shape[1] == 1:  # numpy adds up a single column like a flat array
            return np.asarray(self._sum_halves(term, 0, self._view.size)).reshape(self.missing.shape)
        total: np.ndarray | None = None
        for _, values in in_pieces(self._view):
            terms = _without_missing(values, term)
            total = (terms if total is None else np.concatenate([total[None], terms])).sum(axis=0)
        return np.asarray(total)

    def _sum_halves(self, term: Term, start: int, stop: int) -> float:
        """Sum over the flattened view from start to stop as numpy goes about it, so that halves can be read in turn."""
        size = stop - start
        per_subject = self._view.size // len(self._view)
        at_once = max(SMALLEST_HALF, rows_at_once(self._view.shape, self._view.dtype) * per_subject)
        if size <= at_once:
            first = start // per_subject
            values = self._view[first : -(-stop // per_subject)].to_numpy().reshape(-1)
            return float(_without_missing(values[start - first * per_subject :][:size], term).sum())
        half = size // 2
        half -= half % 8
        return self._sum_halves(term, start, start + half) + self._sum_halves(term, start + half, stop)


def _without_missing(values: np.ndarray, term: Term) -> np.ndarray:
    return np.where(np.isnan(values), 0, term(values.astype(np.float64)))
