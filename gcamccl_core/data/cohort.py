"""The cohort: several views of the same people in one xarray.Dataset, and how it is labelled, assembled and stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.checks import CohortError, check_cohort, class_names, name_some, view_names
from gcamccl_core.data.cohort_files import ViewInPieces, load_cohort, open_on_disk, save_cohort, save_in_pieces
from gcamccl_core.data.splits import Split, leave_one_group_out, make_split, make_splits

__all__ = [
    "CohortError",
    "Split",
    "ViewInPieces",
    "assemble_cohort",
    "assemble_cohort_to",
    "check_cohort",
    "class_names",
    "extreme_groups",
    "leave_one_group_out",
    "load_cohort",
    "make_split",
    "make_splits",
    "open_on_disk",
    "save_cohort",
    "save_in_pieces",
    "view_names",
]


def extreme_groups(score: Sequence[float] | np.ndarray, fraction: float = 0.2) -> np.ndarray:
    """Label the lowest and highest scores, as the paper labels WRAT (section III-C).

    Parameters
    ----------
    score : array of shape (n,)
        One score per subject; NaN stays outside the contrast.
    fraction : float
        Share of the scored subjects in each extreme group, above 0 and at most 0.5.

    Returns
    -------
    array of shape (n,), int8
        0 for low, 1 for high, -1 for everyone else. Of tied scores at a border, the low group takes the first listed,
        the high group the last.

    Raises
    ------
    ValueError
        If the fraction is out of range or leaves a group empty, or a tied score would be both low and high.

    Examples
    --------
    >>> extreme_groups([70, 120, 100, 95, 105], fraction=0.2).tolist()
    [0, 1, -1, -1, -1]
    """
    score = np.asarray(score, dtype=float)
    if not 0 < fraction <= 0.5:
        raise ValueError(f"fraction must be above 0 and at most 0.5, got {fraction}")
    order = np.argsort(score, kind="stable")[: np.isfinite(score).sum()]  # NaN sorts last
    size = round(fraction * len(order))
    if size == 0:
        raise ValueError(f"a fraction of {fraction} of {len(order)} scored subjects leaves the groups empty")
    if score[order[size - 1]] == score[order[-size]]:
        raise ValueError(f"a score of {score[order[-size]]:g} would be both low and high; choose a smaller fraction")
    label = np.full(len(score), -1, dtype=np.int8)
    label[order[:size]] = 0
    label[order[-size:]] = 1
    return label


def assemble_cohort(
    views: Mapping[str, xr.DataArray],
    label: Mapping[str, int] | pd.Series,
    classes: Sequence[str] = ("low", "high"),
    score: pd.Series | None = None,
    covariates: pd.DataFrame | None = None,
    group: pd.Series | None = None,
    attrs: Mapping[str, object] | None = None,
) -> xr.Dataset:
    """Join views and tables of the same subjects into one checked cohort.

    Parameters
    ----------
    views : mapping of str to xarray.DataArray
        ``(subject, feature)`` vectors or ``(subject, roi_i, roi_j)`` images, each with a ``subject`` coordinate and
        ``attrs["kind"]`` (``"correlation"``, ``"genotype"`` or ``"measure"``).
    label : mapping of subject to int
        0 … n_classes - 1, or -1 for "not in this contrast".
    classes : sequence of str
        Names of the classes in the order of their numbers.
    score, group : pandas.Series, optional
        By subject: the score that the label came from; the site or family that splits must respect.
    covariates : pandas.DataFrame, optional
        One row per subject, one column per covariate; a missing word becomes "", a missing number stays NaN.
    attrs : mapping, optional
        Where the cohort came from: ``source``, ``access``, ``genome_build`` …

    Returns
    -------
    xarray.Dataset
        The cohort, subjects in the order of the first view.

    Raises
    ------
    CohortError
        If the subjects of the parts do not match, two parts share a name, a group is missing, or
        :func:`check_cohort` finds a fault.

    Examples
    --------
    >>> ids = ["s1", "s2", "s3"]
    >>> measure = xr.DataArray([[1.0, 2], [2, 1], [3, 3]], dims=("subject", "measure"), coords={"subject": ids})
    >>> cohort = assemble_cohort({"morphometry": measure}, label=dict(zip(ids, [0, 1, 1])))
    >>> view_names(cohort)
    ['morphometry']
    """
    subjects, tables = _match(views, label, score, covariates, group)
    cohort = xr.Dataset(attrs=dict(attrs or {}))
    for name, view in views.items():
        cohort[name] = view.sel(subject=subjects)
        cohort[name].attrs = {"kind": "measure", **view.attrs, "role": "view"}
    return check_cohort(_add_tables(cohort, subjects, tables, classes))


def assemble_cohort_to(
    path: str | Path,
    views: Mapping[str, ViewInPieces | xr.DataArray],
    label: Mapping[str, int] | pd.Series,
    classes: Sequence[str] = ("low", "high"),
    score: pd.Series | None = None,
    covariates: pd.DataFrame | None = None,
    group: pd.Series | None = None,
    attrs: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> Path:
    """Join views and tables into a cohort on disk, of which some views come a few subjects at a time.

    Parameters
    ----------
    path, overwrite
        The file to write, whole or not at all; whether to replace one that is there.
    views : mapping of str to ViewInPieces or xarray.DataArray
        All with the subjects in the same order: what comes in pieces cannot be sorted.
    label, classes, score, covariates, group, attrs
        As in :func:`assemble_cohort`.

    Returns
    -------
    pathlib.Path
        The file written, for :func:`open_on_disk`.

    Raises
    ------
    CohortError, FileExistsError, StorageError, ValueError
        As :func:`assemble_cohort` and :func:`save_in_pieces` do; what tables lack before any piece is read.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> ids = ["s1", "s2", "s3", "s4"]
    >>> two_at_a_time = (np.array([[first, 2.0], [3, 4]]) for first in (0, 1))
    >>> measure = ViewInPieces(ids, ["measure"], [2], two_at_a_time)
    >>> with TemporaryDirectory() as folder:
    ...     made = assemble_cohort_to(f"{folder}/mine.nc", {"measures": measure}, dict(zip(ids, [0, 1, 0, 1])))
    ...     open_on_disk(made)["measures"].sel(subject="s3").to_numpy().tolist()
    [1.0, 2.0]
    """
    subjects, tables = _match(views, label, score, covariates, group)
    frame = xr.Dataset(coords={"subject": subjects}, attrs=dict(attrs or {}))
    return save_in_pieces(_add_tables(frame, subjects, tables, classes), views, path, overwrite)


def _match(
    views: Mapping[str, xr.DataArray] | Mapping[str, ViewInPieces | xr.DataArray],
    label: Mapping[str, int] | pd.Series,
    score: pd.Series | None,
    covariates: pd.DataFrame | None,
    group: pd.Series | None,
) -> tuple[pd.Index, dict[str, pd.Series]]:
    """Ids of the first view's subjects and the tables by name, if all parts have these subjects and fit together."""
    if not views:
        raise CohortError("a cohort needs at least one view")
    tables: dict[str, pd.Series] = {"label": pd.Series(label)}
    tables |= {"score": score} if score is not None else {}
    tables |= {"group": group} if group is not None else {}
    taken = [*views, *tables, *([] if covariates is None else covariates)]
    if len(set(taken)) < len(taken):
        raise CohortError(
            f"two parts share a name: {name_some(n for n in set(taken) if taken.count(n) > 1)}; rename one"
        )
    tables |= {str(name): column for name, column in covariates.items()} if covariates is not None else {}
    indexes = {
        name: pd.Index(view.subjects) if isinstance(view, ViewInPieces) else view["subject"].to_index()
        for name, view in views.items()
    }
    first_name, subjects = next(iter(indexes.items()))
    for name, index in {**indexes, **{name: table.index for name, table in tables.items()}}.items():
        _same_subjects(first_name, subjects, name, index)
    if group is not None and group.isna().any():
        raise CohortError(f"'group' is missing for {name_some(group.index[group.isna()])}; give every subject one")
    for name, view in views.items():
        if name in view.dims:
            raise CohortError(f"view '{name}' has a dimension of the same name; rename one (SNPs lie along 'locus')")
    return subjects, tables


def _add_tables(
    cohort: xr.Dataset, subjects: pd.Index, tables: Mapping[str, pd.Series], classes: Sequence[str]
) -> xr.Dataset:
    for name, table in tables.items():
        values = table.loc[subjects].to_numpy()
        cohort[name] = ("subject", _as_words(values) if values.dtype == object else values)
        if name not in ("label", "score", "group"):
            cohort[name].attrs["role"] = "covariate"
    cohort["label"].attrs["classes"] = list(classes)
    return cohort


def _as_words(values: np.ndarray) -> np.ndarray:
    """Turn objects into text that netCDF can hold, missing ones into ""."""
    return np.array(["" if pd.isna(value) else str(value) for value in values])


def _same_subjects(first_name: str, first: pd.Index, name: str, other: pd.Index) -> None:
    for where, ids in ((first_name, first), (name, other)):
        if not ids.is_unique:
            raise CohortError(f"'{where}' lists subjects more than once: {name_some(ids[ids.duplicated()].unique())}")
    for here, missing in ((name, first.difference(other)), (first_name, other.difference(first))):
        if len(missing):
            raise CohortError(
                f"subjects of '{first_name}' and '{name}' do not match: '{here}' lacks {name_some(missing)}; "
                "keep the subjects that every part has"
            )
