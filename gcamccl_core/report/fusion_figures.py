"""Figures of fusion before gCAM-CCL: what batch size does to the losses' values, gradients and to accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from gcamccl_core.report.labels import join_words, number
from gcamccl_core.report.style import GREY, INK, house_style, new_figure

LOOKS: Any = {  # color, marker and line of each loss
    "dcca": ("#D55E00", "s", ":"),
    "dcl": ("#E69F00", "^", "--"),
    "collaborative": ("#0072B2", "o", "-"),
}
NAMES = {"dcca": "DCCA (Eq. 3)", "dcl": "DCL (Eq. 4)", "collaborative": "Eq. 12"}


@house_style()
def plot_batch_dependence(table: pd.DataFrame, floor: pd.DataFrame, fig: Figure | None = None) -> Figure:
    """Draw what each loss says of the same outputs when they come in batches, and where its gradient points.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`.batch_dependence`, for one loss or several.
    floor : pandas.DataFrame
        Of :func:`.noise_floor`.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        Left: the sum of canonical correlations by batch size, above the band that noise gives. Middle: the agreement
        term of Eq. 12. Right: the bias of the gradient.
    """
    fig = fig or new_figure(2.7)
    left, middle, right = fig.subplots(1, 3)
    left.fill_between(floor["batch_size"], floor["low"], floor["high"], color=GREY, alpha=0.3, linewidth=0)
    left.plot(floor["batch_size"], floor["correlation"], color=GREY, label="pure noise, 95 % of batches")
    for fusion, rows in table.groupby("fusion", sort=False):
        color, marker, line = LOOKS[fusion]
        style: Any = {"color": color, "marker": marker, "linestyle": line, "label": NAMES[str(fusion)], "markersize": 4}
        if fusion == "collaborative":
            middle.plot(rows["batch_size"], rows["agreement"], **style)
        else:
            left.plot(rows["batch_size"], -rows["agreement"], **style)
        right.plot(rows["batch_size"], rows["gradient_bias"], **style)
    left.set(title="Correlation term", ylabel="sum of canonical correlations", ylim=(0, 2.05))
    middle.set(title="Agreement term", ylabel="nats per subject")
    middle.set_ylim(0, max(1.0, 1.3 * table.loc[table["fusion"] == "collaborative", "agreement"].max()))
    right.set(title="Bias of the gradient", ylabel="1 - cosine", ylim=(-0.05, 1.05))
    for ax in (left, middle, right):
        _scale_batches(ax, table["batch_size"].to_numpy())
    handles, labels = right.get_legend_handles_labels()
    more, names = left.get_legend_handles_labels()
    fig.legend([*handles, more[0]], [*labels, names[0]], loc="outside lower center", ncols=4)
    return fig


def alt_batch_dependence(table: pd.DataFrame, floor: pd.DataFrame) -> str:
    """Say in words what :func:`plot_batch_dependence` shows."""
    least, most = int(table["batch_size"].min()), int(table["batch_size"].max())
    said = []
    for fusion, rows in table.groupby("fusion", sort=False):
        at = rows.set_index("batch_size")
        sign = 1 if fusion == "collaborative" else -1
        first, last = (number(float(sign * at["agreement"][size])) for size in (least, most))
        bias = number(float(at["gradient_bias"][least]))
        said.append(f"{NAMES[str(fusion)]} {first} against {last}, gradient bias {bias}")
    noise = floor.set_index("batch_size")["correlation"]
    return (
        f"The term that joins the views, in batches of {least} against all {most} subjects at once: {'; '.join(said)}. "
        f"Pure noise gives correlations of {number(float(noise.iloc[0]))} in all with {noise.index[0]} subjects and "
        f"{number(float(noise.iloc[-1]))} with {noise.index[-1]}."
    )


@house_style()
def plot_batch_accuracy(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw test accuracy by the batch size that networks were trained with, one line per loss.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per ``fusion``, ``batch_size`` and ``split``: ``accuracy`` of one classifier on each network's features.
    ax : Axes, optional
        Drawn on; made if None.
    """
    ax = new_figure(2.9, 4.6).subplots() if ax is None else ax
    for shift, (fusion, rows) in enumerate(table.groupby("fusion", sort=False)):
        color, marker, line = LOOKS[fusion]
        mean = rows.groupby("batch_size")["accuracy"].mean()
        ax.plot(mean.index, mean, color=color, marker=marker, linestyle=line, label=NAMES[str(fusion)], zorder=3)
        ax.scatter(
            rows["batch_size"] * 1.06 ** (shift - 1), rows["accuracy"], s=9, color=color, alpha=0.5, linewidths=0
        )
    ax.axhline(0.5, color=INK, linewidth=0.7, linestyle=":")
    ax.set(title="Test accuracy", ylabel="share correct")
    _scale_batches(ax, table["batch_size"].to_numpy())
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    return ax


def alt_batch_accuracy(table: pd.DataFrame) -> str:
    """Say in words what :func:`plot_batch_accuracy` shows."""
    means = table.groupby(["fusion", "batch_size"], sort=False)["accuracy"].mean()
    said = []
    for fusion in dict.fromkeys(table["fusion"]):
        values = [f"{number(float(mean))} with batches of {size}" for size, mean in means[fusion].items()]
        said.append(f"{NAMES[fusion]}: {join_words(values)}")
    splits = table["split"].nunique()
    return f"Mean test accuracy over {splits} split{'s' if splits > 1 else ''}. {'; '.join(said)}."


def _scale_batches(ax: Axes, sizes: np.ndarray) -> None:
    """Give every batch size its own tick, at even distances for doublings."""
    ticks = np.unique(sizes)
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("subjects per batch")
