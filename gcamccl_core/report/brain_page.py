"""The page around brains to turn: nilearn's view of a connectome, one class at a time, with nothing to load."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gcamccl_core.report.packed_scripts import packed
from gcamccl_core.report.style import INK

# nothing is loaded from anywhere, whatever a script asks for; plotly compiles its shaders' bindings with eval
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
_STYLE = f"""
html {{overflow-x: hidden; overflow-y: scroll; background: white; color-scheme: light}}
body {{font-family: sans-serif; color: {INK}; margin: 8px}}
h1 {{font-size: 1.1rem; margin: 0 0 4px}}
h2 {{font-size: 1rem; margin: 4px 0}}
p {{font-size: 0.85rem; margin: 4px 0}}
label {{font-size: 0.85rem; white-space: nowrap; margin-right: 1em}}
#connectome-plot {{margin: 0 -8px}}
.lobe {{white-space: nowrap; margin-left: 0.8em}}
.lobe span {{display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.3em}}
details {{font-size: 0.85rem; margin-top: 6px}}
td, th {{text-align: left; padding: 0 1em 0 0}}
"""
_DATA = "/* the connections of every class */"
_TITLE = "Selected connections in the brain"
_SCRIPT = """
      const classChoice = document.getElementById("select-class"), turn = document.getElementById("turn-range");
      const behind = [];  // what is drawn of no class: both halves of the brain, and the bar of colours
      function showClass () {
        const plot = document.getElementById("connectome-plot");
        for (const part of document.querySelectorAll(".of-class")) part.hidden = part.dataset.of !== classChoice.value;
        plot.setAttribute("aria-label", document.querySelector(".of-class:not([hidden])").dataset.alt);
        while (plot.data.length > behind.length) Plotly.deleteTraces(plot, -1);
        connectomeInfo.connectome = connectomes[classChoice.value];
        if (connectomeInfo.connectome.marker_names) addConnectome();
        surfaceRelayout();
      }
      function turnBrain () {
        const angle = turn.value * Math.PI / 180, eye = { x: -1.6 * Math.sin(angle), y: 1.6 * Math.cos(angle), z: 0.5 };
        $("#select-view").val("custom");
        Plotly.relayout("connectome-plot", { "scene.camera": { eye, up: { x: 0, y: 0, z: 1 } } });
      }
      function startBrains () {
        addPlot();
        behind.push(...document.getElementById("connectome-plot").data);
        showClass();
        classChoice.addEventListener("change", showClass);
        turn.addEventListener("input", turnBrain);
      }
"""


@dataclass(frozen=True)
class BrainOfClass:
    """What a page shows of one class.

    Attributes
    ----------
    name, title, alt : str
        The class, how many connections are drawn, and the same in words for readers who cannot see it.
    legend, table : str
        HTML above and below the brain.
    view : str or None
        nilearn's page of these connections; None if there are none.
    more : mapping
        What is added to its data.
    """

    name: str
    title: str
    alt: str
    legend: str
    table: str
    view: str | None
    more: Mapping[str, object]


def page_of_brains(brains: Sequence[BrainOfClass]) -> str:
    """Make one page of several classes, of which a menu shows one at a time; begin with the first that has connections.

    Raises
    ------
    ValueError
        If no class has connections.
    RuntimeError
        If nilearn's page is not the one that this was written for.
    """
    drawn = {each.name: each.view for each in brains if each.view is not None}
    if not drawn:
        raise ValueError("no class has a connection to draw")
    infos = {name: _read_info(view) for name, view in drawn.items()}
    first, page = next(iter(drawn.items()))
    info, start, stop = infos[first]
    more = {each.name: each.more for each in brains}
    connectomes = {name: {**infos[name][0]["connectome"], **more[name]} for name in drawn}
    nothing: dict[str, object] = {"title": "", "hub_notes": []}
    connectomes |= {each.name: nothing for each in brains if each.view is None}
    halves = {name: info.pop(name) for name in ("pial_left", "pial_right")}
    info["connectome"] = connectomes[first]
    data = f"{_json(info)};\n      const connectomes = {_json(connectomes)};"
    frame = page[:start] + _DATA + page[stop:].removeprefix(";")
    frame = re.sub(r'<link rel="icon"[^>]*>', "", frame, count=1)
    alt = html.escape(next(each.alt for each in brains if each.name == first))
    heads = "".join(_part(each, first, f"<h2>{html.escape(each.title)}</h2>{each.legend}") for each in brains)
    tables = "".join(_part(each, first, each.table) for each in brains)
    without = "".join(f"<p>{html.escape(each.alt)}</p>" for each in brains)
    page = _replace(
        frame,
        {
            _DATA: data,
            "<title>Nilearn - Connectome plot</title>": _head(_TITLE),
            '<div id="connectome-plot"></div>': f"<h1>{_TITLE}</h1>{_menu(brains, first)}{heads}"
            f'<noscript>{without}</noscript><div id="connectome-plot" role="group" aria-label="{alt}"></div>',
            '<select id="select-view">': '<select id="select-view" aria-label="Side the brain is seen from">',
            '<option value="top">': '<option value="top" selected>',
            '<input id="opacity-range"': '<label>turn <input id="turn-range" type="range" min="0" max="360" step="10" '
            'value="0" aria-label="Turn the brain, degrees" /></label>'
            '<label>surface <input id="opacity-range" aria-label="Opacity of the brain"',
            'value="30" />': 'value="30" /></label>',
            "</body>": f"{tables}<script>{_SCRIPT}</script></body>",
            "zaxis: axisConfig\n": "zaxis: axisConfig,\n      annotations: connectomeInfo.connectome.hub_notes\n",
            "$(window).width() * 2 / 3)": "$(window).width() * 0.5)",  # the whole page fits a frame of 3 by 2
            "const width = height * 3 / 2": "const width = $(window).width()",
            "displayLogo: false": "displaylogo: false",  # a link elsewhere, without a name
            "hovermode: false,": "hovermode: 'closest',",  # from here: a pointer names an ROI, and nothing else
            "info.type = 'mesh3d'": "info.type = 'mesh3d'\n  info.hoverinfo = 'skip'",
            "opacity: 0,\n": "opacity: 0,\n    hoverinfo: 'skip',\n",
            "text: info.marker_labels,": "text: info.marker_labels,\n      hovertext: info.marker_names,"
            "\n      hoverinfo: 'text',",
            "mode: 'lines',\n      x: info": "mode: 'lines',\n      hoverinfo: 'skip',\n      x: info",
            "addPlot();\n        addConnectome();": "startBrains();",
            "$(document).ready(": "unpacked.then(",
        },
    )
    return _pack_libraries(page, _mesh_script(halves))


def page_without_brain(titles: Sequence[str]) -> str:
    """Make the page of classes that have no connections: their titles."""
    said = "".join(f"<h2>{html.escape(title)}</h2>" for title in titles)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="UTF-8"><title>{_TITLE}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{_TITLE}</h1>{said}</body></html>\n"
    )


def _read_info(page: str) -> tuple[dict[str, dict[str, object]], int, int]:
    """Read the data in nilearn's page, and where they begin and end."""
    start = page.index("var connectomeInfo = ") + len("var connectomeInfo = ")
    info, stop = json.JSONDecoder().raw_decode(page, start)
    return info, start, stop


def _replace(frame: str, parts: Mapping[str, str]) -> str:
    """Replace parts of nilearn's page, each of which it must have once, without looking into what is put in."""
    for old in parts:
        if frame.count(old) != 1:
            raise RuntimeError(f"nilearn's page is not as expected: {old!r} is in it {frame.count(old)} times")
    return re.sub("|".join(map(re.escape, parts)), lambda found: parts[found[0]], frame)


def _json(data: object) -> str:
    return json.dumps(data).replace("<", "\\u003c")  # no text can end the script, or hide its end


def _menu(brains: Sequence[BrainOfClass], first: str) -> str:
    options = "".join(
        f'<option value="{html.escape(each.name)}"{" selected" if each.name == first else ""}>'
        f"{html.escape(each.name)}</option>"
        for each in brains
    )
    return f'<label>class <select id="select-class">{options}</select></label>'


def _part(brain: BrainOfClass, first: str, inside: str) -> str:
    hidden = "" if brain.name == first else " hidden"
    words = f'data-of="{html.escape(brain.name)}" data-alt="{html.escape(brain.alt)}"'
    return f'<div class="of-class" {words}{hidden}>{inside}</div>'


def _mesh_script(halves: Mapping[str, Mapping[str, object]]) -> str:
    """Write the surface of both halves of the brain as a script: tenths of a millimetre, and what they share once."""
    left, right = halves.values()
    shared = {key: value for key, value in left.items() if right[key] == value}
    lines = [f"const bothHalves = {json.dumps(shared)};"]
    for name, half in halves.items():
        places = {key: _round(str(value)) for key, value in half.items() if key not in shared}
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
