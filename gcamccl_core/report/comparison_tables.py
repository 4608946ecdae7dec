"""Tables of classifiers for the page: scores with their intervals beside the paper's, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from gcamccl_core.model.scores import MEASURES, compare_paired, summarise

ALONE = "alone"  # how the name of a method ends that saw one view


def lay_out_scores(
    table: pd.DataFrame, paper: pd.DataFrame | None = None, independent: bool = False, decimals: int = 2
) -> pd.DataFrame:
    """Write Table III: every method's mean scores with their 95 % intervals, beside the paper's own.

    Parameters
    ----------
    table : pandas.DataFrame
        Tidy, as in :func:`.summarise`.
    paper : pandas.DataFrame, optional
        Table III under our names of the methods: ``method`` and some of the measures.
    independent : bool
        As in :func:`.summarise`.
    decimals : int
        How many.

    Returns
    -------
    pandas.DataFrame
        One row per method, in the order of the table; columns ``("here", measure)``, text such as
        ``"0.75 (0.70 to 0.80)"``, and ``("paper", measure)``, empty where the paper has no such method.

    Examples
    --------
    >>> table = pd.DataFrame({"method": "SVM", "split": [0, 1], "n_train": 70, "n_test": 15, "auc": [0.74, 0.76]})
    >>> lay_out_scores(table).loc["SVM", ("here", "auc")]
    '0.75 (0.60 to 0.90)'
    """
    summary = summarise(table, independent)
    words = [
        f"{mean:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})"
        for mean, low, high in summary[["mean", "low", "high"]].to_numpy(float)
    ]
    measures = [name for name in MEASURES if name in table]
    wide = summary.assign(words=words).pivot_table(
        index="method", columns="measure", values="words", aggfunc="first", sort=False
    )
    parts = {"here": wide[measures]}
    if paper is not None:
        printed = paper.set_index("method").reindex(wide.index)
        parts["paper"] = printed[[name for name in measures if name in printed]].map(
            lambda value: "" if pd.isna(value) else f"{value:.{decimals}f}"
        )
    return pd.concat(parts, axis=1)


def lay_out_differences(
    tables: Mapping[str, pd.DataFrame], reference: str, independent: Sequence[str] = (), measure: str = "accuracy"
) -> pd.DataFrame:
    """Write on how many points a method is ahead of every other, cohort by cohort, and where that is more than luck.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Tidy tables as in :func:`.compare_paired`, by cohort.
    reference : str
        The method that the others are compared with; in every table.
    independent : sequence of str
        Cohorts whose splits are of a cohort each, and share nothing; their differences need no correction.
    measure : str
        Which measure.

    Returns
    -------
    pandas.DataFrame
        One row per other method, one column per cohort: the reference's mean minus the method's, with ``*`` where the
        p-value, times the number of methods, is below 0.05; empty where a cohort lacks the method.

    Examples
    --------
    >>> scores = {"network": [0.55, 0.56, 0.54, 0.55], "SVM": [0.74, 0.77, 0.75, 0.74]}
    >>> table = pd.DataFrame(
    ...     [(m, k, 70, 15, v) for m, values in scores.items() for k, v in enumerate(values)],
    ...     columns=["method", "split", "n_train", "n_test", "accuracy"],
    ... )
    >>> lay_out_differences({"clear": table}, "network").loc["SVM", "clear"]
    '-0.20*'
    """
    columns = {}
    for cohort, table in tables.items():
        apart = table.assign(n_test=0) if cohort in independent else table  # no shared people: nothing to correct for
        paired = compare_paired(apart, reference, measure).set_index("method")
        marks = ["*" if p < 0.05 else "" for p in paired["p_adjusted"]]
        columns[cohort] = pd.Series(
            [f"{value:+.2f}{mark}" for value, mark in zip(paired["difference"], marks, strict=True)], paired.index
        )
    order = list(dict.fromkeys(method for column in columns.values() for method in column.index))
    return pd.DataFrame(columns).reindex(order).fillna("").rename_axis("method")


def compare_with_best(
    tables: Mapping[str, pd.DataFrame],
    reference: str,
    others: Sequence[str],
    independent: Sequence[str] = (),
    measures: Sequence[str] = ("accuracy", "auc"),
) -> pd.DataFrame:
    """Compare a method with whichever of the others has the best mean, task by task and measure by measure.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Tidy tables as in :func:`.compare_paired`, by task.
    reference : str
        The method that is compared; in every table.
    others : sequence of str
        With whom; those that a table lacks are passed over, and so is a table that lacks them all.
    independent : sequence of str
        Tasks whose splits are of a cohort each, as in :func:`lay_out_differences`.
    measures : sequence of str
        Which measures.

    Returns
    -------
    pandas.DataFrame
        One row per ``task`` and ``measure``: the reference's ``mean``; ``best_other``, the one with the best mean, so
        that an advantage over it is an advantage over all; and of :func:`.compare_paired` ``difference``, ``low``,
        ``high``, ``p_value``, ``p_adjusted`` (times the number of others) and ``not_worse``.

    Raises
    ------
    ValueError
        If no table has any of the others, or one has them and not the reference.

    Examples
    --------
    >>> scores = {"network": [0.75, 0.76, 0.80], "SVM": [0.74, 0.70, 0.75], "tree": [0.60, 0.55, 0.65]}
    >>> table = pd.DataFrame(
    ...     [(m, k, 70, 15, v) for m, values in scores.items() for k, v in enumerate(values)],
    ...     columns=["method", "split", "n_train", "n_test", "accuracy"],
    ... )
    >>> found = compare_with_best({"clear": table}, "network", ["SVM", "tree"], measures=["accuracy"])
    >>> found[["task", "best_other", "difference", "not_worse"]].round(2).values.tolist()
    [['clear', 'SVM', 0.04, True]]
    """
    rows = []
    for task, table in tables.items():
        apart = table.assign(n_test=0) if task in independent else table  # no shared people: nothing to correct for
        chosen = apart[apart["method"].isin([reference, *others])]
        if not chosen["method"].isin(others).any():
            continue
        for measure in measures:
            paired = compare_paired(chosen, reference, measure)
            best = paired.sort_values("difference").iloc[0].to_dict()
            mean = chosen.loc[chosen["method"] == reference, measure].mean()
            rows.append({"task": task, "measure": measure, "mean": mean, "best_other": best.pop("method"), **best})
    if not rows:
        raise ValueError(f"no table has any of {', '.join(others)}; there are {', '.join(tables) or 'no tables'}")
    return pd.DataFrame(rows)


def lay_out_options(table: pd.DataFrame, measure: str = "auc", decimals: int = 2) -> pd.DataFrame:
    """Write what an option does to every method, split by split, against the same splits without it.

    Parameters
    ----------
    table : pandas.DataFrame
        Tidy, as in :func:`.compare_paired`, with a column ``option``: ``"<splits>, <what is done>"`` beside the
        ``"<splits>"`` with which it shares its splits.
    measure : str
        Which measure.
    decimals : int
        How many.

    Returns
    -------
    pandas.DataFrame
        One row per method, one column per option with something done: the mean with it minus the mean without, and
        the corrected 95 % interval, text such as ``"-0.03 (-0.08 to +0.02)"``.

    Examples
    --------
    >>> rows = [("random", 0, 0.7), ("random", 1, 0.8)]
    >>> rows += [("random, site removed", 0, 0.6), ("random, site removed", 1, 0.7)]
    >>> table = pd.DataFrame(rows, columns=["option", "split", "auc"])
    >>> lay_out_options(table.assign(method="SVM", n_train=70, n_test=15)).loc["SVM", "random, site removed"]
    '-0.10 (-0.10 to -0.10)'
    """
    columns = {}
    options = list(dict.fromkeys(table["option"]))
    for option in options:
        without = str(option).split(",")[0]
        if option == without or without not in options:
            continue
        words = {}
        for method, scores in table[table["option"].isin([option, without])].groupby("method", sort=False):
            row = compare_paired(scores.assign(method=scores["option"]), option, measure).iloc[0]
            interval = f"{row['low']:+.{decimals}f} to {row['high']:+.{decimals}f}"
            words[method] = f"{row['difference']:+.{decimals}f} ({interval})"
        columns[option] = pd.Series(words)
    return pd.DataFrame(columns).rename_axis("method")


def views_alone(tables: Mapping[str, pd.DataFrame], measure: str = "auc") -> pd.DataFrame:
    """Lay the mean score of every method on all views beside its mean score on each view alone.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Tidy tables, by cohort, in which some methods are named ``"<method>, <view> alone"``.
    measure : str
        Which measure.

    Returns
    -------
    pandas.DataFrame
        One row per method that was scored on single views; columns ``(cohort, "together" or view)``.

    Examples
    --------
    >>> table = pd.DataFrame({"method": ["SVM", "SVM, fc alone"], "auc": [0.8, 0.7]})
    >>> views_alone({"clear": table}).loc["SVM"].to_list()
    [0.8, 0.7]
    """
    columns: dict[tuple[str, str], pd.Series] = {}
    for cohort, table in tables.items():
        parts = table["method"].str.extract(rf"^(?P<method>.*), (?P<view>[^,]+) {ALONE}$")
        named = table.assign(method=parts["method"].fillna(table["method"]), view=parts["view"].fillna("together"))
        named = named[named["method"].isin(parts["method"].dropna())]
        for view in dict.fromkeys(named["view"]):
            columns[cohort, str(view)] = named[named["view"] == view].groupby("method", sort=False)[measure].mean()
    return pd.DataFrame(columns)
