"""Selection with a promised error rate: the network names candidates, people whom it has not seen confirm them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import false_discovery_control, ttest_ind

from gcamccl_core.data.checks import class_names, name_some
from gcamccl_core.maps.class_scores import check_features, truth_of_class
from gcamccl_core.maps.dataset import class_number, class_values, flatten_features, is_image, linkage_units, map_views
from gcamccl_core.maps.exact_tests import exact_trend
from gcamccl_core.maps.selection import IMAGE_COLUMNS, TRUTH_COLUMNS, VECTOR_COLUMNS, describe_features

FOUND = ["view", "target_class", "rank", "feature", "map_value", "t", "p_value", "q_value"]
COLUMNS = [*FOUND, *IMAGE_COLUMNS, *VECTOR_COLUMNS]


def confirm_biomarkers(
    maps: xr.Dataset,
    cohort: xr.Dataset,
    subjects: Sequence[int] | np.ndarray,
    candidates: float = 0.05,
    rate: float = 0.1,
    method: str = "activation_pattern",
    truth: bool = False,
    trained_on: Sequence[int] | np.ndarray | None = None,
) -> pd.DataFrame:
    r"""Test what a map ranks highest on people who had no part in it, at a controlled false discovery rate.

    The map's best features of each class are its candidates. Each is held against the labels of other people,
    one-sided, since the map says which way: by Welch's t of the class against the rest of the labelled, and
    genotypes, whose counts are skewed, by :func:`.exact_trend`. Of the K p-values of one view and class,

    .. math:: q_{(i)} = L \min_{k \ge i} \frac{K}{k}\, p_{(k)},

    with L the number of lists, views times classes, among which the rate is shared out; features with :math:`q \le`
    ``rate`` are selected (Benjamini and Hochberg 1995). Over all lists together, the expected share of the selected
    that does not differ between the classes is then at most ``rate``, and where nothing differs at all, anything is
    selected with a chance of at most ``rate``. That is proved for p-values that are right, people who are
    independent, and tests of one list that are independent or depend positively; sites or families that go with the
    label break it, and so does a map that has seen these people, if only their features. The map decides what is
    worth testing, which is where it can gain or lose power.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.activation_patterns` or :func:`.compute_maps` makes them, of people without ``subjects``; the mean
        over all rows of the positive part is what ranks the features.
    cohort : xarray.Dataset
        Holds the views and the labels.
    subjects : array of int
        Positions of labelled subjects who were neither trained on, nor used to select an epoch, nor correlated over
        or mapped.
    candidates : float
        Share of the features (or linkage blocks) that are candidates, for each class, above 0 and at most 1.
    rate : float
        The false discovery rate, above 0 and below 1.
    method : str
        Which map.
    truth : bool
        Whether to add what was planted, of a simulated cohort.
    trained_on : array of int, optional
        Positions of the people that the network was trained on or its epoch selected by, so that they can be refused;
        maps do not know them.

    Returns
    -------
    pandas.DataFrame
        One row per ``view``, ``target_class`` and selected ``feature``, the most certain first: ``map_value``, ``t``,
        ``p_value``, ``q_value``, and what :func:`.describe_features` knows, missing elsewhere. Features with a
        linkage block (coordinate ``<view>_block``) are tested by block: the p-value is that of its best feature times
        the number of its features tested, and the row names that feature. ``t`` is 0 where it is no number; where two
        values separate the classes, the p-value is exact. With
        ``truth`` also ``planted`` and ``in_population``, bool, of the feature or of anything in its block.
        ``attrs["tested"]`` gives the number of candidates by view.

    Raises
    ------
    ValueError
        If a number is out of range, the method or a view is missing, classes or features of maps and cohort differ, a
        subject is given twice, is unlabelled, or had a part in the map or the network, or a class has fewer than two
        subjects.

    References
    ----------
    Benjamini and Hochberg (1995), Controlling the false discovery rate, Journal of the Royal Statistical Society B 57.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> from gcamccl_core.maps.activation_patterns import activation_patterns
    >>> from gcamccl_core.model.networks import CollaborativeNet
    >>> cohort = simulate_cohort(n_subjects=60, seed=0)
    >>> net = CollaborativeNet({"snp": cohort["snp"].shape[1:]}).fit_scaling(cohort, range(30))
    >>> maps = activation_patterns(net, cohort, range(30), progress=False)
    >>> others = [s for s in range(30, 60) if cohort["label"][s] >= 0]
    >>> confirm_biomarkers(maps, cohort, others, trained_on=range(30)).attrs["tested"]["snp"] <= 16
    True
    """
    for name, value, highest in (("candidates", candidates, 1.0), ("rate", rate, np.nextafter(1, 0))):
        if not 0 < value <= highest:
            raise ValueError(f"{name} must be above 0 and {'at most' if highest == 1 else 'below'} 1, got {value}")
    _check_cohort(maps, cohort)
    people = cohort.isel(subject=np.asarray(subjects))
    classes = [str(name) for name in maps["target_class"].to_numpy()]
    learnt_from = cohort["subject"].to_numpy()[np.asarray([] if trained_on is None else trained_on, dtype=int)]
    _check_people(people, maps, classes, learnt_from.astype(str))
    views = map_views(maps)
    n_lists = len(views) * len(classes)
    tables, tested = [], dict.fromkeys(views, 0)
    for view in views:
        for target_class in classes:
            found = _test_candidates(maps, people, view, target_class, method, candidates)
            found["q_value"] = np.minimum(false_discovery_control(found["p_value"]) * n_lists, 1)
            tested[view] += len(found)
            chosen = found[found["q_value"] <= rate].sort_values(["p_value", "feature"])
            chosen = _add_truth(chosen, cohort, view, target_class) if truth else chosen
            tables.append(chosen.assign(rank=np.arange(1, len(chosen) + 1)))
    columns = [*COLUMNS, *(TRUTH_COLUMNS if truth else [])]
    text = dict.fromkeys([*IMAGE_COLUMNS, *VECTOR_COLUMNS], "str")
    selected = pd.concat(tables, ignore_index=True).reindex(columns=columns).astype(text)
    selected.attrs["tested"] = tested
    return selected


def _check_cohort(maps: xr.Dataset, cohort: xr.Dataset) -> None:
    """Refuse a cohort whose classes or features are not those of the maps, in their order."""
    mapped = [str(name) for name in np.atleast_1d(maps.attrs.get("classes", maps["target_class"].to_numpy()))]
    if class_names(cohort) != mapped:
        raise ValueError(
            f"the maps' classes are {', '.join(mapped)}, the cohort's {', '.join(class_names(cohort))}: number and "
            "name them alike, in label and in label.attrs['classes']"
        )
    for view in map_views(maps):
        check_features(maps, cohort, view)


def _check_people(people: xr.Dataset, maps: xr.Dataset, classes: Sequence[str], learnt_from: np.ndarray) -> None:
    """Refuse people who cannot judge: twice there, unlabelled, of too few in a class, or with a part in map or net."""
    label, ids = people["label"].to_numpy(), people["subject"].to_numpy().astype(str)
    names, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"subjects must be given once; more often: {name_some(names[counts > 1])}")
    if (label < 0).any():
        raise ValueError(
            f"subjects outside the contrast (label -1) cannot confirm anything: {name_some(ids[label < 0])}"
        )
    seen = maps.attrs.get("correlated_over")
    seen = maps["subject"].to_numpy().astype(str) if seen is None else json.loads(seen)
    for what, who in {"map": seen, "network": learnt_from}.items():
        both = sorted(set(ids) & set(who))
        if both:
            raise ValueError(
                f"{len(both)} of the {len(ids)} subjects had a part in the {what}, which breaks the promised rate: "
                f"{name_some(both)}; make the {what} without them"
            )
    scarce = [name for name in classes if (label == class_number(maps, name)).sum() < 2]
    if scarce:
        raise ValueError(f"subjects must hold at least two of every class; too few of {name_some(scarce)}")


def _test_candidates(
    maps: xr.Dataset, people: xr.Dataset, view: str, target_class: str, method: str, candidates: float
) -> pd.DataFrame:
    """Candidates of one class with their p-values: features, or the best feature of every candidate block."""
    score = class_values(maps, view, target_class, method, subjects="all").mean(axis=0)
    of_class = people["label"].to_numpy() == class_number(maps, target_class)
    values = flatten_features(people[view].to_numpy(), is_image(maps, view))
    features = describe_features(maps, view).assign(
        view=view, target_class=target_class, map_value=score, position=np.arange(len(score))
    )
    units = linkage_units(maps[view])
    features["unit"] = features["position"] if units is None else units
    best = features.groupby("unit", sort=False)["map_value"].max()
    n_candidates = max(1, round(candidates * len(best)))
    chosen = best.sort_values(ascending=False, kind="stable").index[:n_candidates]
    table = features[features["unit"].isin(chosen) & (score > 0)].copy()
    tested = values[:, table["position"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a feature that does not vary in a class: t is no number
        t, p = ttest_ind(
            tested[of_class],
            tested[~of_class],
            equal_var=False,
            nan_policy="omit",
            alternative="greater",
        )
    p = np.where(np.isfinite(t), p, 1.0)
    for number in np.flatnonzero(np.isposinf(t)):  # two values, one for each group: t has no spread to be held against
        known = ~np.isnan(tested[:, number])
        larger = (tested[:, number] == np.nanmax(tested[:, number])).astype(int)
        p[number] = exact_trend(larger[known & of_class], larger[known & ~of_class])
    if people[view].attrs.get("kind") == "genotype":
        p = _exact(tested, of_class, p)
    table = table.assign(t=np.where(np.isfinite(t), t, 0.0), p_value=p)
    sizes = table.groupby("unit")["p_value"].transform("size")
    table["p_value"] = np.minimum(table["p_value"] * sizes, 1)  # Bonferroni within a block
    return table.sort_values(["p_value", "position"]).drop_duplicates("unit").sort_values("position")


def _exact(genotypes: np.ndarray, of_class: np.ndarray, approximate: np.ndarray) -> np.ndarray:
    """Exact p-values of called genotypes; those of imputed dosages stay approximate."""
    exact = np.array(approximate, dtype=float)
    for number, values in enumerate(genotypes.T):
        known = ~np.isnan(values)
        if np.isin(values[known], (0, 1, 2)).all():
            exact[number] = exact_trend(values[known & of_class], values[known & ~of_class])
    return exact


def _add_truth(chosen: pd.DataFrame, cohort: xr.Dataset, view: str, target_class: str) -> pd.DataFrame:
    """Say of each whether it is true, or anything in its block."""
    for name, depth in zip(TRUTH_COLUMNS, ("truth", "population_truth"), strict=True):
        true = pd.Series(truth_of_class(cohort, view, target_class, depth))
        units = linkage_units(cohort[view])
        true = true if units is None else true.groupby(units).transform("any")
        chosen = chosen.assign(**{name: true.to_numpy()[chosen["position"]]})
    return chosen
