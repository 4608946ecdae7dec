"""Figures of hubs and of what returns: regions beside their draws, and names beside the lists that found them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gcamccl_core.report.labels import capital, join_words, number, shorten_region
from gcamccl_core.report.panels import in_order, legend_below, legend_columns, method_looks, require_columns
from gcamccl_core.report.style import GREY, HIGHLIGHT, INK, class_looks, house_style, new_figure

SIGNIFICANT = 0.05


@house_style()
def plot_hubs(
    hubs: pd.DataFrame,
    classes: Sequence[str],
    planted: Mapping[str, Collection[str]] | None = None,
    top: int = 12,
    fig: Figure | None = None,
) -> Figure:
    """Draw how many selected connections end in each region, beside what chance would put there.

    Parameters
    ----------
    hubs : pandas.DataFrame
        As :func:`.find_hubs` makes it, of one list and one kind of draw.
    classes : sequence of str
        All classes, in the order that fixes their colours; one panel each.
    planted : mapping of str to collection of str, optional
        Regions by class that are hubs of what was planted.
    top : int
        Regions per class, the least probable first.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        A panel per class: a mark per region, filled if p, adjusted for all regions, is below 0.05; the grey line holds
        95 % of the draws.
    """
    require_columns(hubs, ["target_class", "region", "connections", "lower", "upper", "p_adjusted"], "find_hubs")
    shown = {name: hubs[hubs["target_class"] == name].head(top) for name in classes}
    rows = max(3, *(len(table) for table in shown.values()))
    fig = fig or new_figure(1.0 + 0.2 * rows)
    axes = fig.subplots(1, len(classes), squeeze=False)[0]
    for ax, (name, table) in zip(axes, shown.items(), strict=True):
        draw_hubs(
            ax,
            table,
            class_looks(classes)[name].color,
            class_looks(classes)[name].marker,
            (planted or {}).get(name, ()),
        )
        ax.set_title(name)
        ax.set_ylim(rows - 0.4, -0.6)
    handles = [
        Line2D([], [], color=GREY, linewidth=4, alpha=0.6),
        Line2D([], [], color=INK, marker="o", linestyle=""),
        Line2D([], [], color=INK, marker="o", linestyle="", markerfacecolor="white"),
    ]
    names = ["95 % of the draws", "p adjusted < 0.05", "not below"]
    if planted:
        handles.append(Line2D([], [], color=HIGHLIGHT, linewidth=2))
        names.append("hub of what was planted")
    legend_below(fig, handles, names)
    return fig


def draw_hubs(ax: Axes, hubs: pd.DataFrame, color: str, marker: str = "o", planted: Collection[str] = ()) -> None:
    """Draw the regions of one class into given axes, in the order of the table; see :func:`plot_hubs`."""
    for place, row in enumerate(hubs.to_dict("records")):
        ax.plot([row["lower"], row["upper"]], [place, place], color=GREY, linewidth=4, alpha=0.6, solid_capstyle="butt")
        below = row["p_adjusted"] < SIGNIFICANT
        ax.plot(
            row["connections"], place, marker, color=color, markersize=5, markerfacecolor=color if below else "white"
        )
    ax.set_yticks(range(len(hubs)), [shorten_region(name) for name in hubs["region"]])
    for label, name in zip(ax.get_yticklabels(), hubs["region"], strict=True):
        if name in planted:
            label.set(color=HIGHLIGHT, fontweight="bold")
    if hubs.empty:
        ax.text(0.5, 0.5, "no connection was selected", ha="center", va="center", transform=ax.transAxes)
    ax.set(xlim=(0, None), xlabel="selected connections with an end there")
    ax.tick_params(axis="y", length=0)


def alt_hubs(hubs: pd.DataFrame, classes: Sequence[str], planted: Mapping[str, Collection[str]] | None = None) -> str:
    """Say in words what :func:`plot_hubs` shows."""
    parts = []
    for name in classes:
        table = hubs[hubs["target_class"] == name]
        found = table[table["p_adjusted"] < SIGNIFICANT]
        listed = [
            f"{row['region']} ({row['connections']} connections, {number(row['expected'])} expected)"
            for row in found.to_dict("records")
        ]
        if table.empty:
            parts.append(f"Class {name}: no connection selected")
            continue
        text = f"Class {name}: {len(found)} of {len(table)} regions are hubs"
        text += f", {join_words(listed[:4])}{' and others' if len(listed) > 4 else ''}" if listed else ""
        if planted:
            right = set(planted.get(name, ())) & set(found["region"])
            text += f"; {len(right)} of {len(set(planted.get(name, ())))} hubs of what was planted are among them"
        parts.append(text)
    return f"Selected connections by region, beside draws at random. {'. '.join(parts)}."


@house_style()
def plot_returns(counts: pd.DataFrame, classes: Sequence[str], top: int = 10, fig: Figure | None = None) -> Figure:
    """Draw in which share of the runs each name returns, for several lists.

    Parameters
    ----------
    counts : pandas.DataFrame
        As :func:`.count_returns` makes it, of one view and level, with the list's name in ``source``; ``planted``
        marks names, if it is there, and ``names`` says how many names there are where not all are in the table.
    classes : sequence of str
        One panel each.
    top : int
        Names per class, those that return most in any list.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        A mark per name and list; a list that never found a name has none there. Without any name the panels say so.
    """
    needed = ["source", "target_class", "name", "share"]
    if len(counts) or not set(needed) <= set(counts):  # no row is an answer: no list found a name
        require_columns(counts, needed, "count_returns")
    looks = method_looks(counts["source"])
    shown = {name: _most_frequent(counts[counts["target_class"] == name], top) for name in classes}
    rows = max(3, *(len(names) for names in shown.values()))
    lines = -(-len(looks) // legend_columns(list(looks))) if looks else 0
    fig = fig or new_figure(0.85 + 0.2 * rows + 0.17 * lines)
    for ax, (name, names) in zip(fig.subplots(1, len(classes), squeeze=False)[0], shown.items(), strict=True):
        table = counts[(counts["target_class"] == name) & counts["name"].isin(names)]
        if names:
            _draw_shares(ax, table, names, looks)
        right = set(table.loc[table["planted"].eq(1), "name"]) if "planted" in table else set()
        ax.set_yticks(range(len(names)), [_short(label) for label in names])
        for label, full in zip(ax.get_yticklabels(), names, strict=True):
            if full in right:
                label.set(color=HIGHLIGHT, fontweight="bold")
        ax.set(xlim=(-0.03, 1.03), ylim=(rows - 0.4, -0.6), xlabel="share of the runs", ylabel="", title=name)
        ax.grid(axis="y", color="#e4e4e4", linewidth=0.7)
        ax.tick_params(axis="y", length=0)
        if not names:
            ax.text(0.5, 0.5, "nothing was found", ha="center", va="center", transform=ax.transAxes)
    handles = [Line2D([], [], **{**look, "linestyle": ""}) for look in looks.values()]
    if looks:
        legend_below(fig, handles, list(looks))
    return fig


def _draw_shares(ax: Axes, table: pd.DataFrame, names: list[str], looks: Mapping[str, dict[str, Any]]) -> None:
    sns.pointplot(
        data=table, x="share", y="name", hue="source", order=names, hue_order=list(looks), ax=ax, legend=False,
        palette=[look["color"] for look in looks.values()], markers=[look["marker"] for look in looks.values()],
        linestyle="none", errorbar=None, dodge=0.4 if len(looks) > 1 else False, markersize=4.5, linewidth=1,
    )  # fmt: skip


def alt_returns(counts: pd.DataFrame, classes: Sequence[str], often: float = 0.9) -> str:
    """Say in words what :func:`plot_returns` shows: how many names always return, and which do first."""
    if counts.empty:
        return "How often names return over runs. No list found a name."
    parts = []
    for source in in_order(counts["source"]):
        for name in classes:
            table = counts[(counts["source"] == source) & (counts["target_class"] == name)]
            if table.empty:
                parts.append(f"{capital(source)}, class {name}: nothing found")
                continue
            first = table.sort_values(["share", "name"], ascending=[False, True]).iloc[0]
            many = int((table["share"] >= often).sum())
            total = int(table["names"].iloc[0]) if "names" in table else len(table)
            parts.append(
                f"{capital(source)}, class {name}: {many} of {total} names in {number(100 * often)} % of the runs "
                f"or more, most often {first['name']} ({number(100 * first['share'])} %)"
            )
    return f"How often names return over runs. {'. '.join(parts)}."


def _most_frequent(counts: pd.DataFrame, top: int) -> list[str]:
    best = counts.groupby("name")["share"].agg(["max", "sum"]).reset_index()
    ordered = best.sort_values(["max", "sum", "name"], ascending=[False, False, True])
    return ordered["name"].head(top).tolist()


def _short(name: str, limit: int = 34) -> str:
    return name if len(name) <= limit else name[: limit - 1].rstrip() + "…"
