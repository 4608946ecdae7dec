"""Gather the scores of a sweep's cells into one table: ``python -m workflow.sweep_table PROFILE``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gcamccl_core.kept_files import digest_file, whole_file, write_sealed
from gcamccl_core.model.scores import MEASURES, summarise
from gcamccl_core.provenance import fingerprint, stamp
from workflow.profile import read_profile
from workflow.results import list_versions
from workflow.sweep_grid import Sweep, made_from, read_sweep
from workflow.sweep_state import read_cell, table_made_from

COMBINATION = ["cohort", "regime", "recipe"]
PLACE = [*COMBINATION, "split", "training_seed"]


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
        If a cell has not been executed.
    DamagedFileError
        If what a cell has written is not as it was written.
    """
    folder, now = sweep.folder, made_from(sweep)
    lacking = [cell.name for cell in sweep.cells if not folder.scores(cell.name).is_file()]
    if lacking:
        raise FileNotFoundError(f"no scores of {', '.join(lacking)}; run the sweep")
    scored, basis = {}, {}
    for cell in sweep.cells:
        scored[cell.name], basis[cell.name] = read_cell(folder, cell.name, now[cell.name])
    table = tidy(sweep, list(scored.values()))
    folder.table_stamp.unlink(missing_ok=True)  # until the new one is there, the table has no stamp
    for path, content in ((folder.table, table), (folder.summary, summarise_sweep(table))):
        with whole_file(path) as partial:
            content.round(6).to_csv(partial, index=False)
    made = {
        **stamp(sweep.grid),
        "core": ", ".join(sorted({str(each["core"]) for each in scored.values()})),  # one, unless it changed meanwhile
        "data": fingerprint(sorted({str(each["data"]) for each in scored.values()})),
        "versions": list_versions([each["versions"] for each in scored.values()]),
        "files": {path.name: digest_file(path) for path in (folder.table, folder.summary)},
        **table_made_from(basis),
    }
    return write_sealed(folder.table_stamp, made)


if __name__ == "__main__":
    gather(read_sweep(read_profile(sys.argv[1])))
