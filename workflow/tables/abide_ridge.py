"""The simplest thing that could be done with ABIDE: ridge regression of each view in five folds, nothing removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gcamccl_core.data.cohort import view_names
from gcamccl_core.model.features import flatten_views
from gcamccl_core.provenance import hash_data
from workflow.cohorts import open_once
from workflow.units import Made

TABLES: dict[str, dict[str, Any]] = {
    "abide_ridge": {
        "tasks": ["diagnosis", "fiq", "sex", "age"],
        "penalties": [1e2, 1e3, 1e4, 1e5],
        "n_folds": 5,
        "seed": 0,
    }
}


def make(store: str, jobs: int, tasks: list[str], penalties: list[float], n_folds: int, seed: int) -> Made:
    """Score every view of every task; nothing is kept in the store, since it takes minutes.

    Returns
    -------
    Made
        One row per ``task`` and ``view``: ``n_subjects`` and ``auc``, the area under the ROC curve over all subjects,
        each predicted by the folds that it is not in, with the penalty that these choose among themselves.
    """
    data, rows = [], []
    for task in tasks:
        cohort = open_once(cohort="abide", label=task)
        data.append(hash_data(cohort))
        label = cohort["label"].to_numpy()
        people = label >= 0
        for view in view_names(cohort):
            features = flatten_views(cohort, people.nonzero()[0], [view])
            model = make_pipeline(StandardScaler(), RidgeClassifierCV(penalties))
            folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
            rank = cross_val_predict(model, features, label[people], cv=folds, method="decision_function")
            rows.append((task, view, int(people.sum()), roc_auc_score(label[people], rank)))
    return Made(pd.DataFrame(rows, columns=["task", "view", "n_subjects", "auc"]).round(6), data)


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the numbers that prose may quote: ``abide_ridge_<task>_<view>``."""
    return {f"abide_ridge_{row.task}_{row.view}": f"{row.auc:.2f}" for row in table.itertuples()}
