"""How alike maps are: of two networks on the same subjects, and of two groups of subjects by one network."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.stats import pearsonr, rankdata

from gcamccl_core.data.checks import name_some
from gcamccl_core.maps.dataset import class_number, flatten_features, is_image, map_views, symmetric_name

KEYS = ["view", "target_class", "method"]
MEASURES = ["rank_correlation", "absolute_rank_correlation", "ssim"]


def compare_maps(maps: xr.Dataset, other: xr.Dataset) -> pd.DataFrame:
    """Compare two networks' maps of the same subjects, map by map, by ranks and by structure.

    Of an image the symmetrised map is compared: its upper triangle by ranks, all of it by structure.

    Parameters
    ----------
    maps, other : xarray.Dataset
        As :func:`.compute_maps` makes them, of the same subjects, views, classes and methods.

    Returns
    -------
    pandas.DataFrame
        One row per ``view``, ``target_class`` and ``method``, of means over the subjects. ``rank_correlation``:
        Spearman's between the two maps of a subject; ``absolute_rank_correlation``: the same of absolute values, for
        which a picture that has only changed sign is the same; ``ssim``: :func:`structural_similarity` after each map
        is divided by its largest absolute value. A constant map ranks nothing, so a subject with one is left out:
        ``subjects`` says how many were not, and NaN that none was left (or none whose absolute values vary).

    Raises
    ------
    ValueError
        If subjects, views, classes, methods or features differ; the message names which.

    Examples
    --------
    >>> loci = {"subject": ["s1"], "target_class": ["high"], "map_method": ["grad_cam"]}
    >>> maps = xr.Dataset({"snp": ((*loci, "locus"), [[[[1.0, -2, 3, 5]]]], {"role": "map"})}, coords=loci)
    >>> compare_maps(maps, maps.assign(snp=maps["snp"].copy(data=-maps["snp"])))[["method", *MEASURES]].round(2)
         method  rank_correlation  absolute_rank_correlation  ssim
    0  grad_cam              -1.0                        1.0 -0.74
    """
    _check_alike(maps, other)
    rows = []
    for view in map_views(maps):
        name = symmetric_name(view) if is_image(maps, view) else view
        for target_class in maps["target_class"].to_numpy():
            for method in maps["map_method"].to_numpy():
                which = {"target_class": target_class, "map_method": method}
                one, two = (dataset[name].sel(which).to_numpy().astype(np.float64) for dataset in (maps, other))
                rows.append((view, str(target_class), str(method), *_compare(one, two, is_image(maps, view))))
    return pd.DataFrame(rows, columns=[*KEYS, *MEASURES, "subjects"])


def _check_alike(maps: xr.Dataset, other: xr.Dataset) -> None:
    views = map_views(maps)
    if not views:
        raise ValueError("the first dataset holds no maps; pass two that compute_maps made")
    _refuse_unlike("views", pd.Index(sorted(views)), pd.Index(sorted(map_views(other))))
    for dim, what in (("subject", "subjects"), ("target_class", "classes"), ("map_method", "methods")):
        _refuse_unlike(what, maps.get_index(dim), other.get_index(dim))
    for view in views:
        _refuse_unlike(f"dimensions of view '{view}'", pd.Index(maps[view].dims), pd.Index(other[view].dims))
        for dim in map(str, maps[view].dims[3:]):
            _refuse_unlike(f"features of view '{view}' along '{dim}'", maps.get_index(dim), other.get_index(dim))


def _refuse_unlike(what: str, first: pd.Index, second: pd.Index) -> None:
    """Raise unless both are equal, saying what only one has, or that the order differs."""
    if first.equals(second):
        return
    lone = [("first", first.difference(second)), ("second", second.difference(first))]
    said = [f"only the {which} has {name_some(names)}" for which, names in lone if len(names)]
    found = "; ".join(said) or "they are in another order, or some occur twice"
    raise ValueError(f"the {what} of the two datasets of maps differ: {found}. Compare maps of the same {what}")


def _compare(one: np.ndarray, other: np.ndarray, image: bool) -> tuple[float, float, float, int]:
    """Means over the subjects of both ranks' correlations and of structural similarity, and how many subjects count."""
    first, second = flatten_features(one, image), flatten_features(other, image)
    vary = (np.ptp(first, axis=1) > 0) & (np.ptp(second, axis=1) > 0)
    if not vary.any():
        return np.nan, np.nan, np.nan, 0
    first, second, one, other = first[vary], second[vary], one[vary], other[vary]
    ranks = _rank_correlation(first, second)
    absolute = _rank_correlation(np.abs(first), np.abs(second))
    return ranks, absolute, float(structural_similarity(_as_grey(one), _as_grey(other)).mean()), int(vary.sum())


def _as_grey(values: np.ndarray) -> np.ndarray:
    """Scale every map to its largest absolute value, and shift it to 0 … 1, as structural similarity needs it.

    With means of both signs, two opposites would be alike: both the means' and the structures' term would be negative.
    """
    return np.asarray((values / np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True) + 1) / 2)


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Mean over rows of Spearman's correlation; constant rows are left out, and NaN if all are."""
    vary = (np.ptp(one, axis=1) > 0) & (np.ptp(other, axis=1) > 0)
    if not vary.any():
        return np.nan
    return float(pearsonr(rankdata(one[vary], axis=1), rankdata(other[vary], axis=1), axis=1).statistic.mean())


def structural_similarity(one: np.ndarray, other: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    r"""Structural similarity (Wang et al. 2004), in two dimensions or in one.

    .. math:: \mathrm{mean}\,\frac{(2 \mu_x \mu_y + C_1)(2 \sigma_{xy} + C_2)}
              {(\mu_x^2 + \mu_y^2 + C_1)(\sigma_x^2 + \sigma_y^2 + C_2)}, \qquad C_1 = 0.01^2,\; C_2 = 0.03^2

    over all positions, with means, variances and covariance in a Gaussian window of radius 5 around each. Pictures
    are mirrored at their borders, so that small ones can be compared, too. Where both are nearly flat they count as
    alike, so sparse maps are similar by their emptiness: compare values within a method.

    Parameters
    ----------
    one, other : array of shape (n, side, side) or (n, length)
        Pictures of one size, from 0 to 1; the original's L is 1.
    sigma : float
        Standard deviation of the window, in features.

    Returns
    -------
    array of shape (n,)
        1 of a picture with itself, about 0 of rich ones without relation, negative of one with its negative.

    Examples
    --------
    >>> stripes = np.resize([0.25, 0.75], (1, 40))
    >>> structural_similarity(np.vstack([stripes, stripes]), np.vstack([stripes, 1 - stripes])).round(2).tolist()
    [1.0, -0.98]
    """
    axes = tuple(range(1, one.ndim))

    def smooth(values: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(values, sigma, axes=axes, radius=5))

    mean_one, mean_other = smooth(one), smooth(other)
    covariance = smooth(one * other) - mean_one * mean_other
    variances = smooth(one**2) + smooth(other**2) - mean_one**2 - mean_other**2
    of_mean, of_variance = 0.01**2, 0.03**2  # C_1 and C_2
    luminance = (2 * mean_one * mean_other + of_mean) / (mean_one**2 + mean_other**2 + of_mean)
    return np.asarray((luminance * (2 * covariance + of_variance) / (variances + of_variance)).mean(axis=axes))


def group_difference(maps: xr.Dataset, group: str = "high", minus: str = "low") -> xr.Dataset:
    """Subtract one group's mean map from another's. A trap: it looks right without anything learnt.

    The groups' inputs differ, and so do their maps by any network: with random weights, the difference of guided
    backpropagation ranks planted connections above nearly all others. It tells of the cohort, as a t-test does, not of
    what a network has learnt; show it only beside the same difference for :func:`.random_weights_like`.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them.
    group, minus : str
        Names of classes; the subjects are those whose true label it is.

    Returns
    -------
    xarray.Dataset
        Per view (target_class, map_method, *view dims), beside an image ``<view>_symmetric``, in the maps' own unit;
        ``attrs["role"]`` is "group difference", since no subjects are left.

    Raises
    ------
    ValueError
        If a class is not among the maps, or no subject is of it.

    Examples
    --------
    >>> coords = {"target_class": ["low", "high"], "label": ("subject", [0, 1, 1])}
    >>> values = np.array([[1.0, 5], [2, 6], [4, 6]])[:, :, None, None]
    >>> maps = xr.Dataset({"snp": (("subject", "target_class", "map_method", "locus"), values)}, coords=coords)
    >>> group_difference(maps)["snp"].to_numpy().ravel().tolist()
    [2.0, 1.0]
    """
    means = []
    for name in (group, minus):
        if name not in maps["target_class"]:
            raise ValueError(f"the maps have no class {name!r}; they have {name_some(maps['target_class'].to_numpy())}")
        of_group = maps["label"].to_numpy() == class_number(maps, name)
        if not of_group.any():
            raise ValueError(f"no subject of class '{name}' is among the maps' {len(of_group)}; map other subjects")
        means.append(maps.isel(subject=of_group).mean("subject"))
    difference = means[0] - means[1]
    for variable in difference.data_vars.values():
        variable.attrs = {"role": "group difference"}
    return difference
