"""How many people which effect needs: predictions and discoveries as a simulated study grows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import false_discovery_control, norm, t
from threadpoolctl import threadpool_limits

from gcamccl_core.data.cohort import Split, make_split
from gcamccl_core.data.regimes import REGIMES
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.model.comparators import fit_comparator, score_on_test
from gcamccl_core.model.evaluation import FUSED, evaluate
from gcamccl_core.model.features import flatten_views, view_columns
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import TABLE, cached
from workflow.units import Made, gather

RECOMMENDED, BASELINE, T_TEST = f"{FUSED}, recommended", "linear SVM", "t-test"
RATE, LEVEL = 0.05, 0.05  # share of false discoveries, by Benjamini and Hochberg; level of a test of an AUC
HELD_OUT = 0.15  # share of the two classes that a study of this size would test on
TABLES: dict[str, dict[str, Any]] = {
    "power": {
        "regime": "realistic",
        "loadings": [0.33, 0.66, 0.95],  # correlation of the score with latent cognition: every effect grows with it
        "n_subjects": [107, 214, 427, 854, 1708],
        "n_tested": 1000,  # others of the same population, on whom each prediction is scored
        "n_splits": 4,
        "seed": 3000,
        "network_at": 0.66,  # the published network takes too long for every strength
    }
}


def make(
    store: str,
    jobs: int,
    regime: str,
    loadings: Sequence[float],
    n_subjects: Sequence[int],
    n_tested: int,
    n_splits: int,
    seed: int,
    network_at: float,
) -> Made:
    """Let a study grow, from the same population, in several cohorts and at several strengths of effect.

    Parameters
    ----------
    store, jobs
        Folder of what is kept, and number of processes.
    regime : str
        The population, but for its ``score_loading``.
    loadings : list of float
        Correlations of the score with latent cognition; every class difference is proportional to it.
    n_subjects : list of int
        Sizes of the study; a smaller one is the beginning of a larger one. A fifth is labelled low, a fifth high.
    n_tested : int
        Other people of the same cohort; those of them who are labelled are predicted.
    n_splits : int
        Cohorts, each other people.
    seed : int
        Of the first.
    network_at : float
        The loading at which the published network is trained as well.

    Returns
    -------
    Made
        One row per ``loading``, ``n_subjects``, ``split`` (the cohort) and ``method``. ``n_classes`` people of both
        classes; ``effect_fc`` and ``effect_snp``, the mean of Cohen's d over what is planted, in the direction in
        which it was; of predictions ``auc`` on other people and ``power``, the chance that the held-out part of
        a study of this size (15 %) would tell that area from one half; of the t-test ``found``, the share of
        planted connections with q below .05, and ``false``, of those with such a q the share that differs by chance.
    """
    work = partial(grow_study, store, regime, tuple(n_subjects), n_tested, seed, network_at)
    return gather(work, list(product(loadings, range(n_splits))), jobs)


@lru_cache(maxsize=1)
def draw_people(regime: str, loading: float, n: int, seed: int) -> xr.Dataset:
    """Simulate everybody of one cohort, on one thread: the same to the bit whichever number of jobs."""
    with threadpool_limits(1):
        population = replace(REGIMES[regime], score_loading=loading)
        return simulate_cohort(n, population, seed, progress=False)


def grow_study(
    store: str,
    regime: str,
    sizes: tuple[int, ...],
    n_tested: int,
    seed: int,
    network_at: float,
    unit: tuple[float, int],
) -> tuple[pd.DataFrame, str]:
    """Do a study of every size among the people of one cohort; what is in the store is not computed again."""
    loading, number = unit
    everyone = draw_people(regime, loading, max(sizes) + n_tested, seed + number)
    data = hash_data(everyone)
    code = [
        hash_module(f"gcamccl_core.model.{module}", "model") for module in ("comparators", "evaluation", "training")
    ]
    code += [code_of(inspect.getsource(function)) for function in (do_study, measure_effects, discover, chance_to_see)]
    tables = []
    for n in sizes:
        key = {"data": data, "n": n, "tested": n_tested, "network": loading == network_at, "seed": seed + number}
        study = partial(do_study, everyone, n, n_tested, seed + number, loading == network_at)
        tables.append(cached(store, "power", key | {"code": code}, study, TABLE).assign(n_subjects=n))
    return pd.concat(tables, ignore_index=True).assign(loading=loading, split=number), data


def do_study(everyone: xr.Dataset, n: int, n_tested: int, seed: int, network: bool) -> pd.DataFrame:
    """Train among the first n people, predict the last ones, and test every connection among the first n.

    As a study of this size would be divided, 15 % of the first are set aside; the others judge the prediction.
    """
    people = everyone.isel(subject=np.r_[:n, -n_tested:0])
    label = people["label"].to_numpy()
    mine = make_split(people.isel(subject=slice(n)), seed=seed)
    split = Split(mine.train, mine.validation, np.flatnonzero((label >= 0) & (np.arange(len(label)) >= n)))
    features, blocks = flatten_views(people), view_columns(people)
    plain = fit_comparator(BASELINE, features, label, split, blocks, seed)
    scores = {BASELINE: score_on_test(plain, features, label, split, 0)["auc"]}
    recipes = {RECOMMENDED: Recipe.recommended()} | ({FUSED: Recipe.demo()} if network else {})
    for name, recipe in recipes.items():
        fitted = fit(people, split, recipe, seed, progress=False)
        scores[name] = evaluate([fitted], people, views_alone=False)["auc"].iloc[0]
    first = people.isel(subject=slice(n))
    counts = np.bincount(first["label"].to_numpy()[first["label"].to_numpy() >= 0])
    about = {"n_classes": int(counts.sum()), **measure_effects(first)}
    held_out = [round(HELD_OUT * count) for count in counts]
    rows = [
        {"method": name, **about, "auc": auc, "power": chance_to_see(auc, *held_out)} for name, auc in scores.items()
    ]
    return pd.DataFrame([*rows, {"method": T_TEST, **about, **discover(first)}])


def measure_effects(cohort: xr.Dataset) -> dict[str, float]:
    """Mean of Cohen's d over what is planted in each view, in the direction in which it was planted."""
    found = {}
    for view in ("fc", "snp"):
        d = compare_classes(cohort, view)[0]
        truth = cohort[f"truth_{view}"]
        means = [
            sign * d[np.asarray(truth.sel(target_class=name).to_numpy(), dtype=bool)]
            for name, sign in (("high", 1), ("low", -1))
        ]
        found[f"effect_{view}"] = float(np.concatenate(means).mean())
    return found


def compare_classes(cohort: xr.Dataset, view: str) -> tuple[np.ndarray, np.ndarray]:
    """Cohen's d of high against low, and the p-value of the t-test, of every feature."""
    low, high = (cohort[view].to_numpy()[cohort["label"].to_numpy() == number].astype(float) for number in (0, 1))
    freedom = len(low) + len(high) - 2
    spread = np.sqrt((low.var(0, ddof=1) * (len(low) - 1) + high.var(0, ddof=1) * (len(high) - 1)) / freedom)
    with np.errstate(invalid="ignore", divide="ignore"):
        d = np.where(spread > 0, (high.mean(0) - low.mean(0)) / spread, 0.0)
    return d, 2 * t.sf(np.abs(d) * np.sqrt(len(low) * len(high) / (len(low) + len(high))), freedom)


def discover(cohort: xr.Dataset) -> dict[str, float]:
    """Share of the planted connections that a t-test finds, and the share of false ones among all that it finds."""
    above = np.triu_indices(cohort.sizes["roi_i"], k=1)
    seen = false_discovery_control(compare_classes(cohort, "fc")[1][above]) <= RATE
    planted = cohort["truth_fc"].any("target_class").to_numpy()[above]
    differs = cohort["population_truth_fc"].any("target_class").to_numpy()[above] | planted
    wrong = float((seen & ~differs).sum() / seen.sum()) if seen.any() else 0.0
    return {"found": float(seen[planted].mean()), "false": wrong}


def chance_to_see(auc: float, n_low: int, n_high: int) -> float:
    """Chance that so many people tell an area under the curve from one half, two-sided at .05 (Hanley and McNeil)."""
    if min(n_low, n_high) < 1 or auc <= 0.5:
        return LEVEL / 2

    def error(area: float) -> float:
        q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
        return float(
            ((area - area**2 + (n_low - 1) * (q1 - area**2) + (n_high - 1) * (q2 - area**2)) / (n_low * n_high)) ** 0.5
        )

    return float(norm.sf((0.5 + norm.isf(LEVEL / 2) * error(0.5) - auc) / max(error(auc), 1e-9)))


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the numbers for prose: effects by strength, and the least size at which a method gets there."""
    numbers: dict[str, object] = {"power_n_cohorts": parameters["n_splits"]}
    largest = max(parameters["n_subjects"])
    numbers["power_largest"] = largest
    names = {RECOMMENDED: "recommended", BASELINE: "svm", FUSED: "network"}
    for strength, loading in zip(("weak", "middle", "strong"), sorted(parameters["loadings"]), strict=True):
        mine = table[table["loading"] == loading]
        effect = mine[mine["n_subjects"] == largest].groupby("split")[["effect_fc", "effect_snp"]].first().mean()
        numbers[f"power_{strength}_effect_fc"] = f"{effect['effect_fc']:.2f}"
        numbers[f"power_{strength}_effect_snp"] = f"{effect['effect_snp']:.2f}"
        means = mine.groupby(["method", "n_subjects"])[["auc", "power", "found"]].mean()
        for method, name in names.items():
            if method in means.index.get_level_values(0):
                numbers[f"power_{strength}_{name}_auc"] = f"{means.loc[(method, largest), 'auc']:.2f}"
                numbers[f"power_{strength}_{name}_needs"] = _least(means.loc[method]["power"], 0.8)
        numbers[f"power_{strength}_found"] = f"{means.loc[(T_TEST, largest), 'found']:.0%}"
        numbers[f"power_{strength}_half_needs"] = _least(means.loc[T_TEST]["found"], 0.5)
    return numbers


def _least(by_size: pd.Series, wanted: float) -> str:
    enough = by_size.index[by_size >= wanted]
    return str(enough.min()) if len(enough) else f"more than {by_size.index.max()}"
