"""What maps agree with where no truth is known: the other class's map, the class difference, the plain mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import spearmanr

from gcamccl_core.maps.class_scores import univariate_scores
from gcamccl_core.maps.dataset import class_values, flatten_features, is_image, map_views, symmetric_name


def class_similarity(maps: xr.Dataset) -> pd.DataFrame:
    """Correlate, within each subject, the map of one class with the map of every other class.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them.

    Returns
    -------
    pandas.DataFrame
        One row per ``view``, ``method`` and pair of classes (``class_a``, ``class_b``): ``correlation``, the mean over
        the subjects of Pearson's r between the two maps of the same subject. 1 means that the map does not
        depend on the class; a subject whose map is constant is left out, and NaN says that all were.
    """
    rows = []
    classes = maps["target_class"].to_numpy().astype(str)
    for view in map_views(maps):
        name = symmetric_name(view) if is_image(maps, view) else view
        for method in maps["map_method"].to_numpy().astype(str):
            values = maps[name].sel(map_method=method).to_numpy()
            flat = np.stack([flatten_features(values[:, c], is_image(maps, view)) for c in range(len(classes))])
            centred = flat - flat.mean(axis=2, keepdims=True)
            norm = np.linalg.norm(centred, axis=2)
            for a, b in zip(*np.triu_indices(len(classes), k=1), strict=True):
                known = (norm[a] > 0) & (norm[b] > 0)
                r = (centred[a] * centred[b]).sum(axis=1)[known] / (norm[a] * norm[b])[known]
                mean = float(r.mean()) if known.any() else np.nan
                rows.append((view, method, classes[a], classes[b], mean))
    return pd.DataFrame(rows, columns=["view", "method", "class_a", "class_b", "correlation"])


def univariate_agreement(maps: xr.Dataset, cohort: xr.Dataset, train: Sequence[int] | np.ndarray) -> pd.DataFrame:
    """Rank-correlate each class's mean map with two statistics that need no network; for cohorts without a truth.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them.
    cohort : xarray.Dataset
        The cohort that was mapped.
    train : array of int
        Positions of the training subjects, on whom the statistics are computed.

    Returns
    -------
    pandas.DataFrame
        One row per ``view``, ``target_class``, ``method`` and ``statistic``: Spearman's ``correlation`` over the
        features between the mean positive part of the map and the positive part of ``"t_test"`` (Welch's t of the
        class against the others) or of ``"mean_value"`` (mean of the view). High with the second and low with the
        first: the map copies its input.
    """
    training = cohort.isel(subject=np.asarray(train))
    rows = []
    for view in map_views(maps):
        for target_class in maps["target_class"].to_numpy().astype(str):
            statistics = univariate_scores(training, view, target_class, is_image(maps, view))
            for method in maps["map_method"].to_numpy().astype(str):
                mean_map = class_values(maps, view, target_class, method).mean(axis=0)
                for statistic, signed in statistics.items():
                    score = np.maximum(signed, 0)  # as of the map, the part that speaks for the class
                    defined = np.ptp(mean_map) > 0 and np.ptp(score) > 0
                    correlation = float(spearmanr(mean_map, score).statistic) if defined else np.nan
                    rows.append((view, target_class, method, statistic, correlation))
    return pd.DataFrame(rows, columns=["view", "target_class", "method", "statistic", "correlation"])
