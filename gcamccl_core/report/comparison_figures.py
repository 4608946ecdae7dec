"""Figures of Table III: means and intervals of every method, on one cohort or on several side by side."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gcamccl_core.report.labels import join_words, number
from gcamccl_core.report.style import INK, house_style, new_figure

PANELS_IN_A_ROW = 4
OUR_COLOR, LEARNT_COLOR, OTHER_COLOR = "#0072B2", "#009E73", "#6b6b6b"


@house_style()
def plot_intervals(
    summary: pd.DataFrame,
    paper: pd.DataFrame | None = None,
    measure: str = "accuracy",
    beside: Sequence[str] | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw the mean and 95 % interval of every method, one panel per cohort.

    Parameters
    ----------
    summary : pandas.DataFrame
        Of :func:`.summarise`, with a column ``cohort``.
    paper : pandas.DataFrame, optional
        The paper's Table III under our names of the methods: ``method`` and the measure.
    measure : str
        Which measure.
    beside : sequence of str, optional
        Cohorts in whose panels the paper's scores are drawn, those that its own is like; all if None.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        Methods in the order of the summary; a dotted line at one half.

    Examples
    --------
    >>> summary = pd.DataFrame(
    ...     [("clear", "linear SVM", "accuracy", 0.75, 0.70, 0.80, 20)],
    ...     columns=["cohort", "method", "measure", "mean", "low", "high", "n_splits"],
    ... )
    >>> plot_intervals(summary).axes[0].get_title(loc="left")
    'clear'
    """
    chosen = summary[summary["measure"] == measure]
    methods, cohorts = list(dict.fromkeys(chosen["method"])), list(dict.fromkeys(chosen["cohort"]))
    n_columns = min(PANELS_IN_A_ROW, len(cohorts))
    n_rows = -(-len(cohorts) // n_columns)
    fig = fig or new_figure(0.6 + n_rows * (0.4 + 0.19 * len(methods)))
    axes = fig.subplots(n_rows, n_columns, sharey=True, sharex=True, squeeze=False)
    for unused in axes.flat[len(cohorts) :]:
        unused.set_visible(False)
    for ax, cohort in zip(axes.flat[: len(cohorts)], cohorts, strict=True):
        _draw_intervals(ax, chosen[chosen["cohort"] == cohort].set_index("method"), methods)
        if paper is not None and (beside is None or cohort in beside):
            rows = [
                (methods.index(row.method), getattr(row, measure))
                for row in paper.itertuples()
                if row.method in methods
            ]
            ax.plot([value for _, value in rows], [row for row, _ in rows], "D", markerfacecolor="white",
                    markeredgecolor=INK, markersize=3.5, zorder=2)  # fmt: skip
        ax.set(title=str(cohort).replace("_", " "), xlabel=measure)
        ax.tick_params(labelbottom=True)
    axes[0, 0].set_yticks(range(len(methods)), methods)
    axes[0, 0].set_ylim(len(methods) - 0.4, -0.6)
    handles = [Line2D([], [], marker="o", color=OTHER_COLOR, markersize=5)]
    names = ["mean and 95 % interval"]
    if paper is not None and (beside is None or set(beside) & set(cohorts)):
        handles.append(Line2D([], [], marker="D", linestyle="", markerfacecolor="white", color=INK, markersize=4.5))
        names.append("the paper, on its own data (Table III)")
    handles.append(Line2D([], [], color=INK, linewidth=0.7, linestyle=":"))
    fig.legend(handles, [*names, "one half"], loc="outside lower center", ncols=3)
    return fig


def alt_intervals(
    summary: pd.DataFrame,
    paper: pd.DataFrame | None = None,
    measure: str = "accuracy",
    beside: Sequence[str] | None = None,
) -> str:
    """Say in words what :func:`plot_intervals` shows: of every cohort the best method and ours."""
    chosen = summary[summary["measure"] == measure]
    said = []
    for cohort, rows in chosen.groupby("cohort", sort=False):
        means = rows.set_index("method")["mean"]
        words = [f"best {means.idxmax()} {number(float(means.max()))}"]
        ours = [str(method) for method in means.index if str(method).startswith("gCAM-CCL")]
        if ours:  # the first is the model itself, others are variants of it
            words.append(f"{ours[0]} {number(float(means[ours[0]]))}")
        said.append(f"{cohort}: {join_words(words)}")
    text = f"Mean {measure} of {chosen['method'].nunique()} methods with 95 % intervals. {'; '.join(said)}."
    if paper is not None and (beside is None or set(beside) & set(chosen["cohort"])):
        values = paper.set_index("method")[measure]
        text += f" Open markers: the paper's Table III, best {values.idxmax()} {number(float(values.max()))}."
    return text


def _draw_intervals(ax: Axes, rows: pd.DataFrame, methods: list[str]) -> None:
    """Draw one cohort's methods: ours blue, learnt features green, the others grey."""
    names = [str(method) for method in rows.index]
    for method, (mean, low, high) in zip(names, rows[["mean", "low", "high"]].to_numpy(float), strict=True):
        place = methods.index(method)
        ours, learnt = method.startswith("gCAM-CCL"), method.startswith(("CCA", "DCCA", "CCL", "MLP"))
        color = OUR_COLOR if ours else LEARNT_COLOR if learnt else OTHER_COLOR
        ax.plot([low, high], [place, place], color=color, linewidth=1.1)
        ax.plot(mean, place, "o", color=color, markersize=4.5, markeredgecolor="white", zorder=3)
    ax.axvline(0.5, color=INK, linewidth=0.7, linestyle=":")
    ax.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
