"""Table III on simulated people: the network, by either rule for its epoch, beside the classical classifiers."""

from __future__ import annotations

import pandas as pd
from tqdm.std import tqdm

from gcamccl_core.data.cohort import make_split
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.model.comparators import compare
from gcamccl_core.model.evaluation import FUSED, evaluate
from gcamccl_core.model.recipe import RULES, Recipe
from gcamccl_core.model.training import fit_many

ROOMS = ("data", "model")
PARAMETERS = {
    "regimes": ["clear", "realistic", "scattered", "null"],
    "n_subjects": 854,
    "n_splits": 20,
    "seed": 0,
    "epochs": Recipe.demo().epochs,
}


def make(
    models: str, regimes: list[str], n_subjects: int, n_splits: int, seed: int, epochs: int
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Score all methods on the same splits of one cohort per regime.

    Parameters
    ----------
    models : str
        Folder that keeps the trained networks, so that a stopped run goes on.

    Returns
    -------
    table : pandas.DataFrame
        Columns of :func:`.compare`, and ``regime`` and ``rule`` (which epoch of a network; empty for the others).
    numbers : dict
        Mean accuracies for the prose, as ``classification_<regime>_<network | network_paper_rule | svm>``.
    """
    parts = []
    for regime in tqdm(regimes, "regimes"):
        cohort = simulate_cohort(n_subjects, regime, seed)
        splits = [make_split(cohort, seed=seed + number) for number in range(n_splits)]
        fitted = fit_many(
            cohort, splits, [seed + number for number in range(n_splits)], Recipe.demo(epochs=epochs), models
        )
        scored = [evaluate(fitted, cohort, select=rule).assign(rule=rule) for rule in RULES]
        scored.append(compare(cohort, splits, seed=seed).assign(rule=""))
        parts.append(pd.concat(scored).assign(regime=regime))
    table = pd.concat(parts, ignore_index=True)
    means = table.groupby(["regime", "method", "rule"])["accuracy"].mean()
    named = {"network": (FUSED, "cross_entropy"), "network_paper_rule": (FUSED, "loss"), "svm": ("linear SVM", "")}
    numbers = {
        f"classification_{regime}_{name}": round(float(means[(regime, *which)]), 3)
        for regime in regimes
        for name, which in named.items()
    }
    return table.round(6), numbers
