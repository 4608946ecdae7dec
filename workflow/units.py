"""Independent pieces of a long run, several at a time, each of which keeps its own result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
from joblib import Parallel, delayed
from tqdm.std import tqdm

Unit = TypeVar("Unit")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Made:
    """A table, the numbers of it that prose may quote, and the hashes of the cohorts that it came from."""

    table: pd.DataFrame
    numbers: Mapping[str, object]
    data: Sequence[str]


def run_units(work: Callable[[Unit], Result], units: Sequence[Unit], jobs: int) -> list[Result]:
    """Do each piece of work, in several processes with the cores shared out among them.

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
        In the order of the units.
    """
    pool = Parallel(n_jobs=jobs, return_as="generator")  # joblib gives each process its share of the cores
    return list(tqdm(pool(delayed(work)(unit) for unit in units), "pieces", total=len(units)))
