"""Figures of the cohort: who is in it, class by class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from gcamccl_core.data.cohort import class_names
from gcamccl_core.report.labels import join_words, number
from gcamccl_core.report.style import (
    INK,
    Look,
    class_looks,
    house_style,
    new_figure,
    pretty,
)

OUTSIDE = "not in contrast"
UNITS = {"age": "age (years)", "motion": "motion (mm)", "score": "score"}
MANY_LEVELS = 6  # a covariate with more values than this is drawn as a distribution, not as shares


@house_style()
def plot_cohort(cohort: xr.Dataset, fig: Figure | None = None) -> Figure:
    """Draw who is in the cohort: the score that made the classes, and every covariate by class.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort; ``score`` and covariates are drawn if it has them. Only the first four covariates are.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        What was drawn on: score first, then one panel per covariate.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> [ax.get_title("left") for ax in plot_cohort(cohort).axes]
    ['Score', 'Age', 'Sex', 'Motion']
    """
    fig = fig or new_figure(2.5)
    people, looks = _people(cohort), _group_looks(cohort)
    names = _covariates(cohort)
    panels = (["score"] if "score" in people else []) + names
    if not panels:
        raise ValueError("the cohort has neither a score nor covariates to draw")
    axes = fig.subplots(1, len(panels), squeeze=False, width_ratios=[1.9 if p == "score" else 1 for p in panels])[0]
    for panel, ax in zip(panels, axes, strict=True):
        if panel == "score":
            _draw_score(ax, people, looks)
        elif people[panel].nunique() > MANY_LEVELS:
            _draw_distribution(ax, people, panel, looks)
        else:
            _draw_shares(ax, people, panel, looks)
    handles = [Patch(facecolor=look.color, hatch=look.hatch, edgecolor="white") for look in looks.values()]
    counts = people["group"].value_counts()
    fig.legend(handles, [f"{name} (n = {counts[name]})" for name in looks], loc="outside lower center", ncols=4)
    return fig


def alt_cohort(cohort: xr.Dataset) -> str:
    """Say in words what :func:`plot_cohort` shows of this cohort."""
    people, looks = _people(cohort), _group_looks(cohort)
    counts = people["group"].value_counts()
    text = f"{len(people)} subjects: {join_words([f'{counts[name]} {name}' for name in looks])}."
    if "score" in people:
        means = people.groupby("group")["score"].mean()
        text += f" Histogram of the score; its mean is {join_words([f'{number(means[n])} ({n})' for n in looks])}."
    for name in _covariates(cohort):
        if people[name].nunique() > MANY_LEVELS:
            medians = people.groupby("group")[name].median()
            listed = join_words([f"{number(medians[group])} ({group})" for group in looks])
            text += f" Median {UNITS.get(name, pretty(name))}: {listed}."
    return text


def _people(cohort: xr.Dataset) -> pd.DataFrame:
    """One row per subject: group in words, score and covariates."""
    names = [*class_names(cohort), OUTSIDE]  # -1 picks the last
    table = {"group": [names[label] for label in cohort["label"].to_numpy()]}
    columns = (["score"] if "score" in cohort else []) + _covariates(cohort)
    return pd.DataFrame(table | {name: cohort[name].to_numpy() for name in columns})


def _covariates(cohort: xr.Dataset) -> list[str]:
    return [str(name) for name, values in cohort.data_vars.items() if values.attrs.get("role") == "covariate"][:4]


def _group_looks(cohort: xr.Dataset) -> dict[str, Look]:
    """Look up the classes, and add grey for those outside the contrast if there are any."""
    outside = {OUTSIDE: Look("#c9c9c9", "", "x")} if bool((cohort["label"] < 0).any()) else {}
    return class_looks(class_names(cohort)) | outside


def _draw_score(ax: Axes, people: pd.DataFrame, looks: dict[str, Look]) -> None:
    order = list(looks)
    edges = np.histogram_bin_edges(people["score"].dropna(), bins=30)
    sns.histplot(
        people, x="score", hue="group", hue_order=order, multiple="stack", bins=edges, alpha=1, linewidth=0.3,
        palette={name: look.color for name, look in looks.items()}, edgecolor="white", legend=False, ax=ax,
    )  # fmt: skip
    for bars, name in zip(reversed(ax.containers), order, strict=True):  # seaborn stacks from the last hue up
        for bar in bars:
            bar.set_hatch(looks[name].hatch)
    ax.set(title="Score", xlabel=UNITS["score"], ylabel="subjects")


def _draw_distribution(ax: Axes, people: pd.DataFrame, name: str, looks: dict[str, Look]) -> None:
    sns.boxplot(
        people, x="group", y=name, order=list(looks), hue="group", hue_order=list(looks), legend=False, ax=ax,
        palette={group: look.color for group, look in looks.items()}, saturation=1, width=0.6, linewidth=0.7,
        fliersize=1.5, linecolor=INK, medianprops={"color": "white", "linewidth": 1.6},
    )  # fmt: skip
    for box, look in zip(ax.patches, looks.values(), strict=True):
        box.set_hatch(look.hatch)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.set(title=pretty(name).capitalize(), xlabel="", ylabel=UNITS.get(name, pretty(name)), xticks=[])


def _draw_shares(ax: Axes, people: pd.DataFrame, name: str, looks: dict[str, Look]) -> None:
    """Share of every level of a categorical covariate in every group, as bars side by side."""
    shares = pd.crosstab(people["group"], people[name], normalize="index")
    levels, width = list(shares.columns), 0.8 / len(looks)
    for place, (group, look) in enumerate(looks.items()):
        x = np.arange(len(levels)) + (place - (len(looks) - 1) / 2) * width
        ax.bar(x, shares.loc[group], width, color=look.color, hatch=look.hatch, edgecolor="white", linewidth=0.3)
    ax.set_xticks(range(len(levels)), [str(level) for level in levels])
    ax.set(title=pretty(name).capitalize(), ylabel="share of the group", ylim=(0, 1))
