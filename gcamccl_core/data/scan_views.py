"""From the series of all subjects to a view of the cohort: which regions and subjects stay, and why others do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.connectivity import estimate_connectivity
from gcamccl_core.data.scan_processing import read_series
from gcamccl_core.data.time_series import ScanError


def make_connectivity_view(
    out: str | Path,
    scans: pd.DataFrame,
    kind: str = "correlation",
    region_lacking: float = 0.1,
    estimate: Callable[..., np.ndarray] = estimate_connectivity,
) -> tuple[xr.DataArray, pd.DataFrame, pd.DataFrame]:
    """Estimate the connectivity of every subject that can be used, between the regions that they have in common.

    A region that more than a few of the used scans lack is left out for all; whoever still lacks one is left out then.

    Parameters
    ----------
    out : path
        Where :func:`.process_scans` has kept the series.
    scans : pandas.DataFrame
        What it handed back.
    kind : str
        As of :func:`.estimate_connectivity`.
    region_lacking : float
        The largest share of the used scans that may lack a region before it is left out.
    estimate : callable
        Takes the list of series, ``kind``, ``subjects`` and ``regions``; as :func:`.estimate_connectivity`.

    Returns
    -------
    view : xarray.DataArray
        (subject, roi_i, roi_j), for :func:`.assemble_cohort`.
    subjects : pandas.DataFrame
        As ``scans``; who was left out here has the status "excluded" and the reason.
    regions : pandas.DataFrame
        One row per region of the atlas: ``roi``, ``lacking`` (share of the used scans), ``coverage`` (mean over
        them) and ``kept``.

    Raises
    ------
    ScanError
        If nobody, or fewer than two regions, are left.
    """
    used = scans[scans["status"] == "used"]
    if used.empty:
        counts = ", ".join(f"{count} {status}" for status, count in scans["status"].value_counts().items())
        raise ScanError(f"no scan can be used: {counts or 'there are none'}")
    series = {str(one): read_series(out, str(one), str(stamp)) for one, stamp in used[["subject", "stamp"]].to_numpy()}
    atlas = next(iter(series.values())).coverage["roi"]
    has = pd.DataFrame({subject: atlas.isin(one.regions).to_numpy() for subject, one in series.items()}, index=atlas)
    lacking = 1 - has.mean(axis=1)
    kept = (lacking <= region_lacking).to_numpy()
    coverage = np.mean([one.coverage["coverage"].to_numpy() for one in series.values()], axis=0)
    regions = pd.DataFrame({"roi": atlas, "lacking": lacking.to_numpy(), "coverage": coverage, "kept": kept})
    complete = has[kept].all(axis=0)
    subjects = scans.copy()
    for subject in complete.index[~complete]:
        missed = has.index[kept][~has.loc[kept, subject]]
        row = subjects["subject"] == subject
        reason = f"{len(missed)} regions not covered: {name_some(missed)}"
        subjects.loc[row, ["status", "reason"]] = ["excluded", reason]
    names, stay = atlas[kept].tolist(), complete.index[complete].tolist()
    if len(names) < 2 or not stay:
        left = f"{len(names)} regions and {len(stay)} subjects are left"
        raise ScanError(f"{left}; process the scans with a smaller least_coverage, or change region_lacking")
    signals = []
    for subject in stay:
        columns = pd.Index(series[subject].regions).get_indexer(pd.Index(names))
        signals.append(series[subject].signal[:, columns])
    values = estimate(signals, kind, subjects=stay, regions=names)
    about = {"kind": "correlation" if "correlation" in kind else "measure", "connectivity": kind}
    coords = {"subject": stay, "roi_i": names, "roi_j": names}
    return xr.DataArray(values, coords, ("subject", "roi_i", "roi_j"), attrs=about), subjects, regions
