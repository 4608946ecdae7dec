"""Figures of learning: how training went, and how well the models classify beside others and beside Table III."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gcamccl_core.model.fitted import Fitted
from gcamccl_core.report.labels import join_words, number
from gcamccl_core.report.style import GREY, INK, house_style, new_figure

CURVES = {"loss": "Loss (Eq. 12)", "cross_entropy": "Cross-entropy", "accuracy": "Accuracy"}
RULE_LOOKS: Any = {"cross_entropy": ("#009E73", "-."), "loss": ("#D55E00", ":")}  # which epoch each rule selects
METRICS = {"accuracy": "Accuracy", "sensitivity": "Sensitivity", "specificity": "Specificity", "f1": "F1"}
OUR_COLOR, OTHER_COLOR = "#0072B2", "#6b6b6b"
OURS = "gCAM-CCL"
SPREAD = 0.22  # rows: how far the points of single splits lie from their method's line


@house_style()
def plot_training(trainings: Sequence[Fitted], fig: Figure | None = None) -> Figure:
    """Draw loss, cross-entropy and accuracy by epoch, and the epochs that the two rules select.

    Parameters
    ----------
    trainings : sequence of Fitted
        Of one split or many; with many, lines are means and bands reach from the least to the most.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        Three panels: Eq. 12, cross-entropy and accuracy of the fused prediction.

    Raises
    ------
    ValueError
        If a training had no validation part: it has no epochs to choose from, either.
    """
    _refuse_without_validation(trainings)
    fig = fig or new_figure(2.5)
    history = pd.concat([each.history for each in trainings], ignore_index=True)
    for ax, (column, title) in zip(fig.subplots(1, len(CURVES)), CURVES.items(), strict=True):
        sns.lineplot(
            history, x="epoch", y=column, hue="part", style="part", hue_order=["train", "validation"],
            style_order=["validation", "train"], palette=[GREY, INK], errorbar=("pi", 100), legend=False, ax=ax,
        )  # fmt: skip
        for rule, (color, dashes) in RULE_LOOKS.items():
            epochs = [each.selected[rule] for each in trainings]
            ax.axvline(float(np.median(epochs)), color=color, linestyle=dashes, linewidth=1.2)
            ax.plot(epochs, [0.015] * len(epochs), "|", color=color, transform=ax.get_xaxis_transform(), markersize=5)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.set(title=title, xlabel="epoch", ylabel="nats" if column != "accuracy" else "share correct")
    handles = [Line2D([], [], color=INK), Line2D([], [], color=GREY, linestyle="--")]
    handles += [Line2D([], [], color=color, linestyle=dashes) for color, dashes in RULE_LOOKS.values()]
    median = "epoch" if len(trainings) == 1 else f"median epoch of {len(trainings)} trainings"
    names = ["validation", "training", f"{median} by cross-entropy", f"{median} by Eq. 12"]
    fig.legend(handles, names, loc="outside lower center", ncols=4 if len(trainings) == 1 else 2)
    return fig


def alt_training(trainings: Sequence[Fitted]) -> str:
    """Say in words what :func:`plot_training` shows of these trainings."""
    _refuse_without_validation(trainings)
    text = f"Loss, cross-entropy and accuracy by epoch, training and validation, of {_count(trainings)}."
    for rule, name in (("cross_entropy", "cross-entropy"), ("loss", "Eq. 12")):
        epochs = [each.selected[rule] for each in trainings]
        reached = [_validation_accuracy(each, rule) for each in trainings]
        middle = "median epoch" if len(epochs) > 1 else "epoch"
        text += f" By {name} the {middle} {number(float(np.median(epochs)))} is selected, with a validation accuracy of"
        text += f" {number(float(np.mean(reached)))}{' on average' if len(epochs) > 1 else ''}."
    return text


def _refuse_without_validation(trainings: Sequence[Fitted]) -> None:
    if any("validation" not in set(each.history["part"]) for each in trainings):
        raise ValueError("a training without a validation part has no curve; a recipe without epochs needs none")


def _validation_accuracy(training: Fitted, rule: str) -> float:
    """Look up the validation accuracy at the epoch that a rule selects."""
    history = training.history
    chosen = (history["part"] == "validation") & (history["epoch"] == training.selected[rule])
    return float(history.loc[chosen, "accuracy"].item())


def _count(trainings: Sequence[Fitted]) -> str:
    return "one training" if len(trainings) == 1 else f"{len(trainings)} trainings, with the range over them"


@house_style()
def plot_metrics(scores: pd.DataFrame, paper: pd.DataFrame | None = None, fig: Figure | None = None) -> Figure:
    """Draw every method's accuracy, sensitivity, specificity and F1: all splits, their mean, and Table III's value.

    Parameters
    ----------
    scores : pandas.DataFrame
        One row per ``method`` and ``split``, with the columns ``accuracy``, ``sensitivity``, ``specificity``, ``f1``.
    paper : pandas.DataFrame, optional
        The same columns, one row per ``method``: the paper's Table III under our names of the methods.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        One panel per metric, methods from the best mean accuracy down, on one scale.

    Examples
    --------
    >>> scores = pd.DataFrame({"method": ["gCAM-CCL", "linear SVM"], "split": 0, "accuracy": [0.7, 0.8]})
    >>> scores = scores.assign(sensitivity=0.7, specificity=0.7, f1=0.7)
    >>> [label.get_text() for label in plot_metrics(scores).axes[0].get_yticklabels()]
    ['linear SVM', 'gCAM-CCL']
    """
    order = _method_order(scores, paper)
    fig = fig or new_figure(0.95 + 0.28 * len(order))
    axes = fig.subplots(1, len(METRICS), sharey=True, sharex=True)
    for ax, (metric, title) in zip(axes, METRICS.items(), strict=True):
        draw_metric(ax, scores, metric, paper, order)
        ax.set_title(title)
    _legend_metrics(fig, scores, paper)
    return fig


def draw_metric(
    ax: Axes, scores: pd.DataFrame, metric: str, paper: pd.DataFrame | None = None, order: Sequence[str] | None = None
) -> Axes:
    """Draw one metric of every method: small points per split, a large one for their mean, the paper's open.

    Parameters
    ----------
    ax : Axes
        Drawn on.
    scores, paper : pandas.DataFrame
        As for :func:`plot_metrics`.
    metric : str
        Column to draw.
    order : sequence of str, optional
        Methods from top to bottom; by mean accuracy if None.
    """
    order = list(order) if order is not None else _method_order(scores, paper)
    palette = {method: OUR_COLOR if method.startswith(OURS) else OTHER_COLOR for method in order}
    means = scores.groupby("method")[metric].mean()
    for row, method in enumerate(order):
        if method in means.index:
            values = scores.loc[scores["method"] == method, metric]
            spread = (
                row + np.linspace(-SPREAD, SPREAD, len(values) + 2)[1:-1]
            )  # fixed places: equal figures, equal files
            ax.scatter(values, spread, s=7, color=palette[method], alpha=0.45, linewidths=0)
            ax.plot(means[method], row, "o", color=palette[method], markersize=6.5, markeredgecolor="white", zorder=4)
        if paper is not None and method in set(paper["method"]):
            value = paper.loc[paper["method"] == method, metric].item()
            ax.plot(value, row + 0.24, "D", markerfacecolor="white", markeredgecolor=INK, markersize=4, zorder=3)
    ax.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.axvline(0.5, color=INK, linewidth=0.7, linestyle=":")
    ax.set_yticks(range(len(order)), order)
    ax.set(ylim=(len(order) - 0.45, -0.6), xlabel="share" if metric != "f1" else "F1", ylabel="")
    ax.tick_params(axis="y", length=0)
    return ax


def alt_metrics(scores: pd.DataFrame, paper: pd.DataFrame | None = None) -> str:
    """Say in words what :func:`plot_metrics` shows of these scores."""
    means = scores.groupby("method")[list(METRICS)].mean()
    order = [method for method in _method_order(scores, paper) if method in means.index]
    listed = join_words([f"{method} {number(float(means['accuracy'][method]))}" for method in order])
    splits = scores.groupby("method").size().max()
    text = f"Mean accuracy over {splits} split{'s' if splits > 1 else ''}, best first: {listed}."
    if OURS in means.index:
        reached = [f"{metric} {number(float(means[metric][OURS]))}" for metric in ("sensitivity", "specificity")]
        text += f" {OURS} has {join_words(reached)}."
    if paper is not None:
        values = paper.set_index("method")["accuracy"]
        text += f" Open markers: the paper's accuracies, {join_words([f'{m} {number(v)}' for m, v in values.items()])}."
    return text


def _method_order(scores: pd.DataFrame, paper: pd.DataFrame | None) -> list[str]:
    """Order the methods from the best mean accuracy down, those that only the paper has below."""
    ours = scores.groupby("method")["accuracy"].mean().sort_values(ascending=False).index
    only: list[str] = [] if paper is None else list(paper.sort_values("accuracy", ascending=False)["method"])
    return [str(method) for method in dict.fromkeys([*ours, *only])]


def _legend_metrics(fig: Figure, scores: pd.DataFrame, paper: pd.DataFrame | None) -> None:
    several = scores.groupby("method").size().max() > 1
    handles = [Line2D([], [], marker="o", linestyle="", color=OTHER_COLOR, markersize=6.5)]
    names = ["mean over splits" if several else "test part"]
    if several:
        handles.append(Line2D([], [], marker="o", linestyle="", color=OTHER_COLOR, markersize=2.6, alpha=0.6))
        names.append("one split")
    if paper is not None:
        handles.append(Line2D([], [], marker="D", linestyle="", markerfacecolor="white", color=INK, markersize=4.5))
        names.append("the paper, on its own data (Table III)")
    handles.append(Line2D([], [], color=INK, linewidth=0.7, linestyle=":"))
    fig.legend(handles, [*names, "one half"], loc="outside lower center", ncols=4, handletextpad=0.3)
