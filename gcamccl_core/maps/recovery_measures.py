"""How well one score per unit (edge, measure, linkage block) finds those that are true."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

METRICS = ["auroc", "auroc_within_block", "average_precision", "precision_at_k", "false_discovery_at_k"]


def measure_recovery(
    score: np.ndarray, planted: np.ndarray, population: np.ndarray, network_block: np.ndarray | None = None
) -> dict[str, float]:
    """Compute every measure of :data:`METRICS` for one score per unit.

    Parameters
    ----------
    score : array of shape (n,)
        Higher says rather true.
    planted : array of shape (n,), bool
        What was changed on purpose; k is how many.
    population : array of shape (n,), bool
        What differs between the classes in the population because of it.
    network_block : array of shape (n,), optional
        Which pair of networks every edge connects.

    Returns
    -------
    dict of str to float
        NaN where nothing was planted, or everything; ``auroc_within_block`` also without ``network_block``.

    Examples
    --------
    >>> found = measure_recovery(np.array([3.0, 2, 1]), *np.array([[1, 0, 0], [1, 1, 0]], dtype=bool))
    >>> found["auroc"], found["false_discovery_at_k"]
    (1.0, 0.0)
    """
    if not planted.any() or planted.all():
        return dict.fromkeys(METRICS, np.nan)
    k = int(planted.sum())
    within = np.nan if network_block is None else auroc_within_block(score, planted, network_block)
    return {
        "auroc": float(roc_auc_score(planted, score)),
        "auroc_within_block": within,
        "average_precision": float(average_precision_score(planted, score)),
        "precision_at_k": share_of_best(score, planted, k),
        "false_discovery_at_k": 1 - share_of_best(score, population | planted, k),
    }


def auroc_within_block(score: np.ndarray, truth: np.ndarray, block: np.ndarray) -> float:
    """Area under the ROC curve within a block, averaged over the blocks, each with the weight of its true units.

    The chance that a true edge scores above one that is not and connects the same two networks; a tie counts half.
    A map that knows no more than which networks differ, or are strongly connected, stays at 0.5.

    Parameters
    ----------
    score : array of shape (n,)
    truth : array of shape (n,), bool
    block : array of shape (n,)
        Blocks in which all units are true, or none, do not count.

    Returns
    -------
    float
        NaN if no block counts.

    Examples
    --------
    >>> truth, block = np.array([True, False, True, False]), np.array(["a", "a", "b", "b"])
    >>> auroc_within_block(np.array([2.0, 1, 4, 4]), truth, block)
    0.75
    """
    units = pd.DataFrame({"score": score, "truth": truth, "block": block})
    mixed = units[units.groupby("block")["truth"].transform("nunique") == 2]
    if mixed.empty:
        return np.nan
    blocks = [of for _, of in mixed.groupby("block")]
    areas = [roc_auc_score(of["truth"], of["score"]) for of in blocks]
    return float(np.average(areas, weights=[of["truth"].sum() for of in blocks]))


def share_of_best(score: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Share of the k highest scores that are true; tied scores at the border count by expectation.

    Parameters
    ----------
    score : array of shape (n,)
    truth : array of shape (n,), bool
    k : int
        From 1 to n.

    Examples
    --------
    >>> share_of_best(np.array([3.0, 1, 1, 0]), np.array([True, True, False, False]), k=2)
    0.75
    """
    border = np.sort(score)[-k]
    above, tied = score > border, score == border
    return float((truth[above].sum() + (k - above.sum()) * truth[tied].mean()) / k)
