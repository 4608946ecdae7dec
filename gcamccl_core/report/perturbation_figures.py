"""Figure of deletion and insertion: what becomes of a prediction when a map's first features go, or stay alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from gcamccl_core.maps.perturbation import COLUMNS, DIRECTIONS
from gcamccl_core.report.labels import capital, join_words, number
from gcamccl_core.report.panels import (
    LEGEND_LINE,
    in_order,
    label_with_notes,
    legend_below,
    legend_lines,
    method_looks,
    require_columns,
)
from gcamccl_core.report.style import GREY, INK, house_style, new_figure, pretty

CONTROL_LINES = ("--", ":", "-.")
DIRECTION_LABELS = {
    "deletion": "% of features replaced, best-ranked first",
    "insertion": "% of features kept, best-ranked first",
}
LEAST_SPAN = 0.1  # of the probability axis, so that small differences look small
SAID_SHARE = 0.1  # words give the curves at this share


@house_style()
def plot_perturbation(curves: pd.DataFrame, fig: Figure | None = None) -> Figure:
    """Draw the prediction of a class while the features that a map ranks first are deleted, or inserted alone.

    Parameters
    ----------
    curves : pandas.DataFrame
        As :func:`.perturbation_curves` makes them.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        One row per view and class: deletion, where the better ranking falls sooner, beside insertion, where it rises
        sooner. A method has one colour and marker, filled for the network's own maps, open on broken lines for
        controls; random rankings are grey. Shares are logarithmic above the smallest, from which to zero they are even.

    Raises
    ------
    ValueError
        If the table lacks a column or has no row, or has more methods or controls than can be told apart.

    Examples
    --------
    >>> curve = {"view": "snp", "target_class": "high", "source": "model", "method": "grad_cam"}
    >>> one = pd.DataFrame(curve | {"direction": "deletion", "share": [0, 0.01, 1], "probability": [0.9, 0.5, 0.4]})
    >>> ax = plot_perturbation(one).axes[0]
    >>> ax.get_title("left"), [label.get_text() for label in ax.get_xticklabels()]
    ('SNPs, high: deletion', ['0', '1', '100'])
    """
    require_columns(curves, COLUMNS, "perturbation_curves")
    looks = _curve_looks(curves)
    rows = list(curves.groupby(["view", "target_class"], sort=False))
    handles, names = _legend_entries(looks)
    fig = fig or new_figure(0.5 + 1.5 * len(rows) + LEGEND_LINE * legend_lines(names))
    axes = fig.subplots(len(rows), len(DIRECTIONS), squeeze=False, sharex=True, sharey="row")
    for place, (row, ((view, target_class), chosen)) in enumerate(zip(axes, rows, strict=True), 1):
        for ax, direction in zip(row, DIRECTIONS, strict=True):
            lacking = _draw_curves(ax, chosen[chosen["direction"] == direction], looks)
            ax.set_title(f"{capital(pretty(str(view)))}, {target_class}: {direction}")
            ax.tick_params(labelbottom=True, labelleft=True)
            label = DIRECTION_LABELS[direction] if place == len(rows) else ""
            label_with_notes(ax, label, [f"not drawn, no values: {', '.join(lacking)}"] if lacking else [])
        row[0].set_ylabel("mean probability\nof the class")
        _widen(row[0])
    _scale_shares(axes[0, 0], curves["share"].to_numpy(float))
    legend_below(fig, handles, names)
    return fig


def alt_perturbation(curves: pd.DataFrame) -> str:
    """Say in words what :func:`plot_perturbation` shows: the ends, and at one share the best map beside controls."""
    require_columns(curves, COLUMNS, "perturbation_curves")
    shares = np.unique(curves.loc[curves["share"] > 0, "share"])
    share = max(shares[shares <= SAID_SHARE], default=min(shares, default=0.0))
    parts = []
    for (view, target_class), chosen in curves.groupby(["view", "target_class"], sort=False):
        said = []
        ends = chosen[chosen["direction"] == "deletion"].groupby("share")["probability"].mean().dropna()
        if {0, 1} <= set(ends.index):
            said.append(f"{number(ends[0])} with every feature and {number(ends[1])} with none")
        for direction, how in (("deletion", "replaced, lowest"), ("insertion", "alone, highest")):
            rows = chosen[(chosen["direction"] == direction) & (chosen["share"] == share)]
            if words := _best(rows, lowest=direction == "deletion"):
                said.append(f"with the first {100 * share:.3g} % {how} by {words}")
        lacking = [_name(*key) for key, values in _by_curve(chosen) if values["probability"].isna().all()]
        if lacking:
            said.append(f"no values of {join_words(lacking)}")
        parts.append(f"{capital(pretty(str(view)))}, {target_class}: {'; '.join(said)}")
    return (
        "Mean probability of a class while the features that a map puts first are replaced by their mean, or kept "
        f"alone. {'. '.join(parts)}."
    )


def _best(rows: pd.DataFrame, lowest: bool) -> str:
    """Name the best of the network's maps and of the controls, and what random rankings give; "" without values."""
    of_model, of_random = rows["source"] == "model", rows["source"] == "random"
    said = []
    for whose, chosen in (("", of_model), ("the best control ", ~of_model & ~of_random), ("", of_random)):
        if len(values := rows[chosen].dropna(subset="probability").sort_values("probability", ascending=lowest)):
            best = values.iloc[0]
            said.append(f"{whose}{_name(best['source'], best['method'])} {number(best['probability'])}")
    return f"{said[0]}, against {join_words(said[1:])}" if said[1:] else "".join(said)


def _by_curve(curves: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Take the curves apart, by source and method."""
    return [
        ((str(source), str(method)), rows)
        for (source, method), rows in curves.groupby(["source", "method"], sort=False)
    ]


def _name(source: str, method: str) -> str:
    if source == "random":
        return "random rankings"
    return pretty(method) if source in ("model", "univariate") else f"{pretty(method)} of {source}"


def _curve_looks(curves: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """Say how the curve of every source and method is drawn: as its method, and then as its source."""
    keys = [key for key, _ in _by_curve(curves)]
    by_method = method_looks(method for source, method in keys if source != "random")
    controls = in_order(source for source, _ in keys if source not in ("model", "random"))
    if len(controls) > len(CONTROL_LINES):
        raise ValueError(f"figures tell at most {len(CONTROL_LINES)} controls apart, got {len(controls)}; draw fewer")
    looks: dict[tuple[str, str], dict[str, Any]] = {}
    for source, method in keys:
        if source == "random":
            looks[source, method] = {"color": GREY, "linewidth": 3, "zorder": 1}
        elif source == "model":
            looks[source, method] = by_method[method] | {"linestyle": "-", "zorder": 3}
        else:
            line, color = CONTROL_LINES[controls.index(source)], by_method[method]["color"]
            face = {"markerfacecolor": "white", "markeredgecolor": color, "markeredgewidth": 0.8}
            looks[source, method] = by_method[method] | face | {"linestyle": line, "linewidth": 0.9, "zorder": 2}
    return looks


def _draw_curves(ax: Axes, curves: pd.DataFrame, looks: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    """Draw one panel's curves, and name those that have no values."""
    lacking = []
    for key, rows in _by_curve(curves):
        means = rows.groupby("share")["probability"].mean()
        if means.isna().all():
            lacking.append(_name(*key))
        else:
            ax.plot(means.index, means, label=_name(*key), **looks[key])
    return lacking


def _scale_shares(ax: Axes, shares: np.ndarray) -> None:
    """Give small shares as much room as large ones, and name as many as stay apart."""
    positive = np.unique(shares[shares > 0])
    smallest, largest = (positive[0], positive[-1]) if len(positive) else (0.01, 1.0)
    ax.set_xscale("symlog", linthresh=smallest, linscale=0.4)
    ticks = [largest]
    apart = max(1.7, (largest / smallest) ** 0.1)
    for share in positive[::-1]:
        if ticks[-1] / share >= apart:
            ticks.append(share)
    ticks = sorted({*ticks, *shares[shares == 0]})
    ax.set_xticks(ticks, [f"{100 * share:.3g}" for share in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(-0.2 * smallest if (shares == 0).any() else smallest / 1.2, 1.2 * largest)


def _widen(ax: Axes) -> None:
    """Keep small differences from filling the panel."""
    low, high = ax.get_ylim()
    lacking = max(0.0, LEAST_SPAN - (high - low)) / 2
    ax.set_ylim(low - lacking, high + lacking)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], min_n_ticks=3))


def _legend_entries(looks: dict[tuple[str, str], dict[str, Any]]) -> tuple[list[Line2D], list[str]]:
    """Name every method once, then what the lines of the sources look like."""
    of_model = {method for source, method in looks if source == "model"}
    handles, names = [], []
    for (source, method), look in looks.items():
        if source == "model" or source == "random" or method not in of_model:
            handles.append(Line2D([], [], **look))
            names.append(_name(source, method))
    shared = {source: look for (source, method), look in looks.items() if source != "random" and method in of_model}
    for source, look in shared.items():
        if source != "model":
            plain = {"color": INK, "markeredgecolor": INK, "marker": "o"}
            handles.append(Line2D([], [], **look | plain))
            names.append(f"control: {source}")
    return handles, names
