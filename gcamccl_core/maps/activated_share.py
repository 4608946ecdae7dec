"""How much of a map lights up, person by person, and whether that differs between classes: the test behind Figure 4."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import mannwhitneyu, wilcoxon

from gcamccl_core.maps.dataset import class_values

COLUMNS = ["subject", "class_of_person", "map_for", "share", "mean_value"]
PEOPLE, PERSON = "own maps, other people", "same people, other map"


def activated_share(
    maps: xr.Dataset, view: str, method: str = "grad_cam_relu", threshold: float = 0.05
) -> pd.DataFrame:
    r"""Measure what share of a map is "activated" in every person, by the paper's own standard.

    .. math:: \mathrm{share}^c_s = \frac{1}{d} \sum_f \left[ M^c_{sf} > \tau \max_{f'} M^c_{sf'} \right]

    with :math:`M^c_{sf}` the positive part of the map of class c in subject s over the d features of the view (of an
    image the upper triangle of the symmetrised map). A share does not depend on the size of the logit, so the maps of
    two classes can be compared by it, where their values cannot.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them.
    view, method : str
        Which maps.
    threshold : float
        :math:`\tau`, from 0 to below 1.

    Returns
    -------
    pandas.DataFrame
        One row per labelled subject and class whose map it is (``map_for``): ``class_of_person``, ``share``, and
        ``mean_value``, the mean of the positive part. Subjects whose map is zero have a share of 0.

    Raises
    ------
    ValueError
        If the threshold is out of range, or the maps lack the view or method.

    Examples
    --------
    >>> dims = ("subject", "target_class", "map_method", "measure")
    >>> maps = xr.Dataset({"thickness": (dims, [[[[4.0, 1, 0, 0]], [[2.0, 0, 1, 1]]]], {"role": "map"})})
    >>> maps = maps.assign_coords(subject=["a"], target_class=["low", "high"], map_method=["grad_cam_relu"])
    >>> activated_share(maps.assign_coords(label=("subject", [0])), "thickness")[["map_for", "share"]]
      map_for  share
    0     low   0.50
    1    high   0.75
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must be at least 0 and below 1, got {threshold}")
    classes = [str(name) for name in maps["target_class"].to_numpy()]
    every = [str(name) for name in np.atleast_1d(maps.attrs.get("classes", classes))]
    label = maps["label"].to_numpy()
    tables = []
    for name in classes:
        values = class_values(maps, view, name, method, subjects="all")
        largest = values.max(axis=1, keepdims=True)
        tables.append(
            pd.DataFrame(
                {
                    "subject": maps["subject"].to_numpy().astype(str),
                    "class_of_person": [every[number] if number >= 0 else "" for number in label],
                    "map_for": name,
                    "share": (values > threshold * largest).mean(axis=1),
                    "mean_value": values.mean(axis=1),
                }
            )
        )
    table = pd.concat(tables, ignore_index=True)
    return table[table["class_of_person"].ne("")].reset_index(drop=True)[COLUMNS]


def compare_shares(shares: pd.DataFrame, measure: str = "share") -> pd.DataFrame:
    """Test whether more of the map lights up for one class than for another, between and within people.

    Figure 4 of the paper compares each class's maps in its own people, and says of no test. Its difference mixes two
    causes: other people, and another logit. So two tests, every person counting once, never every pixel:

    - between people, each with the map of the own class: Mann and Whitney's U;
    - within people, of either class: the map for one class against the map for the other, Wilcoxon's signed ranks. What
      shows here is not of the people.

    Parameters
    ----------
    shares : pandas.DataFrame
        As :func:`activated_share` makes it, of one split: people of several splits are not independent.
    measure : str
        ``share`` or ``mean_value``; values of two logits share no scale.

    Returns
    -------
    pandas.DataFrame
        One row per pair of classes and ``comparison``: ``first`` and ``second`` class, ``mean_first`` and
        ``mean_second``, ``difference``, ``superiority`` (how often a value of the first is above one of the second,
        ties half; one half is no difference), ``n_first`` and ``n_second`` people, and the two-sided ``p_value``
        (1 where nothing differs).

    Raises
    ------
    ValueError
        If there are fewer than two classes.

    Examples
    --------
    >>> rows = [("a", "low", 0.4), ("b", "low", 0.5), ("c", "high", 0.1), ("d", "high", 0.2)]
    >>> shares = pd.DataFrame(rows, columns=["subject", "class_of_person", "share"])
    >>> shares = pd.concat([shares.assign(map_for="low"), shares.assign(map_for="high")])
    >>> compare_shares(shares)[["comparison", "difference", "superiority", "p_value"]].round(3)
                   comparison  difference  superiority  p_value
    0  own maps, other people         0.3          1.0    0.333
    1  same people, other map         0.0          0.5    1.000
    """
    classes = list(dict.fromkeys(shares["map_for"]))
    if len(classes) < 2:
        raise ValueError(f"a comparison needs maps for at least two classes, got {len(classes)}")
    own = shares[shares["class_of_person"] == shares["map_for"]]
    by_person = shares.pivot_table(index="subject", columns="map_for", values=measure, sort=False)
    rows = []
    for first, second in combinations(classes, 2):
        a, b = (own.loc[own["map_for"] == name, measure].to_numpy(float) for name in (first, second))
        between = mannwhitneyu(a, b).pvalue if len(a) and len(b) else np.nan
        rows.append((first, second, PEOPLE, *_describe(a, b), between))
        of_pair = shares.loc[shares["class_of_person"].isin([first, second]), "subject"].unique()
        a, b = (by_person.loc[of_pair, name].to_numpy(float) for name in (first, second))
        within = np.nan if not len(a) else wilcoxon(a, b).pvalue if (a != b).any() else 1.0
        rows.append((first, second, PERSON, *_describe(a, b, paired=True), within))
    columns = ["first", "second", "comparison", "mean_first", "mean_second", "difference", "superiority"]
    return pd.DataFrame(rows, columns=[*columns, "n_first", "n_second", "p_value"])


def _describe(a: np.ndarray, b: np.ndarray, paired: bool = False) -> tuple[float, float, float, float, int, int]:
    """Means, their difference, how often the first is larger (ties half), and how many there are of each."""
    if not len(a) or not len(b):
        return np.nan, np.nan, np.nan, np.nan, len(a), len(b)
    apart = a - b if paired else a[:, None] - b[None, :]
    superiority = float((apart > 0).mean() + 0.5 * (apart == 0).mean())
    return a.mean(), b.mean(), a.mean() - b.mean(), superiority, len(a), len(b)
