"""Selected connections made ready to draw: the strongest of a class, their place around a circle, their colours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from gcamccl_core.maps.region_names import describe_rois
from gcamccl_core.report.labels import join_words, number
from gcamccl_core.report.style import GREY, INK, SMALL

EDGE_COLORS = LinearSegmentedColormap.from_list("edges", mpl.colormaps["magma_r"](np.linspace(0.14, 0.84, 256)))
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
STAR = "★"  # before the name of a hub
WEIGHTS = {"frequency": "share of subjects", "mean_value": "mean map value"}
REGION_GAP, LOBE_GAP = 1.2, 5.0  # degrees between two regions of the circle, and between two lobes
GAPS = 75  # degrees: the most that all gaps together take

Hubs = Mapping[str, Collection[str]]  # by class, the names of its regions with markedly many connections


def strongest(selected: pd.DataFrame, target_class: str, top: int) -> tuple[pd.DataFrame, int]:
    """Take the first connections of a class, and count all of them."""
    edges = selected[(selected["target_class"] == target_class) & selected["roi_i"].fillna("").ne("")]
    ordered = edges.sort_values(["frequency", "mean_value"], ascending=False, kind="stable")
    return ordered.head(top), len(ordered)


def drawn_connections(selected: pd.DataFrame, classes: Sequence[str], top: int) -> pd.DataFrame:
    """Put the strongest connections of every class together: all that a figure draws."""
    return pd.concat([strongest(selected, name, top)[0] for name in classes])


def how_many(edges: pd.DataFrame, total: int) -> str:
    """Say in a title how many connections are drawn, and of how many."""
    if not total:
        return ": no connection was selected"
    if len(edges) < total:
        return f": the strongest {len(edges)} of {total} connections"
    return f": {total} connection{'' if total == 1 else 's'}"


def counted(edges: pd.DataFrame, total: int) -> str:
    """Say in alt text how many connections are drawn, and of how many."""
    if len(edges) < total:
        return f"{len(edges)} of {total} connections"
    return f"{total} connection{'' if total == 1 else 's'}"


def varying_weight(drawn: pd.DataFrame, weight: str | None) -> str:
    """Keep the column asked for; otherwise the frequency, or the mean value where only that tells lines apart."""
    if weight is not None:
        return weight
    varies = {name for name in WEIGHTS if name in drawn and not drawn.empty and drawn[name].min() < drawn[name].max()}
    return "mean_value" if varies == {"mean_value"} else "frequency"


def weight_scale(drawn: pd.DataFrame, weight: str) -> Normalize | None:
    """Make one scale for all connections drawn, but for the highest and lowest 2 %; None if there are none."""
    values = drawn[weight].astype(float).to_numpy()
    if len(values) == 0:
        return None
    low = float(np.quantile(values, 0.02, method="lower"))
    high = float(np.quantile(values, 0.98, method="higher"))
    if low == high:
        low, high = float(values.min()), float(values.max())
    return Normalize(low if low < high else low - 0.5 * abs(low or 1.0), high, clip=True)


def say_colours(drawn: pd.DataFrame, weight: str) -> str:
    """Say in alt text what the colour of a line is, and its range."""
    if drawn.empty:
        return ""
    low, high = (number(float(value)) for value in (drawn[weight].min(), drawn[weight].max()))
    return f" Lines coloured by {WEIGHTS.get(weight, weight)}, " + (
        f"all {low}." if low == high else f"{low} to {high}."
    )


def say_hubs(edges: pd.DataFrame, hubs: Collection[str]) -> str:
    """Say in alt text which regions with a connection are marked as hubs, in the order of their connections."""
    regions = ends_of(edges)["region"].value_counts()
    marked = [str(region) for region in regions.index if region in hubs]
    if not marked:
        return ""
    return f"; marked by a star as {'hubs' if len(marked) > 1 else 'the hub'}: {join_words(marked)}"


def lobe_of(cohort: xr.Dataset) -> dict[str, str]:
    """Look up the lobe of every ROI, empty where it is not known."""
    return {str(roi): str(lobe) for roi, lobe in describe_rois(cohort)["lobe"].items()}


def lobes_present(drawn: pd.DataFrame, lobes: Mapping[str, str]) -> list[str]:
    """List the lobes that have a connection, those without a colour of their own as one."""
    ends = pd.concat([drawn["roi_i"], drawn["roi_j"]]).dropna()
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


def arrange_ends(edges: pd.DataFrame, lobes: Mapping[str, str]) -> pd.DataFrame:
    """Give every end its place on the circle: lobe by lobe, region by region, ROI by ROI, clockwise from the top.

    Returns
    -------
    pandas.DataFrame
        As :func:`ends_of`, in order, with ``lobe``, ``angle`` and ``step``, the width of a place; both in degrees.
        Gaps between regions, wider between lobes, shrink where there are many.
    """
    ends = ends_of(edges)
    ends["lobe"] = [lobes.get(roi, "") for roi in ends["roi"]]
    main_lobe = ends.groupby("region")["lobe"].agg(lambda found: found.mode().iloc[0])
    rank = {lobe: place for place, lobe in enumerate(LOBE_COLORS)}
    ends["place"] = [rank.get(main_lobe[region], len(rank)) for region in ends["region"]]
    ends = ends.sort_values(["place", "region", "roi", "edge"], ignore_index=True)
    gaps = np.where(ends["region"].ne(ends["region"].shift(-1)), REGION_GAP, 0.0)
    if ends["place"].iloc[0] < ends["place"].iloc[-1]:
        gaps = np.where(ends["place"].ne(ends["place"].shift(-1)), LOBE_GAP, gaps)
    gaps *= min(1.0, GAPS / gaps.sum())
    step = (360 - gaps.sum()) / len(ends)
    before = np.cumsum(gaps) - gaps + gaps[-1] / 2
    return ends.assign(angle=90 - (np.arange(len(ends)) + 0.5) * step - before, step=step)


def draw_key(fig: Figure, drawn: pd.DataFrame, weight: str, lobes: Sequence[str], hubs: bool = False) -> None:
    """Draw the colour bar of the connections and the legend of the lobes at the foot of a figure."""
    norm = weight_scale(drawn, weight)
    if norm is None:
        return
    height = fig.get_size_inches()[1]
    ax = fig.add_axes((0.04, 0.36 / height, 0.22, 0.09 / height))
    beyond = ("min" if drawn[weight].min() < norm.vmin else "", "max" if drawn[weight].max() > norm.vmax else "")
    extend = {("min", "max"): "both", ("min", ""): "min", ("", "max"): "max"}.get(beyond, "neither")
    fig.colorbar(
        ScalarMappable(norm, EDGE_COLORS), cax=ax, orientation="horizontal", extend=extend, ticks=MaxNLocator(4)
    )
    ax.set_xlabel(f"line: {WEIGHTS.get(weight, weight)}", fontsize=SMALL, labelpad=1)
    ax.tick_params(labelsize=SMALL)
    handles: list[Patch | Line2D] = [Patch(facecolor=LOBE_COLORS.get(lobe, GREY)) for lobe in lobes]
    if hubs:
        handles.append(Line2D([], [], marker="*", color=INK, linestyle="", markersize=6))
    fig.legend(
        handles, [*lobes, *(["hub"] if hubs else [])], loc="lower right", ncols=min(5, max(len(handles), 1)),
        bbox_to_anchor=(0.99, 0.0), handlelength=1, columnspacing=1.2,
    )  # fmt: skip


@dataclass(frozen=True)
class Network:
    """ROIs that have a connection, their places (MNI mm), the symmetric weights, and numbers of connections."""

    rois: list[str]
    places: np.ndarray
    weights: np.ndarray
    degrees: np.ndarray


def join_network(edges: pd.DataFrame, cohort: xr.Dataset, weight: str) -> Network:
    """Join connections to a network of the ROIs that have one; a weight of zero becomes next to zero, to be drawn."""
    rois = list(dict.fromkeys([*edges["roi_i"], *edges["roi_j"]]))
    places = np.column_stack([cohort[f"roi_{each}"].sel(roi=rois).to_numpy() for each in "xyz"]).astype(float)
    number_of = {roi: number for number, roi in enumerate(rois)}
    first, second = (edges[f"roi_{end}"].map(number_of).to_numpy() for end in "ij")
    weights = np.zeros((len(rois), len(rois)))
    values = edges[weight].to_numpy(dtype=float)
    weights[first, second] = weights[second, first] = np.where(values == 0, 1e-12, values)
    return Network(rois, places, weights, (weights != 0).sum(axis=0))
