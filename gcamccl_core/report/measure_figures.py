"""Figure of a vector of measures: by how many standard deviations the classes differ, measure by measure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from gcamccl_core.data.cohort import class_names
from gcamccl_core.report.labels import capital, join_words, number, spread_apart
from gcamccl_core.report.style import GREY, INK, SMALL, axes_or_new, class_looks, house_style, pretty

TOP = 8  # measures named in the figure and its alt text


@house_style()
def plot_measures(cohort: xr.Dataset, view: str, ax: Axes | None = None) -> Axes:
    """Draw the difference of the last class from the first, in standard deviations, and name the widest.

    Parameters
    ----------
    cohort : xarray.Dataset
        Holds the vector view, in any units.
    view : str
        Name of the view.
    ax : Axes, optional
        Drawn on; made if None.

    Returns
    -------
    Axes
        One point per measure, sorted by its difference.
    """
    ordered = _differences(cohort, view).sort_values()
    looks = list(class_looks(class_names(cohort)).values())
    ax = axes_or_new(ax, 3.0)
    places, values = np.arange(len(ordered)), ordered.to_numpy()
    ax.axhline(0, color=INK, linewidth=0.7, linestyle=":")
    ax.scatter(places, values, s=8, color=GREY, linewidths=0)
    widest = np.sort(np.argsort(-np.abs(values), kind="stable")[:TOP])
    for look, chosen in ((looks[0], widest[values[widest] < 0]), (looks[-1], widest[values[widest] > 0])):
        ax.scatter(places[chosen], values[chosen], s=18, color=look.color, marker=look.marker, linewidths=0)
    first, *_, last = class_names(cohort)
    ax.set(
        title=f"{capital(pretty(view))}: {last} minus {first}", xlabel=f"{len(ordered)} measures, sorted",
        ylabel="difference (standard deviations)", xticks=[],
    )  # fmt: skip
    _name_points(ax, places[widest], values[widest], ordered.index[widest].to_list())
    return ax


def _name_points(ax: Axes, places: np.ndarray, values: np.ndarray, names: list[str]) -> None:
    """Name points in a column at the right; leaders leave to the right, where sorted points lie higher."""
    low, high = ax.get_ylim()
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    line = 1.15 * SMALL / 72 * figure.dpi * (high - low) / ax.get_window_extent().height
    right = ax.get_xlim()[1]
    ax.set(ylim=(low, high), xlim=(ax.get_xlim()[0], right))
    width = right - ax.get_xlim()[0]
    for place, value, name, y in zip(places, values, names, spread_apart(values, line, low, high), strict=True):
        leader = ([place, right, right + 0.015 * width, right + 0.025 * width], [value, value, y, y])
        ax.plot(*leader, color=GREY, linewidth=0.5, clip_on=False, zorder=0)
        ax.text(right + 0.03 * width, y, name, fontsize=SMALL, va="center")


def alt_measures(cohort: xr.Dataset, view: str) -> str:
    """Say in words what :func:`plot_measures` shows of this cohort."""
    differences = _differences(cohort, view)
    widest = differences.loc[differences.abs().nlargest(TOP).index]
    first, *_, last = class_names(cohort)
    return (
        f"{len(differences)} measures of {pretty(view)}, {last} minus {first}, in standard deviations, from "
        f"{number(differences.min())} to {number(differences.max())}. Widest: "
        f"{join_words([f'{name} {number(value)}' for name, value in widest.items()])}."
    )


def _differences(cohort: xr.Dataset, view: str) -> pd.Series:
    values, label = cohort[view].to_numpy(), cohort["label"].to_numpy()
    last, first = values[label == label.max()], values[label == 0]
    spread = np.sqrt((first.var(axis=0, ddof=1) + last.var(axis=0, ddof=1)) / 2)
    names = cohort[view][cohort[view].dims[1]].to_numpy().astype(str)
    return pd.Series((last.mean(axis=0) - first.mean(axis=0)) / np.where(spread > 0, spread, 1), index=names)
