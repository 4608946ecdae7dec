"""What single choices of the recipe do: Table II to the letter, bfloat16, early stopping, agreement and outputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from typing import Any

import pandas as pd

from gcamccl_core.data.cohort import make_split
from gcamccl_core.data.fewer_regions import keep_regions
from gcamccl_core.model.evaluation import evaluate
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.scores import compare_paired
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import TABLE, cached
from workflow.cohorts import open_once
from workflow.naming import signed, slug
from workflow.units import Made, run_units

DEMO = "demo"
VARIANTS: dict[str, Callable[[], Recipe]] = {
    DEMO: Recipe.demo,
    "Table II": Recipe.paper,
    "all epochs": partial(Recipe.demo, patience=None),
    "bfloat16": partial(Recipe.demo, precision="bfloat16"),
    "learning rate 1e-3": partial(Recipe.demo, learning_rate=1e-3),
    "no agreement": partial(Recipe.demo, agreement=0.0),
    "sigmoid": partial(Recipe.demo, output="sigmoid"),
    "no dropout": partial(Recipe.demo, dropout=0.0),
}
TABLES: dict[str, dict[str, Any]] = {
    "recipe": {
        "source": {"cohort": "simulated", "regime": "clear", "seed": 0},
        "n_regions": 48,  # 500 epochs of the whole image take a quarter of an hour
        "n_splits": 4,
        "seed": 0,
    }
}


def make(store: str, jobs: int, source: dict[str, Any], n_regions: int, n_splits: int, seed: int) -> Made:
    """Train every variant on the same splits, from the same first weights.

    Returns
    -------
    Made
        Columns of :func:`.compare`, the variants as ``method``, and ``epoch``, the one selected.
    """
    work = partial(score_variant, store, source, n_regions, seed)
    units = list(product(VARIANTS, range(n_splits)))
    table = pd.concat(run_units(work, units, jobs), ignore_index=True)
    return Made(table.round(6), [hash_data(open_once(**source))])


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the numbers that prose may quote.

    Returns
    -------
    dict
        ``recipe_<variant>_<measure>`` for accuracy and AUC, and ``recipe_<variant>_less_demo`` with ``_p``, the paired
        difference in accuracy and the p-value of the corrected t-test.
    """
    means = table.groupby("method")[["accuracy", "auc", "epoch"]].mean()
    numbers: dict[str, object] = {"recipe_n_splits": parameters["n_splits"]}
    for name in VARIANTS:
        numbers |= {f"recipe_{slug(name)}_{each}": f"{means.loc[name, each]:.2f}" for each in ("accuracy", "auc")}
        numbers[f"recipe_{slug(name)}_epoch"] = round(float(means.loc[name, "epoch"]))
    for row in compare_paired(table, DEMO).itertuples():
        numbers[f"recipe_{slug(str(row.method))}_less_demo"] = signed(-row.difference)
        numbers[f"recipe_{slug(str(row.method))}_less_demo_interval"] = f"{signed(-row.high)} to {signed(-row.low)}"
        numbers[f"recipe_{slug(str(row.method))}_p"] = f"{row.p_value:.2f}"
    return numbers


def score_variant(store: str, source: dict[str, Any], n_regions: int, seed: int, unit: tuple[str, int]) -> pd.DataFrame:
    """Score one variant on one split; what is in the store is not computed again."""
    name, number = unit
    cohort = keep_regions(open_once(**source), n_regions)
    split, recipe = make_split(cohort, seed=seed + number), VARIANTS[name]()

    def train_and_score() -> pd.DataFrame:
        fitted = fit(cohort, split, recipe, seed=seed + number, out=f"{store}/models", progress=False)
        return evaluate([fitted], cohort, views_alone=False).assign(epoch=fitted.selected[recipe.select])

    code = [hash_module(f"gcamccl_core.model.{module}", "model") for module in ("evaluation", "training")]
    code.append(code_of(inspect.getsource(score_variant)))
    key = {"data": hash_data(cohort), "split": split, "recipe": recipe, "seed": seed + number, "code": code}
    return cached(store, "recipe", key, train_and_score, TABLE).assign(method=name, split=number)
