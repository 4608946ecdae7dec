"""Figure 6 to turn: the strongest connections of each class in three dimensions, a page that needs no network."""

from __future__ import annotations

import html
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from nilearn.plotting import view_connectome

from gcamccl_core.data.cohort import class_names
from gcamccl_core.kept_files import whole_file
from gcamccl_core.report.brain import check_coordinates, largest_rois, say_class
from gcamccl_core.report.brain_page import BrainOfClass, page_of_brains, page_without_brain
from gcamccl_core.report.connections import (
    EDGE_COLORS,
    LOBE_COLORS,
    OTHER,
    STAR,
    WEIGHTS,
    Hubs,
    Network,
    drawn_connections,
    ends_of,
    how_many,
    join_network,
    lobe_of,
    lobes_present,
    strongest,
    varying_weight,
    weight_scale,
)
from gcamccl_core.report.labels import number, shorten_region
from gcamccl_core.report.style import GREY, INK


def interactive_brain(
    selected: pd.DataFrame,
    cohort: xr.Dataset,
    weight: str | None = None,
    top: int = 100,
    hubs: Hubs | None = None,
) -> str:
    """Make a page on which the connections of one class after the other, in the brain, can be turned and enlarged.

    Parameters
    ----------
    selected, cohort, weight, top
        As for :func:`.plot_brain`; colours are on one scale for all classes.
    hubs : mapping of str to names of regions, optional
        By class, the regions to name, each at its ROI with most connections drawn.

    Returns
    -------
    str
        HTML, the same for the same input. Everything is inside, and the page is forbidden to load anything. Choosing
        another class keeps the side that the brain is seen from. A pointer on an ROI names it; the list below the brain
        names all connections for readers who cannot see it.

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
    >>> page = interactive_brain(selected, cohort)
    >>> "high: 1 connection<" in page, "low: no connection was selected" in page, "src=" in page.split("</script>")[-1]
    (True, True, False)
    """
    check_coordinates(cohort)
    classes = class_names(cohort)
    drawn = drawn_connections(selected, classes, top)
    if drawn.empty:
        return page_without_brain([each + how_many(*strongest(selected, each, top)) for each in classes])
    weight = varying_weight(drawn, weight)
    norm = weight_scale(drawn, weight)
    assert norm is not None
    scale = {"line_cmin": norm.vmin, "line_cmax": norm.vmax, "title": ""}
    brains = []
    for each in classes:
        edges, total = strongest(selected, each, top)
        title, named = each + how_many(edges, total), (hubs or {}).get(each, ())
        if edges.empty:
            brains.append(BrainOfClass(each, title, f"{title}.", "", "", None, {}))
            continue
        network = join_network(edges, cohort, weight)
        view = view_connectome(
            np.triu(network.weights), network.places, edge_cmap=EDGE_COLORS, symmetric_cmap=False, linewidth=3.0,
            node_color=_colours(network, cohort), node_size=(6 + 2 * np.sqrt(network.degrees)).round(2).tolist(),
            colorbar_fontsize=12, title="",
        )  # fmt: skip
        more = scale | {"marker_names": _names(edges, network), "hub_notes": _hub_notes(edges, network, named)}
        alt = f"Brain in three dimensions. {say_class(selected, each, top, named)}."
        legend = _legend(lobes_present(edges, lobe_of(cohort)), weight)
        brains.append(BrainOfClass(each, title, alt, legend, _table(edges, weight), view.get_standalone(), more))
    return page_of_brains(brains)


def save_interactive_brain(
    selected: pd.DataFrame,
    cohort: xr.Dataset,
    name: str,
    folder: str | Path,
    weight: str | None = None,
    top: int = 100,
    hubs: Hubs | None = None,
) -> Path:
    """Write :func:`interactive_brain` as ``<name>.html``, for a page to show in an ``iframe``.

    Parameters
    ----------
    selected, cohort, weight, top, hubs
        As for :func:`interactive_brain`.
    name : str
        Of the file, without its ending.
    folder : path
        Made if need be.

    Returns
    -------
    Path
        The file.

    Examples
    --------
    >>> import tempfile
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> nothing = pd.DataFrame(columns=["target_class", "roi_i", "roi_j", "frequency", "mean_value"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_interactive_brain(nothing, cohort, "figure_6", folder).name
    'figure_6.html'
    """
    path = Path(folder) / f"{name}.html"
    page = interactive_brain(selected, cohort, weight, top, hubs)
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")
    return path


def _colours(network: Network, cohort: xr.Dataset) -> list[str]:
    lobes = lobe_of(cohort)
    return [LOBE_COLORS.get(lobes[roi], GREY) for roi in network.rois]


def _hub_notes(edges: pd.DataFrame, network: Network, hubs: Collection[str]) -> list[dict[str, object]]:
    """Name every hub at its ROI with most connections, in front of the brain, as plotly's annotations of a scene."""
    places = {region: network.places[roi].tolist() for region, roi in largest_rois(edges, network, hubs).items()}
    notes: list[dict[str, object]] = []
    for side in (-1, 1):
        of_side = sorted(
            (place for place in places.items() if (place[1][0] > 0) == (side > 0)), key=lambda at: -at[1][1]
        )
        for row, (region, (x, y, z)) in enumerate(of_side):
            text = f"<b>{STAR} {html.escape(shorten_region(region), quote=False)}</b>"
            aside = {"ax": 90 * side, "ay": 30 * (row - (len(of_side) - 1) / 2)}  # pixels; apart as seen from the top
            look = {"font": {"size": 13, "color": INK}, "bgcolor": "rgba(255, 255, 255, 0.8)", "arrowcolor": INK}
            notes.append({"x": x, "y": y, "z": z, "text": text, "arrowhead": 0, "arrowwidth": 1} | aside | look)
    return notes


def _names(edges: pd.DataFrame, network: Network) -> list[str]:
    """Say what a pointer on an ROI shows."""
    ends = ends_of(edges)
    region_of = dict(zip(ends["roi"], ends["region"], strict=True))
    counts = [f"{count} connection{'' if count == 1 else 's'}" for count in network.degrees]
    pairs = zip(network.rois, counts, strict=True)
    return [html.escape(f"{roi} ({region_of[roi]}): {count}", quote=False) for roi, count in pairs]


def _legend(lobes: list[str], weight: str) -> str:
    chips = "".join(
        f' <span class="lobe"><span style="background: {LOBE_COLORS.get(lobe, GREY)}"></span>{html.escape(lobe)}</span>'
        for lobe in lobes
        if lobe in LOBE_COLORS or lobe == OTHER
    )
    return f"<p>Line: {html.escape(WEIGHTS.get(weight, weight))}. Points grow with their connections.{chips}</p>"


def _table(edges: pd.DataFrame, weight: str) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(str(first))}</td><td>{html.escape(str(second))}</td><td>{number(float(value))}</td></tr>"
        for first, second, value in zip(edges["roi_i"], edges["roi_j"], edges[weight], strict=True)
    )
    head = f"<tr><th>ROI</th><th>ROI</th><th>{html.escape(WEIGHTS.get(weight, weight))}</th></tr>"
    return f"<details><summary>All {len(edges)} connections as a list</summary><table>{head}{rows}</table></details>"
