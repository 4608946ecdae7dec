"""Whether the maps of several trainings put the same features first: an index with its interval; needs no truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import norm

from gcamccl_core.data.checks import name_some
from gcamccl_core.maps.dataset import class_values, map_views

COLUMNS = ["view", "target_class", "method", "stability", "low", "high", "n_runs", "n_selected"]


@dataclass(frozen=True)
class Stability:
    """How alike the selections of several runs are.

    Attributes
    ----------
    index : float
        1 where all runs select the same, about 0 where each selects at random, never below -1 / (n_runs - 1). NaN
        where it is undefined.
    low, high : float
        Bounds of its confidence interval, not cut at 1; NaN with two runs.
    n_runs : int
        How many selections were compared.
    """

    index: float
    low: float
    high: float
    n_runs: int


def selection_stability(selected: np.ndarray, confidence: float = 0.95) -> Stability:
    r"""Measure how alike several selections of features are, corrected for chance (Nogueira, Sechidis and Brown 2018).

    Run i selects a share :math:`m_i` of the d features, on average :math:`m`; a share :math:`p_f` of the M runs selects
    feature f, and :math:`z_{if}` is 1 if run i does. The index is

    .. math:: \Phi = 1 - \frac{1}{m (1 - m)} \, \frac{1}{d} \sum_f \frac{M}{M - 1} p_f (1 - p_f)

    and its interval :math:`\Phi \pm z \sqrt{v}`, z the quantile of the normal distribution, with

    .. math::
        \phi_i = \frac{1}{m (1 - m)} \left[ \frac{1}{d} \sum_f z_{if} p_f - m_i m
        + \frac{\Phi}{2} (2 m_i m - m_i - m + 1) \right], \qquad
        v = \frac{4}{M^2} \sum_i \left( \phi_i - \bar{\phi} \right)^2

    (*On the stability of feature selection algorithms*, Journal of Machine Learning Research 18:174, Definition 4,
    Theorem 7 and Corollary 9.) Where every run selects equally many features, it is Kuncheva's index.

    Parameters
    ----------
    selected : array of shape (n_runs, n_features), bool
        Which features each run selected; runs may select different numbers of them.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    Stability
        All NaN where no run selects anything or every run selects everything: nothing can differ then. ``low`` and
        ``high`` are NaN with two runs, where v depends on the two sizes alone. The interval takes the runs for
        independent and many. It is too narrow for a handful: with five, 95 % are in truth about 70 %. And runs that
        share training subjects say how alike trainings on this cohort are, not on another.

    Raises
    ------
    ValueError
        If the array is not boolean, not two-dimensional, or has fewer than two runs or no feature, or the confidence
        is out of range.

    Examples
    --------
    >>> selection_stability(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]], dtype=bool))
    Stability(index=1.0, low=1.0, high=1.0, n_runs=3)
    """
    selected = np.asarray(selected)
    if selected.dtype != bool or selected.ndim != 2:
        raise ValueError(
            f"selected must be a boolean array (runs, features); got {selected.dtype} of shape {selected.shape}"
        )
    if len(selected) < 2 or not selected.shape[1]:
        raise ValueError(f"stability needs at least two runs and a feature; got shape {selected.shape}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    n_runs, n_features = selected.shape
    if selected.all() or not selected.any():
        return Stability(np.nan, np.nan, np.nan, n_runs)
    p, size = selected.mean(axis=0), selected.mean(axis=1)
    mean_size = p.mean()
    by_chance = mean_size * (1 - mean_size)
    index = 1 - n_runs / (n_runs - 1) * (p * (1 - p)).mean() / by_chance
    of_size = index / 2 * (2 * size * mean_size - size - mean_size + 1)
    phi = (selected @ p / n_features - size * mean_size + of_size) / by_chance
    reach = norm.ppf((1 + confidence) / 2) * 2 / n_runs * np.sqrt(((phi - phi.mean()) ** 2).sum())
    if n_runs == 2:
        reach = np.nan
    return Stability(float(index), float(index - reach), float(index + reach), n_runs)


def map_stability(runs: Sequence[xr.Dataset], share: float = 0.01, confidence: float = 0.95) -> pd.DataFrame:
    """Measure whether the maps of several trainings put the same features first.

    Of every run, view, class and map method, the features are scored by the mean, over the subjects of the class, of
    the positive part of their map, and the largest ``share`` of them are selected. Features that tie across the border
    are left out, all of them, so that the order in which they are stored has no say: a run may select fewer, and a
    constant map selects nothing.

    Parameters
    ----------
    runs : sequence of xarray.Dataset
        Maps of at least two trainings, on other splits or from other seeds, as :func:`.compute_maps` makes them. Their
        subjects may differ.
    share : float
        Of the features of a view (of an image its upper triangle), above 0 and below 1; at least one is selected.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        One row per ``view``, ``target_class`` and ``method``: ``stability`` with its interval from ``low`` to ``high``,
        see :func:`selection_stability`, ``n_runs``, and ``n_selected``, the mean number of features that a run selects.

    Raises
    ------
    ValueError
        If there are fewer than two runs, they differ in views, classes, map methods or features, a run has no subject
        of a class, or an argument is out of range; the message numbers the runs from 0.

    Examples
    --------
    >>> dims = ("subject", "target_class", "map_method", "measure")
    >>> one = xr.Dataset({"thickness": (dims, [[[[4.0, 1, 0]]], [[[2.0, 0, 1]]]], {"role": "map"})})
    >>> one = one.assign_coords(target_class=["high"], map_method=["grad_cam"], label=("subject", [0, 0]))
    >>> runs = [one, one.isel(subject=[0]), one.isel(subject=[1])]
    >>> map_stability(runs, share=0.3)[["view", "stability", "n_runs", "n_selected"]]
            view  stability  n_runs  n_selected
    0  thickness        1.0       3         1.0
    """
    if isinstance(runs, xr.Dataset) or len(runs) < 2:
        raise ValueError("stability needs at least two runs: a list of datasets of maps, one per training")
    if not 0 < share < 1:
        raise ValueError(f"share must be above 0 and below 1, got {share}")
    for number, run in enumerate(runs):
        _refuse_other_features(number, run, runs[0])
    rows = []
    for view in map_views(runs[0]):
        for target_class in runs[0]["target_class"].to_numpy().astype(str):
            for method in runs[0]["map_method"].to_numpy().astype(str):
                scores = [_mean_map(number, run, view, target_class, method) for number, run in enumerate(runs)]
                selected = np.stack([_largest(score, share) for score in scores])
                found = selection_stability(selected, confidence)
                values = (found.index, found.low, found.high, found.n_runs, selected.sum(axis=1).mean())
                rows.append((view, target_class, method, *values))
    return pd.DataFrame(rows, columns=COLUMNS)


def _refuse_other_features(number: int, run: xr.Dataset, first: xr.Dataset) -> None:
    for what, found, expected in (
        ("views", map_views(run), map_views(first)),
        ("classes", run["target_class"].to_numpy(), first["target_class"].to_numpy()),
        ("map methods", run["map_method"].to_numpy(), first["map_method"].to_numpy()),
    ):
        if set(found) != set(expected):
            raise ValueError(
                f"run {number} has the {what} {name_some(found)}, run 0 {name_some(expected)}; compare maps of one kind"
            )
    for view in map_views(first):
        dims = first[view].dims[3:]
        if run[view].dims[3:] != dims or any(not run.get_index(dim).equals(first.get_index(dim)) for dim in dims):
            raise ValueError(f"run {number} has other features of view '{view}' than run 0; use maps of one cohort")


def _mean_map(number: int, run: xr.Dataset, view: str, target_class: str, method: str) -> np.ndarray:
    try:
        return np.asarray(class_values(run, view, target_class, method).mean(axis=0))
    except ValueError as fault:
        raise ValueError(f"run {number}: {fault}") from fault


def _largest(score: np.ndarray, share: float) -> np.ndarray:
    """Mark the largest share of the features, without those that tie with the first one that is left out."""
    k = max(1, round(share * len(score)))
    if k == len(score):
        return np.ones(k, dtype=bool)
    return np.asarray(score > np.partition(score, -k - 1)[-k - 1])
