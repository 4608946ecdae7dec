"""How often each connection, region, hub, SNP, gene and gene set returns over splits and first weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.cohort import Split, make_splits, view_names
from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.activation_patterns import activation_patterns
from gcamccl_core.maps.confirmed_selection import confirm_biomarkers
from gcamccl_core.maps.highest_features import select_highest
from gcamccl_core.maps.named_lists import name_planted, name_selection
from gcamccl_core.maps.random_weights import random_weights_like
from gcamccl_core.maps.returning_features import count_returns
from gcamccl_core.maps.selection import select_biomarkers
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import code_of, hash_data, hash_module
from gcamccl_core.store import TABLE, cached
from workflow.cohorts import open_once
from workflow.naming import slug
from workflow.units import Made, run_units

PAPER, RANDOM = "the paper's rule", "the paper's rule, random weights"
FIRST, CONFIRMED = "first of the recommended map", "confirmed on other people"
PAPER_MAPS = ("activation", "random_weights", "selection")  # modules that make the lists
OUR_MAPS = ("activation_patterns", "confirmed_selection", "highest_features")
METHOD = "guided_grad_cam"  # of the paper's rule
APART = 1000  # between the seeds of two starts on one split
ALWAYS = 0.9  # share of the runs from which on a name always returns, for short
KEPT = 15  # names of every list, view, class and level that the table has room for
TABLES: dict[str, dict[str, Any]] = {
    f"returns_{name}": {
        "source": source,
        "of_splits": 10,
        "n_starts": 2,
        "precision": "bfloat16",  # as in Table III, whose networks these are on the first start
        "seed": 0,
        "scheme": "subjects",
    }
    for name, source in {
        "clear": {"cohort": "simulated", "regime": "clear"},
        "abide_fiq": {"cohort": "abide", "label": "fiq"},
    }.items()
}


def make(
    store: str,
    jobs: int,
    source: Mapping[str, Any],
    of_splits: int,
    n_starts: int,
    precision: str,
    seed: int,
    scheme: str,
) -> Made:
    """Make the lists of every split and start, and count.

    Parameters
    ----------
    store, jobs, source, precision, seed, scheme
        As for Table III, whose splits these are.
    of_splits : int
        How many splits; a count over splits has none to itself that could be made again alone.
    n_starts : int
        How many first weights on each; the k-th start of the s-th split has the seed ``seed + s + 1000 k``.

    Returns
    -------
    Made
        Per ``source``, ``view``, ``target_class`` and ``level`` the 15 most frequent names, as :func:`.count_returns`
        has them; ``names``, how many there are in all, and ``always``, how many of these return in nine of ten runs or
        more; in a simulated cohort ``planted``, whether the name is of what was planted (see :func:`.name_planted`),
        and ``planted_share``, of all names of the list, each weighted by how often it returns.
    """
    work = partial(list_run, store, dict(source), precision, seed, scheme)
    found, data = zip(*run_units(work, list(product(range(of_splits), range(n_starts))), jobs), strict=True)
    cohort = open_once(**source, seed=seed)
    table = summarise(list(found), cohort)
    return Made(table.round(6), sorted(set(data)))


def list_run(
    store: str, source: dict[str, Any], precision: str, seed: int, scheme: str, unit: tuple[int, int]
) -> tuple[pd.DataFrame, str]:
    """Make the lists of one split and start, and hash the cohort; what is in the store is not computed again."""
    number, start = unit
    cohort = open_once(**source, seed=seed)
    split = make_splits(cohort, 1, scheme, seed + number)[0]
    own = seed + number + APART * start
    key = {"data": hash_data(cohort), "split": split, "seed": own}
    lists = []
    for make_lists, room in ((_of_paper, PAPER_MAPS), (_of_ours, OUR_MAPS)):
        code = [
            hash_module("gcamccl_core.model.training", "model"),
            *(hash_module(f"gcamccl_core.maps.{name}", "maps") for name in (*room, "named_lists")),
            *(code_of(inspect.getsource(function)) for function in (make_lists, _name_all)),
        ]
        work = partial(make_lists, cohort, split, own, precision, f"{store}/models")
        names = [PAPER, RANDOM, FIRST, CONFIRMED, METHOD]
        asked = {**key, "precision": precision, "code": code, "lists": make_lists.__name__, "names": names}
        lists.append(cached(store, "returns", asked, work, TABLE))
    return pd.concat(lists, ignore_index=True), hash_data(cohort)


def _of_paper(cohort: xr.Dataset, split: Split, seed: int, precision: str, models: str) -> pd.DataFrame:
    """Select by section III-D from the maps of test subjects, of a trained and of an untrained network."""
    net = fit(cohort, split, Recipe.demo(precision=precision), seed, models, progress=False).net
    some = net.prepare(cohort, split.train[:64])  # for batch norm
    nets = {PAPER: net, RANDOM: random_weights_like(net, 1000 + seed, some)}
    mapped = partial(compute_maps, cohort=cohort, methods=(METHOD,), subjects=split.test, progress=False)
    lists = {name: select_biomarkers(mapped(one), method=METHOD) for name, one in nets.items()}
    return _name_all(lists, cohort)


def _of_ours(cohort: xr.Dataset, split: Split, seed: int, precision: str, models: str) -> pd.DataFrame:
    """Take the first of the recommended map, and what of it the validation and test part confirm."""
    net = fit(cohort, split, Recipe.recommended(), seed, models, progress=False).net
    judges = np.concatenate([split.validation, split.test])
    others = np.setdiff1d(np.arange(cohort.sizes["subject"]), judges)
    lead = next(view for view in net.views if cohort[view].ndim == 3)
    asked = {view: "fused" if view == lead or len(net.views) == 1 else "others" for view in net.views}
    maps = activation_patterns(net, cohort, others, asked, progress=False)
    confirmed = confirm_biomarkers(maps, cohort, judges, trained_on=split.train)
    return _name_all({FIRST: select_highest(maps), CONFIRMED: confirmed}, cohort)


def _name_all(lists: Mapping[str, pd.DataFrame], cohort: xr.Dataset) -> pd.DataFrame:
    named = [name_selection(table, cohort).assign(source=name) for name, table in lists.items()]
    return pd.concat(named, ignore_index=True)


def summarise(runs: list[pd.DataFrame], cohort: xr.Dataset) -> pd.DataFrame:
    """Count the lists of all runs; see :func:`make`."""
    possible = _possible(cohort)
    known = name_planted(cohort)
    tables = []
    for source in (PAPER, RANDOM, FIRST, CONFIRMED):
        counts = count_returns([run[run["source"] == source] for run in runs], possible)
        groups = ["view", "target_class", "level"]
        if known is not None:
            counts = counts.merge(known.assign(planted=1.0), "left", on=[*groups, "name"])
            told = counts["level"].isin(known["level"])  # of a network nobody says whether it was planted
            counts["planted"] = counts["planted"].fillna(0.0).where(told)
            right = (
                (counts["planted"] * counts["runs"]).groupby([counts[g] for g in groups]).transform("sum", min_count=1)
            )
            counts["planted_share"] = right / counts.groupby(groups)["runs"].transform("sum")
        counts["names"] = counts.groupby(groups)["name"].transform("size")
        counts["always"] = counts["share"].ge(ALWAYS).groupby([counts[g] for g in groups]).transform("sum")
        tables.append(counts.groupby(groups, sort=False).head(KEPT).assign(source=source))
    return pd.concat(tables, ignore_index=True)


def _possible(cohort: xr.Dataset) -> dict[tuple[str, str], int]:
    """How many connections, SNPs or other features there are to be selected."""
    found = {}
    for name in view_names(cohort):
        n = cohort[name].shape[-1]
        levels = {"connection": n * (n - 1) // 2} if cohort[name].ndim == 3 else {"SNP": n, "feature": n}
        found |= {(name, level): size for level, size in levels.items()}
    return found


def quote(table: pd.DataFrame, parameters: Mapping[str, Any]) -> dict[str, object]:
    """Give the numbers that prose may quote.

    Returns
    -------
    dict
        ``returns_<cohort>_n_runs``, ``…_n_splits`` and ``…_n_starts``; per list, view, class and level ``…_names``,
        ``…_always`` and, of a simulated cohort, ``…_planted_share``, as in :func:`make`; ``…_first``, the most frequent
        name, and ``…_first_share``, in which share of the runs it is found; that share also of every hub, by its name.

    Examples
    --------
    >>> row = {"source": CONFIRMED, "view": "fc", "target_class": "low", "level": "hub", "names": 9, "always": 2}
    >>> row |= {"name": "Cuneus", "share": 1.0}
    >>> parameters = TABLES["returns_clear"]
    >>> quote(pd.DataFrame([row]), parameters)["returns_clear_confirmed_on_other_people_fc_low_hub_always"]
    2
    """
    prefix = f"returns_{parameters['source'].get('regime') or 'abide_' + parameters['source']['label']}"
    numbers: dict[str, object] = {
        f"{prefix}_n_runs": parameters["of_splits"] * parameters["n_starts"],
        f"{prefix}_n_splits": parameters["of_splits"],
        f"{prefix}_n_starts": parameters["n_starts"],
    }
    for keys, rows in table.groupby(["source", "view", "target_class", "level"]):
        name = "_".join([prefix, *(slug(str(key)) for key in keys)])
        numbers |= {f"{name}_{what}": int(rows[what].iloc[0]) for what in ("names", "always")}
        numbers |= {f"{name}_first": rows["name"].iloc[0], f"{name}_first_share": f"{rows['share'].iloc[0]:.2f}"}
        if "planted_share" in rows and rows["planted_share"].notna().all():
            numbers[f"{name}_planted_share"] = f"{rows['planted_share'].iloc[0]:.2f}"
    return numbers | _quote_hubs(table, prefix)


def _quote_hubs(table: pd.DataFrame, prefix: str) -> dict[str, object]:
    """Give the share of the runs of every hub, in every list that has room for all of its own; 0.00 if it is none."""
    numbers: dict[str, object] = {}
    hubs = table[table["level"].str.startswith("hub")]
    for (view, target, level), rows in hubs.groupby(["view", "target_class", "level"]):
        for source in table["source"].unique():
            of_list = rows[rows["source"] == source]
            if len(of_list) and of_list["names"].iloc[0] > len(of_list):
                continue  # some were cut off
            shares = dict(zip(of_list["name"], of_list["share"], strict=True))
            name = "_".join([prefix, *(slug(str(key)) for key in (source, view, target, level))])
            numbers |= {f"{name}_{slug(hub)}": f"{shares.get(hub, 0.0):.2f}" for hub in rows["name"].unique()}
    return numbers
