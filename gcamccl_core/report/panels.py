"""Panels that compare map methods: how methods are told apart, where legends and notes stand, what tables must hold."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcamccl_core.data.checks import name_some
from gcamccl_core.report.style import INK, PAGE_WIDTH, new_figure

LEGEND_LINE = 0.17  # inches
METHOD_LOOKS: Any = (  # color, marker and line: Okabe and Ito's colours, then two of Tol's
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#E69F00", "v", ":"),
    (INK, "P", (0, (6, 1.5))),
    ("#56B4E9", "D", (0, (3, 1, 1, 1, 1, 1))),
    ("#882255", "X", (0, (2.5, 1))),
    ("#999933", "<", (0, (5, 1.5, 1, 1.5))),
)


def method_looks(methods: Iterable[object]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line of every map method, as keywords of a line, in the order in which methods first come.

    Parameters
    ----------
    methods : iterable of str
        With repetitions, such as a table's column.

    Raises
    ------
    ValueError
        If there are more than can be told apart.

    Examples
    --------
    >>> looks = method_looks(["grad_cam", "deconvnet", "grad_cam"])
    >>> [(method, look["color"], look["marker"]) for method, look in looks.items()]
    [('grad_cam', '#0072B2', 'o'), ('deconvnet', '#D55E00', 's')]
    """
    names = in_order(methods)
    if len(names) > len(METHOD_LOOKS):
        raise ValueError(f"figures tell at most {len(METHOD_LOOKS)} methods apart, got {len(names)}; draw fewer")
    shared = {"markersize": 5, "markeredgewidth": 0.4, "markeredgecolor": "white"}
    return {
        name: {"color": color, "marker": marker, "linestyle": line, **shared}
        for name, (color, marker, line) in zip(names, METHOD_LOOKS, strict=False)
    }


def in_order(values: Iterable[object]) -> list[str]:
    """List every value once, in the order in which they first come."""
    return [str(value) for value in dict.fromkeys(values)]


def require_columns(table: pd.DataFrame, columns: Sequence[str], maker: str) -> None:
    """Refuse a table that cannot be drawn.

    Parameters
    ----------
    table : pandas.DataFrame
    columns : sequence of str
        That it must have.
    maker : str
        What makes such a table, named in the message.

    Raises
    ------
    ValueError
        If a column is missing, or there is no row.

    Examples
    --------
    >>> require_columns(pd.DataFrame({"view": ["snp"]}), ["view", "method"], "map_stability")
    Traceback (most recent call last):
    ...
    ValueError: the table lacks method; pass what map_stability gives
    """
    if lacking := [name for name in columns if name not in table]:
        raise ValueError(f"the table lacks {name_some(lacking, limit=8)}; pass what {maker} gives")
    if table.empty:
        raise ValueError(f"the table has no row; pass what {maker} gives")


def grid_of_panels(
    fig: Figure | None, count: int, in_a_row: int, height: float, lines: int
) -> tuple[Figure, list[Axes]]:
    """Lay out panels of one vertical scale above a legend.

    Parameters
    ----------
    fig : Figure, optional
        Laid out; made if None, as high as its rows and its legend need.
    count : int
        Of panels.
    in_a_row : int
        At most.
    height : float
        Of a row with its title and labels, in inches.
    lines : int
        Of the legend.
    """
    rows, columns = -(-count // in_a_row), min(in_a_row, count)
    fig = fig or new_figure(0.1 + height * rows + LEGEND_LINE * lines)
    axes = fig.subplots(rows, columns, squeeze=False, sharey=True)
    for unused in axes.flat[count:]:
        unused.set_visible(False)
    return fig, list(axes.flat[:count])


def label_with_notes(ax: Axes, label: str, notes: Sequence[str]) -> None:
    """Label the horizontal axis, and say below what could not be drawn, where it covers nothing."""
    spec = ax.get_subplotspec()
    width = 88 // (spec.get_gridspec().ncols if spec else 1)  # about so many letters fit below a panel
    lines = [line for note in notes for line in textwrap.wrap(f"({note})", width, break_on_hyphens=False)]
    ax.set_xlabel("\n".join([*([label] if label else []), *lines]))


def legend_columns(names: Sequence[str]) -> int:
    """In how many columns a legend of these names fits the page."""
    widest = 0.55 + 0.062 * max(len(name) for name in names)  # inches, with the handle
    return min(len(names), max(1, int(PAGE_WIDTH / widest)))


def legend_lines(names: Sequence[str]) -> int:
    """How many lines :func:`legend_below` needs."""
    return -(-len(names) // legend_columns(names))


def legend_below(fig: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Name what was drawn below all panels, in as many columns as fit the page."""
    fig.legend(handles, names, loc="outside lower center", ncols=legend_columns(names), handlelength=3)
