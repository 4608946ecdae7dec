"""Everything that is claimed of a GPU, measured in one call: ``python -m tests.benchmarks.gpu --help``.

The paper's full recipe, a hundred networks together, all maps of the labelled subjects; how far a GPU's numbers lie
from a CPU's; and whether two runs on it give the same bits.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from gcamccl_core.data.cohort import Split, make_split, make_splits
from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.model.devices import choose_device
from gcamccl_core.model.fitted import Fitted
from gcamccl_core.model.many_networks import train_together
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit_many
from gcamccl_core.provenance import stamp, write_json

from .data import study
from .machine import name_machine

METHODS = ("grad_cam", "guided_backprop", "guided_grad_cam")
GOALS = {"the paper's recipe": 15.0, "100 networks": 360.0, "all maps": 0.2}  # seconds, on one H200
PRECISIONS = ("float32", "bfloat16")


def measure(device: torch.device, quick: bool = False) -> pd.DataFrame:
    """Measure times, differences from a CPU, and differences between two runs.

    Parameters
    ----------
    device : torch.device
        What to measure; on a CPU the same code runs, without captured steps, and differences are 0.
    quick : bool
        A small study, two epochs and four networks instead, to see that all of it works.

    Returns
    -------
    pandas.DataFrame
        One row per ``measure`` and ``precision``: ``value``, ``unit``, ``goal`` (missing where there is none).
    """
    cohort = study(60 if quick else 854)
    epochs, n = (2, 2) if quick else (500, 10)
    rows: list[dict[str, object]] = []
    for precision in PRECISIONS:
        recipe = Recipe.paper(epochs=epochs, patience=None, precision=precision)
        rows += _trainings(cohort, recipe, n, device)
    fitted = fit_many(cohort, [make_split(cohort)], [0], Recipe.demo(epochs=1), progress=False, device=device)[0]
    rows.append(_all_maps(fitted, cohort, device))
    rows += _differences(cohort, fitted, device)
    table = pd.DataFrame(rows)
    return table.assign(goal=None if quick else table["measure"].map(GOALS), device=name_device(device))


def name_device(device: torch.device) -> str:
    """Name a GPU by its model, a CPU as :func:`.name_machine` does."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else name_machine()


def _timed(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _together(cohort: xr.Dataset, pairs: list[tuple[Split, int]], recipe: Recipe, device: torch.device) -> list[Fitted]:
    found = dict(train_together(cohort, pairs, recipe, None, 10**9, True, device))
    return [found[number] for number in range(len(pairs))]


def _trainings(cohort: xr.Dataset, recipe: Recipe, n: int, device: torch.device) -> list[dict[str, object]]:
    """One training by itself, and n splits x n seeds together; the first of these is the one by itself again."""
    splits = make_splits(cohort, n)
    pairs = [(split, seed) for split in splits for seed in range(n)]
    found: dict[str, list[Fitted]] = {}
    _together(cohort, pairs[:1], dataclasses.replace(recipe, epochs=1), device)  # libraries are loaded
    one = _timed(lambda: found.update(one=_together(cohort, pairs[:1], recipe, device)), device)
    many = _timed(lambda: found.update(many=_together(cohort, pairs, recipe, device)), device)
    again = _together(cohort, pairs[:1], recipe, device)
    apart = _largest(found["one"][0].history, found["many"][0].history)
    repeated = _largest(found["one"][0].history, again[0].history)
    named = {"precision": recipe.precision, "unit": "s"}
    loss = {"precision": recipe.precision, "unit": "loss"}
    return [
        {"measure": "the paper's recipe", "value": one, **named},
        {"measure": f"{len(pairs)} networks", "value": many, **named},
        {"measure": "a network alone against among others, first epoch", "value": apart["first"], **loss},
        {"measure": "a network alone against among others, last epoch", "value": apart["last"], **loss},
        {"measure": "two runs, last epoch", "value": repeated["last"], **loss},
    ]


def _largest(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, float]:
    """Largest difference of the losses of both parts, in the first epoch and in the last that both have."""
    both = one.merge(other, on=["epoch", "part"], suffixes=("", "_other"))
    difference = (both["loss"] - both["loss_other"]).abs()
    return {
        "first": float(difference[both["epoch"] == both["epoch"].min()].max()),
        "last": float(difference[both["epoch"] == both["epoch"].max()].max()),
    }


def _all_maps(fitted: Fitted, cohort: xr.Dataset, device: torch.device) -> dict[str, object]:
    """Time the maps of all labelled subjects, the best of three."""

    def work() -> None:
        compute_maps(fitted.net, cohort, METHODS, progress=False, device=device)

    seconds = min(_timed(work, device) for _ in range(3))
    return {"measure": "all maps", "precision": "float32", "value": seconds, "unit": "s"}


def _differences(cohort: xr.Dataset, fitted: Fitted, device: torch.device) -> list[dict[str, object]]:
    """How far the device's numbers lie from a CPU's: one epoch of training, and the maps of one network."""
    recipe = Recipe.demo(epochs=1)
    pair = [(make_split(cohort), 0)]
    histories = [_together(cohort, pair, recipe, each)[0].history for each in (torch.device("cpu"), device)]
    rows = [
        {"measure": "against a CPU: first epoch", "value": _largest(*histories)["first"], "unit": "loss"},
    ]
    few = np.flatnonzero(cohort["label"].to_numpy() >= 0)[:16]
    maps = [
        compute_maps(fitted.net, cohort, METHODS, subjects=few, progress=False, device=each) for each in ("cpu", device)
    ]
    for view in fitted.net.views:
        ours, theirs = (each[view].to_numpy() for each in maps)
        scale = np.abs(ours).max(axis=tuple(range(3, ours.ndim)), keepdims=True)
        share = float((np.abs(ours - theirs) / np.maximum(scale, np.finfo(np.float32).tiny)).max())
        rows.append({"measure": f"against a CPU: maps of {view}", "value": share, "unit": "of the map's maximum"})
    return [{"precision": "float32", **row} for row in rows]


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, measure, and write the table with its stamp."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="cuda or cpu; a GPU if there is one unless given")
    parser.add_argument("--out", type=Path, default=Path("results/gpu.csv"), help="table to write (results/gpu.csv)")
    parser.add_argument("--quick", action="store_true", help="a small study, to see that all of it works: no result")
    asked = parser.parse_args(arguments)
    device = choose_device(asked.device)
    if device.type == "cpu" and not asked.quick:
        parser.error("torch finds no GPU here; --quick tries the same code on a CPU")
    if asked.quick and asked.out == parser.get_default("out"):
        parser.error("--quick measures nothing that results/ could hold; name another file by --out")
    table = measure(device, asked.quick)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(asked.out, index=False)
    write_json(asked.out.with_suffix(".json"), {**stamp({"quick": asked.quick}), "device": name_device(device)})
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
