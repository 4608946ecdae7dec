"""Whether the recommended model's probabilities mean what they say: predictions in bins, on Table III's splits."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from gcamccl_core.data.cohort import make_splits
from gcamccl_core.model.calibration import expected_calibration_error, pool_reliability, reliability
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import TABLE, cached
from workflow.cohorts import open_once
from workflow.tables.classification import TABLES as CLASSIFICATION
from workflow.units import Made, gather

N_BINS = 10
TABLES: dict[str, dict[str, Any]] = {
    name.replace("classification", "calibration"): {
        key: parameters[key] for key in ("source", "n_splits", "seed", "scheme")
    }
    for name, parameters in CLASSIFICATION.items()
    if not parameters["independent"]
}


def make(store: str, jobs: int, source: Mapping[str, Any], n_splits: int, seed: int, scheme: str) -> Made:
    """Sort the predictions for every split's test part into bins.

    Parameters
    ----------
    store, jobs, source, n_splits, seed, scheme
        As for Table III, whose splits these are.

    Returns
    -------
    Made
        Rows of :func:`.reliability`, by ``split`` and ``bin``, counted from 0.
    """
    work = partial(bin_split, store, dict(source), seed, scheme)
    return gather(work, range(n_splits), jobs)


def bin_split(store: str, source: dict[str, Any], seed: int, scheme: str, number: int) -> tuple[pd.DataFrame, str]:
    """Predict one split's test part, and hash its cohort; what is in the store is not computed again."""
    cohort = open_once(**source, seed=seed)
    split = make_splits(cohort, 1, scheme, seed + number)[0]

    def predict() -> pd.DataFrame:
        fitted = fit(cohort, split, Recipe.recommended(), seed + number, f"{store}/models", progress=False)
        high = fitted.predict_proba(cohort, split.test).to_numpy()[:, 1]
        found = reliability(cohort["label"].to_numpy()[split.test], high, N_BINS)
        return found.assign(bin=(found["low"] * N_BINS).round().astype(int))

    code = [hash_module(f"gcamccl_core.model.{module}", "model") for module in ("calibration", "training")]
    code.append(code_of(inspect.getsource(bin_split)))
    key = {"data": hash_data(cohort), "split": split, "seed": seed + number, "bins": N_BINS, "code": code}
    return cached(store, "calibration", key, predict, TABLE).assign(split=number), hash_data(cohort)


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the expected calibration error of all splits' predictions together, ``calibration_<cohort>_error``.

    Examples
    --------
    >>> table = pd.DataFrame({"low": [0.1], "high": [0.2], "n": [4], "mean_probability": [0.15], "share": [0.25]})
    >>> quote(table, TABLES["calibration_clear"])
    {'calibration_clear_error': '0.10'}
    """
    source = parameters["source"]
    error = expected_calibration_error(pool_reliability(table))
    return {f"calibration_{source.get('regime') or 'abide_' + source['label']}_error": f"{error:.2f}"}
