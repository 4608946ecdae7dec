"""Table III, regenerated: every classifier of the paper on the same splits, both views together and each alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from textwrap import dedent
from typing import Any

import pandas as pd
import xarray as xr

from gcamccl_core.data.cohort import Split, make_splits
from gcamccl_core.data.sources import open_cohort
from gcamccl_core.model.comparators import COMPARATORS, compare
from gcamccl_core.model.evaluation import FUSED, evaluate, evaluate_features
from gcamccl_core.model.fitted import Fitted
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.scores import compare_paired, summarise
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import TABLE, cached
from workflow.units import Made, run_units

CHOSEN = f"{FUSED}, learning rate chosen"

SHARED: dict[str, Any] = {
    "n_splits": 20,
    "seed": 0,
    "scheme": "subjects",
    "independent": False,
    "precision": "bfloat16",
    "learning_rates": [],  # for the network to choose from, as the others choose from their settings
}
CHOICE = [1e-4, 1e-3]
TABLES: dict[str, dict[str, Any]] = {
    f"classification_{regime}": {**SHARED, "source": {"cohort": "simulated", "regime": regime}}
    for regime in ("clear", "realistic", "scattered")
}
TABLES["classification_clear"]["learning_rates"] = CHOICE
TABLES["classification_null"] = {
    **SHARED,
    "source": {"cohort": "simulated", "regime": "null"},
    "independent": True,  # a cohort of its own for every split: the leakage test
}
TABLES |= {
    f"classification_abide_{label}": {**SHARED, "source": {"cohort": "abide", "label": label}}
    for label in ("fiq", "age", "sex", "diagnosis")
}
TABLES["classification_abide_fiq"]["learning_rates"] = CHOICE


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
    learning_rates : list of float
        Which ones the network may choose from, see :func:`score_methods`.

    Returns
    -------
    Made
        Columns of :func:`.compare`; numbers as in :func:`quotable`.
    """
    work = partial(score_split, store, dict(source), seed, scheme, independent, precision, learning_rates)
    tables, data = zip(*run_units(work, range(n_splits), jobs), strict=True)
    table = pd.concat(tables, ignore_index=True)
    label = source.get("regime") or f"abide_{source['label']}"
    return Made(table.round(6), quotable(f"classification_{label}", table, independent), data)


def score_split(
    store: str,
    source: dict[str, Any],
    seed: int,
    scheme: str,
    independent: bool,
    precision: str,
    learning_rates: list[float],
    number: int,
) -> tuple[pd.DataFrame, str]:
    """Score all methods on one split, and hash its cohort; what is in the store is not computed again."""
    cohort_seed = seed + number if independent else seed
    cohort = open_once(**source, seed=cohort_seed)
    split = make_splits(cohort, 1, scheme, seed + number)[0]
    scores = score_methods(store, cohort, split, number, seed + number, precision, learning_rates)
    return scores, hash_data(cohort)


def score_methods(
    store: str,
    cohort: xr.Dataset,
    split: Split,
    number: int,
    seed: int,
    precision: str,
    learning_rates: list[float],
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
    learning_rates : list of float
        If there are any, the network is trained with each; :data:`CHOSEN` is the one with the least cross-entropy on
        the validation part.

    Returns
    -------
    pandas.DataFrame
        Columns of :func:`.compare`.
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
            lambda: compare(cohort, [split], seed=seed, progress=False, views_alone=True),
            hash_module("gcamccl_core.model.comparators", "model"),
            kind=list(COMPARATORS),
        ),
    ]
    if learning_rates:
        chosen = partial(_score_chosen, train, cohort, precision, learning_rates)
        parts.insert(1, keep(chosen, [_code(_score_chosen), *trained], kind=precision, learning_rates=learning_rates))
    return pd.concat(parts, ignore_index=True).assign(split=number)


def _code(function: Callable[..., object]) -> str:
    return code_of(dedent(inspect.getsource(function)))


def _score_chosen(
    train: Callable[[Recipe], Fitted], cohort: xr.Dataset, precision: str, learning_rates: list[float]
) -> pd.DataFrame:
    tried = [train(Recipe.demo(precision=precision, learning_rate=rate)) for rate in learning_rates]
    least = [one.history.query("part == 'validation'")["cross_entropy"].min() for one in tried]
    best = tried[least.index(min(least))]
    return evaluate([best], cohort, views_alone=False).assign(method=CHOSEN)


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


@lru_cache(maxsize=1)
def open_once(**source: Any) -> xr.Dataset:
    """Open a cohort and keep it: a process scores many splits of the same."""
    return open_cohort(**source, progress=False)


def quotable(prefix: str, table: pd.DataFrame, independent: bool = False) -> dict[str, object]:
    """Give the numbers that prose may quote, named by table, method, measure and what is said of it.

    Examples
    --------
    >>> scores = {"method": "linear SVM", "split": [0, 1], "n_train": 70, "n_test": 15, "accuracy": [0.7, 0.8]}
    >>> quotable("clear", pd.DataFrame(scores))["clear_linear_svm_accuracy"]
    '0.75'
    """
    numbers: dict[str, object] = {f"{prefix}_n_splits": int(table["split"].nunique())}
    for row in summarise(table, independent).itertuples():
        name = f"{prefix}_{slug(str(row.method))}_{row.measure}"
        numbers |= {name: f"{row.mean:.2f}", f"{name}_interval": f"{row.low:.2f} to {row.high:.2f}"}
    if FUSED in set(table["method"]):
        for row in compare_paired(table, FUSED).itertuples():
            numbers[f"{prefix}_ours_less_{slug(str(row.method))}"] = f"{row.difference:+.2f}"
    return numbers


def slug(name: str) -> str:
    """Write a method's name as part of a number's name.

    Examples
    --------
    >>> slug("CCL by Eq. 12+SVM")
    'ccl_by_eq_12_svm'
    """
    return "_".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())
