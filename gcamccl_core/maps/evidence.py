"""How far maps find what was planted, always beside controls that need no network or no training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import spearmanr, ttest_ind
from sklearn.metrics import average_precision_score

from gcamccl_core.data.cohort import class_names
from gcamccl_core.maps.dataset import class_values, flatten_features, is_image, map_views
from gcamccl_core.maps.recovery_measures import measure_recovery
from gcamccl_core.maps.sanity_checks import randomisation

__all__ = [
    "control_strip",
    "measure_strip",
    "randomisation",
    "scorecard",
    "truth_of_class",
    "univariate_scores",
    "verdict",
]
OTHER_CLASS = "the other class"


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
        _check_features(maps, cohort, view)
        network_block = _network_blocks(cohort, is_image(maps, view), maps[view].shape[-1])
        for target_class in maps["target_class"].to_numpy():
            planted, population = (
                _by_block(truth_of_class(cohort, view, target_class, depth), cohort[view], "any")
                for depth in ("truth", "population_truth")
            )
            for source, method, score in _scores(maps, cohort, view, target_class, train, controls or {}):
                pooled = _by_block(score, cohort[view], "max")
                row = {"view": view, "target_class": target_class, "source": source, "method": method}
                row |= measure_recovery(pooled, planted, population, network_block)
                rows.append({**row, "k": planted.sum(), "units": len(planted), "chance": planted.mean()})
    return pd.DataFrame(rows)


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
        As in :func:`scorecard`; the cohort needs no truth.
    view, method : str
        Which map.
    target_class : str, optional
        Of which class; the last if None.

    Returns
    -------
    dict of str to array of shape (n_features,)
        In this order: "the map", "the other class" (the map for it, in the same people), the controls, "t-test" and
        "mean value", all as in :func:`scorecard`; in the order of :func:`.flatten_features`.

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
    _check_features(maps, cohort, view)
    target_class = str(maps["target_class"].to_numpy()[-1]) if target_class is None else target_class
    class_values(maps, view, target_class, method)  # says so if there is none
    for name, dataset in (controls or {}).items():
        if method not in dataset["map_method"].to_numpy():
            raise ValueError(f"the control {name!r} has no method {method!r}; compute it for the controls, too")
    of_method = {name: dataset.sel(map_method=[method]) for name, dataset in (controls or {}).items()}
    found = _scores(maps.sel(map_method=[method]), cohort, view, target_class, train, of_method)
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
        constant), and ``average_precision``, by linkage block as in :func:`scorecard` (NaN where nothing is known to
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
    planted = _by_block(truth_of_class(cohort, view, target_class), cohort[view], "any") if known else np.zeros(0)
    first = next(iter(strip.values()))
    rows = {}
    for name, values in strip.items():
        varies = values is not first and np.ptp(values) > 0 and np.ptp(first) > 0
        likeness = float(spearmanr(first, values).statistic) if varies else np.nan
        pooled = _by_block(values, cohort[view], "max")
        precision = float(average_precision_score(planted, pooled)) if planted.any() else np.nan
        rows[name] = {"likeness": likeness, "average_precision": precision}
    return pd.DataFrame.from_dict(rows, orient="index")


def truth_of_class(cohort: xr.Dataset, view: str, target_class: str, depth: str = "truth") -> np.ndarray:
    """Which features of a view are true for a class; for a class that the simulation does not know, none.

    Parameters
    ----------
    cohort : xarray.Dataset
        A simulated cohort.
    view, target_class : str
        Which truth.
    depth : {"truth", "population_truth"}
        What was planted, or what differs between the classes in the population because of it.

    Returns
    -------
    array of shape (n_features,), bool
        In the order of :func:`.flatten_features`.

    Raises
    ------
    ValueError
        If the cohort has no such truth.
    """
    name = f"{depth}_{view}"
    if name not in cohort:
        raise ValueError(
            f"the cohort has no {name}, so nothing is known to be true of '{view}'; only simulations have it"
        )
    truth = cohort[name].reindex(target_class=[target_class], fill_value=False)[0].to_numpy().astype(bool)
    return flatten_features(truth, image=truth.ndim == 2)


def _check_features(maps: xr.Dataset, cohort: xr.Dataset, view: str) -> None:
    for dim in maps[view].dims[3:]:
        if not maps.get_index(dim).equals(cohort.get_index(dim)):
            raise ValueError(f"maps and cohort differ along '{dim}' of view '{view}'; use the cohort that was mapped")


def _by_block(values: np.ndarray, view: xr.DataArray, how: str) -> np.ndarray:
    """Take the largest value (or any truth) of each linkage block; features without blocks stay as they are."""
    block = view.coords.get(f"{view.name}_block")
    if block is None:
        return values
    return pd.Series(values).groupby(block.to_numpy(), dropna=False).agg(how).to_numpy()


def _network_blocks(cohort: xr.Dataset, image: bool, n_regions: int) -> np.ndarray | None:
    """Name the pair of networks that every edge connects; None if the view has no edges or nobody knows."""
    if not image or "roi_network" not in cohort:
        return None
    network = cohort["roi_network"].to_numpy().astype(str)
    if len(network) != n_regions:  # an image of other regions
        return None
    rows, columns = np.triu_indices(len(network), k=1)
    pairs = np.sort(np.stack([network[rows], network[columns]]), axis=0)
    return np.char.add(np.char.add(pairs[0], " - "), pairs[1])


def _scores(
    maps: xr.Dataset,
    cohort: xr.Dataset,
    view: str,
    target_class: str,
    train: Sequence[int] | np.ndarray | None,
    controls: Mapping[str, xr.Dataset],
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Source, method and one score per feature: the maps first, then the controls."""
    image = is_image(maps, view)
    for method in maps["map_method"].to_numpy().astype(str):
        yield "model", method, class_values(maps, view, target_class, method).mean(axis=0)
    of_class = maps["label"].to_numpy() == maps.get_index("target_class").get_loc(target_class)
    other_classes = [other for other in maps["target_class"].to_numpy() if other != target_class]
    for method in maps["map_method"].to_numpy().astype(str) if other_classes else ():
        others = [
            class_values(maps, view, other, method, subjects="all")[of_class].mean(axis=0) for other in other_classes
        ]
        yield OTHER_CLASS, method, np.mean(others, axis=0)
    for source, dataset in controls.items():
        for method in dataset["map_method"].to_numpy().astype(str):
            yield source, method, class_values(dataset, view, target_class, method).mean(axis=0)
    if train is not None:
        training = cohort.isel(subject=np.asarray(train))
        for statistic, values in univariate_scores(training, view, target_class, image).items():
            yield "univariate", statistic, np.maximum(values, 0)
    yield "chance", "chance", np.zeros(flatten_features(np.empty(maps[view].shape[3:]), image).size)


def univariate_scores(training: xr.Dataset, view: str, target_class: str, image: bool) -> dict[str, np.ndarray]:
    """Compute two statistics that need no network, one value per feature.

    Parameters
    ----------
    training : xarray.Dataset
        The training subjects; those labelled -1 do not count.
    view, target_class : str
        Which data, and the class that a positive value speaks for.
    image : bool
        Whether the view is an image, see :func:`.flatten_features`.

    Returns
    -------
    dict of str to array of shape (n_features,)
        ``t_test``, Welch's t of the class against the other labelled subjects (0 for a constant feature), and
        ``mean_value``, the mean connectivity or allele dosage, the same for every class.
    """
    label = training["label"].to_numpy()
    of_class = label == class_names(training).index(target_class)
    values = flatten_features(training[view].to_numpy(), image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a SNP that nobody in a class carries: t is NaN or infinite
        t, _ = ttest_ind(values[of_class], values[(label >= 0) & ~of_class], equal_var=False, nan_policy="omit")
    return {"t_test": np.nan_to_num(np.asarray(t)), "mean_value": np.nanmean(values[label >= 0], axis=0)}


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
