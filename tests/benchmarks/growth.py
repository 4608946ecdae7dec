"""How time and memory of every stage grow with subjects, regions, SNPs and views."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from tqdm.std import tqdm

from gcamccl_core.provenance import fingerprint, project_root, versions, write_json
from workflow.benchmarks import basis_of

from .data import PAPER
from .machine import PACKAGE, PROJECT, SETTINGS, name_machine

STORE = Path("runs/benchmarks/points")
SUBJECTS, REGIONS = (100, 342, 1000, 2000), (100, 178, 316, 562, 1000)
SNPS, VIEWS = (750, 3000, 12000, 40000, 98804), (2, 3, 4, 6)
QUICK_SUBJECTS = 8
PEOPLE = 40  # subjects, where something else grows
Point = tuple[str, str, int, dict[str, list[int]], int]  # stage, what grows, its size, shapes of the views, subjects


def points(quick: bool = False) -> Iterator[Point]:
    """List what is to be measured.

    With subjects the paper's two views grow in number of rows; regions and SNPs grow in a network of that view alone,
    since beside the other view they would only show once they outweigh it; views come in pairs like the paper's.
    """
    paper = {view: list(shape) for view, shape in PAPER.items()}
    for stage in ("training", "maps", "connectivity", "simulation", "selection"):
        for n in SUBJECTS[: 2 if quick else None]:
            yield stage, "subjects", n, paper, n
    for stage in ("training", "maps", "connectivity", "selection"):
        for side in REGIONS[: 2 if quick else None]:
            yield stage, "regions", side, {"fc": [side, side]}, PEOPLE
    for stage in ("training", "maps", "selection"):
        for length in SNPS[: 2 if quick else None]:
            yield stage, "SNPs", length, {"snp": [length]}, PEOPLE
    for stage in ("training", "maps"):
        for n_views in VIEWS[: 2 if quick else None]:
            kinds = [paper["fc"], paper["snp"]] * (n_views // 2 + 1)
            yield stage, "views", n_views, {f"view{k}": kinds[k] for k in range(n_views)}, PEOPLE


def measure(quick: bool = False) -> list[dict[str, object]]:
    """Measure every point in a process of its own; what has been measured by this code is not measured again.

    Returns
    -------
    list of dict
        Rows of the table of growth: ``stage``, ``dimension``, ``size``, ``n_subjects``, ``seconds``, ``mebibytes``.
    """
    rows = []
    for stage, dimension, size, shapes, n in tqdm(list(points(quick)), desc="growth", leave=False):
        n = min(n, QUICK_SUBJECTS * (1 + (dimension == "subjects" and n > SUBJECTS[0]))) if quick else n
        n = max(n, 20) if stage == "simulation" else n  # fewer people make no two groups
        size = n if dimension == "subjects" else size
        found = measure_apart(stage, shapes, n)
        rows.append({"stage": stage, "dimension": dimension, "size": size, "n_subjects": n, **found})
    return rows


def measure_apart(stage: str, shapes: dict[str, list[int]], n: int) -> dict[str, float]:
    """Measure one point in a new process, or read what it was."""
    where = [name_machine(), torch.get_num_threads(), {name: os.environ.get(name) for name in SETTINGS}, versions()]
    kept = project_root() / STORE / f"{fingerprint(stage, shapes, n, basis_of('growth'), where)}.json"
    if not kept.is_file():
        command = [sys.executable, "-m", f"{PACKAGE}.points", stage, json.dumps(shapes), str(n)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=dict(os.environ))
        if done.returncode:
            raise RuntimeError(f"{stage} with {shapes} and {n} subjects failed:\n{done.stderr[-2000:]}")
        write_json(kept, json.loads(done.stdout.splitlines()[-1]))
    return json.loads(kept.read_text())


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Fit the power of the size that time and memory grow with, by least squares of logarithms.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`measure` gives it.

    Returns
    -------
    pandas.DataFrame
        One row per ``stage``, ``dimension`` and ``quantity``: ``exponent`` with its 95 % interval ``low`` and ``high``
        (by Student's t, NaN with fewer than three sizes), ``sizes`` and ``largest``.
    """
    rows = []
    for (stage, dimension), points_of in table.groupby(["stage", "dimension"], sort=False):
        for quantity in ("seconds", "mebibytes"):
            known = points_of[(points_of[quantity] > 0) & (points_of["size"] > 0)]
            if known["size"].nunique() < 2:
                continue
            fit = stats.linregress(np.log(known["size"]), np.log(known[quantity]))
            reach = stats.t.ppf(0.975, len(known) - 2) * fit.stderr if len(known) > 2 else np.nan
            interval = (fit.slope - reach, fit.slope + reach)
            rows.append((stage, dimension, quantity, fit.slope, *interval, len(known), known["size"].max()))
    columns = ["stage", "dimension", "quantity", "exponent", "low", "high", "sizes", "largest"]
    return pd.DataFrame(rows, columns=columns)
