"""Figures of the cohort: who is in it, class by class; of a controlled cohort nothing that is of one person or few.

Of a controlled cohort (:func:`.is_controlled`) boxes have no whiskers and no single points, since these end at one
person's value; every bar of a histogram stands for ten people of a group or more, or none; and groups of fewer than ten
people, or with a level of a covariate that fewer than ten have, are left out.
"""

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
from gcamccl_core.report.disclosure import is_controlled, mask_small_counts
from gcamccl_core.report.labels import join_words, number
from gcamccl_core.report.small_counts import SMALLEST
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
BINS = 30
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
    names, fewest = _covariates(cohort), SMALLEST if is_controlled(cohort) else 1
    panels = (["score"] if "score" in people else []) + names
    if not panels:
        raise ValueError("the cohort has neither a score nor covariates to draw")
    axes = fig.subplots(1, len(panels), squeeze=False, width_ratios=[1.9 if p == "score" else 1 for p in panels])[0]
    for panel, ax in zip(panels, axes, strict=True):
        shown = _large_groups(people, panel, looks, fewest)
        known = people[people["group"].isin(list(shown))]
        if not shown:
            ax.set(title=pretty(panel).capitalize(), xticks=[], yticks=[], xlabel=f"groups of fewer than {fewest}")
        elif panel == "score":
            _draw_score(ax, known, shown, fewest)
        elif people[panel].nunique() > MANY_LEVELS:
            _draw_distribution(ax, known, panel, shown, fewest)
        else:
            _draw_shares(ax, known, panel, shown)
    handles = [Patch(facecolor=look.color, hatch=look.hatch, edgecolor="white") for look in looks.values()]
    counts = people["group"].value_counts()
    fig.legend(handles, [f"{name} (n = {counts[name]})" for name in looks], loc="outside lower center", ncols=4)
    return mask_small_counts(fig, cohort)


def alt_cohort(cohort: xr.Dataset) -> str:
    """Say in words what :func:`plot_cohort` shows of this cohort."""
    people, looks = _people(cohort), _group_looks(cohort)
    counts, fewest = people["group"].value_counts(), SMALLEST if is_controlled(cohort) else 1
    listed = [f"{counts[name]} {name}" if counts[name] >= fewest else f"fewer than {fewest} {name}" for name in looks]
    text = f"{len(people)} subjects: {join_words(listed)}."
    numeric = [name for name in _covariates(cohort) if people[name].nunique() > MANY_LEVELS]
    for name in (["score"] if "score" in people else []) + numeric:
        of_group = people.groupby("group")[name]
        middle = of_group.mean() if name == "score" else of_group.median()
        shown = _large_groups(people, name, looks, fewest)
        listed = [f"{number(middle[group])} ({group})" for group in shown] or ["not shown of so few"]
        means = "Histogram of the score; its mean is" if name == "score" else f"Median {UNITS.get(name, pretty(name))}:"
        text += f" {means} {join_words(listed)}."
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


def _large_groups(people: pd.DataFrame, name: str, looks: dict[str, Look], fewest: int) -> dict[str, Look]:
    """Keep the groups of which enough people have a value, and enough of them every level that some of them have."""
    if fewest == 1:
        return looks
    few_levels = people[name].nunique() <= MANY_LEVELS and name != "score"
    counts = pd.crosstab(people["group"], people[name] if few_levels else people[name].notna().map({True: "known"}))
    enough = ((counts == 0) | (counts >= fewest)).all(axis=1) & (counts.sum(axis=1) >= fewest)
    return {group: look for group, look in looks.items() if enough.get(group, False)}


def _wide_bins(people: pd.DataFrame, fewest: int) -> np.ndarray:
    """Cut the score into as many bins as have, of every group, enough people or none; the ends tell nobody's score."""
    score = people["score"].to_numpy(dtype=float)
    ends = np.nanmin(score), np.nanmax(score)
    edges = np.array(MaxNLocator(BINS).tick_values(*ends))
    edges[[0, -1]] = np.array(MaxNLocator(5).tick_values(*ends))[[0, -1]]
    groups = [score[(people["group"] == group) & ~np.isnan(score)] for group in people["group"].unique()]
    below = np.array([np.histogram(of_group, edges)[0].cumsum() for of_group in groups])
    below = np.column_stack([np.zeros(len(groups), int), below])
    cuts: list[list[int]] = [[0]]  # the most cuts up to every edge; none if it cannot be one
    for last in range(1, len(edges)):
        inside = below[:, [last]] - below[:, :last]
        allowed = ((inside == 0) | (inside >= fewest)).all(axis=0)
        cuts.append(max(([*cuts[k], last] for k in np.flatnonzero(allowed) if cuts[k]), key=len, default=[]))
    return edges[cuts[-1]]


def _draw_score(ax: Axes, people: pd.DataFrame, looks: dict[str, Look], fewest: int) -> None:
    order = list(looks)
    edges = np.histogram_bin_edges(people["score"].dropna(), bins=BINS) if fewest == 1 else _wide_bins(people, fewest)
    sns.histplot(
        people, x="score", hue="group", hue_order=order, multiple="stack", bins=edges, alpha=1, linewidth=0.3,
        palette={name: look.color for name, look in looks.items()}, edgecolor="white", legend=False, ax=ax,
        stat="count" if fewest == 1 else "frequency", common_norm=False,
    )  # fmt: skip
    for bars, name in zip(reversed(ax.containers), order, strict=True):  # seaborn stacks from the last hue up
        for bar in bars:
            bar.set_hatch(looks[name].hatch)
    ax.set(
        title="Score", xlabel=UNITS["score"], ylabel="subjects" if fewest == 1 else "subjects per point of the score"
    )


def _draw_distribution(ax: Axes, people: pd.DataFrame, name: str, looks: dict[str, Look], fewest: int) -> None:
    hidden = {} if fewest == 1 else {"showfliers": False, "whis": (25, 75), "showcaps": False}
    sns.boxplot(
        people, x="group", y=name, order=list(looks), hue="group", hue_order=list(looks), legend=False, ax=ax,
        palette={group: look.color for group, look in looks.items()}, saturation=1, width=0.6, linewidth=0.7,
        fliersize=1.5, linecolor=INK, medianprops={"color": "white", "linewidth": 1.6}, **hidden,
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
