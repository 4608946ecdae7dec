"""Figure 5: the selected connections of every class on a circle of regions, arcs as long as they have connections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.projections.polar import PolarAxes
from matplotlib.textpath import TextPath
from mne_connectivity.viz import plot_connectivity_circle

from gcamccl_core.data.cohort import class_names
from gcamccl_core.report.connections import (
    EDGE_COLORS,
    LOBE_COLORS,
    STAR,
    Hubs,
    arrange_ends,
    counted,
    draw_key,
    drawn_connections,
    ends_of,
    how_many,
    lobe_of,
    lobes_present,
    say_colours,
    say_hubs,
    strongest,
    varying_weight,
    weight_scale,
)
from gcamccl_core.report.labels import join_words, shorten_region, spread_around
from gcamccl_core.report.style import GREY, INK, PAGE_WIDTH, SMALL, house_style

RADIUS = 1.0  # inches
ROOM = (0.74, 0.82)  # inches beside and above the circle, for the labels
TITLE = 0.22  # inches above that
FOOT = 0.62  # inches below all circles, for the key
LEADER = 0.08  # inches between an arc and its label
RING = 0.8  # thickness of the arcs, in tenths of the radius


@house_style()
def plot_circle(
    selected: pd.DataFrame,
    cohort: xr.Dataset,
    weight: str | None = None,
    top: int = 300,
    hubs: Hubs | None = None,
) -> Figure:
    """Draw Figure 5: the connections of every class on a circle whose arcs are as long as a region has connections.

    Parameters
    ----------
    selected : pandas.DataFrame
        As :func:`.select_biomarkers` makes it, one row per class and connection; rows without ``roi_i`` are left out.
    cohort : xarray.Dataset
        Names the classes; with ``roi_lobe``, arcs are grouped and coloured by lobe.
    weight : str, optional
        Column that colours the connections, on one scale for all classes; ``frequency`` if it differs between the
        connections drawn, otherwise ``mean_value``.
    top : int
        Only the most frequent, then highest, connections of a class are drawn; the title says how many.
    hubs : mapping of str to names of regions, optional
        By class, the regions whose labels are bold and starred.

    Returns
    -------
    Figure
        One circle per class, two in a row; where nothing was selected it is empty and says so.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> rois = cohort["roi"].to_numpy()
    >>> edge = {"target_class": "high", "roi_i": rois[0], "roi_j": rois[1], "region_i": "Cuneus", "region_j": "Insula"}
    >>> selected = pd.DataFrame([edge | {"frequency": 0.8, "mean_value": 0.1}])
    >>> [text.get_text() for text in plot_circle(selected, cohort, hubs={"high": ["Cuneus"]}).texts]
    ['low: no connection was selected', 'high: 1 connection']
    """
    classes, hubs = class_names(cohort), hubs or {}
    columns = min(2, len(classes))
    rows = -(-len(classes) // columns)
    cell = 2 * (RADIUS + ROOM[1]) + TITLE
    fig = Figure(figsize=(PAGE_WIDTH, rows * cell + FOOT))
    width, height = fig.get_size_inches()
    drawn, lobes = drawn_connections(selected, classes, top), lobe_of(cohort)
    weight = varying_weight(drawn, weight)
    norm = weight_scale(drawn, weight)
    starred = False
    for place, name in enumerate(classes):
        row, column = divmod(place, columns)
        middle, upper = width / columns * (column + 0.5), height - cell * row
        left, bottom = middle - RADIUS, upper - cell + ROOM[1]
        ax = fig.add_axes((left / width, bottom / height, 2 * RADIUS / width, 2 * RADIUS / height), projection="polar")
        assert isinstance(ax, PolarAxes)
        edges, total = strongest(selected, name, top)
        draw_circle(ax, edges, lobes, weight, norm, hubs.get(name, ()))
        starred |= bool(say_hubs(edges, hubs.get(name, ())))
        title = name + how_many(edges, total)
        fig.text(middle / width, (upper - 0.08) / height, title, ha="center", va="top", weight="bold")
    draw_key(fig, drawn, weight, lobes_present(drawn, lobes), starred)
    return fig


def alt_circle(
    selected: pd.DataFrame,
    cohort: xr.Dataset,
    weight: str | None = None,
    top: int = 300,
    hubs: Hubs | None = None,
) -> str:
    """Say in words what :func:`plot_circle` shows, given the same."""
    parts = []
    for name in class_names(cohort):
        edges, total = strongest(selected, name, top)
        if not total:
            parts.append(f"Class {name}: no connection selected")
            continue
        counts = ends_of(edges)["region"].value_counts()
        first = [f"{region} ({count})" for region, count in counts.head(3).items()]
        parts.append(
            f"Class {name}: {counted(edges, total)} among {len(counts)} regions; "
            f"longest arcs, by ends: {join_words(first)}{say_hubs(edges, (hubs or {}).get(name, ()))}"
        )
    drawn = drawn_connections(selected, class_names(cohort), top)
    colours = say_colours(drawn, varying_weight(drawn, weight))
    return f"Circle of regions for every class, arcs as long as a region has connections. {'. '.join(parts)}.{colours}"


def draw_circle(
    ax: PolarAxes,
    edges: pd.DataFrame,
    lobes: Mapping[str, str] | None = None,
    weight: str = "frequency",
    norm: Normalize | None = None,
    hubs: Collection[str] = (),
    room: tuple[float, float] = ROOM,
) -> PolarAxes:
    """Draw the connections of one class on a circle of regions.

    Each connection ends at a place of its own, so an arc's length counts ends; white lines divide a region's ROIs.
    Weak connections lie below strong ones. Labels stand along the radii; where they do not all fit, the shortest arcs
    that are no hubs have none.

    Parameters
    ----------
    ax : PolarAxes
        Where to draw; its size is taken as it is now.
    edges : pandas.DataFrame
        One row per connection: ``roi_i``, ``roi_j``, ``region_i``, ``region_j`` and the weight.
    lobes : mapping of ROI to lobe, optional
        Groups and colours the arcs.
    weight : str
        Column that colours the connections.
    norm : Normalize, optional
        Scale of the weight; from these connections if not given.
    hubs : names of regions
        Their labels are bold and starred.
    room : tuple of float
        Inches that labels may take beyond the axes, at either side, and above and below.

    Returns
    -------
    PolarAxes
        The axes given.

    Examples
    --------
    >>> ax = Figure(figsize=(3.4, 3.4)).add_axes((0.2, 0.2, 0.6, 0.6), projection="polar")
    >>> edge = {"roi_i": "a", "roi_j": "b", "region_i": "Cuneus", "region_j": "Insula", "frequency": 0.8}
    >>> drawn = draw_circle(ax, pd.DataFrame([edge]), {"a": "Occipital", "b": "Insula"}, hubs=["Cuneus"])
    >>> [text.get_text() for text in drawn.texts]
    ['Insula', '★ Cuneus']
    """
    norm = norm or weight_scale(edges, weight)
    if edges.empty or norm is None:
        ax.set(xticks=[], yticks=[], ylim=(0, 1))
        ax.spines["polar"].set(color=GREY, linestyle=":")
        ax.text(0, 0, "no connection was selected", ha="center", va="center", color=INK)
        return ax
    ends = arrange_ends(edges, lobes or {})
    _draw_chords(ax, edges[weight].to_numpy(dtype=float), ends, norm)
    _draw_arcs(ax, ends)
    _label_arcs(ax, ends, set(hubs), room)
    return ax


def _draw_chords(ax: PolarAxes, weights: np.ndarray, ends: pd.DataFrame, norm: Normalize) -> None:
    """Draw one curve per connection, weak ones first, thinner and more transparent."""
    places = ends.reset_index().groupby("edge")["index"].agg(["min", "max"]).to_numpy()
    plot_connectivity_circle(
        weights, [""] * len(ends), indices=(places[:, 0], places[:, 1]), node_angles=ends["angle"].to_numpy(),
        node_width=float(ends["step"].iloc[0]), node_linewidth=0, facecolor="white", colormap=EDGE_COLORS,
        vmin=norm.vmin, vmax=norm.vmax, colorbar=False, padding=0, ax=ax, interactive=False, show=False,
    )  # fmt: skip
    for unused in (*ax.containers[-1], *ax.texts):  # a cell and a label of every end: the arcs stand for them
        unused.remove()
    curves = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    widest, faintest = np.clip(12 / np.sqrt(len(weights)), 0.6, 1.8), np.clip(20 / len(weights) + 0.3, 0.4, 0.9)
    ordered = weights[np.argsort(np.abs(weights))]  # as the curves are
    for curve, share in zip(curves, np.asarray(norm(ordered), dtype=float), strict=True):
        curve.set(linewidth=widest * (0.5 + 0.5 * share), alpha=faintest + (0.95 - faintest) * share)


def _draw_arcs(ax: PolarAxes, ends: pd.DataFrame) -> None:
    """Draw one arc per ROI, as wide as it has ends."""
    step = float(ends["step"].iloc[0])
    arcs = ends.groupby(["region", "roi", "lobe"], sort=False)["angle"].agg(["mean", "size"]).reset_index()
    ax.bar(
        np.deg2rad(arcs["mean"]), RING, width=np.deg2rad(arcs["size"] * step), bottom=10 - RING, align="center",
        color=[LOBE_COLORS.get(lobe, GREY) for lobe in arcs["lobe"]], linewidth=0,
    )  # fmt: skip
    arcs["border"] = np.deg2rad(arcs["mean"] - arcs["size"] * step / 2)
    within = arcs[arcs["region"].eq(arcs["region"].shift(-1))]
    thickness = np.minimum(0.4, 0.5 * within["size"] * np.deg2rad(step) * RADIUS * 36)
    ax.vlines(within["border"], 10 - RING, 10, color="white", linewidth=thickness)
    ax.set_ylim(0, 10)


def _label_arcs(ax: PolarAxes, ends: pd.DataFrame, hubs: set[str], room: tuple[float, float]) -> None:
    """Name regions along the radii, never on their head; the shortest arcs stay unnamed where there is no room."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    radius = ax.get_window_extent().width / figure.dpi / 2
    line = np.degrees(1.14 * SMALL / 72 / (radius + LEADER))
    arcs = ends.groupby("region", sort=False)["angle"].agg(["mean", "size"])
    arcs = arcs.assign(hub=[region in hubs for region in arcs.index])
    named = arcs.sort_values(["hub", "size"], ascending=False, kind="stable").head(int(360 / line))
    named = named.loc[[region for region in arcs.index if region in named.index]]
    start = 10 * (1 + LEADER / radius)
    for (region, arc), angle in zip(named.iterrows(), spread_around(named["mean"].to_numpy(), line), strict=True):
        turn = np.deg2rad(angle)
        right, across = np.cos(turn) >= 0, np.maximum(np.abs([np.cos(turn), np.sin(turn)]), 1e-9)
        space = float(((radius + np.array(room)) / across).min()) - radius - LEADER - 0.04
        elbows = np.deg2rad([arc["mean"], arc["mean"], angle, angle])
        radii = [10.08, 10 + 0.25 * (start - 10), 10 + 0.75 * (start - 10), start - 0.08]
        ax.plot(elbows, radii, color=GREY, linewidth=0.5, clip_on=False)
        ax.text(
            turn, start, fit_label(str(region), space, arc["hub"]), fontsize=SMALL, va="center", clip_on=False,
            ha="left" if right else "right", rotation=(angle + (0 if right else 180) + 180) % 360 - 180,
            rotation_mode="anchor", weight="bold" if arc["hub"] else "normal",
        )  # fmt: skip


def fit_label(region: str, space: float, hub: bool = False) -> str:
    """Shorten the long words of a region, not its numbers, until it fits a space in inches; hubs have a star.

    Examples
    --------
    >>> [fit_label("Middle Occipital Gyrus", space) for space in (0.6, 0.48, 0.36)]
    ['Mid. Occip.', 'Mid. Occi.', 'Mi. Oc.']
    >>> fit_label("Inferior_Occipital_L_168", 0.8, hub=True)
    '★ In. Oc. L 168'
    """
    star = f"{STAR} " if hub else ""
    short = shorten_region(region, 24, narrow=True)
    label = star + short
    for letters in (9, 5, 4, 3, 2, 1):
        if _width(label, hub) <= space:
            return label
        words = [
            word if word[-1].isdigit() or len(word.rstrip(".")) <= letters else f"{word[:letters]}."
            for word in short.split()
        ]
        label = star + " ".join(words)
    while _width(label, hub) > space and len(label) > len(star) + 2:
        label = label[:-2].rstrip() + "…"
    return label


@lru_cache(maxsize=4096)
def _width(text: str, bold: bool) -> float:
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=SMALL, prop=font).get_extents().width / 72)
