"""Figures 5 and 6: the selected connections of every class, on a circle of regions and on the glass brain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mne_connectivity.viz import plot_connectivity_circle
from nilearn.plotting import plot_connectome, plot_glass_brain

from gcamccl_core.data.cohort import class_names
from gcamccl_core.report.connections import (
    EDGE_COLORS,
    LOBE_COLORS,
    arrange_ends,
    draw_key,
    ends_of,
    how_many,
    lobe_of,
    lobes_present,
    strongest,
    weight_scale,
)
from gcamccl_core.report.labels import join_words, shorten_region, spread_apart
from gcamccl_core.report.style import GREY, INK, PAGE_WIDTH, SMALL, house_style

PROJECTIONS = {"z": "axial", "y": "coronal", "x": "sagittal"}
CELL = 2.65  # inches: the height of one circle with its labels
RADIUS = 0.74  # inches
LABELS = 2.1  # inches: the height of a column of labels
ROW = 2.15  # inches: the height of one class's brains


@house_style()
def plot_circle(selected: pd.DataFrame, cohort: xr.Dataset, weight: str = "frequency", top: int = 300) -> Figure:
    """Draw Figure 5: the connections of every class on a circle whose arcs are as long as a region has connections.

    Each connection ends at a place of its own, so an arc's length counts ends; white lines divide a region's ROIs.

    Parameters
    ----------
    selected : pandas.DataFrame
        As :func:`.select_biomarkers` makes it, one row per class and connection; rows without ``roi_i`` are left out.
    cohort : xarray.Dataset
        Names the classes; with ``roi_lobe``, arcs are ordered and coloured by lobe.
    weight : str
        Column that colours the connections, on one scale for all classes.
    top : int
        Only the most frequent, then highest, connections of a class are drawn; the title says how many.

    Returns
    -------
    Figure
        One circle per class; where nothing was selected it is empty and says so.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> rois = cohort["roi"].to_numpy()
    >>> edge = {"target_class": "high", "roi_i": rois[0], "roi_j": rois[1], "region_i": "Cuneus", "region_j": "Insula"}
    >>> selected = pd.DataFrame([edge | {"frequency": 0.8, "mean_value": 0.1}])
    >>> [text.get_text() for text in plot_circle(selected, cohort).texts]
    ['low: no connection was selected', 'high: 1 connection']
    """
    classes = class_names(cohort)
    columns = min(2, len(classes))
    rows = -(-len(classes) // columns)
    fig = Figure(figsize=(PAGE_WIDTH, rows * CELL + 0.7))
    width, height = fig.get_size_inches()
    norm = weight_scale(selected, weight)
    lobes = lobe_of(cohort)
    for place, name in enumerate(classes):
        row, column = divmod(place, columns)
        left = width / columns * (column + 0.5) - RADIUS
        bottom = height - CELL * (row + 0.5) - RADIUS - 0.12
        position = (left / width, bottom / height, 2 * RADIUS / width, 2 * RADIUS / height)
        ax = fig.add_axes(position, projection="polar")
        edges, total = strongest(selected, name, top)
        _draw_circle(ax, edges, lobes, weight, norm)
        title = name + how_many(edges, total)
        fig.text(
            (left + RADIUS) / width, (bottom + RADIUS + LABELS / 2 + 0.15) / height, title, ha="center", weight="bold"
        )
    if norm is not None:
        draw_key(fig, weight, norm, lobes_present(selected, lobes))
    return fig


def alt_circle(selected: pd.DataFrame, cohort: xr.Dataset) -> str:
    """Say in words what :func:`plot_circle` shows of these connections."""
    parts = []
    for name in class_names(cohort):
        edges, total = strongest(selected, name, len(selected))
        if not total:
            parts.append(f"Class {name}: no connection selected")
            continue
        counts = ends_of(edges)["region"].value_counts()
        first = [f"{region} ({count})" for region, count in counts.head(3).items()]
        parts.append(
            f"Class {name}: {total} connection{'s' if total > 1 else ''} among {len(counts)} regions; "
            f"longest arcs, by ends: {join_words(first)}"
        )
    return f"Circle of regions for every class, arcs as long as a region has connections. {'. '.join(parts)}."


@house_style()
def plot_brain(selected: pd.DataFrame, cohort: xr.Dataset, weight: str = "frequency", top: int = 100) -> Figure:
    """Draw Figure 6: the strongest connections of every class on the glass brain, axial, coronal and sagittal.

    Parameters
    ----------
    selected, weight
        As for :func:`plot_circle`.
    cohort : xarray.Dataset
        Has ``roi_x``, ``roi_y``, ``roi_z`` in MNI millimetres.
    top : int
        Only the most frequent, then highest, connections of a class are drawn; the title says how many.

    Returns
    -------
    Figure
        One row per class; ROIs are as large as they have connections drawn. An empty brain says that nothing was
        selected.

    Raises
    ------
    ValueError
        If the cohort has no coordinates of its regions.
    """
    lacking = [f"roi_{axis}" for axis in "xyz" if f"roi_{axis}" not in cohort]
    if lacking:
        raise ValueError(f"the cohort has no {join_words(lacking)}; add the regions' MNI coordinates in mm along 'roi'")
    classes = class_names(cohort)
    fig = Figure(figsize=(PAGE_WIDTH, ROW * len(classes) + 0.7))
    height = fig.get_size_inches()[1]
    norm, lobes = weight_scale(selected, weight), lobe_of(cohort)
    for row, name in enumerate(classes):
        edges, total = strongest(selected, name, top)
        bottom = height - ROW * (row + 1)
        for column, (axis, label) in enumerate(PROJECTIONS.items()):
            ax = fig.add_axes((0.02 + column * 0.325, bottom / height, 0.31, 1.68 / height))
            _draw_projection(fig, ax, axis, edges, cohort, weight, norm, lobes)
            if row == 0:
                ax.set_title(label, loc="center", fontsize=8, weight="normal", pad=0)
        fig.text(0.02, (bottom + ROW - 0.18) / height, name + how_many(edges, total), weight="bold")
    if norm is not None:
        draw_key(fig, weight, norm, lobes_present(selected, lobes))
    return fig


def alt_brain(selected: pd.DataFrame, cohort: xr.Dataset, top: int = 100) -> str:
    """Say in words what :func:`plot_brain` shows of these connections."""
    parts = []
    for name in class_names(cohort):
        edges, total = strongest(selected, name, top)
        if not total:
            parts.append(f"Class {name}: no connection selected")
            continue
        hubs = pd.concat([edges["roi_i"], edges["roi_j"]]).value_counts()
        drawn = f"{len(edges)} of {total} connections" if len(edges) < total else f"{total} connections"
        parts.append(f"Class {name}: {drawn} among {len(hubs)} ROIs, most at {hubs.index[0]} ({hubs.iloc[0]})")
    return f"Selected connections on the glass brain, axial, coronal and sagittal. {'. '.join(parts)}."


def _draw_circle(ax: Any, edges: pd.DataFrame, lobes: dict[str, str], weight: str, norm: Normalize | None) -> None:
    if edges.empty or norm is None:
        ax.set(xticks=[], yticks=[], ylim=(0, 1))
        ax.spines["polar"].set(color=GREY, linestyle=":")
        ax.text(0, 0, "no connection was selected", ha="center", va="center", color=INK)
        return
    ends = arrange_ends(edges, lobes)
    places = ends.reset_index().pivot_table(index="edge", values="index", aggfunc=["min", "max"]).to_numpy()
    plot_connectivity_circle(
        edges[weight].to_numpy(dtype=float), [""] * len(ends), indices=(places[:, 0], places[:, 1]),
        node_angles=ends["angle"].to_numpy(), node_width=float(ends["step"].iloc[0]), node_linewidth=0,
        node_colors=[LOBE_COLORS.get(lobe, GREY) for lobe in ends["lobe"]], node_edgecolor="none", facecolor="white",
        textcolor=INK, colormap=EDGE_COLORS, vmin=norm.vmin, vmax=norm.vmax, colorbar=False, padding=0, ax=ax,
        linewidth=float(np.clip(40 / len(edges), 0.45, 1.6)), interactive=False, show=False,
    )  # fmt: skip
    for previous, (_, end) in zip(ends["roi"], ends.iloc[1:].iterrows(), strict=False):
        if end["roi"] != previous:
            border = np.deg2rad(end["angle"] + end["step"] / 2)
            ax.plot([border, border], [9, 10], color="white", linewidth=0.5)
    _label_arcs(ax, ends)


def _label_arcs(ax: Axes, ends: pd.DataFrame) -> None:
    """Name the regions in a column at either side, with leaders; the smallest stay unnamed where there is no room."""
    middles = ends.groupby("region", sort=False)["angle"].agg(["mean", "size"])
    line = 1.12 * SMALL / 72 / (2 * RADIUS)  # height of a line, in shares of the circle's box
    reach = LABELS / (4 * RADIUS)
    room = int(2 * reach / line) + 1
    angle = np.deg2rad(middles["mean"])
    middles = middles.assign(x=np.cos(angle), y=np.sin(angle))
    for side, half in ((1, middles[middles["x"] >= 0]), (-1, middles[middles["x"] < 0])):
        named = half.nlargest(room, "size").sort_values("y")
        heights = spread_apart(0.5 + 0.5 * named["y"].to_numpy(), line, low=0.5 - reach, high=0.5 + reach)
        for (region, arc), height in zip(named.iterrows(), heights, strict=True):
            inner, elbow, end = 0.5 + 0.5 * arc["x"], 0.5 + side * 0.55, 0.5 + side * 0.59
            leader = ([inner, elbow, end], [0.5 + 0.5 * arc["y"], height, height])
            ax.add_artist(Line2D(*leader, transform=ax.transAxes, color=GREY, linewidth=0.5, clip_on=False))
            ax.text(
                end + side * 0.01, height, shorten_region(str(region), 18), transform=ax.transAxes, fontsize=SMALL,
                ha="left" if side > 0 else "right", va="center",
            )  # fmt: skip


def _draw_projection(
    fig: Figure,
    ax: Axes,
    axis: str,
    edges: pd.DataFrame,
    cohort: xr.Dataset,
    weight: str,
    norm: Normalize | None,
    lobes: dict[str, str],
) -> None:
    if edges.empty or norm is None:
        display = plot_glass_brain(None, display_mode=axis, figure=fig, axes=ax, annotate=False)
    else:
        rois = list(dict.fromkeys([*edges["roi_i"], *edges["roi_j"]]))
        places = np.column_stack([cohort[f"roi_{each}"].sel(roi=rois).to_numpy() for each in "xyz"]).astype(float)
        adjacency = np.zeros((len(rois), len(rois)))
        first, second = ([rois.index(roi) for roi in edges[column]] for column in ("roi_i", "roi_j"))
        adjacency[first, second] = adjacency[second, first] = edges[weight].to_numpy(dtype=float)
        display = plot_connectome(
            adjacency, places, display_mode=axis, figure=fig, axes=ax, colorbar=False, annotate=False, alpha=0.5,
            node_color=[LOBE_COLORS.get(lobes[roi], GREY) for roi in rois], node_kwargs={"linewidths": 0},
            node_size=4 + 5 * (adjacency != 0).sum(axis=0), edge_kwargs={"linewidth": 0.7}, edge_cmap=EDGE_COLORS,
            edge_vmin=norm.vmin, edge_vmax=norm.vmax,
        )  # fmt: skip
    if axis != "x":
        display.annotate(size=7)
