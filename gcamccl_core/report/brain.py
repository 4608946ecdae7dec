"""Figure 6: the strongest connections of every class on the glass brain, axial, coronal and sagittal."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from nilearn.plotting import plot_connectome, plot_glass_brain

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.cohort import class_names
from gcamccl_core.report.connections import (
    EDGE_COLORS,
    LOBE_COLORS,
    Hubs,
    Network,
    counted,
    draw_key,
    drawn_connections,
    ends_of,
    how_many,
    join_network,
    lobe_of,
    lobes_present,
    say_colours,
    say_hubs,
    strongest,
    varying_weight,
    weight_scale,
)
from gcamccl_core.report.labels import join_words, shorten_region, spread_apart
from gcamccl_core.report.style import GREY, INK, PAGE_WIDTH, SMALL, house_style

PROJECTIONS = {"z": "axial", "y": "coronal", "x": "sagittal"}
PLANES = {"z": (0, 1), "y": (0, 2), "x": (1, 2)}  # of x, y and z, the ones across and up
PANELS = {"z": (0.06, 1.84), "y": (1.94, 2.16), "x": (4.17, 2.8)}  # inches: left border and width, with room for names
ROW, BRAIN = 1.98, 1.55  # inches: the height of one class with its title, and of its brains


@house_style()
def plot_brain(
    selected: pd.DataFrame,
    cohort: xr.Dataset,
    weight: str | None = None,
    top: int = 100,
    hubs: Hubs | None = None,
) -> Figure:
    """Draw Figure 6: the strongest connections of every class on the glass brain, axial, coronal and sagittal.

    Parameters
    ----------
    selected, weight
        As for :func:`.plot_circle`.
    cohort : xarray.Dataset
        Has ``roi_x``, ``roi_y``, ``roi_z`` in MNI millimetres; with ``roi_lobe``, ROIs are coloured by lobe.
    top : int
        Only the most frequent, then highest, connections of a class are drawn; the title says how many.
    hubs : mapping of str to names of regions, optional
        By class, the regions to name, each at its ROI with most connections drawn.

    Returns
    -------
    Figure
        One row per class; ROIs are as large as they have connections drawn. An empty brain says that nothing was
        selected.

    Raises
    ------
    ValueError
        If the cohort has no coordinates of its regions.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> rois = cohort["roi"].to_numpy()
    >>> edge = {"target_class": "high", "roi_i": rois[0], "roi_j": rois[1], "region_i": "Cuneus", "region_j": "Insula"}
    >>> selected = pd.DataFrame([edge | {"frequency": 0.8, "mean_value": 0.1}])
    >>> [text.get_text() for text in plot_brain(selected, cohort).texts]
    ['low: no connection was selected', 'high: 1 connection']
    """
    check_coordinates(cohort)
    classes, hubs = class_names(cohort), hubs or {}
    fig = Figure(figsize=(PAGE_WIDTH, ROW * len(classes) + 0.65))
    height = fig.get_size_inches()[1]
    drawn = drawn_connections(selected, classes, top)
    weight = varying_weight(drawn, weight)
    norm = weight_scale(drawn, weight)
    for row, name in enumerate(classes):
        edges, total = strongest(selected, name, top)
        bottom = height - ROW * (row + 1)
        for axis, label in PROJECTIONS.items():
            left, width = (inches / PAGE_WIDTH for inches in PANELS[axis])
            ax = fig.add_axes((left, (bottom + 0.04) / height, width, BRAIN / height))
            draw_projection(ax, axis, edges, cohort, weight, norm, hubs.get(name, ()))
            if row == 0:
                ax.set_title(label, loc="center", fontsize=8, weight="normal", pad=0)
        fig.text(0.02, (bottom + ROW - 0.14) / height, name + how_many(edges, total), weight="bold")
    draw_key(fig, drawn, weight, lobes_present(drawn, lobe_of(cohort)))
    return fig


def alt_brain(
    selected: pd.DataFrame,
    cohort: xr.Dataset,
    weight: str | None = None,
    top: int = 100,
    hubs: Hubs | None = None,
) -> str:
    """Say in words what :func:`plot_brain` shows, given the same."""
    classes = class_names(cohort)
    parts = [say_class(selected, name, top, (hubs or {}).get(name, ())) for name in classes]
    drawn = drawn_connections(selected, classes, top)
    colours = say_colours(drawn, varying_weight(drawn, weight))
    return f"Selected connections on the glass brain, axial, coronal and sagittal. {'. '.join(parts)}.{colours}"


def say_class(selected: pd.DataFrame, target_class: str, top: int, hubs: Collection[str] = ()) -> str:
    """Say how many connections of a class are drawn, the ROI with most of them, and which hubs are named."""
    edges, total = strongest(selected, target_class, top)
    if not total:
        return f"Class {target_class}: no connection selected"
    counts = pd.concat([edges["roi_i"], edges["roi_j"]]).value_counts()
    most = f"{counts.index[0]} ({counts.iloc[0]})"
    named = say_hubs(edges, hubs).replace("marked by a star as", "named as")
    return f"Class {target_class}: {counted(edges, total)} among {len(counts)} ROIs, most at {most}{named}"


def check_coordinates(cohort: xr.Dataset) -> None:
    """Refuse a cohort that does not say where its regions are."""
    lacking = [f"roi_{axis}" for axis in "xyz" if f"roi_{axis}" not in cohort]
    if lacking:
        raise ValueError(f"the cohort has no {join_words(lacking)}; add the regions' MNI coordinates in mm along 'roi'")
    places = np.stack([cohort[f"roi_{axis}"].to_numpy().astype(float) for axis in "xyz"])
    nowhere = cohort["roi"].to_numpy().astype(str)[~np.isfinite(places).all(axis=0)]
    if len(nowhere):
        raise ValueError(f"the cohort has no coordinates for {name_some(nowhere)}; add roi_x, roi_y and roi_z in mm")


def draw_projection(
    ax: Axes,
    axis: str,
    edges: pd.DataFrame,
    cohort: xr.Dataset,
    weight: str = "frequency",
    norm: Normalize | None = None,
    hubs: Collection[str] = (),
) -> Axes:
    """Draw the connections of one class on one projection of the glass brain.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    axis : {"z", "y", "x"}
        Axial, coronal or sagittal.
    edges : pandas.DataFrame
        One row per connection: ``roi_i``, ``roi_j``, ``region_i``, ``region_j`` and the weight.
    cohort : xarray.Dataset
        Where the ROIs are, and in which lobe.
    weight : str
        Column that colours the connections; strong ones are drawn wider and above weak ones.
    norm : Normalize, optional
        Scale of the weight; from these connections if not given.
    hubs : names of regions
        The ones to name, each at its ROI with most connections.

    Returns
    -------
    Axes
        Those inside ``ax`` that hold the brain, in MNI millimetres.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> first, second = cohort["roi"].to_numpy()[:2]
    >>> edge = {"roi_i": first, "roi_j": second, "region_i": "Cuneus", "region_j": "Insula", "frequency": 0.8}
    >>> brain = draw_projection(Figure().subplots(), "z", pd.DataFrame([edge]), cohort, hubs=["Insula"])
    >>> len(brain.lines), [text.get_text() for text in brain.texts if text.get_text() == "Insula"]
    (1, ['Insula'])
    """
    norm = norm or weight_scale(edges, weight)
    figure: Any = ax.get_figure(root=True)
    if edges.empty or norm is None:
        display = plot_glass_brain(None, display_mode=axis, figure=figure, axes=ax, annotate=False)
        brain = display.axes[axis].ax
    else:
        network = join_network(edges, cohort, weight)
        lobes = lobe_of(cohort)
        display = plot_connectome(
            network.weights, network.places, display_mode=axis, figure=figure, axes=ax, colorbar=False,
            annotate=False, alpha=0.35, node_color=[LOBE_COLORS.get(lobes[roi], GREY) for roi in network.rois],
            node_kwargs={"linewidths": 0.3, "edgecolors": "white", "zorder": 30},
            node_size=9 + 2 * network.degrees, edge_cmap=EDGE_COLORS,
            edge_vmin=norm.vmin, edge_vmax=norm.vmax,
        )  # fmt: skip
        brain = display.axes[axis].ax
        _thin_lines(brain, network, norm)
        _name_hubs(ax, brain, axis, edges, network, hubs)
    if axis != "x":
        display.annotate(size=7)
    return brain


def _thin_lines(brain: Axes, network: Network, norm: Normalize) -> None:
    """Draw weak connections thinner and more transparent, all of them the thinner the more there are."""
    weights = np.sort(network.weights[np.tril_indices(len(network.rois), -1)])
    lines = sorted(brain.lines, key=lambda line: line.get_zorder())  # nilearn puts strong connections above weak ones
    shares = np.asarray(norm(weights[len(weights) - len(lines) :]), dtype=float)
    widest, faintest = np.clip(9 / np.sqrt(len(lines)), 0.6, 1.6), np.clip(12 / len(lines) + 0.25, 0.35, 0.9)
    for line, share in zip(lines, shares, strict=True):
        line.set(linewidth=widest * (0.5 + 0.5 * share), alpha=faintest + (0.9 - faintest) * share)


def _name_hubs(ax: Axes, brain: Axes, axis: str, edges: pd.DataFrame, network: Network, hubs: Collection[str]) -> None:
    """Write the names of hubs beside the brain, at the nearer side and apart, with leaders to their ROIs."""
    largest = largest_rois(edges, network, hubs)
    if not largest:
        return
    figure: Any = ax.get_figure(root=True)
    figure.draw_without_rendering()  # to learn where the brain will be
    line = 1.2 * SMALL / 72 * figure.dpi / ax.get_window_extent().height
    across, up = PLANES[axis]
    middle = sum(brain.get_xlim()) / 2
    for side in (0, 1):
        places = {region: network.places[roi][[across, up]] for region, roi in largest.items()}
        of_side = {region: place for region, place in places.items() if (place[0] >= middle) == bool(side)}
        of_side = dict(sorted(of_side.items(), key=lambda item: item[1][1]))
        shares = [ax.transAxes.inverted().transform(brain.transData.transform(place))[1] for place in of_side.values()]
        for (region, place), height in zip(of_side.items(), spread_apart(shares, line, 0.04, 0.96), strict=True):
            brain.annotate(
                shorten_region(region, 18, narrow=True), place, ((0.02, 0.97)[side], height), textcoords=ax.transAxes,
                fontsize=SMALL, weight="bold", ha="right" if side else "left", va="center", color=INK, zorder=50,
                path_effects=[withStroke(linewidth=1.6, foreground="white")], annotation_clip=False,
                arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0, "zorder": 45,
                            "relpos": (0.0 if side else 1.0, 0.5)},
            )  # fmt: skip


def largest_rois(edges: pd.DataFrame, network: Network, hubs: Collection[str]) -> dict[str, int]:
    """Find for every hub that has a connection the number of its ROI with most of them."""
    ends = ends_of(edges)
    region_of = dict(zip(ends["roi"], ends["region"], strict=True))
    largest: dict[str, int] = {}
    for roi in np.argsort(-network.degrees, kind="stable"):
        region = region_of[network.rois[roi]]
        if region in hubs:
            largest.setdefault(region, int(roi))
    return largest
