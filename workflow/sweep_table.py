"""Gather the scores of a sweep's cells into one table: ``python -m workflow.sweep_table PROFILE``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gcamccl_core.model.scores import MEASURES, summarise
from gcamccl_core.provenance import code_of, fingerprint, stamp, write_json
from workflow.profile import read_profile, write_if_changed
from workflow.results import list_versions
from workflow.sweep_grid import Sweep, made_from, read_sweep

COMBINATION = ["cohort", "regime", "recipe"]
PLACE = [*COMBINATION, "split", "training_seed"]


def table_made_from(basis: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Say what a table depends on: what each of its cells was made from, and the code that gathers them.

    Parameters
    ----------
    basis : mapping
        What each cell is made from, by its name.
    """
    return {
        "cells": {name: fingerprint(made) for name, made in basis.items()},
        "gathered_by": fingerprint(code_of(Path(__file__).read_text())),
    }


def write_plan(sweep: Sweep) -> None:
    """Write what Snakemake goes by: names of cells, resources, and what each cell and the table would be made from."""
    basis = made_from(sweep)
    for name, made in basis.items():
        write_if_changed(sweep.folder.made_from(name), made)
    write_if_changed(sweep.folder.table_made_from, table_made_from(basis))
    write_if_changed(sweep.folder.plan, {"cells": list(basis), "resources": dict(sweep.resources)})


def tidy(sweep: Sweep, scored: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Set the scores of all cells as one table, cells in the order of the grid.

    Parameters
    ----------
    sweep : Sweep
        The grid.
    scored : sequence of mapping
        What every cell wrote, in the order of the grid.

    Returns
    -------
    pandas.DataFrame
        One row per cell and method: ``cohort``, ``regime``, ``recipe``, ``split``, ``training_seed``, and the columns
        of :func:`.evaluate`, with ``epoch``, the one selected.
    """
    tables = []
    for cell, made in zip(sweep.cells, scored, strict=True):
        scores = pd.DataFrame(made["scores"])
        columns = ["method", "n_train", "n_test", *MEASURES, "epoch"]
        tables.append(pd.DataFrame([cell.place] * len(scores))[PLACE].join(scores[columns]))
    return pd.concat(tables, ignore_index=True)


def summarise_sweep(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over splits and training seeds, for every cohort, regime, recipe and method.

    Returns
    -------
    pandas.DataFrame
        ``cohort``, ``regime``, ``recipe``, ``method``, ``measure``; ``mean``, with ``low`` and ``high``, its 95 %
        interval by :func:`.summarise` of the splits' means over training seeds; ``sd_splits``, the standard deviation
        of these means; ``sd_seeds``, that of training seeds on the same split, pooled over splits; ``n_splits`` and
        ``n_seeds``. Missing where there is a single split or seed.
    """
    parts = []
    for place, rows in table.groupby(COMBINATION, sort=False, dropna=False):
        by_split = rows.groupby(["method", "split"], sort=False)
        means = by_split[["n_train", "n_test", *MEASURES]].mean().reset_index()
        within = by_split[list(MEASURES)].var().reset_index()
        summary = summarise(means)
        spread = {
            (method, measure): (
                means.loc[means["method"] == method, measure].std(),
                np.sqrt(within.loc[within["method"] == method, measure].mean()),
            )
            for method, measure in zip(summary["method"], summary["measure"], strict=True)
        }
        summary["sd_splits"], summary["sd_seeds"] = zip(*spread.values(), strict=True)
        summary["n_seeds"] = rows["training_seed"].nunique()
        parts.append(pd.DataFrame([dict(zip(COMBINATION, place, strict=True))] * len(summary)).join(summary))
    columns = ["method", "measure", "mean", "low", "high", "sd_splits", "sd_seeds", "n_splits", "n_seeds"]
    return pd.concat(parts, ignore_index=True)[[*COMBINATION, *columns]]


def gather(sweep: Sweep) -> Path:
    """Write the table, its summary beside it, both rounded to six decimals, and the stamp of both last.

    Raises
    ------
    FileNotFoundError
        If a cell has no scores.
    """
    folder = sweep.folder
    scored = [json.loads(folder.scores(cell.name).read_text()) for cell in sweep.cells]
    basis = {cell.name: json.loads(folder.stamp(cell.name).read_text()) for cell in sweep.cells}
    table = tidy(sweep, scored)
    folder.table_stamp.unlink(missing_ok=True)  # until the new one is there, the table has no stamp
    table.round(6).to_csv(folder.table, index=False)
    summarise_sweep(table).round(6).to_csv(folder.summary, index=False)
    made = {
        **stamp(sweep.grid),
        "core": ", ".join(sorted({str(each["core"]) for each in scored})),  # one, unless it changed in between
        "data": fingerprint(sorted({str(each["data"]) for each in scored})),
        "versions": list_versions([each["versions"] for each in scored]),
        **table_made_from(basis),
    }
    return write_json(folder.table_stamp, made)


if __name__ == "__main__":
    gather(read_sweep(read_profile(sys.argv[1])))
