"""Figure of a vector of measures: by how many standard deviations the classes differ, measure by measure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from gcamccl_core.data.cohort import class_names
from gcamccl_core.report.labels import join_words, number
from gcamccl_core.report.style import GREY, INK, axes_or_new, class_looks, house_style, pretty

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
    places = np.arange(len(ordered))
    ax.axhline(0, color=INK, linewidth=0.7, linestyle=":")
    ax.scatter(places, ordered, s=8, color=GREY, linewidths=0)
    widest = ordered.abs().nlargest(TOP).index
    for chosen, look, side in ((ordered < 0, looks[0], "left"), (ordered > 0, looks[-1], "right")):
        named = [name for name in ordered.index[chosen] if name in widest]
        at = [ordered.index.get_loc(name) for name in named]
        ax.scatter(at, ordered[named], s=18, color=look.color, marker=look.marker, linewidths=0)
        inside = 0.05 if side == "left" else 0.95
        heights = np.linspace(0.06, 0.46, len(named)) if side == "left" else np.linspace(0.54, 0.94, len(named))
        for name, place, height in zip(named, at, heights, strict=True):
            ax.annotate(
                name, (place, ordered[name]), (inside + (0.13 if side == "left" else -0.13), height),
                textcoords="axes fraction", ha=side, va="center", fontsize=7,
                arrowprops={"arrowstyle": "-", "color": look.color, "linewidth": 0.5},
            )  # fmt: skip
    first, *_, last = class_names(cohort)
    ax.set(
        title=f"{pretty(view).capitalize()}: {last} minus {first}", xlabel=f"{len(ordered)} measures, sorted",
        ylabel="difference (standard deviations)", xticks=[],
    )  # fmt: skip
    return ax


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
