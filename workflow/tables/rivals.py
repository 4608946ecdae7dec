"""What the paper's maps, their rivals, contrasts and means over trainings find, all of the published network."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.cohort import Split, make_splits
from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.combined_maps import average_runs, contrast_classes
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

OF_PAPER = ("grad_cam_relu", "guided_backprop", "guided_grad_cam", "class_contrast")
SIGNED = ("grad_cam", "gradient", "gradient_x_input", "integrated_gradients", "expected_gradients")
CONTRASTED = ("guided_backprop", *SIGNED)
ONE, MEAN, RANDOM = "one training", "mean of trainings", "random weights"
PER_CLASS = 12  # subjects mapped, of the test part
BACKGROUND = 64  # training subjects that integrated and expected gradients compare with
APART = 1000  # between the seeds of two starts on one split
MEASURES = ("average_precision", "auroc", "auroc_within_block", "chance", "random_likeness")

TABLES: dict[str, dict[str, Any]] = {
    "rivals_clear": {
        "source": {"cohort": "simulated", "regime": "clear"},
        "n_splits": 1,
        "n_starts": 3,
        "learning_rates": [1e-4, 1e-2],  # the demo's, and the one that validation chose most often
        "seed": 0,
        "scheme": "subjects",
    }
}


def make(
    store: str,
    jobs: int,
    source: Mapping[str, Any],
    n_splits: int,
    n_starts: int,
    learning_rates: Sequence[float],
    seed: int,
    scheme: str,
) -> Made:
    """Train the published network from several starts on every split, and map it in every way.

    Parameters
    ----------
    store, jobs, source, n_splits, seed, scheme
        As for Table III, whose splits these are.
    n_starts : int
        Trainings on each split, from other first weights; the first is that of Table III.
    learning_rates : list of float
        Each is another network.

    Returns
    -------
    Made
        One row per ``split``, ``learning_rate`` (in words), ``network``, ``view``, ``target_class`` and ``method``:
        measures of :func:`.scorecard`, and ``random_likeness``, the size of the mean rank correlation with the same
        maps of random weights. Networks are one training, the mean of all trainings, random weights (drawn alike for
        every rate) and, without any, "univariate"; ``n_networks`` of the trainings did not diverge, and the first of
        these is the one. Methods end in ``_contrast`` where the other class's map of the same subject is subtracted.
        Maps are of test subjects, images symmetrised. A rate at which every training diverges has no rows.
    """
    work = partial(map_split, store, dict(source), n_starts, seed, scheme)
    units = list(product(range(n_splits), learning_rates))
    return gather(work, units, jobs)


def map_split(
    store: str, source: dict[str, Any], n_starts: int, seed: int, scheme: str, unit: tuple[int, float]
) -> tuple[pd.DataFrame, str]:
    """Map the networks of one split and rate, and hash their cohort; what is in the store is not computed again."""
    number, rate = unit
    cohort = open_once(**source, seed=seed)
    split = make_splits(cohort, 1, scheme, seed + number)[0]
    seeds = [seed + number + APART * start for start in range(n_starts)]
    recipe = Recipe.demo(learning_rate=rate, precision="bfloat16")
    of_maps = [OF_PAPER, SIGNED, CONTRASTED, PER_CLASS, BACKGROUND, ONE, MEAN, RANDOM]
    modules = ("evidence", "activation", "combined_maps", "map_comparison", "random_weights")
    code = [
        hash_module("gcamccl_core.model.training", "model"),
        *(hash_module(f"gcamccl_core.maps.{name}", "maps") for name in modules),
        *(code_of(inspect.getsource(function)) for function in (score_maps, map_all)),
    ]
    key = {"data": hash_data(cohort), "split": split, "recipe": recipe, "seeds": seeds, "maps": of_maps, "code": code}

    def train_and_map() -> pd.DataFrame:
        nets = {}
        for each in seeds:
            with suppress(FloatingPointError):  # it diverged
                nets[each] = fit(cohort, split, recipe, each, f"{store}/models", progress=False).net
        return score_maps(nets, cohort, split).assign(n_networks=len(nets)) if nets else pd.DataFrame({"view": []})

    table = cached(store, "rivals", key, train_and_map, TABLE)
    return table.assign(split=number, learning_rate=f"rate {rate:.0e}"), hash_data(cohort)


def score_maps(nets: Mapping[int, CollaborativeNet], cohort: xr.Dataset, split: Split) -> pd.DataFrame:
    """Score the maps of the first network, of all together, and of random weights."""
    label = cohort["label"].to_numpy()[split.test]
    mapped = np.concatenate([split.test[label == number][:PER_CLASS] for number in np.unique(label)])
    train = split.train[:BACKGROUND]
    every = [map_all(net, cohort, mapped, train) for net in nets.values()]
    nothing = []
    for seed, net in nets.items():
        random = random_weights_like(net, seed, net.prepare(cohort, train))
        nothing.append(map_all(random, cohort, mapped, train))
    tables = []
    for trained, random, name in (
        (every[0], nothing[0], ONE),
        (average_runs(every), average_runs(nothing), MEAN),
    ):
        scores = scorecard(trained, cohort, split.train, {RANDOM: random} if name == ONE else None)
        if name == MEAN:
            scores = scores[scores["source"] == "model"]
        scores = scores[(scores["method"] != "chance") & (scores["source"] != "the other class")]
        alike = compare_maps(trained, random).assign(source="model")
        alike["random_likeness"] = alike["rank_correlation"].abs()
        keys = ["view", "target_class", "method", "source"]
        scores = scores.merge(alike[[*keys, "random_likeness"]], "left", on=keys)
        tables.append(scores.assign(network=scores["source"].replace({"model": name})))
    return pd.concat(tables, ignore_index=True).drop(columns=["source", "k", "units"])


def map_all(net: CollaborativeNet, cohort: xr.Dataset, subjects: np.ndarray, train: np.ndarray) -> xr.Dataset:
    """Map by every method, and contrast the classes of those whose contrast says something new."""
    methods = [*OF_PAPER, *SIGNED]
    maps = compute_maps(net, cohort, methods, subjects=subjects, background=train, progress=False)
    contrasts = contrast_classes(maps.sel(map_method=list(CONTRASTED)))
    return xr.concat([maps, contrasts], dim="map_method", data_vars="minimal", combine_attrs="override")


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give means over splits and classes, ``rivals_<regime>_rate_<rate>_<network>_<view>_<method>_<measure>``.

    Examples
    --------
    >>> row = {"split": 0, "learning_rate": "rate 1e-02", "network": ONE, "view": "fc", "method": "gradient"}
    >>> table = pd.DataFrame([{**row, **dict.fromkeys(MEASURES, 0.5)}])
    >>> quote(table, TABLES["rivals_clear"])["rivals_clear_rate_1e_02_one_training_fc_gradient_auroc"]
    '0.50'
    """
    prefix = f"rivals_{parameters['source']['regime']}"
    numbers: dict[str, object] = {f"{prefix}_n_splits": int(table["split"].nunique())}
    for (rate, network, view, method), rows in table.groupby(["learning_rate", "network", "view", "method"]):
        name = "_".join([prefix, slug(rate), *(slug(str(each)) for each in (network, view, method))])
        for measure in MEASURES:
            if rows[measure].notna().any():
                numbers[f"{name}_{measure}"] = f"{rows[measure].mean():z.2f}"
    return numbers
