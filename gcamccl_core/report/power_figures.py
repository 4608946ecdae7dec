"""Figures of how many people a study needs: what so many could show, and a simulated study that grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from gcamccl_core.model.smallest_effects import smallest_auc, smallest_difference
from gcamccl_core.report.labels import join_words
from gcamccl_core.report.style import GREY, INK, SMALL, house_style, new_figure

COLORS, MARKERS = ("#56B4E9", "#0072B2", "#D55E00"), ("o", "s", "^")  # of weak, middle and strong effects
Dash = Literal["-", "--", ":"]
DASHES: dict[str, Dash] = {"gCAM-CCL, recommended": "-", "linear SVM": "--", "gCAM-CCL": ":", "t-test": "-"}
MEASURES = {
    "auc": "area under the ROC curve\n(other people)",
    "power": "chance that 15 % held out\nshow that it is above 0.5",
    "found": "share of planted connections\nfound by a t-test (q < .05)",
}


@house_style()
def plot_growing_study(table: pd.DataFrame) -> Figure:
    """Draw what a study finds as it grows: prediction, its certainty, and discoveries, for several strengths of effect.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per ``loading``, ``n_subjects``, ``split`` and ``method``, with ``effect_fc`` (Cohen's d), ``auc``,
        ``power`` and ``found``; at most three loadings.

    Returns
    -------
    Figure
        Three panels over the number of people; lines are means over cohorts, bands reach from the least to the most.

    Raises
    ------
    ValueError
        If there are more strengths than looks that can be told apart, or a column is lacking.
    """
    strengths = name_strengths(table)
    figure = new_figure(3.3)
    axes = figure.subplots(1, 3)
    for ax, (measure, label) in zip(axes, MEASURES.items(), strict=True):
        for loading, color, marker in zip(strengths, COLORS, MARKERS, strict=False):
            shown = table[(table["loading"] == loading) & table[measure].notna()]
            for method, part in shown.groupby("method"):
                values = part.groupby("n_subjects")[measure].agg(["mean", "min", "max"])
                line = DASHES[str(method)]
                ax.plot(values.index, values["mean"], line, color=color, marker=marker, markersize=3.5)
                if line == "-":
                    ax.fill_between(values.index, values["min"], values["max"], color=color, alpha=0.12, linewidth=0)
        _number_people(ax, sorted(table["n_subjects"].unique()))
        ax.set_xlabel("people in the study")
        ax.set_title(label, fontsize=7.5, fontweight="normal")
    axes[0].axhline(0.5, color=GREY, linewidth=0.7, linestyle="--")
    axes[1].axhline(0.8, color=GREY, linewidth=0.7, linestyle="--")
    axes[1].set_ylim(-0.03, 1.03)
    axes[2].set_ylim(-0.03, 1.03)
    looks = zip(COLORS, MARKERS, strengths.values(), strict=False)
    handles = [Line2D([], [], color=color, marker=marker, markersize=3.5, label=name) for color, marker, name in looks]
    present = [method for method in DASHES if method in set(table["method"]) and method != "t-test"]
    handles += [Line2D([], [], linestyle=DASHES[method], color=INK, linewidth=1, label=method) for method in present]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=SMALL)
    return figure


def alt_growing_study(table: pd.DataFrame) -> str:
    """Say in words what :func:`plot_growing_study` shows."""
    said = []
    sizes = sorted(table["n_subjects"].unique())
    for loading, name in name_strengths(table).items():
        mine = table[table["loading"] == loading]
        means = mine.groupby(["method", "n_subjects"])[["auc", "power", "found"]].mean()
        ends = [
            f"{method} goes from an area of {means.loc[(method, sizes[0]), 'auc']:.2f} "
            f"to {means.loc[(method, sizes[-1]), 'auc']:.2f}"
            for method in DASHES
            if method in means.index and means.loc[method]["auc"].notna().any()
        ]
        share = means.loc[("t-test", sizes[-1]), "found"]
        said.append(f"with effects of {name}, {join_words(ends)}, and the t-test finds {share:.0%} at last")
    return f"Three panels, from {sizes[0]} to {sizes[-1]} people: {'; '.join(said)}."


def name_strengths(table: pd.DataFrame) -> dict[float, str]:
    """Name each loading by the effect that it makes: the mean of Cohen's d over the planted connections.

    Raises
    ------
    ValueError
        If there are more than three, or a column is lacking.
    """
    wanted = ("loading", "n_subjects", "split", "method", "effect_fc", *MEASURES)
    lacking = [name for name in wanted if name not in table]
    if lacking:
        raise ValueError(f"the table lacks the columns {', '.join(lacking)}")
    largest = table[table["n_subjects"] == table["n_subjects"].max()]  # where d is known best
    effects = largest.groupby("loading")["effect_fc"].mean().sort_index()
    if len(effects) > len(COLORS):
        raise ValueError(f"at most {len(COLORS)} strengths can be told apart, got {len(effects)}")
    return {float(str(loading)): f"d = {effect:.2f}" for loading, effect in effects.items()}


@house_style()
def plot_smallest_effects(sizes: Sequence[int], tests: Mapping[str, int], here: int) -> Figure:
    """Draw the smallest effects that two classes of each size could show with a chance of 0.8.

    Parameters
    ----------
    sizes : sequence of int
        People per class.
    tests : mapping of str to int
        How many tests share the level of .05 (Bonferroni), by the words for it; at most three.
    here : int
        People per class of the present cohort; marked.

    Returns
    -------
    Figure
        Left the difference of means (Cohen's d), right the area under the ROC curve of a prediction.

    Examples
    --------
    >>> plot_smallest_effects([20, 40], {"one test": 1}, 30).axes[0].get_xlabel()
    'people per class'
    """
    figure = new_figure(2.7)
    left, right = figure.subplots(1, 2)
    for (name, count), color, marker in zip(tests.items(), COLORS, MARKERS, strict=False):
        d = [smallest_difference(n, n, 0.05 / count) for n in sizes]
        left.plot(sizes, d, color=color, marker=marker, markersize=3.5, label=name)
    left.set(ylabel="smallest difference of means (Cohen's d)", ylim=(0, None))
    left.legend()
    right.plot(sizes, [smallest_auc(n, n) for n in sizes], color=COLORS[1], marker=MARKERS[1], markersize=3.5)
    right.axhline(0.5, color=GREY, linewidth=0.7, linestyle="--")
    right.set(ylabel="smallest area under the ROC curve", ylim=(0.45, 1))
    for ax in (left, right):
        ax.axvline(here, color=INK, linewidth=0.8, linestyle=":")
        ax.text(here, ax.get_ylim()[1], " here", fontsize=SMALL, color=INK, va="top")
        _number_people(ax, sizes)
        ax.set_xlabel("people per class")
    return figure


def alt_smallest_effects(sizes: Sequence[int], tests: Mapping[str, int], here: int) -> str:
    """Say in words what :func:`plot_smallest_effects` shows."""
    ends = [
        f"for {name} from {smallest_difference(sizes[0], sizes[0], 0.05 / count):.2f} "
        f"to {smallest_difference(sizes[-1], sizes[-1], 0.05 / count):.2f}"
        for name, count in tests.items()
    ]
    return (
        f"From {sizes[0]} to {sizes[-1]} people per class, the smallest difference of means that is found in four "
        f"of five studies falls {join_words(ends)} standard deviations, and the smallest area under the ROC curve from "
        f"{smallest_auc(sizes[0], sizes[0]):.2f} to {smallest_auc(sizes[-1], sizes[-1]):.2f}. Here are {here}."
    )


def _number_people(ax: Axes, sizes: Sequence[int]) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(np.asarray(sizes, dtype=float).tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    ax.tick_params(axis="x", labelsize=SMALL)
