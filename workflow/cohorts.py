"""Cohorts of long runs: opened once in every process, however many pieces of work it does."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import xarray as xr
from threadpoolctl import threadpool_limits

from gcamccl_core.data.sources import open_cohort


@lru_cache(maxsize=1)
def open_once(**source: Any) -> xr.Dataset:
    """Open a cohort and keep it: a process scores many splits of the same.

    On one thread, since sums depend on how they are shared out: the same cohort whichever number of jobs, to the bit.
    """
    with threadpool_limits(1):
        return open_cohort(**source, progress=False)
