"""Table III, regenerated: every classifier of the paper on the same splits, both views together and each alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from textwrap import dedent
from typing import Any

import pandas as pd
import xarray as xr

from gcamccl_core.data.cohort import Split, make_splits
from gcamccl_core.model.canonical import compare_cca
from gcamccl_core.model.comparators import COMPARATORS, compare
from gcamccl_core.model.evaluation import FUSED, evaluate, evaluate_features
from gcamccl_core.model.fitted import Fitted
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.scores import compare_paired, summarise
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import TABLE, cached
from workflow.cohorts import open_once
from workflow.naming import signed, slug
from workflow.units import Made, gather

CHOSEN = f"{FUSED}, learning rate chosen"

SHARED: dict[str, Any] = {
    "n_splits": 20,
    "seed": 0,
    "scheme": "subjects",
    "independent": False,
    "precision": "bfloat16",
    "learning_rates": [],  # for the network to choose from, as the others choose from their settings
    "dcca": False,
}
CHOICE = [1e-4, 1e-3, 1e-2]
TABLES: dict[str, dict[str, Any]] = {
    f"classification_{regime}": {**SHARED, "source": {"cohort": "simulated", "regime": regime}}
    for regime in ("clear", "realistic", "scattered")
}
TABLES["classification_null"] = {
    **SHARED,
    "source": {"cohort": "simulated", "regime": "null"},
    "independent": True,  # a cohort of its own for every split: the leakage test
}
TABLES |= {
    f"classification_abide_{label}": {**SHARED, "source": {"cohort": "abide", "label": label}}
    for label in ("fiq", "age", "sex", "diagnosis")
}
for name in ("clear", "abide_fiq"):  # each rate is another network
    TABLES[f"classification_{name}"]["learning_rates"] = CHOICE
TABLES["classification_clear"]["dcca"] = True


def make(
    store: str,
    jobs: int,
    source: Mapping[str, Any],
    n_splits: int,
    seed: int,
    scheme: str,
    independent: bool,
    precision: str,
    learning_rates: list[float],
    dcca: bool,
) -> Made:
    """Score all methods on the same splits of one cohort, or on one split each of as many cohorts.

    Parameters
    ----------
    store : str
        Folder that keeps networks and scores, so that a stopped run goes on.
    jobs : int
        Processes at work at once.
    source : mapping
        What :func:`.open_cohort` takes.
    n_splits, seed, scheme
        As in :func:`.make_splits`; the k-th network starts from seed + k.
    independent : bool
        Simulate a cohort per split, with the seed of the split.
    precision : str
        Of the networks' training, see :class:`.Recipe`.
    learning_rates, dcca
        Of the networks that are trained beside the demo recipe's, see :func:`score_methods`.

    Returns
    -------
    Made
        Columns of :func:`.compare`.
    """
    networks = {"precision": precision, "learning_rates": learning_rates, "dcca": dcca}
    work = partial(score_split, store, dict(source), seed, scheme, independent, networks)
    return gather(work, range(n_splits), jobs)


def score_split(
    store: str,
    source: dict[str, Any],
    seed: int,
    scheme: str,
    independent: bool,
    networks: Mapping[str, Any],
    number: int,
) -> tuple[pd.DataFrame, str]:
    """Score all methods on one split, and hash its cohort; what is in the store is not computed again."""
    cohort_seed = seed + number if independent else seed
    cohort = open_once(**source, seed=cohort_seed)
    split = make_splits(cohort, 1, scheme, seed + number)[0]
    scores = score_methods(store, cohort, split, number, seed + number, **networks)
    return scores, hash_data(cohort)


def score_methods(
    store: str,
    cohort: xr.Dataset,
    split: Split,
    number: int,
    seed: int,
    precision: str,
    learning_rates: Sequence[float] = (),
    dcca: bool = False,
) -> pd.DataFrame:
    """Score the networks with their own and with other readers, and the classical classifiers.

    Parameters
    ----------
    store : str
        Folder that keeps networks and scores.
    cohort, split, seed
        Whom to train and test, and what random numbers to start from.
    number : int
        Of the split, for the table.
    precision : str
        Of the networks' training.
    learning_rates : sequence of float
        If there are any, the network is trained with each; :data:`CHOSEN` is the one with the least cross-entropy on
        the validation part, by which its epoch is chosen as well.
    dcca : bool
        Train by Eq. 3, too, for other classifiers to read.

    Returns
    -------
    pandas.DataFrame
        Columns of :func:`.compare`, and ``learning_rate``, the one chosen.
    """
    key = {"data": hash_data(cohort), "split": split, "number": number, "seed": seed}
    train = partial(fit, cohort, split, seed=seed, out=f"{store}/models", progress=False)

    def keep(make: Callable[[], pd.DataFrame], code: object, **settings: object) -> pd.DataFrame:
        return cached(store, "scores", {**key, **settings, "code": code}, make, TABLE)

    trained = [hash_module(f"gcamccl_core.model.{name}", "model") for name in ("evaluation", "training")]
    parts = [
        keep(
            lambda: _score_networks(train, cohort, seed, precision), [_code(_score_networks), *trained], kind=precision
        ),
        keep(
            lambda: compare_cca(cohort, [split], seed),
            hash_module("gcamccl_core.model.canonical", "model"),
            kind="CCA",
        ),
        keep(
            lambda: compare(cohort, [split], seed=seed, progress=False, views_alone=True),
            hash_module("gcamccl_core.model.comparators", "model"),
            kind=list(COMPARATORS),
        ),
    ]
    if learning_rates:
        chosen = partial(_score_chosen, train, cohort, precision, learning_rates)
        rates = {"learning_rates": list(learning_rates)}
        parts.insert(1, keep(chosen, [_code(_score_chosen), *trained], kind=precision, **rates))
    if dcca:
        fused = partial(_score_dcca, train, cohort, seed, precision)
        parts.insert(1, keep(fused, [_code(_score_dcca), *trained], kind=precision))
    return pd.concat(parts, ignore_index=True).assign(split=number)


def _code(function: Callable[..., object]) -> str:
    return code_of(dedent(inspect.getsource(function)))


def _score_chosen(
    train: Callable[[Recipe], Fitted], cohort: xr.Dataset, precision: str, learning_rates: Sequence[float]
) -> pd.DataFrame:
    tried = []
    for rate in learning_rates:
        with suppress(FloatingPointError):  # too high a rate: not a choice
            tried.append(train(Recipe.demo(precision=precision, learning_rate=rate)))
    least = [one.history.query("part == 'validation'")["cross_entropy"].min() for one in tried]
    best = tried[least.index(min(least))]
    scores = evaluate([best], cohort, views_alone=False)
    return scores.assign(method=CHOSEN, learning_rate=best.recipe.learning_rate)


def _score_dcca(train: Callable[[Recipe], Fitted], cohort: xr.Dataset, seed: int, precision: str) -> pd.DataFrame:
    return evaluate_features([train(Recipe.features("dcca", precision=precision))], cohort, "DCCA", seed)


def _score_networks(train: Callable[[Recipe], Fitted], cohort: xr.Dataset, seed: int, precision: str) -> pd.DataFrame:
    ours, dcl = train(Recipe.demo(precision=precision)), train(Recipe.features("dcl", precision=precision))
    published = evaluate([ours], cohort, select="loss", views_alone=False)
    parts = [
        evaluate([ours], cohort),
        published.assign(method=f"{FUSED}, epoch by Eq. 12"),
        evaluate_features([dcl], cohort, "CCL", seed),
        evaluate_features([ours], cohort, "CCL by Eq. 12", seed),
    ]
    return pd.concat(parts, ignore_index=True)


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the numbers that prose may quote, named by table, method, measure and what is said of it.

    Examples
    --------
    >>> scores = {"method": "linear SVM", "split": [0, 1], "n_train": 70, "n_test": 15, "accuracy": [0.7, 0.8]}
    >>> quote(pd.DataFrame(scores), TABLES["classification_clear"])["classification_clear_linear_svm_accuracy"]
    '0.75'
    """
    source, independent = parameters["source"], parameters["independent"]
    prefix = f"classification_{source.get('regime') or 'abide_' + source['label']}"
    numbers: dict[str, object] = {f"{prefix}_n_splits": int(table["split"].nunique())}
    for row in summarise(table, independent).itertuples():
        name = f"{prefix}_{slug(str(row.method))}_{row.measure}"
        numbers |= {name: f"{row.mean:.2f}", f"{name}_interval": f"{row.low:.2f} to {row.high:.2f}"}
    together = table[~table["method"].str.endswith(" alone")]
    together = together.assign(n_test=0) if independent else together  # no people shared: nothing to correct for
    for name, ours in {"ours": FUSED, "chosen": CHOSEN}.items():
        for measure in [each for each in ("accuracy", "auc") if each in table and ours in set(together["method"])]:
            for row in compare_paired(together, ours, measure).itertuples():
                pair = f"{prefix}_{name}_less_{slug(str(row.method))}" + ("_auc" if measure == "auc" else "")
                numbers |= quote_pair(pair, row) | {f"{pair}_p": f"{row.p_adjusted:.2f}"}
    numbers |= {f"{prefix}_{name}": value for name, value in quote_network(table, independent).items()}
    if "learning_rate" in table:
        for rate, count in table["learning_rate"].value_counts().items():
            numbers[f"{prefix}_chose_{rate:.0e}".replace("-", "_")] = int(count)
    return numbers


def quote_network(table: pd.DataFrame, independent: bool) -> dict[str, object]:
    """Give what the network does with the two classes, and what the better view alone would do, paired.

    Examples
    --------
    >>> scores = {"method": FUSED, "split": [0, 1], "n_train": 70, "n_test": 15, "accuracy": 0.9}
    >>> table = pd.DataFrame({**scores, "sensitivity": 0.0, "specificity": 1.0})
    >>> numbers = quote_network(table, independent=False)
    >>> numbers["larger_class"], numbers["sensitivity_less_specificity"]
    ('90 %', '-1.00')
    """
    numbers: dict[str, object] = {}
    rows = table[table["method"] == FUSED]
    if {"sensitivity", "specificity"} <= set(table) and len(rows) > 1:
        # accuracy is the mean of the two recalls, each weighed by the share of its class
        apart = rows[(rows["sensitivity"] - rows["specificity"]).abs() > 1e-6]
        positive = (apart["accuracy"] - apart["specificity"]) / (apart["sensitivity"] - apart["specificity"])
        if len(positive):
            numbers["larger_class"] = f"{100 * max(positive.median(), 1 - positive.median()):.0f} %"
        both = pd.concat([rows.assign(method=name, recall=rows[name]) for name in ("sensitivity", "specificity")])
        both = both.assign(n_test=0) if independent else both
        row = next(compare_paired(both, "sensitivity", "recall").itertuples())
        numbers |= quote_pair("sensitivity_less_specificity", row) | {
            "sensitivity_less_specificity_p": f"{row.p_value:.2f}"
        }
    for method in (FUSED, "linear SVM"):
        alone = table[table["method"].str.startswith(f"{method}, ") & table["method"].str.endswith(" alone")]
        if len(alone):
            means = alone.groupby("method")["accuracy"].mean()
            pair = table[table["method"].isin([method, means.idxmax()])]
            pair = pair.assign(n_test=0) if independent else pair
            row = next(compare_paired(pair, method).itertuples())
            numbers |= quote_pair(f"{slug(method)}_less_better_view", row)
    return numbers


def quote_pair(name: str, row: Any) -> dict[str, object]:
    """Give a paired difference and its interval, from a row of :func:`.compare_paired`."""
    return {name: signed(row.difference), f"{name}_interval": f"{signed(row.low)} to {signed(row.high)}"}
