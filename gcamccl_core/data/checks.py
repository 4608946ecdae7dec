"""What a cohort must satisfy, before any long work starts: every fault is one error naming variable and subjects."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr

SYMMETRY_TOLERANCE = 1e-3  # half-precision sources (ABIDE's are float16) round the two triangles alike to about this
VIEW_KINDS = ("correlation", "genotype", "measure")


class CohortError(ValueError):
    """A cohort that breaks its schema; the message names the variable, the subjects and what to do."""


def name_some(names: Iterable[object], limit: int = 5) -> str:
    """List the first few of many names, with how many more there are.

    Examples
    --------
    >>> name_some(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    texts = [str(name) for name in names]
    shown = ", ".join(texts[:limit])
    return shown if len(texts) <= limit else f"{shown} and {len(texts) - limit} more"


def without_name(values: np.ndarray) -> np.ndarray:
    """Mark the entries of a coordinate that name nothing: missing ones and "".

    Examples
    --------
    >>> without_name(np.array(["NRXN1", "", None, np.nan], dtype=object)).tolist()
    [False, True, True, True]
    """
    texts = pd.Series(np.asarray(values).ravel()).astype(object)
    return (texts.isna() | texts.astype(str).isin(["", "nan", "None", "<NA>"])).to_numpy()


def view_names(cohort: xr.Dataset) -> list[str]:
    """Names of the cohort's views, in the order they are stored.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort; its views are the data variables with ``attrs["role"] == "view"``.
    """
    return [str(name) for name, variable in cohort.data_vars.items() if variable.attrs.get("role") == "view"]


def class_names(cohort: xr.Dataset) -> list[str]:
    """Names of the classes, in the order of their numbers."""
    return [str(name) for name in np.atleast_1d(cohort["label"].attrs["classes"])]


def check_cohort(cohort: xr.Dataset) -> xr.Dataset:
    """Check a cohort against the schema and hand it back unchanged.

    Parameters
    ----------
    cohort : xarray.Dataset
        Dimension ``subject`` first; at least one view, ``label`` (subject,) with ``attrs["classes"]``.

    Returns
    -------
    xarray.Dataset
        The same object, so that the call can stand inside an expression.

    Raises
    ------
    CohortError
        If ids repeat, a view holds NaN or infinite values, an image is not square, not symmetric or beyond
        [-1, 1] where it is a correlation, a genotype is not 0, 1, 2 or missing, a view has no variance, or
        the label is missing, is not a class number, or has fewer than two classes. Where confounds have been
        removed from a view (``attrs["confounds_removed"]``), correlations may leave [-1, 1] and genotypes be any
        finite number.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, seed=1)
    >>> check_cohort(cohort) is cohort
    True
    """
    if "subject" not in cohort.coords:
        raise CohortError("the cohort has no coordinate 'subject'; give every subject an id")
    ids = cohort["subject"].to_index()
    if not ids.is_unique:
        raise CohortError(f"subject ids occur more than once: {name_some(ids[ids.duplicated()].unique())}")
    for coordinate, variable in cohort.coords.items():
        if variable.attrs.get("role") == "view":
            raise CohortError(f"view '{coordinate}' is a coordinate; no view may be named like a dimension")
    names = view_names(cohort)
    if not names:
        raise CohortError("the cohort has no view: mark at least one variable with attrs['role'] = 'view'")
    for name in names:
        _check_view(cohort[name])
    _check_label(cohort)
    _check_group(cohort)
    return cohort


def _check_view(view: xr.DataArray) -> None:
    """Shape first, then values: kind by kind."""
    kind = view.attrs.get("kind", "measure")
    if kind not in VIEW_KINDS:
        raise CohortError(f"view '{view.name}' is of kind {kind!r}; known kinds are {', '.join(VIEW_KINDS)}")
    if view.dims[0] != "subject" or view.ndim not in (2, 3):
        raise CohortError(
            f"view '{view.name}' has dimensions {view.dims}; expected (subject, feature) or (subject, i, j)"
        )
    if view.ndim == 3 and view.shape[1] != view.shape[2]:
        raise CohortError(f"view '{view.name}' is not square: its images are {view.shape[1]} x {view.shape[2]}")
    values = view.to_numpy()
    removed = "confounds_removed" in view.attrs  # what is left has the kind's unit, no longer its range
    if kind == "genotype" and removed:
        _refuse(view, np.isinf(values), "infinite values")
    elif kind == "genotype":
        _refuse(view, ~(np.isnan(values) | np.isin(values, (0, 1, 2))), "genotypes other than 0, 1, 2 or missing (NaN)")
    else:
        _refuse(view, ~np.isfinite(values), "missing (NaN) or infinite values")
    if view.ndim == 3:
        _refuse(view, np.abs(values - values.swapaxes(1, 2)) > SYMMETRY_TOLERANCE, "asymmetric images")
    if kind == "correlation" and not removed:
        _refuse(view, np.abs(values) > 1 + SYMMETRY_TOLERANCE, "correlations beyond [-1, 1]")
    if len(values) > 1 and not np.any(np.fmax.reduce(values, axis=0) > np.fmin.reduce(values, axis=0)):
        raise CohortError(f"view '{view.name}' has no variance: all its {len(values)} subjects are alike")


def _refuse(view: xr.DataArray, wrong: np.ndarray, what: str) -> None:
    """Raise if any value is marked wrong, naming the subjects that hold one."""
    guilty: np.ndarray = np.asarray(wrong.reshape(len(wrong), -1).any(axis=1))
    if guilty.any():
        subjects = view["subject"].to_numpy()[guilty]
        raise CohortError(
            f"view '{view.name}' has {what} in {guilty.sum()} of {len(guilty)} subjects: {name_some(subjects)}; "
            "correct them or leave these subjects out"
        )


def _check_label(cohort: xr.Dataset) -> None:
    if "label" not in cohort:
        raise CohortError("the cohort has no 'label'; make one from a score with extreme_groups")
    label = cohort["label"]
    classes = list(np.atleast_1d(label.attrs.get("classes", [])))
    if label.dims != ("subject",) or not classes:
        raise CohortError("'label' must have the one dimension 'subject' and name its classes in attrs['classes']")
    values = label.to_numpy()
    known = np.isin(values, np.arange(-1, len(classes)))
    if not known.all():
        subjects = label["subject"].to_numpy()[~known]
        raise CohortError(
            f"'label' is missing or not a class number (-1 to {len(classes) - 1}) for {name_some(subjects)}; "
            "use -1 for subjects outside the contrast"
        )
    present = np.unique(values[values >= 0])
    if len(present) < 2:
        found = name_some(classes[int(c)] for c in present) or "none"
        raise CohortError(f"'label' needs at least two classes with subjects in them; found: {found}")


def _check_group(cohort: xr.Dataset) -> None:
    """Refuse a site or family that is missing: a split would divide it unseen."""
    if "group" not in cohort:
        return
    missing = cohort["group"].to_series().map(lambda name: name != name or str(name).strip() in ("", "nan")).to_numpy()
    if missing.any():
        subjects = cohort["subject"].to_numpy()[missing]
        raise CohortError(f"'group' is missing for {name_some(subjects)}; give each a group of its own if need be")
