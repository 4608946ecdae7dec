"""The title page's figure: the result of the whole book in one row of panels."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from gcamccl_core.report.evidence_figures import alt_scorecard, draw_recovery, legend_recovery, recovery_rows
from gcamccl_core.report.labels import capital, join_words, number
from gcamccl_core.report.learning_figures import draw_metric
from gcamccl_core.report.style import house_style, new_figure, pretty


@house_style()
def plot_result(
    scores: pd.DataFrame, recovery: pd.DataFrame, paper: pd.DataFrame | None = None, fig: Figure | None = None
) -> Figure:
    """Draw the title page's figure: how well the model classifies, and how far its maps find what was planted.

    Parameters
    ----------
    scores : pandas.DataFrame
        As for :func:`.plot_metrics`.
    recovery : pandas.DataFrame
        As :func:`.scorecard` makes it; averaged over the classes.
    paper : pandas.DataFrame, optional
        As for :func:`.plot_metrics`.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        Accuracy by method, then average precision of the maps, one panel per view.
    """
    views = list(dict.fromkeys(recovery["view"]))
    order = recovery_rows(recovery)
    fig = fig or new_figure(3.3)
    classify, *find = fig.subplots(1, 1 + len(views), width_ratios=[1.25] + [1] * len(views))
    draw_metric(classify, scores, "accuracy", paper)
    classify.set(title="a  Classification", xlabel="accuracy")
    for letter, ax, view in zip("bcdefgh", find, views, strict=False):
        draw_recovery(ax, recovery[recovery["view"] == view], "average_precision", order)
        ax.set_title(f"{letter}  {capital(_brief(view))} maps")
        if ax is not find[0]:
            ax.tick_params(labelleft=False)
    legend_recovery(fig, recovery, small="one split or class")
    return fig


def alt_result(scores: pd.DataFrame, recovery: pd.DataFrame) -> str:
    """Say in words what :func:`plot_result` shows."""
    accuracy = scores.groupby("method")["accuracy"].mean().sort_values(ascending=False)
    listed = join_words([f"{method} {number(value)}" for method, value in accuracy.items()])
    mean = recovery.groupby(["view", "source", "method"], sort=False, as_index=False)["average_precision"].mean()
    return (
        f"Left, mean accuracy: {listed}. Right, averaged over the classes. "
        f"{alt_scorecard(mean.assign(target_class='all classes'))}"
    )


def _brief(view: str) -> str:
    return {"fc": "brain", "snp": "SNP"}.get(view, pretty(view))
