"""How much the order of regions and of SNPs, arbitrary to a convolution, changes accuracy and maps."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import spearmanr

from gcamccl_core.data.cohort import make_split
from gcamccl_core.data.fewer_regions import keep_regions
from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.model.evaluation import evaluate
from gcamccl_core.model.layer_table import describe
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.scores import compare_paired
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import cached
from workflow.cohorts import open_once
from workflow.naming import signed, slug
from workflow.units import Made, run_units

KINDS = ("order as given", "other order of regions", "other order of SNPs", "other order of both")
TABLES: dict[str, dict[str, Any]] = {
    "order": {
        "source": {"cohort": "simulated", "regime": "clear", "seed": 0},
        "n_regions": 96,  # of the whole cohort the network learns too little for its maps to be compared
        "n_splits": 10,
        "seed": 0,
        "learning_rate": 1e-3,
        "epochs": 33,
    }
}

ACROSS_SPLITS = "_alike"  # how columns end that compare a network with those of the other splits


def make(
    store: str,
    jobs: int,
    source: dict[str, Any],
    n_regions: int,
    n_splits: int,
    seed: int,
    learning_rate: float,
    epochs: int,
) -> Made:
    """Train one network per split with features in the given order and, of the same people and start, in others.

    Returns
    -------
    Made
        One row per ``kind`` and ``split``: test scores, fused and of each view alone, and per view and map method
        ``<view>_<method>_alike``, the mean rank correlation of this network's class maps with those of the others of
        its kind, features brought back into one order; and ``cells``, the extent of the layer that Grad-CAM is made
        of.
    """
    work = partial(train_in_order, store, source, n_regions, seed, learning_rate, epochs)
    units = list(product(KINDS, range(n_splits)))
    maps = run_units(work, units, jobs)
    table = pd.DataFrame([one.attrs for one in maps])
    for name in maps[0].data_vars:
        for kind in KINDS:
            chosen = [number for number, (of, _) in enumerate(units) if of == kind]
            alike = pd.DataFrame(np.eye(len(chosen)), index=chosen, columns=chosen)
            for one, other in combinations(chosen, 2):
                alike.loc[one, other] = alike.loc[other, one] = spearmanr(maps[one][name], maps[other][name]).statistic
            table.loc[chosen, f"{name}{ACROSS_SPLITS}"] = ((alike.sum() - 1) / (len(chosen) - 1)).to_numpy()
    return Made(table.round(6), [hash_data(open_once(**source))])


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the numbers that prose may quote.

    Returns
    -------
    dict
        As ``order_<kind>_<what>``: mean accuracy and map agreement, and the paired difference in accuracy
        ``less_given``, with its interval, corrected for repeated splits; and ``order_cells``.
    """
    cells = int(table["cells"].iloc[0])
    numbers: dict[str, object] = {"order_n_splits": parameters["n_splits"], "order_cells": f"{cells} x {cells}"}
    for kind, of_kind in table.groupby("kind", sort=False):
        quoted = ["accuracy", *(str(name) for name in table if str(name).endswith(ACROSS_SPLITS))]
        numbers |= {f"order_{slug(str(kind))}_{name}": f"{of_kind[name].mean():.2f}" for name in quoted}
    for row in compare_paired(table.rename(columns={"kind": "method"}), KINDS[0]).itertuples():
        name = f"order_{slug(str(row.method))}_less_given"
        numbers |= {name: signed(-row.difference), f"{name}_interval": f"{signed(-row.high)} to {signed(-row.low)}"}
    return numbers


def train_in_order(
    store: str,
    source: dict[str, Any],
    n_regions: int,
    seed: int,
    learning_rate: float,
    epochs: int,
    unit: tuple[str, int],
) -> xr.Dataset:
    """Train one network: its mean class maps with features in the cohort's own order, its scores as attributes."""
    cohort = keep_regions(open_once(**source), n_regions)
    rooms = [hash_module(f"gcamccl_core.{name}", "model", "maps") for name in ("maps.activation", "model.evaluation")]
    code = [*rooms, *(code_of(inspect.getsource(function)) for function in (_train_in_order, _mean_maps))]
    key = {"data": hash_data(cohort), "seed": seed, "rate": learning_rate, "epochs": epochs, "unit": unit, "code": code}
    make = partial(_train_in_order, store, cohort, n_regions, seed, learning_rate, epochs, *unit)
    return cached(store, "order", key, make)


def _train_in_order(
    store: str,
    cohort: xr.Dataset,
    n_regions: int,
    seed: int,
    learning_rate: float,
    epochs: int,
    kind: str,
    number: int,
) -> xr.Dataset:
    split = make_split(cohort, seed=seed + number)
    random = np.random.default_rng([seed, number])
    regions, loci = np.arange(n_regions), np.arange(cohort.sizes["locus"])
    if kind in (KINDS[1], KINDS[3]):
        regions = random.permutation(regions)
    if kind in (KINDS[2], KINDS[3]):
        loci = random.permutation(loci)
    shuffled = cohort.isel(roi_i=regions, roi_j=regions, roi=regions, locus=loci)
    recipe = Recipe.demo(epochs=epochs, learning_rate=learning_rate, patience=None)
    fitted = fit(shuffled, split, recipe, seed=seed + number, out=f"{store}/models", progress=False)
    scores = evaluate([fitted], shuffled).set_index("method")
    row: dict[str, object] = {"kind": kind, "split": number, "learning_rate": learning_rate}
    row |= {name: scores.loc["gCAM-CCL", name] for name in ("n_train", "n_test", "accuracy", "auc")}
    row |= {f"{view}_auc": scores.loc[f"gCAM-CCL, {view} alone", "auc"] for view in ("fc", "snp")}
    maps = compute_maps(fitted.net, shuffled, ["grad_cam_relu", "guided_grad_cam"], subjects=split.test, progress=False)
    row["cells"] = cells_of(fitted.net, "fc")
    found = _mean_maps(maps, np.argsort(regions), np.argsort(loci))
    return xr.Dataset({name: (f"{name}_place", values) for name, values in found.items()}, attrs=row)


def cells_of(net: CollaborativeNet, view: str) -> int:
    """Side of the feature maps that a view's Grad-CAM is stretched from."""
    layers = describe(net).set_index(["view", "layer"])["output_shape"]
    return int(layers[view, net.default_layer(view)][-1])


def _mean_maps(maps: xr.Dataset, regions: np.ndarray, loci: np.ndarray) -> dict[str, np.ndarray]:
    """Mean map of class high over its subjects, by view and method, flattened, in the given order."""
    of_class = maps.isel(subject=np.flatnonzero(maps["label"].to_numpy() == 1), target_class=1).mean("subject")
    found = {}
    upper = np.triu_indices(len(regions), k=1)
    for method in maps["map_method"].to_numpy():
        chosen = of_class.sel(map_method=method)
        image = chosen["fc_symmetric"].to_numpy()[np.ix_(regions, regions)]
        found[f"fc_{method}"] = image[upper]
        found[f"snp_{method}"] = chosen["snp"].to_numpy()[loci]
    return found
