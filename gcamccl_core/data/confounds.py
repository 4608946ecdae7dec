"""Remove what site, age, sex or head motion explain of every feature, learnt from the training subjects alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression

from gcamccl_core.data.checks import check_cohort, name_some, view_names
from gcamccl_core.data.confound_columns import confound_table, known_confounds, make_encoder
from gcamccl_core.data.splits import Split
from gcamccl_core.pieces import on_disk, require_memory

__all__ = ["ConfoundRemoval", "clean_for_splits", "known_confounds", "remove_confounds"]

FEATURES_AT_ONCE = 2048  # regressed together; 1,000 subjects in double precision are then 16 MB


class ConfoundRemoval:
    """Ordinary least squares of every feature on the confounds; fitted on training subjects, applied to any.

    With c a subject's confounds, c0 their mean and B the coefficients over the training subjects, a feature x becomes
    x - (c - c0) B, so that its training mean stays. Numbers are standardised, and words and ``group`` are one column
    per category. A missing number takes the training mean, a missing word the most frequent of the training subjects,
    and a category that they lack the mean of those known: what is peculiar to an unseen site cannot be removed.

    Parameters
    ----------
    confounds : sequence of str
        Names of covariates, or ``"group"``; see :func:`known_confounds`.

    Raises
    ------
    ValueError
        If there are none, or a single word is given instead of a sequence.

    Notes
    -----
    Confounds that follow from one another (a site with men only, two copies of one covariate) share their coefficients
    in the solution of least norm; what is removed is the same. Whatever of the label goes with the confounds is removed
    too. A site with a single training subject is fitted exactly: nothing of that subject's own is left. A missing
    genotype counts as the training mean of its locus while the coefficients are found.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_split
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=60, seed=1)
    >>> train = make_split(cohort).train
    >>> removal = ConfoundRemoval(["age", "motion"]).fit(cohort.isel(subject=train))
    >>> removal.apply(cohort)["fc"].attrs["confounds_removed"]
    ['age', 'motion']
    """

    def __init__(self, confounds: Sequence[str]) -> None:
        if isinstance(confounds, str):
            raise ValueError(
                f"confounds must be a list of names, got the one word {confounds!r}; write [{confounds!r}]"
            )
        if not confounds:
            raise ValueError("there are no confounds to remove; name covariates or 'group'")
        self.confounds = list(dict.fromkeys(confounds))
        self._encoder: ColumnTransformer | None = None
        self._coefficients: dict[str, np.ndarray] = {}  # per view (feature, column of the encoded confounds)

    def fit(self, training: xr.Dataset) -> ConfoundRemoval:
        """Learn from a cohort that holds the training subjects and nobody else.

        Parameters
        ----------
        training : xarray.Dataset
            Views of shape (n, length) or (n, side, side); of an image, the upper triangle counts.

        Returns
        -------
        ConfoundRemoval
            The same object.

        Raises
        ------
        ValueError
            If a confound is unknown, infinite or missing in all subjects, a feature is missing in all subjects, or
            the confounds have so many categories that nothing would be left of the features.
        """
        _require_memory(training)
        table = confound_table(training, self.confounds)
        empty = [name for name, column in table.items() if column.isna().all()]
        if empty:
            raise ValueError(f"no training subject has a value of {name_some(empty)}; leave it out of the confounds")
        self._encoder = make_encoder(table)
        design = self._encoder.fit_transform(table)
        freedom = len(design) - 1 - np.linalg.matrix_rank(design)
        if freedom < 1:
            raise ValueError(
                f"{', '.join(self.confounds)} tell all {len(design)} training subjects apart, so that removing them "
                "would leave nothing; remove fewer confounds or train on more subjects"
            )
        self._coefficients = {name: _fit_view(training[name], design) for name in view_names(training)}
        return self

    def apply(self, cohort: xr.Dataset) -> xr.Dataset:
        """Subtract the confounds' part from the views of any subjects.

        Parameters
        ----------
        cohort : xarray.Dataset
            The views that were fitted, of the same features; the confounds may be missing, the variables not.

        Returns
        -------
        xarray.Dataset
            A copy; each view has ``attrs["confounds_removed"]``, the names removed so far. Images are symmetric
            with the diagonal they had, a missing genotype stays NaN, whole numbers become real ones.

        Raises
        ------
        RuntimeError
            If the removal has not been fitted.
        ValueError
            If a view or its number of features differs from those fitted, or the cohort lacks a confound.
        MemoryError
            If the cohort lies on disk, and what would be left of its views does not fit into memory.
        """
        if self._encoder is None:
            raise RuntimeError("the removal of confounds is not fitted; call fit with the training subjects first")
        for name in set(self._coefficients).symmetric_difference(view_names(cohort)):
            raise ValueError(f"view '{name}' is not in both the cohort and what the removal was fitted on; fit it anew")
        _require_memory(cohort)
        design = self._encoder.transform(confound_table(cohort, self.confounds))
        removed = cohort.copy()
        for name, coefficients in self._coefficients.items():
            removed[name] = self._residual(cohort[name], design, coefficients)
        return removed

    def _residual(self, view: xr.DataArray, design: np.ndarray, coefficients: np.ndarray) -> xr.DataArray:
        if _n_features(view) != len(coefficients):
            raise ValueError(
                f"view '{view.name}' has {_n_features(view)} features, the removal was fitted on {len(coefficients)}; "
                "fit it anew"
            )
        values = view.to_numpy()
        left = np.array(values, dtype=np.result_type(values.dtype, np.float32), order="C")  # a copy, no whole numbers
        flat = left.reshape(len(left), -1)
        for part, place, mirrored in _feature_places(view):
            flat[:, place] = flat[:, place] - design @ coefficients[part].T
            flat[:, mirrored] = flat[:, place]
        before = [str(name) for name in np.atleast_1d(view.attrs.get("confounds_removed", []))]
        attrs = {**view.attrs, "confounds_removed": list(dict.fromkeys([*before, *self.confounds]))}
        return view.copy(data=left).assign_attrs(attrs)


def remove_confounds(cohort: xr.Dataset, train: np.ndarray | Sequence[int], confounds: Sequence[str]) -> xr.Dataset:
    """Hand back a copy of the cohort without what the confounds explain of its views, as the training subjects tell.

    Do it anew for every split, always from the cohort as it was: a cohort cleaned for one split has seen the test
    subjects of the next.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort with views of shape (n, length) or (n, side, side).
    train : array of int
        Positions of the training subjects along ``subject``, as in ``Split.train``.
    confounds : sequence of str
        Names of covariates, or ``"group"``; see :func:`known_confounds`. All are removed together, not in turn.

    Returns
    -------
    xarray.Dataset
        A checked copy, see :meth:`ConfoundRemoval.apply`.

    Raises
    ------
    ValueError
        If ``train`` is empty or out of range, or for the reasons of :meth:`ConfoundRemoval.fit`.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_split
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=60, seed=1)
    >>> train = make_split(cohort).train
    >>> cleaned = remove_confounds(cohort, train, ["age"])
    >>> connection, age = cleaned["fc"][train, 0, 1].to_numpy(), cohort["age"].to_numpy()[train]
    >>> bool(abs(np.corrcoef(connection, age)[0, 1]) < 1e-5)
    True
    >>> remove_confounds(cohort, train, ["agge"])
    Traceback (most recent call last):
    ...
    ValueError: the cohort has no confound 'agge'; did you mean 'age'? (known: age, sex, motion)
    """
    positions = np.asarray(train)
    if positions.ndim != 1 or positions.size == 0 or not np.issubdtype(positions.dtype, np.integer):
        raise ValueError("train must list positions of subjects, at least one; pass the train of a split")
    if positions.min() < 0 or positions.max() >= cohort.sizes["subject"]:
        raise ValueError(
            f"train holds positions from {positions.min()} to {positions.max()}, the cohort has "
            f"{cohort.sizes['subject']} subjects; make the split from this cohort"
        )
    return check_cohort(ConfoundRemoval(confounds).fit(cohort.isel(subject=positions)).apply(cohort))


def clean_for_splits(cohort: xr.Dataset, splits: Sequence[Split], confounds: str | Sequence[str]) -> list[xr.Dataset]:
    """Remove confounds for every split anew, as its own training part tells.

    Parameters
    ----------
    cohort : xarray.Dataset
        As in :func:`remove_confounds`.
    splits : sequence of Split
        Each with its training part.
    confounds : str or sequence of str
        Names, or as the notebooks' parameter has them, ``"age, sex, group"``.

    Returns
    -------
    list of xarray.Dataset
        One per split; the cohort itself, not copied, if there are no confounds to remove.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_splits
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=60, seed=1)
    >>> cleaned = clean_for_splits(cohort, make_splits(cohort, 2), "age, motion")
    >>> [one["fc"].attrs["confounds_removed"] for one in cleaned]
    [['age', 'motion'], ['age', 'motion']]
    >>> clean_for_splits(cohort, make_splits(cohort, 2), "")[1] is cohort
    True
    """
    named = confounds.split(",") if isinstance(confounds, str) else confounds
    names = [name.strip() for name in named if name.strip()]
    return [remove_confounds(cohort, split.train, names) if names else cohort for split in splits]


def _fit_view(view: xr.DataArray, design: np.ndarray) -> np.ndarray:
    """Coefficients (feature, column of the design), a missing value taking the mean of its feature."""
    flat, coefficients = view.to_numpy().reshape(len(view), -1), np.empty((_n_features(view), design.shape[1]))
    for part, place, _ in _feature_places(view):
        features = flat[:, place].astype(np.float64)
        missing = np.isnan(features)
        if missing.all(axis=0).any():
            lacking = view[view.dims[1]].to_numpy()[place][missing.all(axis=0)]
            raise ValueError(
                f"view '{view.name}': no training subject has a value of {name_some(lacking)}; leave these out"
            )
        filled = np.where(missing, np.nanmean(features, axis=0), features)
        coefficients[part] = LinearRegression().fit(design, filled).coef_
    return coefficients


def _require_memory(cohort: xr.Dataset) -> None:
    """Refuse what lies on disk and would not fit into memory: values, what is left of them, and a copy."""
    stored = [cohort[name] for name in view_names(cohort) if on_disk(cohort[name])]
    require_memory(
        3 * sum(view.nbytes for view in stored),
        f"removing confounds from {cohort.sizes['subject']} subjects",
        "take fewer, as in cohort.isel(subject=...).load(), or a machine with more memory",
    )


def _n_features(view: xr.DataArray) -> int:
    """Variables of a vector, connections of an image."""
    side = view.shape[1]
    return side if view.ndim == 2 else side * (side - 1) // 2


def _feature_places(view: xr.DataArray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """List some features at a time: which of all they are, their places in a flattened view, and across the diagonal.

    A vector is its own mirror image.
    """
    side = view.shape[1]
    place = mirrored = np.arange(side)
    if view.ndim == 3:
        rows, columns = np.triu_indices(side, 1)
        place, mirrored = rows * side + columns, columns * side + rows
    for start in range(0, len(place), FEATURES_AT_ONCE):
        part = slice(start, start + FEATURES_AT_ONCE)
        yield part, place[part], mirrored[part]
