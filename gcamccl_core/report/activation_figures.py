"""Beside Figure 4: how much of the map lights up in every person, for the own class and for the other."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcamccl_core.maps.activated_share import PEOPLE, PERSON
from gcamccl_core.report.labels import join_words, number
from gcamccl_core.report.map_figures import plot_map_histogram
from gcamccl_core.report.style import INK, axes_or_new, class_looks, house_style, new_figure


@house_style()
def plot_activated_share(shares: pd.DataFrame, classes: list[str], people: bool = True, ax: Axes | None = None) -> Axes:
    """Draw what share of the map lights up, one dot per person, by the person's class and the map's.

    Parameters
    ----------
    shares : pandas.DataFrame
        As :func:`.activated_share` makes it.
    classes : list of str
        All classes, in the order that fixes their colours.
    people : bool
        Draw a dot for everyone; False, for a cohort whose people may not be shown, leaves medians and quartiles alone.
    ax : Axes, optional
        Drawn on; made if None.

    Returns
    -------
    Axes
        A large mark is the median, its line reaches from the lower to the upper quartile.

    Examples
    --------
    >>> shares = pd.DataFrame({"class_of_person": ["low", "high"], "map_for": ["low", "high"], "share": [0.4, 0.3]})
    >>> [label.get_text() for label in plot_activated_share(shares, ["low", "high"]).get_xticklabels()]
    ['low people', 'high people']
    """
    ax = axes_or_new(ax, 2.6, 3.4)
    looks = class_looks(classes)
    shown = shares.assign(share=100 * shares["share"])
    present = [name for name in classes if name in set(shown["class_of_person"])]
    layout = {
        "data": shown, "x": "class_of_person", "y": "share", "hue": "map_for", "order": present, "hue_order": classes,
        "palette": {name: look.color for name, look in looks.items()}, "ax": ax, "legend": False,
    }  # fmt: skip
    if people:
        sns.stripplot(**layout, dodge=True, size=2.4, alpha=0.45, jitter=0.2, zorder=1)
    sns.pointplot(
        **layout, dodge=0.4, estimator="median", errorbar=("pi", 50), linestyle="none", markersize=6, linewidth=1.6,
        markers=[look.marker for look in looks.values()], seed=0, zorder=3,
    )  # fmt: skip
    ax.set_xticks(range(len(present)), [f"{name} people" for name in present])
    ax.set(xlabel="", ylabel="connections that light up (%)", ylim=(0, None), xlim=(-0.5, len(present) - 0.5))
    handles = [
        ax.plot([], [], color=look.color, marker=look.marker, linestyle="", markersize=4)[0] for look in looks.values()
    ]
    ax.legend(handles, [f"map for {name}" for name in classes], loc="best", handletextpad=0.2)
    ax.set_title("Share of the map that lights up")
    ax.tick_params(axis="x", length=0, labelcolor=INK)
    return ax


@house_style()
def plot_values_and_shares(
    maps: xr.Dataset, shares: pd.DataFrame, view: str, method: str, people: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw Figure 4 with what its test compares: :func:`.plot_map_histogram`, and the shares of people beside it.

    Parameters
    ----------
    maps, view, method
        As for :func:`.plot_map_histogram`.
    shares, people
        As for :func:`plot_activated_share`.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        Two panels.
    """
    fig = fig or new_figure(2.9)
    left, right = fig.subplots(1, 2, width_ratios=[1.3, 1])
    plot_map_histogram(maps, view, method, left)
    plot_activated_share(shares, [str(name) for name in maps["target_class"].to_numpy()], people, right)
    return fig


def alt_activated_share(shares: pd.DataFrame, tests: pd.DataFrame) -> str:
    """Say in words what :func:`plot_activated_share` shows, with the tests of :func:`.compare_shares`."""
    means = shares.groupby(["class_of_person", "map_for"], sort=False)["share"].mean().reset_index()
    listed = [
        f"{number(100 * row['share'])} % ({row['class_of_person']}, map for {row['map_for']})"
        for row in means.to_dict("records")
    ]
    words = {
        PEOPLE: "Between people, each with the map of the own class",
        PERSON: "Within people, one map against the other",
    }
    said = [
        f"{words[row['comparison']]}, {row['first']} less {row['second']} is {number(100 * row['difference'])} points, "
        f"p = {number(row['p_value'])}"
        for row in tests.to_dict("records")
    ]
    return f"Share of the connections that light up, mean over people: {join_words(listed)}. {'. '.join(said)}."
