"""Independent pieces of a long run, several at a time, each of which keeps its own result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from joblib import Parallel, delayed
from tqdm.std import tqdm

Unit = TypeVar("Unit")
Result = TypeVar("Result")


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
