"""A cohort as a table of features, one row per subject, and how features are prepared for the classical classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import KernelPCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from gcamccl_core.data.cohort import view_names


def flatten_views(
    cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray | None = None, views: Sequence[str] | None = None
) -> np.ndarray:
    """Lay the views side by side as one row of features per subject.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort.
    subjects : sequence of int, optional
        Positions along ``subject``; all by default.
    views : sequence of str, optional
        Which views, in this order; all by default.

    Returns
    -------
    array of shape (n_subjects, n_features), float32
        Of an image its upper triangle without the diagonal, row by row; a vector as it is.

    Raises
    ------
    ValueError
        If the cohort has no view of such a name.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> flatten_views(simulate_cohort(n_subjects=40, seed=1)).shape  # 264 * 263 / 2 + 750
    (40, 35466)
    """
    blocks = view_columns(cohort, views)
    rows = np.arange(cohort.sizes["subject"]) if subjects is None else np.asarray(subjects)
    return np.concatenate([_flatten(cohort[name], rows) for name in blocks], axis=1)


def _flatten(view: xr.DataArray, rows: np.ndarray) -> np.ndarray:
    values = view.to_numpy()
    if values.ndim == 3:
        upper = np.triu_indices(values.shape[1], k=1)
        return np.stack([values[row][upper] for row in rows]).astype(np.float32)
    return values[rows].astype(np.float32)


def view_columns(cohort: xr.Dataset, views: Sequence[str] | None = None) -> dict[str, slice]:
    """Columns of each view in the flattened features."""
    known = view_names(cohort)
    blocks, start = {}, 0
    for name in known if views is None else views:
        if name not in known:
            raise ValueError(f"the cohort has no view {name!r}; its views are {', '.join(known)}")
        shape = cohort[name].shape[1:]
        stop = start + (shape[0] * (shape[0] - 1) // 2 if len(shape) == 2 else shape[0])
        blocks[name], start = slice(start, stop), stop
    return blocks


def make_preparation(blocks: Mapping[str, slice], rotate: bool) -> Pipeline:
    """Prepare features: fill missing ones with the training mean, standardise, and balance the views.

    A view of p features enters with a weight of p^(1/2) in the kernel, halfway between every feature alike (34,716
    connections outvote 750 SNPs) and every view alike; the weights sum to 1. ``rotate`` adds linear kernel PCA with all
    components, a rotation onto the directions that the training subjects span: models with a quadratic penalty come out
    the same, at the cost of the number of subjects instead of the number of features.

    Parameters
    ----------
    blocks : mapping of str to slice
        Columns of each view.
    rotate : bool
        True for linear models; trees need the features themselves.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Not fitted yet.
    """
    filled = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    n_features = {name: columns.stop - columns.start for name, columns in blocks.items()}
    total = sum(n**0.5 for n in n_features.values())
    scale = ColumnTransformer(
        [(name, filled, columns) for name, columns in blocks.items()],
        transformer_weights={name: (n**-0.5 / total) ** 0.5 for name, n in n_features.items()},
    )
    return make_pipeline(scale, KernelPCA(kernel="linear", remove_zero_eig=True)) if rotate else make_pipeline(scale)
