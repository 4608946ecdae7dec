"""The figure of growth: time of every stage against subjects, regions, SNPs and views, on logarithmic axes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from gcamccl_core.report.style import GREY, class_looks, house_style, new_figure

from .machine import PROJECT

PICTURE = PROJECT / "book" / "images" / "growth.png"
QUANTITIES = {"seconds": "seconds", "mebibytes": "memory, MiB"}
DIMENSIONS = ("subjects", "regions", "SNPs", "views")


def draw(table: pd.DataFrame, path: Path = PICTURE) -> Path:
    """Draw seconds above and memory below, one column per what grows; a grey line has the slope of linear growth.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`.growth.measure` gives it.
    path : path
        Where to.
    """
    looks = class_looks(list(dict.fromkeys(table["stage"])))
    with house_style():
        figure = new_figure(4.2)
        axes = figure.subplots(2, len(DIMENSIONS), sharex="col", sharey="row")
        for row, (quantity, label) in zip(axes, QUANTITIES.items(), strict=True):
            row[0].set_ylabel(label)
            for ax, dimension in zip(row, DIMENSIONS, strict=True):
                for stage, look in looks.items():
                    known = table[
                        (table["stage"] == stage) & (table["dimension"] == dimension) & (table[quantity] > 0)
                    ].sort_values("size")
                    if len(known):
                        line = {"color": look.color, "marker": look.marker, "markersize": 3, "label": stage}
                        ax.plot(known["size"], known[quantity], **line)
                ax.set(xscale="log", yscale="log")
        for ax, dimension in zip(axes[-1], DIMENSIONS, strict=True):
            ax.set_xlabel(dimension)
            sizes = sorted(set(table.loc[table["dimension"] == dimension, "size"]))
            if sizes and sizes[-1] < 10 * sizes[0]:  # within one power of ten: the sizes themselves
                ax.set_xticks(sizes, [str(size) for size in sizes])
                ax.minorticks_off()
        for ax in axes.flat:
            _draw_linear(ax)
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=len(names))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=200)
    return path


def _draw_linear(ax: Axes) -> None:
    """Draw a line of slope 1 through the middle of the axes, as far as they go."""
    if not ax.lines:
        return
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    middle = (low * high) ** 0.5 / (left * right) ** 0.5
    ax.plot([left, right], [middle * left, middle * right], color=GREY, linestyle=":", linewidth=0.8, zorder=0)
    ax.set(xlim=(left, right), ylim=(low, high))


def describe(fits: pd.DataFrame) -> str:
    """Put the figure's exponents of time into a sentence for who cannot see it.

    Parameters
    ----------
    fits : pandas.DataFrame
        As :func:`.growth.exponents` gives it.
    """
    seconds = fits[fits["quantity"] == "seconds"]
    parts = []
    for dimension, rows in seconds.groupby("dimension", sort=False):
        powers = ", ".join(f"{row.stage} {row.exponent:.2f}" for row in rows.itertuples())
        parts.append(f"with {dimension}: {powers}")
    return f"Seconds and memory of every stage on logarithmic axes. Exponent of time, {'; '.join(parts)}."
