"""The strip of controls below a map: what it must differ from, how like it each is, and what each finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from gcamccl_core.data.cohort import class_names
from gcamccl_core.maps.class_scores import check_features, pool_blocks, scores_by_source, truth_of_class
from gcamccl_core.maps.dataset import class_values


def control_strip(
    maps: xr.Dataset,
    cohort: xr.Dataset,
    view: str,
    method: str,
    target_class: str | None = None,
    train: Sequence[int] | np.ndarray | None = None,
    controls: Mapping[str, xr.Dataset] | None = None,
) -> dict[str, np.ndarray]:
    """Lay the mean map of a class beside all that it must differ from, for :func:`.plot_control_strip`.

    Parameters
    ----------
    maps, cohort, train, controls
        As in :func:`.scorecard`; the cohort needs no truth.
    view, method : str
        Which map.
    target_class : str, optional
        Of which class; the last if None.

    Returns
    -------
    dict of str to array of shape (n_features,)
        In this order: "the map", "the other class" (the map for it, in the same people), the controls, "t-test" and
        "mean value", all as in :func:`.scorecard`; in the order of :func:`.flatten_features`.

    Raises
    ------
    ValueError
        If view, class or method are not among the maps.

    Examples
    --------
    >>> from gcamccl_core.maps.activation import compute_maps
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> from gcamccl_core.model.networks import CollaborativeNet
    >>> cohort = simulate_cohort(n_subjects=40, seed=0)
    >>> net = CollaborativeNet({"snp": cohort["snp"].shape[1:]}).fit_scaling(cohort, range(20))
    >>> maps = compute_maps(net, cohort, methods=["grad_cam"], progress=False)
    >>> list(control_strip(maps, cohort, "snp", "grad_cam", train=range(20)))
    ['the map', 'the other class', 't-test', 'mean value']
    """
    check_features(maps, cohort, view)
    target_class = str(maps["target_class"].to_numpy()[-1]) if target_class is None else target_class
    class_values(maps, view, target_class, method)  # says so if there is none
    for name, dataset in (controls or {}).items():
        if method not in dataset["map_method"].to_numpy():
            raise ValueError(f"the control {name!r} has no method {method!r}; compute it for the controls, too")
    of_method = {name: dataset.sel(map_method=[method]) for name, dataset in (controls or {}).items()}
    found = scores_by_source(maps.sel(map_method=[method]), cohort, view, target_class, train, of_method)
    statistics = {"t_test": "t-test", "mean_value": "mean value"}
    strip = {"the map" if source == "model" else statistics.get(name, source): score for source, name, score in found}
    strip.pop("chance")
    return strip


def measure_strip(
    strip: Mapping[str, np.ndarray], cohort: xr.Dataset, view: str, target_class: str | None = None
) -> pd.DataFrame:
    """Say of every part of a strip how like the map it is, and how well it ranks what was planted.

    Parameters
    ----------
    strip : mapping of str to array of shape (n_features,)
        As :func:`control_strip` makes it; the first is the map.
    cohort, view
        As there.
    target_class : str, optional
        The class; the last of the cohort if None.

    Returns
    -------
    pandas.DataFrame
        One row per part, by its name: ``likeness``, the rank correlation with the map (NaN of itself, and of what is
        constant), and ``average_precision``, by linkage block as in :func:`.scorecard` (NaN where nothing is known to
        be planted).

    Examples
    --------
    >>> cohort = xr.Dataset({"thickness": (("subject", "measure"), np.ones((2, 3))), "label": ("subject", [0, 1])})
    >>> cohort["label"].attrs["classes"] = ["low", "high"]
    >>> strip = {"the map": np.array([3.0, 2, 1]), "t-test": np.array([1.0, 2, 3])}
    >>> measure_strip(strip, cohort, "thickness")["likeness"].tolist()
    [nan, -1.0]
    """
    target_class = class_names(cohort)[-1] if target_class is None else target_class
    known = f"truth_{view}" in cohort
    planted = pool_blocks(truth_of_class(cohort, view, target_class), cohort[view], "any") if known else np.zeros(0)
    first = next(iter(strip.values()))
    rows = {}
    for name, values in strip.items():
        varies = values is not first and np.ptp(values) > 0 and np.ptp(first) > 0
        likeness = float(spearmanr(first, values).statistic) if varies else np.nan
        pooled = pool_blocks(values, cohort[view], "max")
        precision = float(average_precision_score(planted, pooled)) if planted.any() else np.nan
        rows[name] = {"likeness": likeness, "average_precision": precision}
    return pd.DataFrame.from_dict(rows, orient="index")
