"""Figure 6 to turn: the strongest connections of a class in three dimensions, a page that needs no network."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from nilearn.plotting import view_connectome

from gcamccl_core.data.cohort import class_names
from gcamccl_core.kept_files import whole_file
from gcamccl_core.report.brain import check_coordinates, largest_rois, say_class
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
from gcamccl_core.report.packed_scripts import packed
from gcamccl_core.report.style import GREY, INK

# nothing is loaded from anywhere, whatever a script asks for; plotly compiles its shaders' bindings with eval
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
_STYLE = f"""
html {{overflow-x: hidden; overflow-y: scroll; background: white; color-scheme: light}}
body {{font-family: sans-serif; color: {INK}; margin: 8px}}
h1 {{font-size: 1.1rem; margin: 0 0 4px}}
p {{font-size: 0.85rem; margin: 4px 0}}
#connectome-plot {{margin: 0 -8px}}
.lobe {{white-space: nowrap; margin-left: 0.8em}}
.lobe span {{display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.3em}}
details {{font-size: 0.85rem; margin-top: 6px}}
td, th {{text-align: left; padding: 0 1em 0 0}}
"""


def interactive_brain(
    selected: pd.DataFrame,
    cohort: xr.Dataset,
    target_class: str,
    weight: str | None = None,
    top: int = 100,
    hubs: Hubs | None = None,
) -> str:
    """Make a page on which the connections of one class, in the brain, can be turned and enlarged.

    Parameters
    ----------
    selected, cohort, weight, top
        As for :func:`.plot_brain`; colours are on one scale for all classes.
    target_class : str
        The class to show.
    hubs : mapping of str to names of regions, optional
        By class, the regions to name, each at its ROI with most connections drawn.

    Returns
    -------
    str
        HTML, the same for the same input. Everything is inside, and the page is forbidden to load anything. A pointer
        on an ROI names it; the list below the brain names all connections for readers who cannot see it.

    Raises
    ------
    ValueError
        If the cohort has no coordinates of its regions, or not this class.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> rois = cohort["roi"].to_numpy()
    >>> edge = {"target_class": "high", "roi_i": rois[0], "roi_j": rois[1], "region_i": "Cuneus", "region_j": "Insula"}
    >>> selected = pd.DataFrame([edge | {"frequency": 0.8, "mean_value": 0.1}])
    >>> page = interactive_brain(selected, cohort, "high")
    >>> "<title>high: 1 connection</title>" in page, "src=" in page.split("</script>")[-1]
    (True, False)
    """
    check_coordinates(cohort)
    classes = class_names(cohort)
    if target_class not in classes:
        raise ValueError(f"the cohort has no class '{target_class}'; it has {', '.join(classes)}")
    edges, total = strongest(selected, target_class, top)
    title = target_class + how_many(edges, total)
    if edges.empty:
        return _page_without_connections(title)
    drawn = drawn_connections(selected, classes, top)
    weight = varying_weight(drawn, weight)
    norm = weight_scale(drawn, weight)
    assert norm is not None
    named = (hubs or {}).get(target_class, ())
    network = join_network(edges, cohort, weight)
    view = view_connectome(
        np.triu(network.weights), network.places, edge_cmap=EDGE_COLORS, symmetric_cmap=False, linewidth=3.0,
        node_color=_colours(network, cohort), node_size=(6 + 2 * np.sqrt(network.degrees)).round(2).tolist(),
        colorbar_fontsize=12, title=title,
    )  # fmt: skip
    more: dict[str, object] = {"line_cmin": norm.vmin, "line_cmax": norm.vmax, "title": ""}
    more |= {"marker_names": _names(edges, network), "hub_notes": _hub_notes(edges, network, named)}
    alt = f"Brain in three dimensions. {say_class(selected, target_class, top, named)}."
    lobes = lobes_present(edges, lobe_of(cohort))
    return _finish_page(view.get_standalone(), more, title, alt, _legend(lobes, weight), _table(edges, weight))


def save_interactive_brains(
    selected: pd.DataFrame,
    cohort: xr.Dataset,
    name: str,
    folder: str | Path,
    weight: str | None = None,
    top: int = 100,
    hubs: Hubs | None = None,
) -> dict[str, Path]:
    """Write :func:`interactive_brain` of every class as ``<name>_<class>.html``, for a page to show in an ``iframe``.

    Parameters
    ----------
    selected, cohort, weight, top, hubs
        As for :func:`interactive_brain`.
    name : str
        First part of the file names.
    folder : path
        Made if need be.

    Returns
    -------
    dict of str to Path
        The file of every class.

    Examples
    --------
    >>> import tempfile
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> nothing = pd.DataFrame(columns=["target_class", "roi_i", "roi_j", "frequency", "mean_value"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save_interactive_brains(nothing, cohort, "figure_6", folder).values()]
    ['figure_6_low.html', 'figure_6_high.html']
    """
    folder = Path(folder)
    safe = {each: re.sub(r"[^\w.-]+", "-", each) for each in class_names(cohort)}
    paths = {each: folder / f"{name}_{word}.html" for each, word in safe.items()}
    if len(set(paths.values())) < len(paths):
        raise ValueError(f"classes {', '.join(paths)} would share a file; rename one")
    for each, path in paths.items():
        page = interactive_brain(selected, cohort, each, weight, top, hubs)
        with whole_file(path) as partial:
            partial.write_text(page, encoding="utf-8", newline="\n")
    return paths


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


def _page_without_connections(title: str) -> str:
    said = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="UTF-8"><title>{said}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{said}</h1></body></html>\n"
    )


def _finish_page(page: str, more: dict[str, object], title: str, alt: str, legend: str, table: str) -> str:
    """Take the page's outside address from it, forbid all others, and add title, names and words."""
    start = page.index("var connectomeInfo = ") + len("var connectomeInfo = ")
    info, stop = json.JSONDecoder().raw_decode(page, start)
    info["connectome"] |= more
    brain = _mesh_script({name: info.pop(name) for name in ("pial_left", "pial_right")})
    said = html.escape(title)
    data = json.dumps(info).replace("</", "<\\/")
    page = page[:start] + data + page[stop:]
    page = re.sub(r'<link rel="icon"[^>]*>', "", page, count=1)
    page = re.sub(r"<title>[^<]*</title>", lambda _: _head(said), page, count=1)
    spoken = html.escape(alt)
    for old, new in {
        '<div id="connectome-plot"></div>': f"<h1>{said}</h1>{legend}<noscript><p>{spoken}</p></noscript>"
        f'<div id="connectome-plot" role="group" aria-label="{spoken}"></div>',
        '<select id="select-view">': '<select id="select-view" aria-label="Side the brain is seen from">',
        '<option value="top">': '<option value="top" selected>',
        '<input id="opacity-range"': '<input id="opacity-range" aria-label="Opacity of the brain"',
        "</body>": f"{table}</body>",
        "zaxis: axisConfig\n": "zaxis: axisConfig,\n      annotations: connectomeInfo.connectome.hub_notes\n",
        "$(window).width() * 2 / 3)": "$(window).width() * 0.58)",  # the whole page fits a frame of 3 by 2
        "const width = height * 3 / 2": "const width = $(window).width()",
        "hovermode: false,": "hovermode: 'closest',",  # from here: a pointer names an ROI, and nothing else
        "info.type = 'mesh3d'": "info.type = 'mesh3d'\n  info.hoverinfo = 'skip'",
        "opacity: 0,\n": "opacity: 0,\n    hoverinfo: 'skip',\n",
        "text: info.marker_labels,": "text: info.marker_labels,\n      hovertext: info.marker_names,"
        "\n      hoverinfo: 'text',",
        "mode: 'lines',\n      x: info": "mode: 'lines',\n      hoverinfo: 'skip',\n      x: info",
        "$(document).ready(": "unpacked.then(",
    }.items():
        if page.count(old) != 1:
            raise RuntimeError(f"nilearn's page is not as expected: {old!r} is in it {page.count(old)} times")
        page = page.replace(old, new)
    return _pack_libraries(page, brain)


def _mesh_script(halves: dict[str, dict[str, str]]) -> str:
    """Write the surface of both halves of the brain as a script: tenths of a millimetre, and what they share once."""
    left, right = halves.values()
    shared = {key: value for key, value in left.items() if right[key] == value}
    lines = [f"const bothHalves = {json.dumps(shared)};"]
    for name, half in halves.items():
        places = {key: _round(value) for key, value in half.items() if key not in shared}
        lines.append(f"connectomeInfo.{name} = {{...bothHalves, ...{json.dumps(places)}}};")
    return "\n".join(lines)


def _round(places: str) -> str:
    """Round numbers of 32 bits, written as nilearn writes them."""
    return base64.b64encode(np.frombuffer(base64.b64decode(places), "<f4").round(1).tobytes()).decode()


def _pack_libraries(page: str, brain: str) -> str:
    """Compress jQuery, plotly and the brain's surface, nine tenths of the page; what is the cohort's stays legible."""
    start, stop = page.index("<script> /*! jQuery"), page.index("<script> function decodeBase64")
    scripts = re.split(r"\s*</script>\s*(?:<script>)?", page[start:stop].removeprefix("<script>"))
    return f"{page[:start]}{packed(';'.join([*scripts, brain]))}\n    {page[stop:]}"


def _head(title: str) -> str:
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    return f'<meta charset="UTF-8">{policy}<title>{title}</title><style>{_STYLE}</style>'
