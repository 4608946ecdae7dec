"""How far maps find what was planted, always beside controls that need no network or no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.maps.class_scores import check_features, pool_blocks, scores_by_source, truth_of_class
from gcamccl_core.maps.dataset import is_image, map_views
from gcamccl_core.maps.recovery_measures import measure_recovery
from gcamccl_core.maps.sanity_checks import randomisation

__all__ = ["randomisation", "scorecard", "verdict"]


def scorecard(
    maps: xr.Dataset,
    cohort: xr.Dataset,
    train: Sequence[int] | np.ndarray | None = None,
    controls: Mapping[str, xr.Dataset] | None = None,
) -> pd.DataFrame:
    """Score every map method against the planted truth, beside the other class's map, a t-test, chance and controls.

    What is scored, per feature: the mean, over the subjects whose true label is the class, of the positive part of
    their map for that class. An image's features are its upper triangle, of the symmetrised map. Features with a
    linkage block (coordinate ``<view>_block``) are scored by block: the largest score in it, against whether
    anything in it was planted.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them, of subjects that the model was not trained on.
    cohort : xarray.Dataset
        The simulated cohort, with ``truth_<view>`` and ``population_truth_<view>``.
    train : array of int, optional
        Positions of the training subjects in ``cohort``, to compute the univariate controls on: ``t_test``, Welch's
        t of the class against the other labelled subjects, positive part; ``mean_value``, mean connectivity or allele
        dosage, positive part. Left out if None.
    controls : mapping of str to xarray.Dataset, optional
        Maps to score alike under another ``source``: ``{"random weights": compute_maps(random_weights_like(net), …)}``.

    Returns
    -------
    pandas.DataFrame
        One row per ``view``, ``target_class``, ``source`` and ``method``. Sources are "model", "the other class" (the
        model's maps for the other classes, of the same subjects: a map of this class must find more), the controls'
        names, "univariate" and "chance". Measures: ``auroc``, ``average_precision`` and ``precision_at_k`` against
        what was planted, k the number of planted ``units`` (edges, measures or blocks); ``auroc_within_block``, see
        :func:`.auroc_within_block`, where the cohort names the regions' networks (``roi_network``);
        ``false_discovery_at_k``, the share of the k best that does not differ between the classes in the population
        either; ``chance`` is k / units. Ties count by expectation. Where nothing was planted all measures are NaN.

    Raises
    ------
    ValueError
        If the cohort has no truth for a view, or the views' features are not those of the maps.

    Examples
    --------
    >>> from gcamccl_core.maps.activation import compute_maps
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> from gcamccl_core.model.networks import CollaborativeNet
    >>> cohort = simulate_cohort(n_subjects=40, seed=0)
    >>> net = CollaborativeNet({"snp": cohort["snp"].shape[1:]}).fit_scaling(cohort, range(20))
    >>> maps = compute_maps(net, cohort, methods=["grad_cam"], progress=False)
    >>> scorecard(maps, cohort, train=range(20))[["target_class", "source", "method"]].head(5)
      target_class           source      method
    0          low            model    grad_cam
    1          low  the other class    grad_cam
    2          low       univariate      t_test
    3          low       univariate  mean_value
    4          low           chance      chance
    """
    rows = []
    for view in map_views(maps):
        check_features(maps, cohort, view)
        network_block = _network_blocks(maps, cohort, view)
        for target_class in maps["target_class"].to_numpy():
            planted, population = (
                pool_blocks(truth_of_class(cohort, view, target_class, depth), cohort[view], "any")
                for depth in ("truth", "population_truth")
            )
            for source, method, score in scores_by_source(maps, cohort, view, target_class, train, controls or {}):
                pooled = pool_blocks(score, cohort[view], "max")
                row = {"view": view, "target_class": target_class, "source": source, "method": method}
                row |= measure_recovery(pooled, planted, population, network_block)
                rows.append({**row, "k": planted.sum(), "units": len(planted), "chance": planted.mean()})
    return pd.DataFrame(rows)


def _network_blocks(maps: xr.Dataset, cohort: xr.Dataset, view: str) -> np.ndarray | None:
    """Name the pair of networks that every edge connects; None if the view has no edges or nobody knows."""
    if not is_image(maps, view) or "roi_network" not in cohort:
        return None
    network, regions = cohort["roi_network"], maps.get_index(maps[view].dims[3])
    if "roi" in cohort.indexes:  # by name, whatever the order of the image's regions
        if not regions.isin(cohort.get_index("roi")).all():
            return None  # an image of other regions
        network = network.sel(roi=regions)
    elif network.size != len(regions):
        return None
    names = network.to_numpy().astype(str)
    rows, columns = np.triu_indices(len(names), k=1)
    pairs = np.sort(np.stack([names[rows], names[columns]]), axis=0)
    return np.char.add(np.char.add(pairs[0], " - "), pairs[1])


def verdict(scores: pd.DataFrame, method: str | None = None) -> str:
    """Say in one line per view how well the maps find what was planted, computed from a scorecard.

    Parameters
    ----------
    scores : pandas.DataFrame
        As :func:`scorecard` makes it.
    method : str, optional
        The map method to speak of; of each view the one with the largest mean average precision if not given.

    Returns
    -------
    str
        Lines joined by line breaks. "Above" compares average precision, averaged over the classes, to two digits.

    Raises
    ------
    ValueError
        If the method is not in the scorecard.
    """
    if method is not None and method not in set(scores.loc[scores["source"] == "model", "method"]):
        raise ValueError(f"the scorecard has no map method {method!r}")
    return "\n".join(_judge(str(view), of_view, method) for view, of_view in scores.groupby("view", sort=False))


def _judge(view: str, scores: pd.DataFrame, method: str | None) -> str:
    means = scores.groupby(["source", "method"], sort=False)["average_precision"].mean().dropna()
    if means.empty:
        return f"{view}: nothing was planted, so there is nothing to find; whatever a map shows here is noise."
    of_model = means.xs("model", level="source")
    best = method or str(of_model.idxmax())
    found = float(of_model[best])
    more: list[str] = []
    less: list[str] = []
    for source, name, value in means.drop("model", level="source").reset_index().itertuples(index=False):
        of_maps = source not in ("univariate", "chance")
        if not of_maps or name == best:  # maps of another network are held against the same method's
            control = f"{name} of {source}" if of_maps else name
            (less if round(value, 2) < round(found, 2) else more).append(f"{control} ({value:.2f})")
    subject = method or f"the best map, {best},"
    text = f"{view}: {subject} has an average precision of {found:.2f}, "
    text += f"above {', '.join(less)}" if less else "above no control"
    return f"{text}, and not above {', '.join(more)}." if less and more else f"{text}."
