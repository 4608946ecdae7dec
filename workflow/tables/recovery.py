"""What the recommended model's maps find of what was planted, beside weights, a t-test and random weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.cohort import Split, make_splits
from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.activation_patterns import activation_patterns
from gcamccl_core.maps.combined_maps import contrast_classes
from gcamccl_core.maps.dataset import is_image, map_views, symmetric_name
from gcamccl_core.maps.evidence import scorecard
from gcamccl_core.maps.map_comparison import compare_maps
from gcamccl_core.maps.random_weights import random_weights_like
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import TABLE, cached
from workflow.cohorts import open_once
from workflow.naming import slug
from workflow.units import Made, gather

EVERYONE, UNSEEN = "pattern over everyone", "pattern over people not trained on"
TRAINED = "pattern over the training part"
OWN, OTHERS = "pattern of the view's own score", "pattern of the other views' score"
OTHERS_UNSEEN = "pattern of the other views' score, over people not trained on"
WEIGHTS, LINEAR = "weights", "weights without gates and agreement"
T_TEST, RANDOM = "t-test", "pattern of random weights"
MEASURES = ("average_precision", "auroc", "auroc_within_block", "precision_at_k", "chance")
DRAWS = 3  # of random weights, on every split

TABLES: dict[str, dict[str, Any]] = {
    f"recovery_{regime}": {
        "source": {"cohort": "simulated", "regime": regime},
        "n_splits": 20,
        "seed": 0,
        "scheme": "subjects",
    }
    for regime in ("clear", "realistic", "scattered")
}


def make(store: str, jobs: int, source: Mapping[str, Any], n_splits: int, seed: int, scheme: str) -> Made:
    """Map the recommended model of every split of one cohort.

    Parameters
    ----------
    store, jobs, source, n_splits, seed, scheme
        As for Table III, whose splits these are.

    Returns
    -------
    Made
        One row per ``split``, ``view``, ``target_class`` and ``method``: measures of :func:`.scorecard`, and
        ``random_likeness``, the mean size of the rank correlation with the same map of random weights.
    """
    work = partial(map_split, store, dict(source), seed, scheme)
    return gather(work, range(n_splits), jobs)


def map_split(store: str, source: dict[str, Any], seed: int, scheme: str, number: int) -> tuple[pd.DataFrame, str]:
    """Map the model of one split, and hash its cohort; what is in the store is not computed again."""
    cohort = open_once(**source, seed=seed)
    split = make_splits(cohort, 1, scheme, seed + number)[0]
    maps = ("evidence", "activation", "activation_patterns", "combined_maps", "map_comparison", "random_weights")
    code = [
        hash_module("gcamccl_core.model.training", "model"),
        *(hash_module(f"gcamccl_core.maps.{name}", "maps") for name in maps),
        *(code_of(inspect.getsource(function)) for function in (_map_split, _likeness)),
    ]
    names = [EVERYONE, UNSEEN, TRAINED, OWN, OTHERS, OTHERS_UNSEEN, WEIGHTS, LINEAR, T_TEST, RANDOM]
    key = {"data": hash_data(cohort), "split": split, "seed": seed + number, "code": code, "kept": [names, DRAWS]}
    table = cached(store, "recovery", key, lambda: _map_split(cohort, split, seed + number, f"{store}/models"), TABLE)
    return table.assign(split=number), hash_data(cohort)


def _map_split(cohort: xr.Dataset, split: Split, seed: int, models: str) -> pd.DataFrame:
    net = fit(cohort, split, Recipe.recommended(), seed, models, progress=False).net
    linear = fit(cohort, split, Recipe.recommended(gates=False, agreement=0.0), seed, progress=False).net
    label = cohort["label"].to_numpy()
    mapped = [int(split.test[label[split.test] == number][0]) for number in range(net.n_classes)]
    everyone = np.arange(len(label))
    unseen = np.setdiff1d(everyone, split.train)
    pattern = partial(activation_patterns, cohort=cohort, progress=False)

    def weights(of: CollaborativeNet) -> xr.Dataset:
        """Weights of standardised features: the gradient, which is the same for everyone, times the spread."""
        maps = contrast_classes(compute_maps(of, cohort, ["gradient"], subjects=mapped, progress=False))
        for view in map_views(maps):
            spread = of.prepare(cohort, split.train)[view][:, 0].std(dim=0).numpy()
            for name in [view, symmetric_name(view)] if is_image(maps, view) else [view]:
                maps[name] = maps[name].copy(data=maps[name].to_numpy() * spread)
        return maps

    maps = {
        EVERYONE: pattern(net, subjects=everyone),
        UNSEEN: pattern(net, subjects=unseen),
        TRAINED: pattern(net, subjects=split.train),
        OWN: pattern(net, subjects=everyone, score="view"),
        OTHERS: pattern(net, subjects=everyone, score="others"),
        OTHERS_UNSEEN: pattern(net, subjects=unseen, score="others"),
        WEIGHTS: weights(net),
        LINEAR: weights(linear),
    }
    randomised = [random_weights_like(net, DRAWS * seed + draw) for draw in range(DRAWS)]  # others on every split
    controls = {RANDOM: pattern(randomised[0], subjects=everyone)} | {name: maps[name] for name in list(maps)[1:]}
    scores = scorecard(maps[EVERYONE], cohort, split.train, controls)
    names = {"model": EVERYONE, "univariate": T_TEST}
    scores = scores[~scores["method"].isin(["mean_value", "chance"]) & (scores["source"] != "the other class")]
    scores = scores.assign(method=scores["source"].replace(names)).drop(columns=["source", "k", "units"])
    likeness = {
        EVERYONE: _likeness(maps[EVERYONE], [pattern(each, subjects=everyone) for each in randomised]),
        UNSEEN: _likeness(maps[UNSEEN], [pattern(each, subjects=unseen) for each in randomised]),
        OWN: _likeness(maps[OWN], [pattern(each, subjects=everyone, score="view") for each in randomised]),
        OTHERS: _likeness(maps[OTHERS], [pattern(each, subjects=everyone, score="others") for each in randomised]),
        WEIGHTS: _likeness(maps[WEIGHTS], [weights(each) for each in randomised]),
    }
    alike = pd.concat(table.assign(method=name) for name, table in likeness.items())
    scores = scores.merge(alike, "left", on=["view", "target_class", "method"])
    return scores


def _likeness(maps: xr.Dataset, randomised: list[xr.Dataset]) -> pd.DataFrame:
    """Mean size of the rank correlation with maps of random weights, by view and class."""
    tables = pd.concat(compare_maps(maps, other) for other in randomised)
    tables["random_likeness"] = tables["rank_correlation"].abs()
    return tables.groupby(["view", "target_class"], as_index=False)["random_likeness"].mean()


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the numbers that prose may quote: means, ``recovery_<regime>_<view>_<class>_<method>_<measure>``."""
    prefix = f"recovery_{parameters['source']['regime']}"
    numbers: dict[str, object] = {f"{prefix}_n_splits": int(table["split"].nunique())}
    for (view, target, method), rows in table.groupby(["view", "target_class", "method"]):
        name = f"{prefix}_{slug(str(view))}_{slug(str(target))}_{slug(str(method))}"
        for measure in (*MEASURES, "random_likeness"):
            if rows[measure].notna().any():
                numbers[f"{name}_{measure}"] = f"{rows[measure].mean():.2f}"
    return numbers
