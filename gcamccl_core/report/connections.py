"""Selected connections made ready to draw: the strongest of a class, their place around a circle, their colours."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gcamccl_core.report.style import GREY, SMALL

EDGE_COLORS = LinearSegmentedColormap.from_list("edges", mpl.colormaps["YlGnBu"](np.linspace(0.3, 1, 256)))
LOBE_COLORS = {  # Tol's muted scheme; in the order around the circle, front to back
    "Frontal": "#332288",
    "Insula": "#AA4499",
    "Limbic": "#CC6677",
    "Sub-lobar": "#DDCC77",
    "Temporal": "#117733",
    "Parietal": "#88CCEE",
    "Occipital": "#882255",
    "Cerebellum": "#999933",
}
OTHER = "other"
GAP = 1.5  # degrees between two regions of the circle


def strongest(selected: pd.DataFrame, target_class: str, top: int) -> tuple[pd.DataFrame, int]:
    """Take the first connections of a class, and count all of them."""
    edges = selected[(selected["target_class"] == target_class) & selected["roi_i"].fillna("").ne("")]
    ordered = edges.sort_values(["frequency", "mean_value"], ascending=False, kind="stable")
    return ordered.head(top), len(ordered)


def how_many(edges: pd.DataFrame, total: int) -> str:
    """Say in a title how many connections are drawn, and of how many."""
    if not total:
        return ": no connection was selected"
    if len(edges) < total:
        return f": the strongest {len(edges)} of {total} connections"
    return f": {total} connection{'' if total == 1 else 's'}"


def weight_scale(selected: pd.DataFrame, weight: str) -> Normalize | None:
    """Make one scale for the connections of all classes; None if there are none."""
    values = selected.loc[selected["roi_i"].fillna("").ne(""), weight].astype(float)
    if values.empty:
        return None
    low, high = float(values.min()), float(values.max())
    return Normalize(low if low < high else low - 0.5 * abs(low or 1.0), high)


def lobe_of(cohort: xr.Dataset) -> dict[str, str]:
    """Look up the lobe of every ROI, empty where it is not known."""
    names = cohort["roi_i"].to_numpy().astype(str)
    if "roi_lobe" not in cohort.variables:
        return dict.fromkeys(names, "")
    return dict(zip(cohort["roi"].to_numpy().astype(str), cohort["roi_lobe"].to_numpy().astype(str), strict=True))


def lobes_present(selected: pd.DataFrame, lobes: dict[str, str]) -> list[str]:
    """List the lobes that have a selected connection, those without a colour of their own as one."""
    ends = pd.concat([selected["roi_i"], selected["roi_j"]]).dropna()
    present = {lobes[roi] for roi in ends if roi in lobes}
    named = [lobe for lobe in LOBE_COLORS if lobe in present]
    return [*named, OTHER] if named and present - set(named) else named


def ends_of(edges: pd.DataFrame) -> pd.DataFrame:
    """List both ends of every connection: ``edge`` (its row), ``roi``, ``region`` (the ROI itself if it has none)."""
    ends = pd.concat(
        [
            pd.DataFrame({"edge": range(len(edges)), "roi": edges[f"roi_{end}"], "region": edges[f"region_{end}"]})
            for end in "ij"
        ],
        ignore_index=True,
    )
    return ends.assign(region=ends["region"].where(ends["region"].fillna("").ne(""), ends["roi"]))


def arrange_ends(edges: pd.DataFrame, lobes: dict[str, str]) -> pd.DataFrame:
    """Give every end its place on the circle: lobe by lobe, region by region, ROI by ROI, clockwise from the top.

    Returns
    -------
    pandas.DataFrame
        As :func:`ends_of`, in order, with ``lobe``, ``angle`` and ``step``, the width of a place; both in degrees.
    """
    ends = ends_of(edges)
    ends["lobe"] = [lobes.get(roi, "") for roi in ends["roi"]]
    main_lobe = ends.groupby("region")["lobe"].agg(lambda found: found.mode().iloc[0])
    rank = {lobe: place for place, lobe in enumerate(LOBE_COLORS)}
    ends["place"] = [rank.get(main_lobe[region], len(rank)) for region in ends["region"]]
    ends = ends.sort_values(["place", "region", "roi", "edge"], ignore_index=True)
    arc = ends["region"].ne(ends["region"].shift()).cumsum() - 1
    step = (360 - GAP * (arc.iloc[-1] + 1)) / len(ends)
    return ends.assign(angle=90 - (np.arange(len(ends)) + 0.5) * step - GAP * arc, step=step)


def draw_key(fig: Figure, weight: str, norm: Normalize, lobes: list[str]) -> None:
    """Draw the colour bar of the connections and the legend of the lobes at the foot of a figure."""
    height = fig.get_size_inches()[1]
    ax = fig.add_axes((0.04, 0.36 / height, 0.22, 0.09 / height))
    fig.colorbar(ScalarMappable(norm, EDGE_COLORS), cax=ax, orientation="horizontal")
    names = {"frequency": "share of subjects", "mean_value": "mean map value"}
    ax.set_xlabel(names.get(weight, weight), fontsize=SMALL, labelpad=1)
    ax.tick_params(labelsize=SMALL)
    handles = [Patch(facecolor=LOBE_COLORS.get(lobe, GREY)) for lobe in lobes]
    fig.legend(
        handles, lobes, loc="lower right", ncols=4, bbox_to_anchor=(0.99, 0.0), handlelength=1, columnspacing=1.2
    )
