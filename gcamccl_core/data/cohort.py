"""The cohort: several views of the same people in one xarray.Dataset, and how it is assembled, stored and split."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from gcamccl_core.data.checks import CohortError, check_cohort, name_some, view_names

__all__ = [
    "CohortError",
    "Split",
    "assemble_cohort",
    "check_cohort",
    "class_names",
    "extreme_groups",
    "load_cohort",
    "make_split",
    "save_cohort",
    "view_names",
]


def class_names(cohort: xr.Dataset) -> list[str]:
    """Names of the classes, in the order of their numbers."""
    return [str(name) for name in np.atleast_1d(cohort["label"].attrs["classes"])]


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
        One row per subject, one column per covariate.
    attrs : mapping, optional
        Where the cohort came from: ``source``, ``access``, ``genome_build`` …

    Returns
    -------
    xarray.Dataset
        The cohort, subjects in the order of the first view.

    Raises
    ------
    CohortError
        If the subjects of the parts do not match, or :func:`check_cohort` finds a fault.

    Examples
    --------
    >>> ids = ["s1", "s2", "s3"]
    >>> measure = xr.DataArray([[1.0, 2], [2, 1], [3, 3]], dims=("subject", "measure"), coords={"subject": ids})
    >>> cohort = assemble_cohort({"morphometry": measure}, label=dict(zip(ids, [0, 1, 1])))
    >>> view_names(cohort)
    ['morphometry']
    """
    if not views:
        raise CohortError("a cohort needs at least one view")
    first_name, first = next(iter(views.items()))
    subjects = first["subject"].to_index()
    tables: dict[str, pd.Series] = {"label": pd.Series(label)}
    tables |= {"score": score} if score is not None else {}
    tables |= {"group": group} if group is not None else {}
    tables |= {str(name): column for name, column in covariates.items()} if covariates is not None else {}
    for name, index in [(n, v["subject"].to_index()) for n, v in views.items()] + [
        (n, t.index) for n, t in tables.items()
    ]:
        _same_subjects(first_name, subjects, name, index)
    cohort = xr.Dataset(attrs=dict(attrs or {}))
    for name, view in views.items():
        cohort[name] = view.sel(subject=subjects)
        cohort[name].attrs = {"kind": "measure", **view.attrs, "role": "view"}
    for name, table in tables.items():
        values = table.loc[subjects].to_numpy()
        cohort[name] = ("subject", values.astype(str) if values.dtype == object else values)
        if name not in ("label", "score", "group"):
            cohort[name].attrs["role"] = "covariate"
    cohort["label"].attrs["classes"] = list(classes)
    return check_cohort(cohort)


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


def save_cohort(cohort: xr.Dataset, path: str | Path, overwrite: bool = False) -> Path:
    """Check a cohort and write it as netCDF, whole or not at all.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort that passes :func:`check_cohort`.
    path : path
        The file to write, usually ``*.nc``.
    overwrite : bool
        Replace a file that is already there.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is False.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another name or pass overwrite=True")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        check_cohort(cohort).to_netcdf(partial, engine="h5netcdf")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def load_cohort(path: str | Path) -> xr.Dataset:
    """Read a cohort from netCDF into memory and check it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CohortError
        If the file is truncated, is no netCDF, or breaks the schema.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no cohort file {path}")
    try:
        with xr.open_dataset(path, engine="h5netcdf") as stored:
            cohort = stored.load()
    except (OSError, ValueError, RuntimeError, KeyError) as fault:
        raise CohortError(f"{path} cannot be read as netCDF; it may be truncated ({fault})") from fault
    return check_cohort(cohort)


@dataclass(frozen=True)
class Split:
    """Integer positions of the subjects to train on, to choose with, and to test on; disjoint, sorted."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def make_split(cohort: xr.Dataset, fractions: tuple[float, float, float] = (0.70, 0.15, 0.15), seed: int = 0) -> Split:
    """Divide the labelled subjects at random into training, validation and test parts.

    Classes keep their proportions. If the cohort has a ``group`` (site, family), no group is divided: of 100 random
    assignments of whole groups the one nearest to the fractions, class by class, is taken.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort; subjects whose label is -1 belong to no part.
    fractions : (float, float, float)
        Shares of training, validation and test; the paper's are 0.70, 0.15, 0.15.
    seed : int
        Another seed, another split.

    Returns
    -------
    Split
        Positions along ``subject``.

    Raises
    ------
    ValueError
        If the fractions do not sum to 1 or a part would lack a class.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> split = make_split(simulate_cohort(n_subjects=100, seed=1), seed=3)
    >>> len(split.train), len(split.validation), len(split.test)
    (28, 6, 6)
    """
    if abs(sum(fractions) - 1) > 1e-9 or min(fractions) <= 0:
        raise ValueError(f"fractions must be positive and sum to 1, got {fractions}")
    label = cohort["label"].to_numpy()
    subjects = np.flatnonzero(label >= 0)
    halve = _divide_groups if "group" in cohort else _divide_subjects
    train, rest = halve(cohort, subjects, fractions[0], seed)
    validation, test = halve(cohort, rest, fractions[1] / (fractions[1] + fractions[2]), seed)
    split = Split(np.sort(train), np.sort(validation), np.sort(test))
    for name in ("train", "validation", "test"):
        lacking = set(np.unique(label[subjects])) - set(label[getattr(split, name)])
        if lacking:
            classes = class_names(cohort)
            raise ValueError(
                f"the {name} part has no subject of class {name_some(classes[c] for c in sorted(lacking))}"
            )
    return split


def _divide_subjects(
    cohort: xr.Dataset, subjects: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    label = cohort["label"].to_numpy()[subjects]
    try:
        first, second = train_test_split(subjects, train_size=share, stratify=label, random_state=seed)
    except ValueError as fault:
        raise ValueError(f"{len(subjects)} labelled subjects are too few to divide by class: {fault}") from fault
    return first, second


def _divide_groups(cohort: xr.Dataset, subjects: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    label = cohort["label"].to_numpy()[subjects]
    group = cohort["group"].to_numpy()[subjects]
    if len(np.unique(group)) < 2:
        raise ValueError(f"{len(np.unique(group))} group is too few to divide without breaking one")
    one_hot = label[:, None] == np.unique(label)
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for first, second in GroupShuffleSplit(n_splits=100, train_size=share, random_state=seed).split(
        subjects, groups=group
    ):
        distance = float(np.abs(one_hot[first].sum(axis=0) / one_hot.sum(axis=0) - share).sum())
        if best is None or distance < best[0]:
            best = (distance, first, second)
    assert best is not None
    return subjects[best[1]], subjects[best[2]]
