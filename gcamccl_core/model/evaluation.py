"""How well trained networks tell the classes of their test subjects apart, in the same table as the comparators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.cohort import view_names
from gcamccl_core.model.blocks import FEATURES
from gcamccl_core.model.comparators import ON_FEATURES, choose_setting, score_on_test
from gcamccl_core.model.fitted import Fitted
from gcamccl_core.model.scores import score_predictions

FUSED = "gCAM-CCL"


def evaluate(
    fitted: Sequence[Fitted], cohort: xr.Dataset, select: str | None = None, views_alone: bool = True
) -> pd.DataFrame:
    """Score each network on its own test part, fused and view by view.

    Parameters
    ----------
    fitted : sequence of Fitted
        One network per split, in the order of the splits.
    cohort : xarray.Dataset
        The cohort they were trained on; two classes.
    select : {"cross_entropy", "loss"}, optional
        Which rule's epoch to score; each network's own by default.
    views_alone : bool
        Also score the prediction of every view alone, as method ``"gCAM-CCL, <view> alone"``.

    Returns
    -------
    pandas.DataFrame
        Columns as in :func:`.compare`: ``method``, ``split``, ``n_train``, ``n_test``, ``accuracy``, ``sensitivity``,
        ``specificity``, ``f1``, ``auc``.

    Raises
    ------
    ValueError
        If the networks tell other than two classes apart; sensitivity and specificity are not defined then.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_split
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> from gcamccl_core.model.training import Recipe, fit
    >>> cohort = simulate_cohort(n_subjects=60, seed=0)
    >>> fitted = fit(cohort, make_split(cohort), Recipe.demo(epochs=1), progress=False)
    >>> evaluate([fitted], cohort)["method"].tolist()
    ['gCAM-CCL', 'gCAM-CCL, fc alone', 'gCAM-CCL, snp alone']
    """
    rows = []
    for number, one in enumerate(fitted):
        if len(one.classes) != 2:
            raise ValueError(f"sensitivity and specificity need two classes; the network has {', '.join(one.classes)}")
        chosen = one if select is None else replace(one, recipe=replace(one.recipe, select=select))
        label = cohort["label"].to_numpy()[one.split.test]
        parts: dict[str, list[str] | None] = {FUSED: None}
        if views_alone and len(view_names(cohort)) > 1:
            parts |= {f"{FUSED}, {view} alone": [view] for view in view_names(cohort)}
        for method, views in parts.items():
            high = chosen.predict_proba(cohort, one.split.test, views=views).to_numpy()[:, 1]
            sizes = {"n_train": len(one.split.train), "n_test": len(one.split.test)}
            rows.append({"method": method, "split": number, **sizes, **score_predictions(label, high > 0.5, high)})
    return pd.DataFrame(rows)


def evaluate_features(fitted: Sequence[Fitted], cohort: xr.Dataset, name: str = "CCL", seed: int = 0) -> pd.DataFrame:
    """Score a support vector machine and a random forest on the features that each network has learnt.

    Both are fitted on the network's training part, with the setting that does best on its validation part.

    Parameters
    ----------
    fitted : sequence of Fitted
        One network per split, trained by any loss: DCL for the paper's "CCL+SVM" and "CCL+RF".
    cohort : xarray.Dataset
        The cohort they were trained on; two classes.
    name : str
        What the features are called in the table.
    seed : int
        Of the forest.

    Returns
    -------
    pandas.DataFrame
        Methods ``"<name>+SVM"`` and ``"<name>+RF"``, columns as in :func:`.compare`.

    Raises
    ------
    ValueError
        If a network's parts hold other than two classes.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_split
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> from gcamccl_core.model.training import Recipe, fit
    >>> cohort = simulate_cohort(n_subjects=100, seed=0)
    >>> fitted = fit(cohort, make_split(cohort), Recipe.features("dcl", epochs=1, batch_size=16), progress=False)
    >>> evaluate_features([fitted], cohort)["method"].tolist()
    ['CCL+SVM', 'CCL+RF']
    """
    label, rows = cohort["label"].to_numpy(), []
    for number, one in enumerate(fitted):
        split = one.split
        subjects = np.concatenate([split.train, split.validation, split.test])  # the others need not be passed through
        features = np.full((len(label), FEATURES * len(one.net.views)), np.nan)
        features[subjects] = one.features(cohort, subjects)
        train, validation = ((features[part], label[part]) for part in (split.train, split.validation))
        for reader, method in ON_FEATURES.items():
            model = choose_setting(method, train, validation, seed)
            rows.append({"method": f"{name}+{reader}", **score_on_test(model, features, label, split, number)})
    return pd.DataFrame(rows)
