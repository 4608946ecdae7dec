"""Cohorts of long runs: opened once in every process, however many pieces of work it does."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import xarray as xr

from gcamccl_core.data.sources import open_cohort


@lru_cache(maxsize=1)
def open_once(**source: Any) -> xr.Dataset:
    """Open a cohort and keep it: a process scores many splits of the same."""
    return open_cohort(**source, progress=False)
