"""Figures of evidence: how far maps find what was planted, always beside controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gcamccl_core.report.labels import capital, number
from gcamccl_core.report.learning_figures import OUR_COLOR
from gcamccl_core.report.style import INK, house_style, new_figure, pretty

MODEL_LOOK = (OUR_COLOR, "o", OUR_COLOR)  # color, marker, face
CONTROL_LOOKS = ((INK, "s", "white"), ("#009E73", "^", "white"), ("#E69F00", "v", "white"))
UNIVARIATE_LOOK = ("#6b6b6b", "D", "#6b6b6b")
METRIC_LABELS = {"average_precision": "average precision", "auroc": "area under the ROC curve"}


@house_style()
def plot_scorecard(scores: pd.DataFrame, metric: str = "average_precision", fig: Figure | None = None) -> Figure:
    """Draw how far every map finds what was planted, beside the same map of untrained networks, a t-test and chance.

    Parameters
    ----------
    scores : pandas.DataFrame
        As :func:`.scorecard` makes it; of several models, if put together, means are drawn large and each one small.
    metric : str
        Column to draw.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        One row of panels per view, one column per class; panels of a view share their scale.

    Examples
    --------
    >>> rows = [("snp", "high", "model", "grad_cam", 0.4), ("snp", "high", "chance", "chance", 0.2)]
    >>> scores = pd.DataFrame(rows, columns=["view", "target_class", "source", "method", "average_precision"])
    >>> plot_scorecard(scores).axes[0].get_title("left")
    'SNPs, high'
    """
    views, classes = (list(dict.fromkeys(scores[column])) for column in ("view", "target_class"))
    rows = len(recovery_rows(scores))
    fig = fig or new_figure(0.7 + (0.45 + 0.17 * rows) * len(views))
    axes = fig.subplots(len(views), len(classes), squeeze=False, sharey=True, sharex="row")
    for row, view in zip(axes, views, strict=True):
        for ax, target_class in zip(row, classes, strict=True):
            chosen = scores[(scores["view"] == view) & (scores["target_class"] == target_class)]
            draw_recovery(ax, chosen, metric, order=recovery_rows(scores))
            ax.set_title(f"{pretty(view)}, {target_class}")
    legend_recovery(fig, scores)
    return fig


def draw_recovery(ax: Axes, scores: pd.DataFrame, metric: str, order: Sequence[str] | None = None) -> Axes:
    """Draw one panel of the scorecard: methods as rows, sources as markers, chance as a line.

    Parameters
    ----------
    ax : Axes
        Drawn on.
    scores : pandas.DataFrame
        Rows of :func:`.scorecard`; rows of equal source and method are averaged.
    metric : str
        Column to draw.
    order : sequence of str, optional
        Methods from top to bottom.
    """
    order = list(order) if order is not None else recovery_rows(scores)
    for source, look in _source_looks(scores).items():
        color, marker, face = look
        of_source = scores[scores["source"] == source]
        for method, values in of_source.groupby("method", sort=False)[metric]:
            y = order.index(str(method))
            if len(values) > 1:
                ax.plot(values, [y] * len(values), marker, color=color, markersize=2, alpha=0.4, markeredgewidth=0)
            ax.plot(
                values.mean(),
                y,
                marker,
                color=color,
                markerfacecolor=face,
                markersize=5.5,
                zorder=4 - (face == "white"),
            )
    chance = scores.loc[scores["source"] == "chance", metric].mean()
    if np.isfinite(chance):
        ax.axvline(chance, color=INK, linewidth=0.8, linestyle=":")
    ax.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.set_yticks(range(len(order)), [pretty(method) for method in order])
    ax.update_datalim([(0, 0)])  # zero is in sight; a fixed limit would cut what panels of the same scale add later
    ax.autoscale_view()
    ax.set(ylim=(len(order) - 0.4, -0.6), xlabel=METRIC_LABELS.get(metric, pretty(metric)))
    ax.tick_params(axis="y", length=0)
    return ax


def alt_scorecard(scores: pd.DataFrame, metric: str = "average_precision") -> str:
    """Say in words what :func:`plot_scorecard` shows of these scores."""
    name = METRIC_LABELS.get(metric, pretty(metric))
    parts = []
    for (view, target_class), chosen in scores.groupby(["view", "target_class"], sort=False):
        place = f"{capital(pretty(str(view)))}, {target_class}"
        means = chosen.groupby(["source", "method"], sort=False)[metric].mean().dropna()
        if means.empty:
            parts.append(f"{place}: nothing was planted")
            continue
        of_model = means.xs("model", level="source")
        best = str(of_model.idxmax())
        others = means.drop(["model", "chance"], level="source", errors="ignore")
        beside = f"best control {_control_name(others.idxmax())} {number(others.max())}, " if len(others) else ""
        chance = f"chance {number(means['chance'].item())}" if "chance" in means else "chance not given"
        parts.append(f"{place}: best map {pretty(str(best))} {number(of_model.max())}, {beside}{chance}")
    return f"{capital(name)} of maps against what was planted. {'. '.join(parts)}."


def _control_name(key: Any) -> str:
    source, method = key
    return pretty(method) if source == "univariate" else f"{pretty(method)} of {source}"


def recovery_rows(scores: pd.DataFrame) -> list[str]:
    """List the methods to draw as rows, in the order of the table."""
    return [str(method) for method in dict.fromkeys(scores.loc[scores["source"] != "chance", "method"])]


def _source_looks(scores: pd.DataFrame) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and face of every source, the model's last so that it lies on top."""
    controls = [s for s in dict.fromkeys(scores["source"]) if s not in ("model", "univariate", "chance")]
    if len(controls) > len(CONTROL_LOOKS):
        raise ValueError(f"figures tell at most {len(CONTROL_LOOKS)} controls apart, got {len(controls)}; draw fewer")
    looks = dict(zip(controls, CONTROL_LOOKS, strict=False))
    return looks | {"univariate": UNIVARIATE_LOOK, "model": MODEL_LOOK}


def legend_recovery(fig: Figure, scores: pd.DataFrame, small: str = "") -> None:
    """Say below the figure which marker is the trained network and which a control."""
    names = {"model": "trained network", "univariate": "no network"}
    looks = {source: look for source, look in _source_looks(scores).items() if source in set(scores["source"])}
    handles = [
        Line2D([], [], marker=marker, linestyle="", color=color, markerfacecolor=face, markersize=5.5)
        for color, marker, face in looks.values()
    ]
    handles.append(Line2D([], [], color=INK, linewidth=0.8, linestyle=":"))
    labels = [*(names.get(source, source) for source in looks), "chance"]
    if small:
        handles.append(Line2D([], [], marker="o", linestyle="", color=UNIVARIATE_LOOK[0], markersize=2.4, alpha=0.6))
        labels.append(small)
    fig.legend(handles, labels, loc="outside lower center", ncols=len(handles), handletextpad=0.3)
