"""One score per feature for a class: of maps, of their controls, and of the truth they are held against."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import ttest_ind

from gcamccl_core.data.cohort import class_names
from gcamccl_core.maps.dataset import class_number, class_values, flatten_features, is_image, linkage_units

OTHER_CLASS = "the other class"


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


def scores_by_source(
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
    of_class = maps["label"].to_numpy() == class_number(maps, target_class)
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


def check_features(maps: xr.Dataset, cohort: xr.Dataset, view: str) -> None:
    """Raise ValueError if a view's features in the cohort are not those that were mapped."""
    for dim in maps[view].dims[3:]:
        if not maps.get_index(dim).equals(cohort.get_index(dim)):
            raise ValueError(f"maps and cohort differ along '{dim}' of view '{view}'; use the cohort that was mapped")


def pool_blocks(values: np.ndarray, view: xr.DataArray, how: str) -> np.ndarray:
    """Take the largest value (or any truth) of each linkage block; features without blocks stay as they are."""
    unit = linkage_units(view)
    return values if unit is None else pd.Series(values).groupby(unit).agg(how).to_numpy()
