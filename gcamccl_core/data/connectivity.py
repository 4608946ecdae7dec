"""Functional connectivity from the time series of brain regions."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import numpy as np
from nilearn.connectome import ConnectivityMeasure
from scipy.stats import zscore
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from tqdm import tqdm

from gcamccl_core.data.checks import name_some

KINDS = ("correlation", "covariance", "partial correlation", "precision")
CHUNK = 64  # subjects worked on at once, so that the double-precision copies stay small


def __getattr__(name: str) -> object:
    """Offer :func:`.extract_time_series` here, too; scans and their libraries are loaded once somebody asks for it."""
    if name == "extract_time_series":
        return getattr(import_module("gcamccl_core.data.time_series"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def estimate_connectivity(
    time_series: np.ndarray | Sequence[np.ndarray],
    kind: str = "correlation",
    *,
    subjects: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
) -> np.ndarray:
    """Estimate how strongly every pair of regions is connected, one matrix per subject (section III-B).

    The paper's measure is Pearson's correlation of the regions' time series x_i and x_j,
    ``r_ij = cov(x_i, x_j) / sqrt(var(x_i) var(x_j))``. The work is done by nilearn's ``ConnectivityMeasure``: the plain
    covariance for ``correlation`` and ``covariance``; for the kinds that invert it, where there are often fewer time
    points than regions, the covariance of Ledoit and Wolf of the standardised series (shrinkage depends on units).

    Parameters
    ----------
    time_series : array of shape (subject, time, roi), or sequence of arrays of shape (time, roi)
        Signal in any unit; the number of time points may differ between the subjects of a sequence.
    kind : str
        ``correlation``, ``covariance``, ``partial correlation`` or ``precision``. All are estimated from one subject
        alone, so nothing passes from test to training subjects; nilearn's ``tangent`` is not, and not offered.
    subjects, regions : sequence of str, optional
        Names used in error messages instead of positions.

    Returns
    -------
    array of shape (subject, roi, roi), float32
        Exactly symmetric; the diagonal of the two kinds of correlation is exactly 1.

    Raises
    ------
    ValueError
        If the kind is unknown, the shapes do not fit, or a region's series is constant, NaN or infinite; the message
        names subject and region.

    Examples
    --------
    >>> signal = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 3.0]])
    >>> estimate_connectivity([signal])[0].tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    names = [str(name) for name in subjects] if subjects is not None else [f"#{n}" for n in range(len(time_series))]
    if len(time_series) == 0 or len(names) != len(time_series):
        raise ValueError(f"{len(time_series)} time series and {len(names)} subjects; expected one series per subject")
    width = np.shape(time_series[0])[-1]
    for name, series in zip(names, time_series, strict=True):
        _check_series(np.asarray(series), name, width, regions)
    connectivity = np.empty((len(time_series), width, width), dtype=np.float32)
    plain = kind in ("correlation", "covariance")
    estimator = EmpiricalCovariance(store_precision=False) if plain else LedoitWolf(store_precision=False)
    measure = ConnectivityMeasure(estimator, kind=kind, standardize=None)  # it would standardise for correlation alone
    for start in tqdm(range(0, len(names), CHUNK), desc="connectivity", leave=False, delay=3):
        chunk = [np.asarray(series, dtype=float) for series in time_series[start : start + CHUNK]]
        matrices = measure.fit_transform(chunk if plain else [zscore(series, ddof=1) for series in chunk])
        connectivity[start : start + CHUNK] = (matrices + matrices.swapaxes(1, 2)) / 2
    if "correlation" in kind:
        np.clip(connectivity, -1, 1, out=connectivity)
        connectivity[:, range(width), range(width)] = 1
    return connectivity


def without_signal(series: np.ndarray) -> np.ndarray:
    """Mark the regions whose series says nothing, because it is constant, NaN or infinite.

    Parameters
    ----------
    series : array of shape (time, roi)
        Signal of one subject, in any unit.

    Returns
    -------
    array of shape (roi,), bool

    Examples
    --------
    >>> without_signal(np.array([[1.0, 5.0], [2.0, 5.0]])).tolist()
    [False, True]
    """
    rounding = 4 * np.finfo(float).eps * np.abs(series).max(axis=0)
    with np.errstate(invalid="ignore"):
        return ~(np.isfinite(series).all(axis=0) & (np.ptp(series, axis=0) > rounding))


def _check_series(series: np.ndarray, subject: str, width: int, regions: Sequence[str] | None) -> None:
    if series.ndim != 2 or series.shape[1] != width:
        raise ValueError(
            f"the series of subject {subject} has shape {series.shape}; "
            f"expected (time, {width}) as for the first subject"
        )
    if len(series) < 3:
        raise ValueError(
            f"the series of subject {subject} has {len(series)} time points; a correlation needs 3 or more"
        )
    if regions is not None and len(regions) != width:
        raise ValueError(f"{len(regions)} region names for series of {width} regions")
    guilty = np.flatnonzero(without_signal(series))
    if len(guilty):
        names = [f"#{n}" for n in guilty] if regions is None else [str(regions[int(n)]) for n in guilty]
        raise ValueError(
            f"subject {subject} has no signal (constant, NaN or infinite) in region {name_some(names)}; leave this "
            "subject or these regions out"
        )
