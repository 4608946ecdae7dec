"""From maps to lists: the connections, regions and SNPs that stand out in most subjects of a class (section III-D)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.checks import name_some, without_name
from gcamccl_core.maps.class_scores import truth_of_class
from gcamccl_core.maps.dataset import class_values, is_image, map_views, positions_of, values_at
from gcamccl_core.pieces import on_disk

IMAGE_COLUMNS = ["roi_i", "roi_j", "region_i", "region_j", "network_i", "network_j"]
VECTOR_COLUMNS = ["gene", "block"]
TRUTH_COLUMNS = ["planted", "in_population"]
SUBJECTS_AT_ONCE = 512  # whose maps are read from disk together
COLUMNS = ["view", "target_class", "rank", "feature", "frequency", "mean_value", *IMAGE_COLUMNS, *VECTOR_COLUMNS]


def select_biomarkers(
    maps: xr.Dataset,
    threshold: float = 0.05,
    frequency: float = 0.7,
    method: str = "guided_grad_cam",
    subjects: str = "class",
    label: Sequence[int] | np.ndarray | None = None,
    cohort: xr.Dataset | None = None,
) -> pd.DataFrame:
    r"""Keep, for each class, the features whose map is high enough in enough subjects.

    With :math:`M^c_{sf}` the positive part of the map of class c in subject s, feature f is selected if

    .. math:: \frac{1}{|S_c|} \sum_{s \in S_c} \left[ M^c_{sf} > \tau \max_{f'} M^c_{sf'} \right] > \varphi

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them. Of an image view the symmetrised map is taken, its upper triangle without
        the diagonal, for the maximum as well. Maps on disk are read 512 subjects at a time.
    threshold : float
        :math:`\tau`, share of the subject's own maximum, from 0 to below 1; 0.05 in the paper.
    frequency : float
        :math:`\varphi`, share of the subjects, from 0 to below 1; 0.7 in the paper.
    method : str
        Which map.
    subjects : {"class", "all"}
        :math:`S_c`: subjects whose true label is the class, or every subject in ``maps``.
    label : array of int, optional
        True class number of every subject in ``maps``; the coordinate ``label`` if not given.
    cohort : xarray.Dataset, optional
        A simulated cohort, to add what was planted.

    Returns
    -------
    pandas.DataFrame
        One row per ``view``, ``target_class`` and selected ``feature`` ("A -- B" for a connection, id of a SNP, name of
        a measure), ordered by ``rank``: by ``frequency`` (share of the subjects), then ``mean_value`` (mean positive
        part over them). For connections ``roi_i``, ``roi_j`` and their ``region_*`` and ``network_*``, for SNPs
        ``gene`` and ``block``, missing elsewhere. With ``cohort`` also ``planted`` and ``in_population``, bool.
        ``attrs["notes"]`` says for each view and class without a selected feature how near the nearest came.

    Raises
    ------
    ValueError
        If threshold or frequency are out of range, the method is not among the maps, or no subject is of a class.

    Examples
    --------
    >>> dims = ("subject", "target_class", "map_method", "measure")
    >>> maps = xr.Dataset({"thickness": (dims, [[[[4.0, 1, 0]]], [[[2.0, 0, 1]]]], {"role": "map"})})
    >>> maps = maps.assign_coords(
    ...     {"target_class": ["high"], "map_method": ["guided_grad_cam"], "measure": ["cuneus", "insula", "lingual"]}
    ... )
    >>> maps = maps.assign_coords(label=("subject", [0, 0]))
    >>> select_biomarkers(maps)[["target_class", "rank", "feature", "frequency", "mean_value"]]
      target_class  rank feature  frequency  mean_value
    0         high     1  cuneus        1.0         3.0
    """
    for name, value in (("threshold", threshold), ("frequency", frequency)):
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {value}")
    tables, notes = [], []
    for view in map_views(maps):
        features = describe_features(maps, view)
        for target_class in maps["target_class"].to_numpy():
            kept, mean = _kept_and_mean(maps, view, target_class, method, threshold, subjects, label)
            table = features.assign(view=view, target_class=str(target_class), frequency=kept, mean_value=mean)
            if cohort is not None:
                truths = [truth_of_class(cohort, view, target_class, depth) for depth in ("truth", "population_truth")]
                table = table.assign(**dict(zip(TRUTH_COLUMNS, truths, strict=True)))
            tables.append(_rank(table[table["frequency"] > frequency]))
            if tables[-1].empty:
                notes.append(_note_nearest(table, frequency))
    columns = [*COLUMNS, *(TRUTH_COLUMNS if cohort is not None else [])]
    text = dict.fromkeys([*IMAGE_COLUMNS, *VECTOR_COLUMNS], "str")
    selected = pd.concat(tables, ignore_index=True).reindex(columns=columns).astype(text)
    selected.attrs["notes"] = notes
    return selected


def _kept_and_mean(
    maps: xr.Dataset,
    view: str,
    target_class: str,
    method: str,
    threshold: float,
    subjects: str,
    label: Sequence[int] | np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the subjects in which each feature is kept, and its mean positive part; from disk in pieces."""
    positions = positions_of(maps, view, target_class, method, subjects, label)
    if len(positions) <= SUBJECTS_AT_ONCE or not on_disk(maps[view]):
        values = class_values(maps, view, target_class, method, subjects, label)
        return _keep(values, threshold).mean(axis=0), values.mean(axis=0)
    kept, total = np.zeros((), dtype=int), np.zeros(())
    for start in range(0, len(positions), SUBJECTS_AT_ONCE):
        values = values_at(maps, view, target_class, method, positions[start : start + SUBJECTS_AT_ONCE])
        kept = kept + _keep(values, threshold).sum(axis=0)
        total = total + values.sum(axis=0, dtype=np.float64)
    return kept / len(positions), (total / len(positions)).astype(values.dtype)


def _keep(values: np.ndarray, threshold: float) -> np.ndarray:
    kept: np.ndarray = values > threshold * values.max(axis=1, keepdims=True)
    return kept


def describe_features(maps: xr.Dataset, view: str) -> pd.DataFrame:
    """Names of a view's features, in the order of :func:`.flatten_features`, with what the maps know of them.

    Returns
    -------
    pandas.DataFrame
        ``feature``, and as far as known ``gene``, ``block`` (missing where a SNP has none), or ``roi_i``, ``roi_j``,
        ``region_*`` and ``network_*``.
    """
    dims = maps[view].dims[3:]
    names = maps[dims[0]].to_numpy().astype(str)
    if not is_image(maps, view):
        known = {name: maps.coords[f"{view}_{name}"] for name in VECTOR_COLUMNS if f"{view}_{name}" in maps.coords}
        table = pd.DataFrame({"feature": names})
        for name, values in known.items():
            nothing = without_name(values.to_numpy())
            table[name] = pd.Series(values.to_numpy().astype(str), dtype="str").mask(nothing)
        return table
    ends = dict(zip("ij", np.triu_indices(len(names), k=1), strict=True))
    table = pd.DataFrame({f"roi_{end}": names[index] for end, index in ends.items()})
    table.insert(0, "feature", table["roi_i"] + " -- " + table["roi_j"])
    for name in ("region", "network"):
        if f"roi_{name}" in maps.coords:
            of_roi = maps.coords[f"roi_{name}"].sel(roi=names).to_numpy().astype(str)
            table = table.assign(**{f"{name}_{end}": of_roi[index] for end, index in ends.items()})
    return table


def _rank(table: pd.DataFrame) -> pd.DataFrame:
    ordered = table.sort_values(["frequency", "mean_value", "feature"], ascending=[False, False, True])
    return ordered.assign(rank=np.arange(1, len(table) + 1))


def _note_nearest(table: pd.DataFrame, frequency: float) -> str:
    best = table["frequency"].max()
    nearest = table.loc[table["frequency"] == best, "feature"]
    return (
        f"{table['view'].iloc[0]}, {table['target_class'].iloc[0]}: no feature is kept in more than {frequency:.0%} of "
        f"the subjects; the nearest, {name_some(nearest, limit=3)}, in {best:.0%}"
    )
