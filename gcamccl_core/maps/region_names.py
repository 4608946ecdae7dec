"""Selected connections in words: regions, hemispheres, lobes and networks in place of indices."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from gcamccl_core.data.checks import without_name
from gcamccl_core.data.manifest import region_abbreviations

WORDS = ("region", "hemisphere", "lobe", "network")


def describe_rois(cohort: xr.Dataset) -> pd.DataFrame:
    """Lay out what a cohort knows of its ROIs: ``region``, ``hemisphere``, ``lobe`` and ``network``, by ROI.

    What it does not know is empty, and a region without a name is called by its ROI.

    Examples
    --------
    >>> cohort = xr.Dataset(coords={"roi": ["Cuneus_L_7", "x"], "roi_region": ("roi", ["Cuneus", ""])})
    >>> describe_rois(cohort)["region"].tolist()
    ['Cuneus', 'x']
    """
    known = cohort if "roi" in cohort.variables else cohort.rename({"roi_i": "roi"})
    rois = pd.Index(known["roi"].to_numpy().astype(str), name="roi")
    table = pd.DataFrame("", index=rois, columns=list(WORDS))
    for word in WORDS:
        if f"roi_{word}" in cohort.variables:
            values = cohort[f"roi_{word}"].to_numpy()
            table[word] = pd.Series(values.astype(str), index=rois).mask(without_name(values), "")
    table["region"] = table["region"].where(table["region"].ne(""), rois.to_series())
    return table


def name_connections(selected: pd.DataFrame, cohort: xr.Dataset) -> pd.DataFrame:
    """Put words to connections: what they join, of which lobes and networks.

    Parameters
    ----------
    selected : pandas.DataFrame
        With the ROIs' names in ``roi_i`` and ``roi_j``, such as :func:`.select_biomarkers` makes it.
    cohort : xarray.Dataset
        Describes its ROIs along ``roi``.

    Returns
    -------
    pandas.DataFrame
        The same rows, with ``connection`` ("Cuneus L – Precuneus R"; connections between the same two regions share
        it), ``lobes`` and ``networks`` of its ends in that order ("Occipital – Parietal", or one word where both are in
        the same), empty where not known.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> selected = pd.DataFrame({"roi_i": ["Precuneus_R_251"], "roi_j": ["Superior_Parietal_R_258"]})
    >>> name_connections(selected, cohort)[["connection", "lobes", "networks"]].loc[0].tolist()
    ['Precuneus R – Superior Parietal Lobule R', 'Parietal', 'Dorsal attention']
    """
    rois = describe_rois(cohort)
    ends = [rois.reindex(selected[f"roi_{end}"].astype(str)).reset_index(drop=True) for end in "ij"]
    full = [(one["region"] + " " + one["hemisphere"]).str.strip() for one in ends]
    swapped = full[0] > full[1]  # so that two regions have one name between them
    pairs = {"connection": full} | {f"{name}s": [one[name] for one in ends] for name in ("lobe", "network")}
    words = {}
    for name, (one, other) in pairs.items():
        text = one.mask(swapped, other) + " – " + other.mask(swapped, one)
        if name != "connection":
            text = text.where(one.ne(other), one).where(one.ne("") & other.ne(""), "")
        words[name] = text.to_numpy()
    return selected.assign(**words)


def count_by_region(selected: pd.DataFrame, cohort: xr.Dataset) -> pd.DataFrame:
    """Count the selected connections of every region, class by class, beside its name in Table IX.

    Parameters
    ----------
    selected, cohort
        As for :func:`name_connections`; a connection that is listed more than once counts once, as does one within a
        region.

    Returns
    -------
    pandas.DataFrame
        One row per region that has any: ``region``, ``abbreviation`` (empty if Table IX has none), ``lobe``, ``rois``,
        how many the region has, and for each class ``connections <class>``; most first.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> selected = pd.DataFrame({"roi_i": ["Precuneus_R_251"], "roi_j": ["Superior_Parietal_R_258"]})
    >>> count_by_region(selected.assign(target_class="high"), cohort).to_numpy().tolist()
    [['Precuneus', 'Precun', 'Parietal', 14, 1], ['Superior Parietal Lobule', 'Sup_Pari', 'Parietal', 3, 1]]
    """
    rois = describe_rois(cohort)
    known = selected[selected["roi_i"].fillna("").ne("")]
    ends = pd.concat([known.assign(roi=known[f"roi_{end}"]) for end in "ij"])
    ends = ends.assign(region=rois["region"].reindex(ends["roi"]).to_numpy())
    ends = ends.assign(**{name: ends[["roi_i", "roi_j"]].agg(name, axis=1) for name in ("min", "max")})
    ends = ends.drop_duplicates(["target_class", "region", "min", "max"])
    classes = list(dict.fromkeys(selected["target_class"]))
    counts = pd.crosstab(ends["region"], ends["target_class"]).reindex(columns=classes, fill_value=0)
    about = rois.groupby("region").agg(lobe=("lobe", lambda of: of.mode().iloc[0]), rois=("lobe", "size"))
    short = pd.Series(region_abbreviations(), name="abbreviation")
    table = about.join(counts, how="inner").join(short).fillna({"abbreviation": ""})
    table = table.assign(total=table[classes].sum(axis=1)).rename_axis("region").reset_index()
    table = table.sort_values(["total", "region"], ascending=[False, True], ignore_index=True)
    table = table[["region", "abbreviation", "lobe", "rois", *classes]]
    return table.rename(columns={name: f"connections {name}" for name in classes})
