"""How much the order of regions and of SNPs, arbitrary to a convolution, changes accuracy and maps."""

from __future__ import annotations

import inspect
from functools import partial
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import spearmanr, ttest_rel

from gcamccl_core.data.cohort import make_split
from gcamccl_core.data.fewer_regions import keep_regions
from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.model.evaluation import evaluate
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import cached
from workflow.tables.classification import open_once
from workflow.units import Made, run_units

KINDS = ("order as given", "other order of regions", "other order of SNPs", "other order of both")
TABLES: dict[str, dict[str, Any]] = {
    "order": {
        "source": {"cohort": "simulated", "regime": "clear", "seed": 0},
        "n_regions": 48,  # of the whole cohort the network learns too little for its maps to be compared
        "n_orders": 10,
        "seed": 0,
        "learning_rate": 1e-3,
        "epochs": 33,
    }
}


def make(
    store: str,
    jobs: int,
    source: dict[str, Any],
    n_regions: int,
    n_orders: int,
    seed: int,
    learning_rate: float,
    epochs: int,
) -> Made:
    """Train one split's network from several starts, with features in the given order and, from each start, in others.

    Returns
    -------
    Made
        One row per ``kind`` and ``number``: test scores, fused and of each view alone, and per view and map method
        ``<view>_<method>_alike``, the mean rank correlation of this network's class maps with those of the others of
        its kind, features brought back into one order. Numbers: means and standard deviations of accuracy, the p-value
        of a paired t-test against the given order over the same starts, and mean map agreement, as
        ``order_<kind>_<what>``.
    """
    work = partial(train_in_order, store, source, n_regions, seed, learning_rate, epochs)
    units = list(product(KINDS, range(n_orders)))
    maps = run_units(work, units, jobs)
    table = pd.DataFrame([one.attrs for one in maps])
    for name in maps[0].data_vars:
        for kind in KINDS:
            chosen = [number for number, (of, _) in enumerate(units) if of == kind]
            alike = pd.DataFrame(np.eye(len(chosen)), index=chosen, columns=chosen)
            for one, other in combinations(chosen, 2):
                alike.loc[one, other] = alike.loc[other, one] = spearmanr(maps[one][name], maps[other][name]).statistic
            table.loc[chosen, f"{name}_alike"] = ((alike.sum() - 1) / (len(chosen) - 1)).to_numpy()
    numbers: dict[str, object] = {}
    given = table.loc[table["kind"] == KINDS[0], "accuracy"].to_numpy()
    for kind, of_kind in table.groupby("kind", sort=False):
        prefix = "order_" + str(kind).replace(" ", "_").lower()
        numbers |= {
            f"{prefix}_accuracy": f"{of_kind['accuracy'].mean():.2f}",
            f"{prefix}_accuracy_sd": f"{of_kind['accuracy'].std():.2f}",
        }
        if kind != KINDS[0]:
            numbers[f"{prefix}_p"] = f"{ttest_rel(of_kind['accuracy'].to_numpy(), given).pvalue:.2f}"
        numbers |= {f"{prefix}_{name}": f"{of_kind[name].mean():.2f}" for name in table if str(name).endswith("_alike")}
    return Made(table.round(6), numbers, [hash_data(open_once(**source))])


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
    return cached(store, "order", key, lambda: _train_in_order(cohort, n_regions, seed, learning_rate, epochs, *unit))


def _train_in_order(
    cohort: xr.Dataset, n_regions: int, seed: int, learning_rate: float, epochs: int, kind: str, number: int
) -> xr.Dataset:
    split = make_split(cohort, seed=seed)
    random = np.random.default_rng([seed, number])
    regions, loci = np.arange(n_regions), np.arange(cohort.sizes["locus"])
    if kind in (KINDS[1], KINDS[3]):
        regions = random.permutation(regions)
    if kind in (KINDS[2], KINDS[3]):
        loci = random.permutation(loci)
    shuffled = cohort.isel(roi_i=regions, roi_j=regions, roi=regions, locus=loci)
    recipe = Recipe.demo(epochs=epochs, learning_rate=learning_rate, patience=None)
    fitted = fit(shuffled, split, recipe, seed=seed + number, progress=False)
    scores = evaluate([fitted], shuffled).set_index("method")
    row: dict[str, object] = {"kind": kind, "number": number, "learning_rate": learning_rate}
    row |= {name: scores.loc["gCAM-CCL", name] for name in ("accuracy", "auc")}
    row |= {f"{view}_auc": scores.loc[f"gCAM-CCL, {view} alone", "auc"] for view in ("fc", "snp")}
    maps = compute_maps(fitted.net, shuffled, ["grad_cam_relu", "guided_grad_cam"], subjects=split.test, progress=False)
    found = _mean_maps(maps, np.argsort(regions), np.argsort(loci))
    return xr.Dataset({name: (f"{name}_place", values) for name, values in found.items()}, attrs=row)


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
