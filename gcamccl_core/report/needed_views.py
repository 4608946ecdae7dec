"""The kind of view that a chapter is about, or why it cannot be made of a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import xarray as xr

from gcamccl_core.data.cohort import view_names

DIMENSIONS = {"image": 3, "vector": 2}  # of a view, the subjects' included
IN_WORDS = {
    "image": "an image view (subject x region x region, such as connectivity)",
    "vector": "a vector view (subject x feature, such as genotypes)",
}


class MissingViewError(ValueError):
    """A cohort without the kind of view that a chapter is about; the message says which it has."""


def need_view(data: xr.Dataset, kind: str) -> str:
    """Name a cohort's first view of a kind.

    Parameters
    ----------
    data : xarray.Dataset
        The cohort.
    kind : str
        ``"image"`` or ``"vector"``.

    Returns
    -------
    str
        Its name.

    Raises
    ------
    MissingViewError
        If the cohort has none, as when it was assembled from two tables and the chapter is about connections.

    Examples
    --------
    >>> data = xr.Dataset({"measures": (("subject", "measure"), [[1.0, 2.0]], {"role": "view"})})
    >>> need_view(data, "vector")
    'measures'
    >>> need_view(data, "image")
    Traceback (most recent call last):
    gcamccl_core.report.needed_views.MissingViewError: this chapter needs an image view (subject x region x region, ...
    """
    dimensions = {name: data[name].dims for name in view_names(data)}
    fault = say_missing(dimensions, (kind,))
    if fault:
        raise MissingViewError(f"this chapter {fault}; leave it out, or give the cohort such a view")
    return next(name for name, dims in dimensions.items() if len(dims) == DIMENSIONS[kind])


def say_missing(views: Mapping[str, Sequence[object]], kinds: Sequence[str]) -> str | None:
    """Say which kind of view is needed and not there; None if all are.

    Examples
    --------
    >>> say_missing({"measures": ("subject", "measure")}, ("image",))
    'needs an image view (subject x region x region, such as connectivity), and the cohort has measures (2 dimensions)'
    >>> say_missing({"measures": ("subject", "measure")}, ("vector",))
    """
    for kind in kinds:
        if DIMENSIONS[kind] not in map(len, views.values()):
            held = ", ".join(f"{name} ({len(dims)} dimensions)" for name, dims in views.items())
            return f"needs {IN_WORDS[kind]}, and the cohort has {held}"
    return None
