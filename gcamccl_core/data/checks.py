"""What a cohort must satisfy, before any long work starts: every fault is one error naming variable and subjects."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.pieces import in_pieces

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
    check_subjects(cohort)
    for coordinate, variable in cohort.coords.items():
        if variable.attrs.get("role") == "view":
            raise CohortError(f"view '{coordinate}' is a coordinate; no view may be named like a dimension")
    names = view_names(cohort)
    if not names:
        raise CohortError("the cohort has no view: mark at least one variable with attrs['role'] = 'view'")
    for name in names:
        view = cohort[name]
        check = ViewCheck(name, view.dims, view.shape, view.attrs, cohort["subject"].to_numpy())
        for rows, values in in_pieces(view, f"check {name}"):
            check.add(rows, values)
        check.finish()
    check_label(cohort)
    check_group(cohort)
    return cohort


def check_subjects(cohort: xr.Dataset) -> None:
    """Refuse subjects without ids, or ids that repeat."""
    if "subject" not in cohort.coords:
        raise CohortError("the cohort has no coordinate 'subject'; give every subject an id")
    ids = cohort["subject"].to_index()
    if not ids.is_unique:
        raise CohortError(f"subject ids occur more than once: {name_some(ids[ids.duplicated()].unique())}")


class ViewCheck:
    """What a view must satisfy, whose values come a piece at a time: shape first, then values, kind by kind.

    Parameters
    ----------
    name : str
        Of the view.
    dims, shape
        Of the whole view, subjects first.
    attrs : mapping
        Its ``kind``, and ``confounds_removed`` if so.
    subjects : array of shape (n,)
        Ids.

    Raises
    ------
    CohortError
        If the kind is unknown or the shape is none of a view.
    """

    def __init__(
        self,
        name: str,
        dims: Sequence[Hashable],
        shape: Sequence[int],
        attrs: Mapping[str, object],
        subjects: np.ndarray,
    ) -> None:
        self.name, self.kind, self.subjects = name, attrs.get("kind", "measure"), subjects
        self.removed = "confounds_removed" in attrs  # what is left has the kind's unit, no longer its range
        self._wrong: dict[str, np.ndarray] = {}
        self._lowest: np.ndarray | None = None
        self._highest: np.ndarray | None = None
        if self.kind not in VIEW_KINDS:
            raise CohortError(f"view '{name}' is of kind {self.kind!r}; known kinds are {', '.join(VIEW_KINDS)}")
        if dims[0] != "subject" or len(dims) not in (2, 3):
            raise CohortError(
                f"view '{name}' has dimensions {tuple(dims)}; expected (subject, feature) or (subject, i, j)"
            )
        if len(dims) == 3 and shape[1] != shape[2]:
            raise CohortError(f"view '{name}' is not square: its images are {shape[1]} x {shape[2]}")

    def add(self, rows: slice, values: np.ndarray) -> None:
        """Look at the values of some subjects, shape (k, *view shape)."""
        for what, wrong in self._faults(values).items():
            self._wrong.setdefault(what, np.zeros(len(self.subjects), dtype=bool))[rows] = wrong.reshape(
                len(values), -1
            ).any(axis=1)
        low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
        self._lowest = low if self._lowest is None else np.fmin(self._lowest, low)
        self._highest = high if self._highest is None else np.fmax(self._highest, high)

    def _faults(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Mark values that break a rule, gravest rule first."""
        faults: dict[str, np.ndarray] = {}
        if self.kind == "genotype" and self.removed:
            faults["infinite values"] = np.isinf(values)
        elif self.kind == "genotype":
            known = np.isnan(values) | np.isin(values, (0, 1, 2))
            faults["genotypes other than 0, 1, 2 or missing (NaN)"] = ~known
        else:
            faults["missing (NaN) or infinite values"] = ~np.isfinite(values)
        with np.errstate(invalid="ignore"):  # infinity less infinity: found already
            if values.ndim == 3:
                faults["asymmetric images"] = np.abs(values - values.swapaxes(1, 2)) > SYMMETRY_TOLERANCE
            if self.kind == "correlation" and not self.removed:
                faults["correlations beyond [-1, 1]"] = np.abs(values) > 1 + SYMMETRY_TOLERANCE
        return faults

    def refuse(self) -> None:
        """Raise if values seen so far break a rule, naming the subjects that hold them."""
        for what, guilty in self._wrong.items():
            if guilty.any():
                raise CohortError(
                    f"view '{self.name}' has {what} in {guilty.sum()} of {len(guilty)} subjects: "
                    f"{name_some(self.subjects[guilty])}; correct them or leave these subjects out"
                )

    def finish(self) -> None:
        """Raise if values break a rule, or do not differ between any two subjects."""
        self.refuse()
        if len(self.subjects) > 1 and not np.any(np.asarray(self._highest) > np.asarray(self._lowest)):
            raise CohortError(f"view '{self.name}' has no variance: all its {len(self.subjects)} subjects are alike")


def check_label(cohort: xr.Dataset) -> None:
    """Refuse a label that is missing, is no class number, or has fewer than two classes."""
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


def check_group(cohort: xr.Dataset) -> None:
    """Refuse a site or family that is missing: a split would divide it unseen."""
    if "group" not in cohort:
        return
    missing = cohort["group"].to_series().map(lambda name: name != name or str(name).strip() in ("", "nan")).to_numpy()
    if missing.any():
        subjects = cohort["subject"].to_numpy()[missing]
        raise CohortError(f"'group' is missing for {name_some(subjects)}; give each a group of its own if need be")
