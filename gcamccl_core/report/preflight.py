"""Before a long run: a page that says whether a cohort will work, and what it can show: ``make check COHORT=path``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import xarray as xr

from gcamccl_core.data.checks import CohortError, check_cohort
from gcamccl_core.data.cohort import load_cohort, make_split
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
from gcamccl_core.report.preflight_checks import (
    DOUBT,
    FAULT,
    GOOD,
    Finding,
    find_classes,
    find_confounding,
    find_coverage,
    find_genome,
    find_missing,
    find_people_twice,
    find_smallest_effect,
    find_views,
)

N_SPLITS = 20  # that a run is planned for


def preflight(cohort: xr.Dataset, timing: bool = True) -> pd.DataFrame:
    """Look at everything that a long run depends on.

    Parameters
    ----------
    cohort : xarray.Dataset
        As :func:`.load_cohort` reads it, or one that breaks the schema.
    timing : bool
        Train the recommended model once, to say how long a run takes here.

    Returns
    -------
    pandas.DataFrame
        ``check``, ``verdict`` ("good", "look" or "fault") and ``found``.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> page = preflight(simulate_cohort(100, seed=0), timing=False)
    >>> page["verdict"].isin(["good", "look"]).all(), page["check"].tolist()[:3]
    (np.True_, ['schema', 'views', 'people twice'])
    """
    try:
        check_cohort(cohort)
    except CohortError as fault:  # what follows would fall over it
        return pd.DataFrame([Finding("schema", FAULT, str(fault))])
    parts: list[Callable[[xr.Dataset], list[Finding]]] = [
        find_views,
        find_people_twice,
        find_missing,
        find_coverage,
        find_genome,
        find_classes,
        find_confounding,
        find_smallest_effect,
    ]
    found = [Finding("schema", GOOD, "the cohort keeps it")]
    for part in parts:
        found += part(cohort)
    if timing and not any(finding.verdict == FAULT for finding in found):
        found.append(_timing(cohort))
    return pd.DataFrame(found)


def _timing(cohort: xr.Dataset) -> Finding:
    """Train the recommended model once, and say what a run takes of time and, where the system tells, of memory."""
    started = time.perf_counter()
    fit(cohort, make_split(cohort, seed=0), Recipe.recommended(), seed=0, progress=False)
    seconds = time.perf_counter() - started
    minutes = N_SPLITS * seconds / 60
    text = f"the recommended model took {seconds:.0f} s on one split, so {minutes:.0f} minutes for {N_SPLITS}"
    peak, there = _memory()
    text += (
        f"; at most {peak:.1f} GiB of memory were used of {there:.0f}, by every process that trains" if there else ""
    )
    return Finding("time", DOUBT if minutes > 600 or (there and peak > there / 2) else GOOD, text)


def _memory() -> tuple[float, float]:
    """GiB that this process has used at most, and that the machine has; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # on Windows
        return 0.0, 0.0
    unit = 1 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    return peak, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def print_page(page: pd.DataFrame, name: str) -> str:
    """Lay a page out as text, faults first."""
    order = {FAULT: 0, DOUBT: 1, GOOD: 2}
    rows = page.assign(order=page["verdict"].map(order)).sort_values("order", kind="stable")
    counts = page["verdict"].value_counts()
    head = "will not work as it is" if counts.get(FAULT, 0) else "will work"
    head += f"; {counts[DOUBT]} things to look at" if counts.get(DOUBT, 0) else ""
    lines = [f"{name} {head}.", ""]
    lines += [f"  {row.verdict:<6}{row.check}: {row.found}" for row in rows.itertuples()]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the page of a cohort file; 1 if it will not work."""
    parser = argparse.ArgumentParser(prog="python -m gcamccl_core.report.preflight", description=__doc__)
    parser.add_argument("cohort", help="a cohort file (*.nc)")
    parser.add_argument("--no-timing", action="store_true", help="train nothing; says nothing of minutes")
    asked = parser.parse_args(arguments)
    path = Path(asked.cohort)
    try:
        cohort = load_cohort(path)
    except (FileNotFoundError, CohortError) as fault:
        print(print_page(pd.DataFrame([Finding("schema", FAULT, str(fault))]), path.name))
        return 1
    page = preflight(cohort, timing=not asked.no_timing)
    print(print_page(page, path.name))
    return int((page["verdict"] == FAULT).any())


if __name__ == "__main__":
    sys.exit(main())
