"""The highest features of a map: a list as long as one asks, where by the paper's rule the map decides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.maps.dataset import class_values, map_views
from gcamccl_core.maps.selection import IMAGE_COLUMNS, VECTOR_COLUMNS, describe_features

COLUMNS = ["view", "target_class", "rank", "feature", "frequency", "mean_value", *IMAGE_COLUMNS, *VECTOR_COLUMNS]


def select_highest(maps: xr.Dataset, share: float = 0.01, method: str = "activation_pattern") -> pd.DataFrame:
    """Take, for each class, the share of the features whose map is highest.

    A ranking, with no error rate: of a map of nothing it names as many. It serves to compare what maps put first.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.activation_patterns` or :func:`.compute_maps` makes them; the mean over all rows of the positive part
        is what ranks the features (of an image the upper triangle of the symmetrised map).
    share : float
        Of the features of each view, above 0 and below 1; at least one is taken. Features that tie with the first one
        left out are left out, too, and so is what is nowhere above zero.
    method : str
        Which map.

    Returns
    -------
    pandas.DataFrame
        Columns as :func:`.select_biomarkers` makes them; ``frequency`` is the share of rows with a value above zero.

    Raises
    ------
    ValueError
        If the share is out of range, or the method is not among the maps.

    Examples
    --------
    >>> dims = ("subject", "target_class", "map_method", "measure")
    >>> maps = xr.Dataset({"thickness": (dims, [[[[0.4, 0.1, -0.2, 0.3]]]], {"role": "map"})})
    >>> names = {"target_class": ["high"], "map_method": ["activation_pattern"], "measure": [*"abcd"]}
    >>> maps = maps.assign_coords(names).assign_coords(label=("subject", [0]))
    >>> select_highest(maps, share=0.5)[["rank", "feature", "mean_value"]]
       rank feature  mean_value
    0     1       a         0.4
    1     2       d         0.3
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be above 0 and below 1, got {share}")
    tables = []
    for view in map_views(maps):
        features = describe_features(maps, view)
        for target_class in maps["target_class"].to_numpy().astype(str):
            values = class_values(maps, view, target_class, method, subjects="all")
            mean = values.mean(axis=0)
            k = max(1, round(share * len(mean)))
            bar = np.sort(mean)[::-1][k] if k < len(mean) else -np.inf
            table = features.assign(
                view=view, target_class=target_class, frequency=(values > 0).mean(axis=0), mean_value=mean
            )
            first = table[(mean > bar) & (mean > 0)].sort_values(["mean_value", "feature"], ascending=[False, True])
            tables.append(first.assign(rank=np.arange(1, len(first) + 1)))
    text = dict.fromkeys([*IMAGE_COLUMNS, *VECTOR_COLUMNS], "str")
    return pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS).astype(text)
