"""Fusion before gCAM-CCL: the same network trained by DCCA, DCL and Eq. 12, with small and with large batches."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cross_decomposition import CCA

from gcamccl_core.data.cohort import Split, make_split
from gcamccl_core.data.fewer_regions import keep_regions
from gcamccl_core.model.comparators import ON_FEATURES, choose_setting, rank_subjects, score_on_test
from gcamccl_core.model.epochs import predict_logits
from gcamccl_core.model.evaluation import evaluate
from gcamccl_core.model.fitted import Fitted
from gcamccl_core.model.recipe import FUSIONS, Recipe
from gcamccl_core.model.scores import compare_paired, score_predictions
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import TABLE, cached
from workflow.cohorts import open_once
from workflow.naming import signed
from workflow.units import Made, run_units

COLLAPSED = 1e-6  # standard deviation of a view's outputs
TABLES: dict[str, dict[str, Any]] = {
    "batch_size": {
        "source": {"cohort": "simulated", "regime": "clear", "seed": 0},
        "n_regions": 48,  # networks of seconds: 180 are trained
        "n_splits": 5,
        "seed": 0,
        "batch_sizes": [4, 16, 64, 239],  # 239: all training subjects
        "learning_rates": [1e-4, 1e-3, 1e-2],
        "epochs": 33,
    }
}


def make(
    store: str,
    jobs: int,
    source: dict[str, Any],
    n_regions: int,
    n_splits: int,
    seed: int,
    batch_sizes: list[int],
    learning_rates: list[float],
    epochs: int,
) -> Made:
    """Train by every loss and batch size, with the learning rate that does best on the validation part.

    Returns
    -------
    Made
        One row per ``fusion``, ``batch_size``, ``reader`` ("SVM" on the features of both views; "softmax", the
        network's own, for Eq. 12) and ``split``: the chosen ``learning_rate``, the scores of :func:`.compare`, and
        ``correlation``, that of the two views' outputs in the test part, along the directions in which they correlate
        most in the training part.
    """
    work = partial(score_unit, store, source, n_regions, seed, learning_rates, epochs)
    units = list(product(FUSIONS, batch_sizes, range(n_splits)))
    table = pd.concat(run_units(work, units, jobs), ignore_index=True)
    return Made(table.round(6), [hash_data(open_once(**source))])


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the numbers that prose may quote.

    Returns
    -------
    dict
        Means of accuracy and correlation, as ``batch_size_<fusion>_<batch size>_<reader>[_correlation]``, and the
        paired difference in accuracy of the features of Eq. 12 and of each other loss, with its interval, as
        ``batch_size_<batch size>_less_<fusion>``.
    """
    numbers: dict[str, object] = {"batch_size_n_splits": parameters["n_splits"]}
    for key, scores in table.groupby(["fusion", "batch_size", "reader"]):
        name = "batch_size_" + "_".join(map(str, key)).lower()
        numbers |= {name: f"{scores['accuracy'].mean():.2f}"}
        numbers |= {f"{name}_correlation": f"{scores['correlation'].mean():.2f}"}
    for size, scores in table[table["reader"] == "SVM"].groupby("batch_size"):
        for row in compare_paired(scores.rename(columns={"fusion": "method"}), "collaborative").itertuples():
            pair = f"batch_size_{size}_less_{row.method}"
            numbers |= {pair: signed(row.difference), f"{pair}_interval": f"{signed(row.low)} to {signed(row.high)}"}
    return numbers


def score_unit(
    store: str,
    source: dict[str, Any],
    n_regions: int,
    seed: int,
    learning_rates: list[float],
    epochs: int,
    unit: tuple[str, int, int],
) -> pd.DataFrame:
    """Score one loss, batch size and split; what is in the store is not computed again."""
    fusion, batch_size, number = unit
    cohort = keep_regions(open_once(**source), n_regions)
    split = make_split(cohort, seed=seed + number)
    recipe = Recipe.demo if fusion == "collaborative" else partial(Recipe.features, fusion)
    size = min(batch_size, len(split.train))

    def train_and_score() -> pd.DataFrame:
        tried = []
        for rate in learning_rates:
            with warnings.catch_warnings():  # small batches are what is studied here
                warnings.simplefilter("ignore", UserWarning)
                chosen = recipe(epochs=epochs, batch_size=size, learning_rate=rate, patience=None)
                fitted = fit(cohort, split, chosen, seed=seed + number, out=f"{store}/models", progress=False)
            tried.append(_score(fitted, cohort, split).assign(learning_rate=rate))
        best = (
            pd.concat(tried, ignore_index=True)
            .sort_values("validation_auc", ascending=False, kind="stable")
            .groupby("reader")
            .head(1)
        )
        return (
            best.drop(columns="validation_auc")
            .reset_index(drop=True)
            .assign(fusion=fusion, batch_size=batch_size, split=number)
        )

    key = {"data": hash_data(cohort), "unit": unit, "seed": seed, "rates": learning_rates, "epochs": epochs}
    code = [hash_module(f"gcamccl_core.model.{name}", "model") for name in ("evaluation", "training")]
    code += [code_of(inspect.getsource(function)) for function in (score_unit, _score, _correlate_views)]
    return cached(store, "batch_size", {**key, "code": code}, train_and_score, TABLE)


def _score(fitted: Fitted, cohort: Any, split: Split) -> pd.DataFrame:
    """Score a network by each reader, on the validation part to choose and on the test part to report."""
    label, features = cohort["label"].to_numpy(), fitted.features(cohort).to_numpy()
    train, validation = ((features[part], label[part]) for part in (split.train, split.validation))
    reader = choose_setting(ON_FEATURES["SVM"], train, validation)
    scores = score_predictions(validation[1], reader.predict(validation[0]), rank_subjects(reader, validation[0]))
    rows = [{"reader": "SVM", "validation_auc": scores["auc"], **score_on_test(reader, features, label, split, 0)}]
    if fitted.recipe.fusion == "collaborative":
        high = fitted.predict_proba(cohort, split.validation).to_numpy()[:, 1]
        own = evaluate([fitted], cohort, views_alone=False).drop(columns="method").iloc[0].to_dict()
        chosen = score_predictions(validation[1], high > 0.5, high)["auc"]
        rows.append({"reader": "softmax", "validation_auc": chosen, **own})
    return pd.DataFrame(rows).assign(correlation=_correlate_views(fitted, cohort, split))


def _correlate_views(fitted: Fitted, cohort: Any, split: Split) -> float:
    """Correlate the views' outputs in the test part, along the directions that the training part gives (Eq. 1).

    NaN where a view has collapsed: its outputs are the same for everyone.
    """
    parts = []
    for subjects in (split.train, split.test):
        outputs = predict_logits(fitted.net, fitted.net.prepare(cohort, subjects)).values()
        if fitted.recipe.fusion == "collaborative":  # logits of two classes, of which only the difference counts
            outputs = [values[:, 1:] - values[:, :1] for values in outputs]
        parts.append([values.double().numpy() for values in outputs])
    if min(float(values.std(axis=0).max()) for part in parts for values in part) < COLLAPSED:
        return float("nan")
    pairs = CCA(n_components=1, max_iter=5000).fit(*parts[0]).transform(*parts[1])
    return float(np.corrcoef(*(each[:, 0] for each in pairs))[0, 1])
