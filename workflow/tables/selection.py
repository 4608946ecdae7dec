"""Whether selections keep the error rate that they promise, over independent cohorts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import binomtest

from gcamccl_core.data.cohort import Split, make_split
from gcamccl_core.maps.activation_patterns import activation_patterns
from gcamccl_core.maps.confirmed_selection import confirm_biomarkers
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.scores import standard_error
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import TABLE, cached
from workflow.cohorts import open_once
from workflow.units import Made, gather

VIEWS = ("fc", "snp")
SCORE = {"fc": "fused", "snp": "others"}  # what the features of each view are held against
TABLES: dict[str, dict[str, Any]] = {
    f"selection_{regime}": {"regime": regime, "n_splits": 100, "seed": 0, "rate": 0.1, "candidates": 0.05}
    for regime in ("clear", "null")
}


def make(store: str, jobs: int, regime: str, n_splits: int, seed: int, rate: float, candidates: float) -> Made:
    """Select in one split each of as many cohorts.

    Parameters
    ----------
    store, jobs
        As for Table III.
    regime : str
        Of the cohorts; the k-th has the seed ``seed + k``.
    n_splits : int
        How many cohorts.
    seed : int
        Of the first.
    rate, candidates : float
        As in :func:`.confirm_biomarkers`.

    Returns
    -------
    Made
        One row per ``split`` (a cohort of its own) and ``view``: ``n_selected``, how many connections or linkage
        blocks, and ``n_false``, how many of them do not differ between the classes in the population.
    """
    work = partial(select_once, store, regime, seed, rate, candidates)
    return gather(work, range(n_splits), jobs)


def select_once(
    store: str, regime: str, seed: int, rate: float, candidates: float, number: int
) -> tuple[pd.DataFrame, str]:
    """Select in one cohort, and hash it; what is in the store is not computed again."""
    cohort = open_once(cohort="simulated", regime=regime, seed=seed + number)
    split = make_split(cohort, seed=seed + number)
    code = [
        hash_module("gcamccl_core.model.training", "model"),
        *(hash_module(f"gcamccl_core.maps.{name}", "maps") for name in ("activation_patterns", "confirmed_selection")),
        code_of(inspect.getsource(_select)),
    ]
    settings = {"rate": rate, "candidates": candidates, "seed": seed + number}
    key = {"data": hash_data(cohort), "split": split, "score": SCORE, **settings, "code": code}
    table = cached(store, "selection", key, lambda: _select(cohort, split, **settings), TABLE)
    return table.assign(split=number), hash_data(cohort)


def _select(cohort: xr.Dataset, split: Split, rate: float, candidates: float, seed: int) -> pd.DataFrame:
    """Map everyone but those who judge: validation and test part, whom the recommended recipe does not use."""
    net = fit(cohort, split, Recipe.recommended(), seed, progress=False).net
    judges = np.concatenate([split.validation, split.test])
    others = np.setdiff1d(np.arange(cohort.sizes["subject"]), judges)
    maps = activation_patterns(net, cohort, others, SCORE, progress=False)
    selected = confirm_biomarkers(maps, cohort, judges, candidates, rate, truth=True, trained_on=split.train)
    rows = []
    for view in VIEWS:
        of_view = selected[selected["view"] == view]
        false = int((~of_view["in_population"].astype(bool)).sum())
        rows.append({"view": view, "n_selected": len(of_view), "n_false": false})
    return pd.DataFrame(rows)


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the numbers that prose may quote, over the cohorts.

    Returns
    -------
    dict
        The promised ``selection_<regime>_rate``; ``selection_<regime>_<view>`` for each view and ``all``: mean number
        selected, ``…_false_share``, the mean share of them that is false (0 of none) with ``_interval`` (95 %), and
        ``…_any``, the share of cohorts with anything selected, with its exact ``_interval``.

    Examples
    --------
    >>> counts = {"n_selected": [4, 0, 2, 2], "n_false": [1, 0, 0, 0]}
    >>> table = pd.DataFrame({"split": [0, 0, 1, 1], "view": ["fc", "snp"] * 2, **counts})
    >>> numbers = quote(table, {"regime": "clear", "rate": 0.1})
    >>> numbers["selection_clear_all_false_share"], numbers["selection_clear_snp_any"]
    ('0.12', '0.50')
    """
    prefix = f"selection_{parameters['regime']}"
    counts = {view: rows.set_index("split") for view, rows in table.groupby("view")}
    counts["all"] = table.groupby("split")[["n_selected", "n_false"]].sum()
    numbers: dict[str, object] = {
        f"{prefix}_n_cohorts": int(table["split"].nunique()),
        f"{prefix}_rate": parameters["rate"],
    }
    for view, rows in counts.items():
        share = (rows["n_false"] / rows["n_selected"].clip(lower=1)).to_numpy(float)
        reach = 1.96 * standard_error(share, 0.0) if len(share) > 1 else np.nan
        selected = int((rows["n_selected"] > 0).sum())
        low, high = max(0.0, share.mean() - reach), share.mean() + reach
        if not share.any():  # then the normal interval has no width; a share is at most 1, so this bounds its mean
            high = binomtest(0, len(share)).proportion_ci().high
        exact = binomtest(selected, len(rows)).proportion_ci()
        numbers |= {
            f"{prefix}_{view}": f"{rows['n_selected'].mean():.1f}",
            f"{prefix}_{view}_false_share": f"{share.mean():.2f}",
            f"{prefix}_{view}_false_share_interval": f"{low:.2f} to {high:.2f}",
            f"{prefix}_{view}_any": f"{selected / len(rows):.2f}",
            f"{prefix}_{view}_any_interval": f"{exact.low:.2f} to {exact.high:.2f}",
        }
    return numbers
