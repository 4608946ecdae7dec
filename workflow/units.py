"""Independent pieces of a long run, several at a time, each of which keeps its own result."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm.std import tqdm

from gcamccl_core.lifelines import end_with
from gcamccl_core.store import note_versions, watch_versions

Unit = TypeVar("Unit")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Made:
    """A table, and the hashes of the cohorts that it came from."""

    table: pd.DataFrame
    data: Sequence[str]


def run_units(work: Callable[[Unit], Result], units: Sequence[Unit], jobs: int) -> list[Result]:
    """Do each piece of work, in several processes, each on one thread.

    Parameters
    ----------
    work : callable
        What to do with one unit; it can be imported by name, and keeps what must survive a kill.
    units : sequence
        What to do it with.
    jobs : int
        How many processes; 1 works in this one.

    Returns
    -------
    list
        In the order of the units. Whoever watches versions here sees those of all processes.
    """
    pool = Parallel(n_jobs=jobs, return_as="generator")
    results = []
    for result, seen in tqdm(
        pool(delayed(_watch)(work, unit, os.getpid()) for unit in units), "pieces", total=len(units)
    ):
        note_versions(seen)
        results.append(result)
    return results


def gather(work: Callable[[Unit], tuple[pd.DataFrame, str]], units: Sequence[Unit], jobs: int) -> Made:
    """Do each piece of work as in :func:`run_units`; rows of all pieces in one table, rounded to six decimals.

    Parameters
    ----------
    work : callable
        Hands back the rows of one unit, and the hash of the cohort that they came from.
    units, jobs
        As there.
    """
    tables, data = zip(*run_units(work, units, jobs), strict=True)
    return Made(pd.concat(tables, ignore_index=True).round(6), sorted(set(data)))


def _watch(work: Callable[[Unit], Result], unit: Unit, worker_of: int) -> tuple[Result, list[dict[str, str]]]:
    end_with(worker_of)
    with threadpool_limits(1), watch_versions() as seen:  # sums are the same whatever the number of processes
        return work(unit), seen
