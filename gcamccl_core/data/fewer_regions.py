"""The same people with fewer regions: a cohort on which a network is trained in seconds, to compare many of them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gcamccl_core.data.checks import CohortError, view_names


def keep_regions(cohort: xr.Dataset, n_regions: int, view: str | None = None) -> xr.Dataset:
    """Keep the regions with the most planted connections; where nothing was planted, regions at even distances.

    Networks see a larger share of what was planted than in the whole cohort, so scores compare with one another and not
    with those of the whole.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort with an image view.
    n_regions : int
        How many regions to keep, in their former order.
    view : str, optional
        Which image; the first by default.

    Returns
    -------
    xarray.Dataset
        Everything along this image's dimensions, and along ``roi``, reduced alike.

    Raises
    ------
    CohortError
        If the cohort has no such image, or fewer regions.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> keep_regions(simulate_cohort(n_subjects=40, seed=1), 48)["fc"].shape
    (40, 48, 48)
    """
    images = [name for name in view_names(cohort) if cohort[name].ndim == 3]
    chosen = view if view is not None else next(iter(images), None)
    if chosen not in images:
        raise CohortError(f"the cohort has no image view{f' {view!r}' if view else ''}; it has {view_names(cohort)}")
    total = cohort[chosen].shape[1]
    if not 1 < n_regions <= total:
        raise CohortError(f"n_regions must be from 2 to the {total} regions of '{chosen}', got {n_regions}")
    truth = cohort.get(f"truth_{chosen}")
    if truth is None or not bool((truth != 0).any()):
        kept = np.linspace(0, total - 1, n_regions).round().astype(int)
    else:
        planted = (truth != 0).any("target_class").to_numpy().sum(axis=1)
        kept = np.sort(np.argsort(-planted, kind="stable")[:n_regions])
    along = [*cohort[chosen].dims[1:], *(["roi"] if "roi" in cohort.dims else [])]
    return cohort.isel(dict.fromkeys(along, kept))
