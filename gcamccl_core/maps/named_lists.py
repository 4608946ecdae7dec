"""A selection by name: its connections, regions, hubs, SNPs, genes and gene sets, and the same of what was planted."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.cohort import class_names, view_names
from gcamccl_core.maps.class_scores import truth_of_class
from gcamccl_core.maps.dataset import label_maps
from gcamccl_core.maps.enrichment import carried_gene_sets, enrich, planted_gene_sets
from gcamccl_core.maps.hubs import find_hubs, knows_places
from gcamccl_core.maps.returning_features import selected_names
from gcamccl_core.maps.selection import describe_features

HUB, GENE_SET = {"lengths": "hub", "graph": "hub, degrees kept"}, "gene set"
COLUMNS = ["view", "target_class", "level", "name"]


def name_selection(
    selected: pd.DataFrame, cohort: xr.Dataset, level: float = 0.05, n_draws: int = 2000
) -> pd.DataFrame:
    """List what one run selected, at every level that the cohort knows names for.

    Parameters
    ----------
    selected : pandas.DataFrame
        As :func:`.select_biomarkers` or :func:`.confirm_biomarkers` makes it.
    cohort : xarray.Dataset
        Where the ROIs are, and which gene sets travel with it.
    level : float
        Below which adjusted p a region is a hub (:func:`.find_hubs`: ``hub`` where lengths are kept, ``hub, degrees
        kept`` where the graph is), and below which q a gene set is over-represented (:func:`.enrich`, the genes of the
        cohort's SNPs as background).
    n_draws : int
        For the hubs.

    Returns
    -------
    pandas.DataFrame
        As :func:`.selected_names` makes it, with the levels of hubs and ``gene set`` where the cohort allows.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> rois, regions = cohort["roi"].to_numpy(), cohort["roi_region"].to_numpy()
    >>> ends = [(i, j) for i in rois[regions == "Cuneus"] for j in rois[regions == "Precuneus"]]
    >>> selected = pd.DataFrame(ends, columns=["roi_i", "roi_j"]).assign(view="fc", target_class="high", gene=None)
    >>> selected = selected.assign(feature=selected["roi_i"] + " -- " + selected["roi_j"], region_i="Cuneus")
    >>> name_selection(selected, cohort)["level"].value_counts().to_dict()
    {'connection': 112, 'hub': 2, 'hub, degrees kept': 2, 'region': 1}
    """
    tables = [selected_names(selected)]
    for view in view_names(cohort):
        of_view = selected[selected["view"] == view]
        if cohort[view].ndim == 3 and knows_places(cohort):
            tables.append(_hubs(of_view, cohort, view, level, n_draws))
        elif f"{view}_gene" in cohort.coords and "gene_sets" in cohort.attrs:
            tables += [_gene_sets(of_view, cohort, view, name, level) for name in class_names(cohort)]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def name_planted(cohort: xr.Dataset, level: float = 0.05, n_draws: int = 2000) -> pd.DataFrame | None:
    """List what was planted in a simulated cohort, at the same levels; None if that is not known.

    Connections and SNPs that were planted, genes with a planted SNP, planted gene sets, and the regions that are hubs
    of the planted connections where lengths are kept, at the levels ``region``, ``hub`` and ``hub, degrees kept``.

    Parameters
    ----------
    cohort, level, n_draws
        As for :func:`name_selection`.

    Returns
    -------
    pandas.DataFrame or None
        ``view``, ``target_class``, ``level`` and ``name``.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> planted = name_planted(simulate_cohort(n_subjects=40, progress=False))
    >>> hubs = planted[(planted["level"] == "hub") & (planted["target_class"] == "high")]
    >>> sorted(hubs["name"])[-3:]
    ['Lingual Gyrus', 'Middle Occipital Gyrus', 'Parahippocampal Gyrus']
    """
    if any(f"truth_{view}" not in cohort for view in view_names(cohort)):
        return None
    parts = []
    features = planted_features(cohort)
    for view, name in product(view_names(cohort), class_names(cohort)):
        planted = features[(features["view"] == view) & (features["target_class"] == name)]
        named = selected_names(planted)
        parts.append(named[named["level"].isin(["connection", "SNP", "gene", "feature"])])
        if cohort[view].ndim == 3 and knows_places(cohort):
            hubs = _hubs(planted, cohort, view, level, n_draws)
            hubs = hubs[hubs["level"] == HUB["lengths"]]  # what is planted is known; no second test is asked of it
            parts += [hubs.assign(level=kind) for kind in (*HUB.values(), "region")]
        elif "planted_gene_sets" in cohort.attrs and f"{view}_gene" in cohort.coords:
            terms = pd.DataFrame({"name": planted_gene_sets(cohort).get(name, [])}, dtype="str")
            parts.append(_as_names(terms, view, name, GENE_SET))
    return pd.concat(parts, ignore_index=True).drop_duplicates(ignore_index=True)


def planted_features(cohort: xr.Dataset) -> pd.DataFrame:
    """List what was planted in a simulated cohort as a selection would list it: the list that would be right.

    Returns
    -------
    pandas.DataFrame
        ``view``, ``target_class`` and what :func:`.describe_features` knows of every planted feature.

    Raises
    ------
    ValueError
        If the cohort has no truth.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> planted = planted_features(simulate_cohort(n_subjects=40, progress=False))
    >>> planted.groupby(["view", "target_class"], sort=False).size().to_dict()
    {('fc', 'low'): 618, ('fc', 'high'): 363, ('snp', 'low'): 40, ('snp', 'high'): 46}
    """
    tables = []
    for view in view_names(cohort):
        one = cohort.isel(subject=[0])
        empty = np.zeros((1, len(class_names(cohort)), 1, *cohort[view].shape[1:]), np.float32)
        features = describe_features(label_maps({view: empty}, one, ["planted"], {}), view)
        for name in class_names(cohort):
            tables.append(features[truth_of_class(cohort, view, name)].assign(view=view, target_class=name))
    return pd.concat(tables, ignore_index=True)


def _hubs(selected: pd.DataFrame, cohort: xr.Dataset, view: str, level: float, n_draws: int) -> pd.DataFrame:
    """List the hubs by both kinds of draws, each at a level of its own."""
    tables = []
    for keeps, name in HUB.items():
        found = find_hubs(selected, cohort, keeps, n_draws)
        found = found[found["p_adjusted"] < level].rename(columns={"region": "name"})
        tables.append(found.assign(view=view, level=name)[COLUMNS])
    return pd.concat(tables, ignore_index=True)


def _gene_sets(selected: pd.DataFrame, cohort: xr.Dataset, view: str, target_class: str, level: float) -> pd.DataFrame:
    panel = set(cohort[f"{view}_gene"].to_numpy().astype(str)) - {""}
    genes = selected.loc[selected["target_class"] == target_class, "gene"].dropna().unique()
    tested = enrich(genes, carried_gene_sets(cohort), panel)
    return _as_names(tested[tested["q_value"] < level].rename(columns={"term": "name"}), view, target_class, GENE_SET)


def _as_names(table: pd.DataFrame, view: str, target_class: str, level: str) -> pd.DataFrame:
    return table.assign(view=view, target_class=target_class, level=level)[COLUMNS]
