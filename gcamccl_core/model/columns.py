"""Views as named blocks of a table's columns: where each lies, what it may hold, and the cohort it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.checks import SYMMETRY_TOLERANCE, VIEW_KINDS, name_some

RESERVED = ("label", "group", "score", "subject")  # what a cohort itself calls by these names


@dataclass(frozen=True)
class View:
    """Which columns of a table are one view, and what they hold.

    Parameters
    ----------
    columns : list of str, slice, (start, stop) or int
        Names of columns of a DataFrame, of which the order counts; or positions from ``start`` up to but not including
        ``stop`` (None: to the last column); or how many columns, from where the view before ends.
    kind : {"measure", "correlation", "genotype"}
        Measures are scaled, each by the training rows; correlations and genotypes stay as they are. Only genotypes
        (0, 1, 2) may be missing (NaN).
    image : bool
        The columns are the upper triangle of a symmetric side x side image, without its diagonal and row by row, as
        :func:`.flatten_views` and ``numpy.triu_indices(side, k=1)`` give it; the diagonal becomes 1.

    Raises
    ------
    ValueError
        If the columns are of no such form, the kind is unknown, or genotypes are called an image.

    Examples
    --------
    >>> View(slice(0, 190), kind="correlation", image=True)
    View(columns=(0, 190), kind='correlation', image=True)
    """

    columns: Any
    kind: str = "measure"
    image: bool = False

    def __post_init__(self) -> None:
        # one form per meaning, so that equal views compare equal, can be hashed and go into JSON
        object.__setattr__(self, "columns", _plain_columns(self.columns))
        if self.kind not in VIEW_KINDS:
            raise ValueError(f"kind must be {', '.join(VIEW_KINDS)}, got {self.kind!r}")
        if self.image and self.kind == "genotype":
            raise ValueError("genotypes are no image; leave out image=True")

    @property
    def by_name(self) -> bool:
        """Whether the columns are named, not counted."""
        return isinstance(self.columns, tuple) and isinstance(self.columns[0], str)


def _plain_columns(columns: Any) -> int | tuple[Any, ...]:
    """Turn a count into an int, a slice or pair into (start, stop), names into a tuple of str."""
    if isinstance(columns, slice) and columns.step in (None, 1):
        columns = (columns.start or 0, columns.stop)
    if _is_count(columns) and columns > 0:
        return int(columns)
    if isinstance(columns, Sequence | np.ndarray) and not isinstance(columns, str) and len(columns):
        if all(isinstance(name, str) for name in columns):
            return tuple(str(name) for name in columns)
        first, *last = columns
        if len(last) == 1 and _is_count(first) and first >= 0:
            stop = last[0]
            if stop is None or (_is_count(stop) and stop > first):
                return int(first), None if stop is None else int(stop)
    raise ValueError(
        f"columns must be a list of column names, a slice or (start, stop) pair from 0 on, or a count; got {columns!r}"
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def read_views(views: Mapping[str, Any] | None) -> dict[str, View]:
    """Bring the ways to write views into one: None is one vector of all columns, bare columns a vector of measures.

    Raises
    ------
    ValueError
        If there is no view, a name is none or taken, or a view's columns are of no known form.

    Examples
    --------
    >>> read_views({"thickness": 68, "snp": View(750, kind="genotype")})["thickness"]
    View(columns=68, kind='measure', image=False)
    """
    if views is None:
        return {"features": View((0, None))}
    if not isinstance(views, Mapping) or not views:
        raise ValueError(f"views must map at least one view's name to its columns, or be None; got {views!r}")
    taken = [name for name in views if not isinstance(name, str) or name in RESERVED]
    if taken:
        raise ValueError(f"no view can be called {name_some(map(repr, taken))}; choose another name")
    return {name: view if isinstance(view, View) else View(view) for name, view in views.items()}


def locate_views(
    views: Mapping[str, View], n_columns: int, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Find the columns of each view; a column may be in no view, but not in two.

    Parameters
    ----------
    views : mapping of str to View
        From :func:`read_views`.
    n_columns : int
        Of the table.
    names : sequence of str, optional
        Names of its columns, if they have any.

    Returns
    -------
    dict of str to array of int, shape (n_columns of the view,)
        Positions of its columns, in its order.

    Raises
    ------
    ValueError
        If a view names or points at columns that are not there, views overlap, or an image's columns are no triangle.

    Examples
    --------
    >>> {name: each.tolist() for name, each in locate_views(read_views({"a": 2, "b": (3, None)}), 5).items()}
    {'a': [0, 1], 'b': [3, 4]}
    """
    found: dict[str, np.ndarray] = {}
    owner = np.full(n_columns, "", dtype=object)
    end = 0
    for name, view in views.items():
        positions = _find_named(name, view, names) if view.by_name else _count_off(name, view, n_columns, end)
        others = sorted(set(owner[positions]) - {""})
        if others:
            raise ValueError(f"views '{others[0]}' and '{name}' share columns; give every view columns of its own")
        if len(np.unique(positions)) < len(positions):
            raise ValueError(f"view '{name}' lists columns more than once; list each once")
        if view.image:
            _side(name, len(positions))
        owner[positions] = name
        found[name], end = positions, int(positions[-1]) + 1
    return found


def _find_named(name: str, view: View, names: Sequence[str] | None) -> np.ndarray:
    if names is None:
        raise ValueError(f"view '{name}' names its columns, but X has no column names; give a DataFrame")
    index = pd.Index(names)
    if not index.is_unique:
        raise ValueError(f"X has columns of the same name: {name_some(index[index.duplicated()])}; rename them")
    positions = index.get_indexer(pd.Index(view.columns))
    if (positions < 0).any():
        lacking = np.array(view.columns)[positions < 0]
        raise ValueError(f"view '{name}' names columns that X does not have: {name_some(lacking)}")
    return np.asarray(positions)


def _count_off(name: str, view: View, n_columns: int, end: int) -> np.ndarray:
    start, stop = (end, end + view.columns) if isinstance(view.columns, int) else view.columns
    stop = n_columns if stop is None else stop
    if not start < stop <= n_columns:
        raise ValueError(f"view '{name}' takes columns {start} to {stop}, but X has {n_columns} columns")
    return np.arange(start, stop)


def _side(name: str, n_columns: int) -> int:
    """Side of the image whose upper triangle has so many columns."""
    side = int((1 + (1 + 8 * n_columns) ** 0.5) / 2)
    if side * (side - 1) // 2 != n_columns:
        raise ValueError(
            f"view '{name}' has {n_columns} columns, which are no upper triangle without its diagonal: "
            f"side {side} has {side * (side - 1) // 2}, side {side + 1} has {side * (side + 1) // 2}"
        )
    return side


def build_cohort(
    table: np.ndarray,
    views: Mapping[str, View],
    names: Sequence[str] | None,
    subjects: Sequence[str],
    label: np.ndarray,
    classes: Sequence[str],
) -> xr.Dataset:
    """Cut a table into the views of a cohort.

    Parameters
    ----------
    table : array of shape (n_subjects, n_columns), float32
        One row per subject.
    views : mapping of str to View
        From :func:`read_views`.
    names : sequence of str or None
        Names of the columns, for coordinates and errors; positions otherwise.
    subjects : sequence of str
        One id per row.
    label : array of int, shape (n_subjects,)
        Class numbers; -1 for rows whose class is not known.
    classes : sequence of str
        Names of the classes.

    Returns
    -------
    xarray.Dataset
        Vectors along ``<view>_column``, images along ``<view>_i`` and ``<view>_j``.

    Raises
    ------
    ValueError
        If a value is not of its view's kind; the message names the columns.

    Examples
    --------
    >>> views = read_views({"fc": View(3, kind="correlation", image=True)})
    >>> table = np.array([[0.5, 0.25, 0]], dtype="float32")
    >>> build_cohort(table, views, None, ["s1"], np.array([-1]), ["low", "high"])["fc"].to_numpy()[0].tolist()
    [[1.0, 0.5, 0.25], [0.5, 1.0, 0.0], [0.25, 0.0, 1.0]]
    """
    cohort = xr.Dataset(coords={"subject": list(subjects)})
    for name, positions in locate_views(views, table.shape[1], names).items():
        values = table[:, positions]
        labels = positions if names is None else np.asarray(names, dtype=str)[positions]
        _check_values(name, views[name].kind, values, labels)
        if views[name].image:
            dims: tuple[str, ...] = (f"{name}_i", f"{name}_j")
            values = _rebuild_images(values, _side(name, len(positions)))
        else:
            dims = (f"{name}_column",)
            cohort = cohort.assign_coords({dims[0]: labels})
        cohort[name] = (("subject", *dims), values, {"kind": views[name].kind, "role": "view"})
    cohort["label"] = ("subject", np.asarray(label), {"classes": list(classes)})
    return cohort


def subject_names(X: Any) -> list[str] | None:  # noqa: N803
    """Names of the rows from a DataFrame's index, if they are unlike."""
    names = [str(each) for each in X.index] if isinstance(X, pd.DataFrame) else []
    return names if names and len(set(names)) == len(names) else None


def _rebuild_images(triangles: np.ndarray, side: int) -> np.ndarray:
    images = np.ones((len(triangles), side, side), dtype=triangles.dtype)
    rows, columns = np.triu_indices(side, k=1)
    images[:, rows, columns] = images[:, columns, rows] = triangles
    return images


def _check_values(name: str, kind: str, values: np.ndarray, labels: np.ndarray) -> None:
    """Refuse what the kind does not allow, in new rows as in training rows."""
    missing = np.isnan(values)
    if kind == "genotype":
        _refuse(name, ~(missing | np.isin(values, (0, 1, 2))), labels, "genotypes other than 0, 1, 2 or NaN")
        return
    _refuse(name, missing, labels, "NaN, which only genotypes may be,")
    if kind == "correlation":
        _refuse(name, np.abs(values) > 1 + SYMMETRY_TOLERANCE, labels, "correlations beyond [-1, 1]")


def _refuse(name: str, wrong: np.ndarray, labels: np.ndarray, what: str) -> None:
    guilty = wrong.any(axis=0)
    if guilty.any():
        raise ValueError(f"view '{name}' has {what} in column {name_some(labels[guilty])}; correct or leave them out")
