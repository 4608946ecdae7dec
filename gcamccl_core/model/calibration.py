"""Whether predicted probabilities are what they say: of those told 0.8, eight in ten should be of the class."""

from __future__ import annotations

import numpy as np
import pandas as pd


def reliability(label: np.ndarray, probability: np.ndarray, n_bins: int = 10) -> pd.DataFrame:
    """Hold predicted probabilities of the positive class against how often it was true, bin by bin.

    Parameters
    ----------
    label : array of shape (n,)
        True class numbers, 0 and 1.
    probability : array of shape (n,)
        Predicted for class 1, from 0 to 1.
    n_bins : int
        Bins of equal width.

    Returns
    -------
    pandas.DataFrame
        One row per bin that holds a subject: ``low`` and ``high``, its ends; ``n``, how many subjects;
        ``mean_probability`` and ``share``, the share of them that is of class 1. Tables of several test parts can be
        put together and pooled by :func:`pool_reliability`.

    Raises
    ------
    ValueError
        If there is no bin, a probability is none, or a label is neither 0 nor 1.

    Examples
    --------
    >>> reliability(np.array([0, 1, 1, 1]), np.array([0.15, 0.12, 0.95, 1.0])).round(3).values.tolist()
    [[0.1, 0.2, 2.0, 0.135, 0.5], [0.9, 1.0, 2.0, 0.975, 1.0]]
    """
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1")
    if not np.isin(label, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    number = np.minimum((np.asarray(probability) * n_bins).astype(int), n_bins - 1)
    table = pd.DataFrame({"bin": number, "probability": probability, "label": label})
    found = table.groupby("bin").agg(
        n=("label", "size"), mean_probability=("probability", "mean"), share=("label", "mean")
    )
    ends = {"low": found.index / n_bins, "high": (found.index + 1) / n_bins}
    return found.assign(**ends)[["low", "high", "n", "mean_probability", "share"]].reset_index(drop=True)


def pool_reliability(tables: pd.DataFrame) -> pd.DataFrame:
    """Put the bins of several test parts together, as if all predictions had come at once.

    Parameters
    ----------
    tables : pandas.DataFrame
        Rows of :func:`reliability`, one table below the other.

    Examples
    --------
    >>> one = reliability(np.array([0, 1]), np.array([0.15, 0.95]))
    >>> pool_reliability(pd.concat([one, one]))["n"].tolist()
    [2, 2]
    """
    sums = tables.assign(mean_probability=tables["mean_probability"] * tables["n"], share=tables["share"] * tables["n"])
    pooled = sums.groupby(["low", "high"], as_index=False)[["n", "mean_probability", "share"]].sum()
    return pooled.assign(**{name: pooled[name] / pooled["n"] for name in ("mean_probability", "share")})


def expected_calibration_error(table: pd.DataFrame) -> float:
    r"""Mean distance between what was predicted and what was true, over the bins of a reliability table.

    .. math:: \mathrm{ECE} = \sum_b \frac{n_b}{n} \left| \bar y_b - \bar p_b \right|

    It is that of the positive class's probability. Of few subjects it is above 0 even where probabilities are right,
    since the share in a bin of five is rough; pool test parts before.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`reliability` or :func:`pool_reliability` makes it.

    References
    ----------
    Guo et al. (2017), On calibration of modern neural networks.

    Examples
    --------
    >>> round(expected_calibration_error(reliability(np.array([0, 1, 1, 1]), np.array([0.1, 0.1, 0.9, 0.9]))), 3)
    0.25
    """
    return float((table["n"] * (table["share"] - table["mean_probability"]).abs()).sum() / table["n"].sum())
