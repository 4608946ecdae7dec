"""The figure of enrichment: which gene sets stand out among the selected genes of every class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gcamccl_core.report.labels import number
from gcamccl_core.report.style import GREY, HIGHLIGHT, INK, Look, class_looks, house_style, new_figure


@house_style()
def plot_enrichment(
    tables: Mapping[str, pd.DataFrame],
    planted: Mapping[str, Sequence[str]] | None = None,
    top: int = 10,
    fig: Figure | None = None,
) -> Figure:
    """Draw the most enriched gene sets of every class, planted ones marked.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        By class what :func:`.enrich` returns.
    planted : mapping of str to sequence of str, optional
        Planted terms by class, from :func:`.planted_gene_sets`.
    top : int
        Terms per class, from the smallest p.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        One panel per class on one scale: -log10 q, and the overlap as the size of the marker.

    Examples
    --------
    >>> from gcamccl_core.maps.enrichment import enrich
    >>> table = enrich(["A", "B"], {"synapse": ["A", "B", "C"], "growth": ["D", "E"]}, background="ABCDEFGH")
    >>> [label.get_text() for label in plot_enrichment({"high": table}).axes[0].get_yticklabels()]
    ['synapse', 'growth']
    """
    shown = {name: table[table["testable"]].head(top) for name, table in tables.items()}
    looks = class_looks(list(tables))
    rows = max(len(table) for table in shown.values())
    fig = fig or new_figure(1.0 + 0.19 * max(rows, 3))
    axes = fig.subplots(1, len(shown), squeeze=False, sharex=True)[0]
    for ax, (name, table) in zip(axes, shown.items(), strict=True):
        _draw_terms(ax, table, set((planted or {}).get(name, ())), looks[name])
        ax.set_title(name)
    _legend_terms(fig, shown, bool(planted))
    return fig


def alt_enrichment(
    tables: Mapping[str, pd.DataFrame], planted: Mapping[str, Sequence[str]] | None = None, top: int = 10
) -> str:
    """Say in words what :func:`plot_enrichment` shows of these tables."""
    parts = []
    for name, table in tables.items():
        tested = table[table["testable"]]
        significant = tested[tested["q_value"] < 0.05]
        text = f"Class {name}: {len(significant)} of {len(tested)} gene sets below q = 0.05"
        if len(tested):
            first = tested.iloc[0]
            common = f"{first['overlap']} gene{'' if first['overlap'] == 1 else 's'} in common"
            text += f", first {first['term']} (q = {number(float(first['q_value']))}, {common})"
        if planted:
            terms = set(planted.get(name, ()))
            text += f"; {len(terms & set(significant['term']))} of {len(terms)} planted sets are among them"
        parts.append(text)
    return f"Enriched gene sets, the {top} smallest p of every class. {'. '.join(parts)}."


def _draw_terms(ax: Axes, table: pd.DataFrame, planted: set[str], look: Look) -> None:
    height = -np.log10(table["q_value"].to_numpy(dtype=float))
    edges = [HIGHLIGHT if term in planted else "white" for term in table["term"]]
    widths = [1.8 if term in planted else 0.5 for term in table["term"]]
    ax.scatter(
        height, range(len(table)), s=_area(table["overlap"].to_numpy()), color=look.color, edgecolors=edges,
        linewidths=widths, zorder=3, clip_on=False,
    )  # fmt: skip
    if table.empty:
        ax.text(0.5, 0.5, "no gene set could be tested", ha="center", va="center", transform=ax.transAxes)
    ax.axvline(-np.log10(0.05), color=INK, linewidth=0.8, linestyle=":")
    ax.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.set_yticks(range(len(table)), [_cut(str(term)) for term in table["term"]])
    ax.update_datalim([(0, 0)])  # zero is in sight; a fixed limit would cut what panels of the same scale add later
    ax.autoscale_view()
    ax.set(ylim=(max(len(table), 1) - 0.4, -0.6), xlabel="$-\\log_{10} q$")
    ax.tick_params(axis="y", length=0)


def _area(overlap: np.ndarray | int) -> np.ndarray:
    """Marker area in points squared; without a gene in common a dot is left."""
    return 10 + 14 * np.asarray(overlap, dtype=float)


def _cut(term: str, limit: int = 34) -> str:
    return term if len(term) <= limit else term[: limit - 1].rstrip() + "…"


def _legend_terms(fig: Figure, shown: Mapping[str, pd.DataFrame], planted: bool) -> None:
    largest = max(int(table["overlap"].max()) if len(table) else 1 for table in shown.values())
    labels, handles = [], []
    for size in sorted({1, max(largest, 1)}):
        labels.append(f"{size} gene{'s' if size > 1 else ''} in common")
        handles.append(Line2D([], [], marker="o", linestyle="", color=GREY, markersize=float(np.sqrt(_area(size)))))
    labels.append("q = 0.05")
    handles.append(Line2D([], [], color=INK, linewidth=0.8, linestyle=":"))
    if planted:
        labels.append("planted")
        ring: Any = {"markeredgecolor": HIGHLIGHT, "markeredgewidth": 1.8}
        handles.append(Line2D([], [], marker="o", linestyle="", color="white", **ring))
    fig.legend(handles, labels, loc="outside lower center", ncols=len(handles), handletextpad=0.3)
