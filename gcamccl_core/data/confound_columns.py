"""Confounds as columns that features can be regressed on: numbers standardised, words and groups one column each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from gcamccl_core.data.checks import name_some
from gcamccl_core.parameters import suggest


def known_confounds(cohort: xr.Dataset) -> list[str]:
    """Names that can be removed: the covariates in the order they are stored, then ``"group"`` if there is one.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort; its covariates are the data variables with ``attrs["role"] == "covariate"``.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> known_confounds(simulate_cohort(n_subjects=40, seed=1))
    ['age', 'sex', 'motion']
    """
    covariates = [str(name) for name, values in cohort.data_vars.items() if values.attrs.get("role") == "covariate"]
    return [*covariates, *(["group"] if "group" in cohort else [])]


def confound_table(cohort: xr.Dataset, confounds: Sequence[str]) -> pd.DataFrame:
    """One row per subject: numbers as float, words as objects, NaN where missing; a group is words even if numbered.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort.
    confounds : sequence of str
        Names, see :func:`known_confounds`.

    Raises
    ------
    ValueError
        If a confound is unknown or infinite.
    """
    columns = {}
    for name in confounds:
        if name not in known_confounds(cohort):
            raise ValueError(f"the cohort has no confound {name!r}; {suggest(name, known_confounds(cohort))}")
        values = cohort[name].to_numpy()
        if name != "group" and values.dtype.kind in "biuf":
            infinite = np.isinf(values)
            if infinite.any():
                subjects = cohort["subject"].to_numpy()[infinite]
                raise ValueError(f"confound '{name}' is infinite for {name_some(subjects)}; correct it or use NaN")
            columns[name] = pd.Series(values, dtype=np.float64)
        else:
            known = [np.nan if value != value or str(value).strip() in ("", "nan") else str(value) for value in values]
            columns[name] = pd.Series(known, dtype=object)
    return pd.DataFrame(columns)


def make_encoder(table: pd.DataFrame) -> ColumnTransformer:
    """Confounds to columns that are zero on average over the training subjects."""
    steps = []
    for name, column in table.items():
        number = pd.api.types.is_float_dtype(column)
        steps.append(
            (str(name), make_pipeline(SimpleImputer(), StandardScaler()) if number else _word_encoder(), [name])
        )
    return ColumnTransformer(steps, sparse_threshold=0)


def _word_encoder() -> Pipeline:
    """One column per category; the second imputer puts an unknown one at the mean of those known."""
    return make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        FunctionTransformer(_mark_unknown),
        SimpleImputer(),
        StandardScaler(with_std=False),
    )


def _mark_unknown(columns: np.ndarray) -> np.ndarray:
    """NaN throughout a row that is of no known category."""
    return np.where(columns.any(axis=1, keepdims=True), columns, np.nan)
