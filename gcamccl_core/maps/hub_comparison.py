"""Hubs of several lists of connections, tested by both kinds of draws, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from gcamccl_core.maps.hubs import find_hubs

SIGNIFICANT = 0.05
KEYS = ["list", "target_class", "region"]
COLUMNS = [*KEYS, "rois", "connections", "expected", "lower", "upper", "p_adjusted", "p_graph"]


def compare_hubs(
    lists: Mapping[str, pd.DataFrame], cohort: xr.Dataset, n_draws: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Test the regions of several lists, by the draws of :func:`.find_hubs` that keep lengths and that keep the graph.

    Parameters
    ----------
    lists : mapping of str to pandas.DataFrame
        Connections by the list's name, as for :func:`.find_hubs`; a list may be empty.
    cohort, n_draws, seed
        As there.

    Returns
    -------
    pandas.DataFrame
        One row per ``list``, ``target_class`` and ``region``, as :func:`.find_hubs` orders them where lengths are kept:
        its columns, and ``p_graph``, the adjusted p where the graph is kept. Empty if no list has a connection.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> from gcamccl_core.maps.named_lists import planted_features
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> table = compare_hubs({"planted": planted_features(cohort)}, cohort, n_draws=999)
    >>> hubs = name_hubs(table, "planted")["high"]
    >>> [hub for hub in ("Lingual Gyrus", "Middle Occipital Gyrus", "Inferior Occipital Gyrus") if hub not in hubs]
    []
    """
    tables = []
    for name, selected in lists.items():
        lengths, graph = (find_hubs(selected, cohort, keeps, n_draws, seed) for keeps in ("lengths", "graph"))
        moved = graph[["target_class", "region", "p_adjusted"]].rename(columns={"p_adjusted": "p_graph"})
        if len(lengths):
            tables.append(lengths.merge(moved, on=["target_class", "region"]).assign(list=name))
    return pd.concat(tables, ignore_index=True)[COLUMNS] if tables else pd.DataFrame(columns=COLUMNS)


def name_hubs(compared: pd.DataFrame, of_list: str, level: float = SIGNIFICANT) -> dict[str, list[str]]:
    """Name the hubs of one list, by class: regions whose adjusted p is below a level where lengths are kept.

    Examples
    --------
    >>> rows = [("mine", "high", "Cuneus", 0.01), ("mine", "high", "Insula", 0.2)]
    >>> name_hubs(pd.DataFrame(rows, columns=["list", "target_class", "region", "p_adjusted"]), "mine")
    {'high': ['Cuneus']}
    """
    found = compared[(compared["list"] == of_list) & (compared["p_adjusted"] < level)]
    return {str(name): rows["region"].tolist() for name, rows in found.groupby("target_class", sort=False)}
