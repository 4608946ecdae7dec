"""Scores of a classifier (Table III), and what they say over repeated splits: intervals and paired tests, corrected."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score

MEASURES = ("accuracy", "sensitivity", "specificity", "f1", "auc")
NOT_WORSE_MARGIN = 0.03
ROUND_OFF = 12  # decimals of a difference that are more than rounding: two equal means differ by nothing


def score_predictions(label: np.ndarray, predicted: np.ndarray, rank: np.ndarray) -> dict[str, float]:
    """Accuracy, sensitivity, specificity, F1 and AUC, as in Table III; the positive class is 1.

    Parameters
    ----------
    label, predicted : array of shape (n,)
        Class numbers, true and predicted; both classes occur in ``label``.
    rank : array of shape (n,)
        Larger for subjects who are more likely of class 1; a probability or a margin.

    Examples
    --------
    >>> score_predictions(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), np.array([0.1, 0.6, 0.7, 0.9]))["specificity"]
    0.5
    """
    (true_negative, false_positive), (false_negative, true_positive) = confusion_matrix(label, predicted, labels=[0, 1])
    return {
        "accuracy": float((true_negative + true_positive) / len(label)),
        "sensitivity": float(true_positive / (true_positive + false_negative)),
        "specificity": float(true_negative / (true_negative + false_positive)),
        "f1": float(f1_score(label, predicted, zero_division=0)),
        "auc": float(roc_auc_score(label, rank)),
    }


def standard_error(scores: np.ndarray, test_to_train: float) -> float:
    r"""Estimate the standard error of a mean over repeated random splits, which share subjects and so vary together.

    .. math:: \sqrt{\left(\frac{1}{J} + \frac{n_{test}}{n_{train}}\right) s^2}

    Parameters
    ----------
    scores : array of shape (J,)
        One score, or one difference, per split; :math:`s^2` is their variance.
    test_to_train : float
        Test subjects per training subject; 0 for independent cohorts, whose scores need no correction.

    Returns
    -------
    float
        NaN with a single score.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52.

    Examples
    --------
    >>> round(standard_error(np.array([0.7, 0.8, 0.9]), test_to_train=0.2), 4)  # without the correction .0577
    0.073
    """
    if len(scores) < 2:
        return float("nan")
    return float(np.sqrt((1 / len(scores) + test_to_train) * np.var(scores, ddof=1)))


def summarise(table: pd.DataFrame, independent: bool = False) -> pd.DataFrame:
    """Mean and 95 % interval of every measure and method over the splits.

    Parameters
    ----------
    table : pandas.DataFrame
        Tidy, one row per method and split: ``method``, ``split``, ``n_train``, ``n_test`` and the measures.
    independent : bool
        True if every split is of a cohort of its own, so that nothing is shared.

    Returns
    -------
    pandas.DataFrame
        ``method``, ``measure``, ``mean``, ``low``, ``high``, ``n_splits``, methods in the order of their appearance;
        the interval by Student's t with :func:`standard_error`, NaN with a single split.

    Examples
    --------
    >>> table = pd.DataFrame({"method": "SVM", "split": [0, 1], "n_train": 70, "n_test": 15, "auc": [0.7, 0.8]})
    >>> summarise(table).round(3).values.tolist()
    [['SVM', 'auc', 0.75, -0.009, 1.509, 2]]
    """
    rows = []
    for method, scores in table.groupby("method", sort=False):
        share = 0.0 if independent else float((scores["n_test"] / scores["n_train"]).mean())
        for measure in [name for name in MEASURES if name in table]:
            values = scores[measure].to_numpy(float)
            mean = float(values.mean())
            reach = float(stats.t.ppf(0.975, len(values) - 1)) * standard_error(values, share)
            rows.append((method, measure, mean, mean - reach, mean + reach, len(values)))
    return pd.DataFrame(rows, columns=["method", "measure", "mean", "low", "high", "n_splits"])


def compare_paired(table: pd.DataFrame, reference: str, measure: str = "accuracy") -> pd.DataFrame:
    """Compare a method with every other one, split by split.

    Parameters
    ----------
    table : pandas.DataFrame
        As in :func:`summarise`; every method on the same splits.
    reference : str
        The method that the others are compared with.
    measure : str
        Which measure.

    Returns
    -------
    pandas.DataFrame
        One row per other method: ``method``; ``difference``, the reference's mean minus this method's, with its 95 %
        interval ``low`` and ``high``; ``p_value``, two-sided, by the corrected resampled t-test; ``p_adjusted``, times
        the number of methods (Bonferroni), at most 1; ``not_worse``, whether the reference's mean is at least this
        method's and the one-sided 95 % bound of the difference is above -0.03.

    Raises
    ------
    ValueError
        If the reference is not in the table, a method was scored twice on a split, or two on different splits.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52.

    Examples
    --------
    >>> scores = {"A": [0.80, 0.70, 0.90], "B": [0.70, 0.65, 0.75]}
    >>> table = pd.DataFrame(
    ...     [(m, k, 70, 15, v) for m, values in scores.items() for k, v in enumerate(values)],
    ...     columns=["method", "split", "n_train", "n_test", "accuracy"],
    ... )
    >>> compare_paired(table, "A")[["method", "difference", "p_value"]].round(3).values.tolist()
    [['B', 0.1, 0.114]]
    """
    twice = table.loc[table.duplicated(["method", "split"]), "method"].unique()
    if len(twice):
        raise ValueError(f"one row per method and split is expected; some are there twice: {', '.join(twice)}")
    wide = table.pivot_table(index="split", columns="method", values=measure, dropna=False)
    if reference not in wide:
        raise ValueError(f"no scores of {reference!r}; there are {', '.join(map(str, wide.columns))}")
    if bool(wide.isna().to_numpy().any()):
        lacking = [str(name) for name in wide.columns[wide.isna().any()]]
        raise ValueError(f"every method must have been scored on the same splits; some lack {', '.join(lacking)}")
    share = float((table["n_test"] / table["n_train"]).mean())
    freedom = len(wide) - 1
    rows = []
    others = [name for name in table["method"].unique() if name != reference]
    for method in others:
        values = (wide[reference] - wide[method]).to_numpy(float).round(ROUND_OFF)
        mean, error = round(float(values.mean()), ROUND_OFF), standard_error(values, share)
        t = mean / error if error > 0 else np.inf * np.sign(mean) if mean else 0.0
        p = float(2 * stats.t.sf(abs(t), freedom))
        reach, one_sided = (float(stats.t.ppf(level, freedom)) * error for level in (0.975, 0.95))
        not_worse = mean >= 0 and mean - one_sided > -NOT_WORSE_MARGIN
        rows.append((method, mean, mean - reach, mean + reach, p, float(np.minimum(1.0, p * len(others))), not_worse))
    columns = ["method", "difference", "low", "high", "p_value", "p_adjusted", "not_worse"]
    return pd.DataFrame(rows, columns=columns)


def judge_chance(table: pd.DataFrame, measure: str = "auc", chance: float = 0.5) -> pd.DataFrame:
    """Test whether methods score other than by chance on independent cohorts in which there is nothing to find.

    Parameters
    ----------
    table : pandas.DataFrame
        As in :func:`summarise`, one split of a cohort of its own per row and method.
    measure : str
        Which measure.
    chance : float
        Its value by chance.

    Returns
    -------
    pandas.DataFrame
        ``method``, ``mean``, ``low``, ``high``, ``n_cohorts``, ``p_value`` of a two-sided t-test and ``p_adjusted``,
        times the number of methods, at most 1.
    """
    summary = summarise(table, independent=True).query("measure == @measure").drop(columns="measure")
    groups = {method: scores[measure].to_numpy(float) for method, scores in table.groupby("method", sort=False)}
    p = np.array([float(stats.ttest_1samp(groups[method], chance).pvalue) for method in summary["method"]])
    found = summary.rename(columns={"n_splits": "n_cohorts"})
    return found.assign(p_value=p, p_adjusted=np.minimum(1.0, p * len(p))).reset_index(drop=True)
