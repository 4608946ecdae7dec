"""How well trained networks tell the classes of their test subjects apart, in the same table as the comparators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import xarray as xr

from gcamccl_core.data.cohort import view_names
from gcamccl_core.model.comparators import score_predictions
from gcamccl_core.model.fitted import Fitted

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
        Columns as in :func:`.compare`: ``method``, ``split``, ``accuracy``, ``sensitivity``, ``specificity``, ``f1``,
        ``auc``.

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
            rows.append({"method": method, "split": number, **score_predictions(label, high > 0.5, high)})
    return pd.DataFrame(rows)
