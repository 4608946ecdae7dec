"""The recommended model, what its parts bring, and a plain classifier with its gates, on the splits of Table III."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from gcamccl_core.data.cohort import Split, make_splits
from gcamccl_core.model.comparators import COMPARATORS, choose_setting, fit_comparator, score_on_test
from gcamccl_core.model.evaluation import FUSED, evaluate
from gcamccl_core.model.features import flatten_views, make_preparation, view_columns
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.rotation import Rotation, correlation_ratio
from gcamccl_core.model.scores import score_predictions, summarise
from gcamccl_core.model.setting_choice import EXPONENTS
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import TABLE, cached
from workflow.cohorts import open_once
from workflow.naming import slug
from workflow.tables.classification import TABLES as CLASSIFICATION
from workflow.units import Made, gather

RECOMMENDED = f"{FUSED}, recommended"
REFITTED = "refitted"  # once settings are chosen, on the training and the validation part together
GATED = "linear SVM with gates"  # what gates alone bring, without Eq. 12
KERNELS = {"batch_size": 16, "learning_rate": 1e-3}  # of the pathways that are trained epoch by epoch
VARIANTS: dict[str, Callable[[], Recipe]] = {
    RECOMMENDED: Recipe.recommended,
    "without gates": partial(Recipe.recommended, gates=False),
    "without agreement": partial(Recipe.recommended, agreement=0.0),
    "views' probabilities averaged": partial(Recipe.recommended, combine="mean"),
    "rows and blocks alone": partial(
        Recipe.recommended, image=("rows",), vector=("blocks",), combine="mean", **KERNELS
    ),
    "with rows and blocks": partial(
        Recipe.recommended, image=("rows", "linear"), vector=("blocks", "linear"), **KERNELS
    ),
}
TABLES: dict[str, dict[str, Any]] = {
    name.replace("classification", "recommended"): {
        **{key: parameters[key] for key in ("source", "n_splits", "seed", "scheme", "independent")},
        "variants": [*VARIANTS, REFITTED, GATED],
    }
    for name, parameters in CLASSIFICATION.items()
}
TABLES |= {  # cohorts that nothing was ever tried on
    f"recommended_fresh_{regime}": {
        "source": {"cohort": "simulated", "regime": regime},
        "n_splits": 20,
        "seed": 1000,
        "scheme": "subjects",
        "independent": True,
        "variants": [RECOMMENDED, REFITTED, GATED],
    }
    for regime in ("clear", "realistic")  # scattered is decided on the splits of Table III already
}


def make(
    store: str,
    jobs: int,
    source: Mapping[str, Any],
    n_splits: int,
    seed: int,
    scheme: str,
    independent: bool,
    variants: Sequence[str],
) -> Made:
    """Train and score every variant on every split of one cohort, or on one split each of as many cohorts.

    The recommended recipe has no use for a validation part. So that this is neither wasted nor an advantage, the
    recommended model and the classical methods are also scored once more, ``"<method>, refitted"``, trained on the
    training and the validation part. No method of Table III weighs features by what each shows by itself, so a linear
    support vector machine with gates stands beside them.

    Parameters
    ----------
    store, jobs, source, n_splits, seed, scheme, independent
        As for Table III, whose splits these are, except those of fresh cohorts.
    variants : list of str
        Keys of ``VARIANTS``, ``REFITTED`` and ``GATED``.

    Returns
    -------
    Made
        Columns of :func:`.compare`; ``validation_cross_entropy``; ``epoch``, the one selected, 0 where linear
        pathways alone did best; ``agreement``, the weight of the second term of Eq. 12 that the folds chose. Views
        alone are scored in the recommended model.
    """
    work = partial(score_unit, store, dict(source), seed, scheme, independent)
    units = [(name, number) for number, name in product(range(n_splits), variants)]  # cohort by cohort
    return gather(work, units, jobs)


def score_unit(
    store: str, source: dict[str, Any], seed: int, scheme: str, independent: bool, unit: tuple[str, int]
) -> tuple[pd.DataFrame, str]:
    """Score a variant or the plain classifier with gates on one split; what is in the store is not computed again."""
    name, number = unit
    if name != GATED:
        return score_variant(store, source, seed, scheme, independent, unit)
    cohort = open_once(**source, seed=seed + number if independent else seed)
    split = make_splits(cohort, 1, scheme, seed + number)[0]
    code = [hash_module(f"gcamccl_core.model.{module}", "model") for module in ("comparators", "additive")]
    code += [code_of(inspect.getsource(function)) for function in (score_gated, _gate)]
    key = {"data": hash_data(cohort), "split": split, "code": code}
    scores = cached(store, "gated", key, lambda: score_gated(cohort, split), TABLE)
    return scores.assign(split=number), hash_data(cohort)


def score_variant(
    store: str, source: dict[str, Any], seed: int, scheme: str, independent: bool, unit: tuple[str, int]
) -> tuple[pd.DataFrame, str]:
    """Score one variant on one split, and hash its cohort; what is in the store is not computed again."""
    name, number = unit
    cohort = open_once(**source, seed=seed + number if independent else seed)
    split = make_splits(cohort, 1, scheme, seed + number)[0]
    if name == REFITTED:
        scores = _keep_refitted(store, cohort, split, seed + number)
        methods = scores["method"].str.replace(FUSED, RECOMMENDED) + f", {REFITTED}"
        return scores.assign(method=methods, split=number), hash_data(cohort)
    recipe, views_alone = VARIANTS[name](), name == RECOMMENDED

    def train_and_score() -> pd.DataFrame:
        kept = f"{store}/models" if name == RECOMMENDED else None  # for the tables of its maps and probabilities
        fitted = fit(cohort, split, recipe, seed + number, kept, progress=False)
        looked = fitted.history.query("part == 'validation'").set_index("epoch")["cross_entropy"]
        epoch = fitted.selected[recipe.select]
        return evaluate([fitted], cohort, views_alone=views_alone).assign(
            validation_cross_entropy=looked[epoch], epoch=epoch, agreement=fitted.agreement
        )

    code = [hash_module(f"gcamccl_core.model.{module}", "model") for module in ("evaluation", "training")]
    code.append(code_of(inspect.getsource(score_variant)))
    key = {"data": hash_data(cohort), "split": split, "recipe": recipe, "seed": seed + number, "code": code}
    key |= {"views_alone": views_alone}
    scores = cached(store, "recommended", key, train_and_score, TABLE)
    return scores.assign(method=scores["method"].str.replace(FUSED, name), split=number), hash_data(cohort)


def _keep_refitted(store: str, cohort: xr.Dataset, split: Split, seed: int) -> pd.DataFrame:
    modules = ("comparators", "evaluation", "training")
    code = [hash_module(f"gcamccl_core.model.{module}", "model") for module in modules]
    code.append(code_of(inspect.getsource(score_refitted)))
    key = {"data": hash_data(cohort), "split": split, "seed": seed, "code": code}
    return cached(store, "refitted", key, lambda: score_refitted(cohort, split, seed), TABLE)


def score_refitted(cohort: xr.Dataset, split: Split, seed: int) -> pd.DataFrame:
    """Score the recommended model and all comparators, trained on the training and the validation part together."""
    both = replace(split, train=np.concatenate([split.train, split.validation]), validation=split.validation[:0])
    ours = evaluate([fit(cohort, both, Recipe.recommended(), seed, progress=False)], cohort, views_alone=False)
    features, blocks, label = flatten_views(cohort), view_columns(cohort), cohort["label"].to_numpy()
    rows = []
    for name, method in COMPARATORS.items():
        chosen = fit_comparator(name, features, label, split, blocks, seed)[-1]
        again = make_pipeline(make_preparation(blocks, method.rotate), clone(chosen))
        again.fit(features[both.train], label[both.train])
        rows.append({"method": name, **score_on_test(again, features, label, both, 0)})
    return pd.concat([ours, pd.DataFrame(rows)], ignore_index=True)


def score_gated(cohort: xr.Dataset, split: Split) -> pd.DataFrame:
    """Score the linear support vector machine of Table III on gated features, exponent and C by the validation part."""
    features, blocks, label = flatten_views(cohort), view_columns(cohort), cohort["label"].to_numpy()
    best, chosen = -np.inf, (0.0, None)
    for exponent in EXPONENTS:
        train, validation = _gate(features, blocks, label, split.train, split.validation, exponent)
        parts = (train, label[split.train]), (validation, label[split.validation])
        machine = choose_setting(COMPARATORS["linear SVM"], *parts)
        auc = roc_auc_score(label[split.validation], machine.decision_function(validation))
        if auc > best:  # ties go to the weaker gates
            best, chosen = auc, (exponent, machine)
    exponent, machine = chosen
    both = np.concatenate([split.train, split.validation])
    rows = []
    for name, part in {GATED: split.train, f"{GATED}, {REFITTED}": both}.items():
        seen, new = _gate(features, blocks, label, part, split.test, exponent)
        again = clone(machine).fit(seen, label[part])
        scores = score_predictions(label[split.test], again.predict(new), again.decision_function(new))
        rows.append({"method": name, "n_train": len(part), "n_test": len(split.test), **scores})
    return pd.DataFrame(rows)


def _gate(
    features: np.ndarray,
    blocks: Mapping[str, slice],
    label: np.ndarray,
    train: np.ndarray,
    others: np.ndarray,
    exponent: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Prepare both parts as :func:`.make_preparation` does, with gates of the training subjects in every view."""
    filled = SimpleImputer(keep_empty_features=True).fit(features[train])
    seen, new = filled.transform(features[train]), filled.transform(features[others])
    total = sum((columns.stop - columns.start) ** 0.5 for columns in blocks.values())
    parts = []
    for columns in blocks.values():
        n_features = columns.stop - columns.start
        strength = correlation_ratio(seen[:, columns], label[train])
        rotation = Rotation(seen[:, columns], np.ones(n_features, dtype=int), strength, exponent)
        weight = (n_features**0.5 / total) ** 0.5
        parts.append((weight * rotation.coordinates, weight * rotation.transform(new[:, columns])))
    return np.concatenate([part[0] for part in parts], axis=1), np.concatenate([part[1] for part in parts], axis=1)


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the numbers that prose may quote, ``recommended_<cohort>_<variant>_<measure>`` with ``_interval``.

    Examples
    --------
    >>> scores = {"method": RECOMMENDED, "split": [0, 1], "n_train": 70, "n_test": 15, "accuracy": [0.7, 0.8]}
    >>> quote(pd.DataFrame(scores), TABLES["recommended_clear"])["recommended_clear_gcam_ccl_recommended_accuracy"]
    '0.75'
    """
    source = parameters["source"]
    fresh = "fresh_" if parameters["seed"] else ""
    prefix = f"recommended_{fresh}{source.get('regime') or 'abide_' + source['label']}"
    numbers: dict[str, object] = {f"{prefix}_n_splits": int(table["split"].nunique())}
    for row in summarise(table, parameters["independent"]).itertuples():
        name = f"{prefix}_{slug(str(row.method))}_{row.measure}"
        numbers |= {name: f"{row.mean:.2f}", f"{name}_interval": f"{row.low:.2f} to {row.high:.2f}"}
    return numbers
