"""Confounds and groups: what site, age, sex and head motion do to every method on ABIDE."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from gcamccl_core.data.cohort import make_splits
from gcamccl_core.data.confounds import remove_confounds
from gcamccl_core.model.scores import compare_paired, summarise
from gcamccl_core.provenance import hash_data
from workflow.cohorts import open_once
from workflow.naming import slug
from workflow.tables.classification import SHARED, quote_pair, score_methods
from workflow.units import Made, run_units

OPTIONS: dict[str, tuple[str, list[str]]] = {  # name: how subjects are divided, what is removed
    "random splits": ("subjects", []),
    "random splits, site removed": ("subjects", ["group"]),
    "random splits, age, sex and motion removed": ("subjects", ["age", "sex", "motion"]),
    "random splits, all four removed": ("subjects", ["group", "age", "sex", "motion"]),
    "sites kept together": ("groups", []),
    "sites kept together, all four removed": ("groups", ["group", "age", "sex", "motion"]),
    "leave one site out": ("leave one group out", []),
}
TABLES: dict[str, dict[str, Any]] = {
    "confounds_abide_fiq": {
        "label": "fiq",
        "n_splits": 5,  # and one for every site that can be left out
        "seed": 0,
        "precision": SHARED["precision"],
    }
}


def make(store: str, jobs: int, label: str, n_splits: int, seed: int, precision: str) -> Made:
    """Score all methods under every option.

    Returns
    -------
    Made
        Columns of :func:`.compare`, and ``option``.
    """
    cohort = open_once(cohort="abide", label=label)
    units = []
    for option, (scheme, _) in OPTIONS.items():
        units += [(option, number) for number in range(len(make_splits(cohort, n_splits, scheme, seed)))]
    work = partial(score_option, store, label, n_splits, seed, precision)
    table = pd.concat(run_units(work, units, jobs), ignore_index=True)
    return Made(table.round(6), [hash_data(cohort)])


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the numbers that prose may quote.

    Returns
    -------
    dict
        Means, as ``confounds_<option>_<method>_<measure>``; ``confounds_n_splits``; and what removing does to the area
        under the ROC curve on the same splits, ``confounds_<option>_less_<the same splits>_<method>`` with
        ``_interval``.
    """
    numbers: dict[str, object] = {"confounds_n_splits": parameters["n_splits"]}
    for option, scores in table.groupby("option", sort=False):
        for row in summarise(scores).itertuples():
            numbers[f"confounds_{slug(str(option))}_{slug(str(row.method))}_{row.measure}"] = f"{row.mean:.2f}"
    for option in table["option"].unique():
        without = option.split(",")[0]
        both = table[table["option"].isin([option, without])]
        for method, scores in both.groupby("method") if option != without else ():
            row = next(compare_paired(scores.assign(method=scores["option"]), option, "auc").itertuples())
            numbers |= quote_pair(f"confounds_{slug(option)}_less_{slug(without)}_{slug(str(method))}", row)
    return numbers


def score_option(
    store: str, label: str, n_splits: int, seed: int, precision: str, unit: tuple[str, int]
) -> pd.DataFrame:
    """Score all methods on one split under one option; confounds are removed as the training part has them."""
    option, number = unit
    scheme, confounds = OPTIONS[option]
    cohort = open_once(cohort="abide", label=label)
    split = make_splits(cohort, n_splits, scheme, seed)[number]
    cleaned = remove_confounds(cohort, split.train, [n for n in confounds if n != label]) if confounds else cohort
    return score_methods(store, cleaned, split, number, seed + number, precision).assign(option=option)
