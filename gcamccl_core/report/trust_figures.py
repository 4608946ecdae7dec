"""Figures of trust: whether maps need the learnt weights, and whether other trainings give the same ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gcamccl_core.maps.map_comparison import KEYS
from gcamccl_core.maps.stability import COLUMNS as STABILITY_COLUMNS
from gcamccl_core.report.labels import capital, join_words, number
from gcamccl_core.report.panels import (
    grid_of_panels,
    in_order,
    label_with_notes,
    legend_below,
    legend_lines,
    method_looks,
    require_columns,
)
from gcamccl_core.report.style import GREY, INK, SMALL, class_looks, house_style, pretty

RANDOMISATION_COLUMNS = [*KEYS, "stage", "layer", "seed", "rank_correlation"]
LOWEST = -0.4  # end of an axis of stability: what reaches further is cut


@house_style()
def plot_randomisation(table: pd.DataFrame, limit: float = 0.1, fig: Figure | None = None) -> Figure:
    r"""Draw how maps change while the network's layers are drawn at random, from the output back to the input.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`.randomisation` makes it.
    limit : float
        Of :func:`.passes`: a method whose line ends at or below it needs the learnt weights.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        One panel per view; one line per method, the mean size over classes and seeds, in a band from the lowest to the
        highest seed. A method whose maps rank nothing (NaN) has no line, and the panel says so.

    Raises
    ------
    ValueError
        If the table lacks a column or has no row, or has more methods than can be told apart.

    Examples
    --------
    >>> shared = {"view": "snp", "target_class": "high", "method": "grad_cam", "seed": 0}
    >>> table = pd.DataFrame(shared | {"stage": [0, 1], "layer": ["untouched", "head"], "rank_correlation": [1, 0.04]})
    >>> [label.get_text() for label in plot_randomisation(table).axes[0].get_xticklabels()]
    ['trained', 'head\n(all layers)']
    """
    require_columns(table, RANDOMISATION_COLUMNS, "randomisation")
    views, looks = in_order(table["view"]), method_looks(table["method"])
    handles: list[Any] = [Line2D([], [], **look) for look in looks.values()]
    names = [pretty(method) for method in looks]
    if (seeds := table["seed"].nunique()) > 1:
        handles.append(Patch(color=GREY, alpha=0.3, linewidth=0))
        names.append(f"range over {seeds} seeds")
    fig, panels = grid_of_panels(fig, len(views), 2, 2.7, legend_lines(names))
    for ax, view in zip(panels, views, strict=True):
        _draw_cascade(ax, table[table["view"] == view], looks)
        ax.axhline(limit, color=INK, linewidth=0.8, linestyle=":", zorder=1)
        said, beside = f"passes\nat ≤ {number(limit)}", ax.get_yaxis_transform()
        ax.text(1.01, limit, said, transform=beside, va="center", fontsize=SMALL)
        ax.set_title(capital(pretty(view)))
    for ax in panels[::2]:
        ax.set_ylabel("mean |rank correlation|\nwith the trained network")
    panels[0].set_ylim(-0.05, 1.05)
    legend_below(fig, handles, names)
    return fig


def _draw_cascade(ax: Axes, of_view: pd.DataFrame, looks: dict[str, Any]) -> None:
    """Draw one view's lines and bands, and say of which maps there is nothing to draw."""
    lacking: list[str] = []
    gaps: list[str] = []
    for method, values in _seed_means(of_view).groupby(level="method", sort=False):
        stages = values.groupby(level="stage")
        mean, look = stages.mean(), looks[str(method)]
        missing = mean.isna()
        if missing.any():
            (lacking if missing.all() else gaps).append(pretty(str(method)))
        if not missing.all():
            ax.fill_between(mean.index, stages.min(), stages.max(), color=look["color"], alpha=0.15, linewidth=0)
            ax.plot(mean.index, mean, label=pretty(str(method)), **look)
    layers = of_view.drop_duplicates("stage").sort_values("stage")
    names = ["trained" if stage == 0 else layer for stage, layer in zip(layers["stage"], layers["layer"], strict=True)]
    if len(names) > 1:
        names[-1] += "\n(all layers)"
    ax.set_xticks(layers["stage"], names)
    notes = [f"not drawn, constant maps: {', '.join(lacking)}"] if lacking else []
    notes += [f"gaps where maps are constant: {', '.join(gaps)}"] if gaps else []
    label_with_notes(ax, "layer drawn at random, with those to its left", notes)


def _seed_means(of_view: pd.DataFrame) -> pd.Series:
    """Average the correlations' size over the classes and keep the seeds apart, as :func:`.passes` does."""
    size = of_view.assign(rank_correlation=of_view["rank_correlation"].abs())
    means: pd.Series = size.groupby(["method", "stage", "seed"], sort=False)["rank_correlation"].mean()
    return means


def alt_randomisation(table: pd.DataFrame, limit: float = 0.1) -> str:
    """Say in words what :func:`plot_randomisation` shows: the first step, and who passes with all layers drawn."""
    require_columns(table, RANDOMISATION_COLUMNS, "randomisation")
    parts = []
    for view, of_view in table.groupby("view", sort=False):
        means = _seed_means(of_view).groupby(level=["method", "stage"], sort=False).mean()
        stages, said = sorted(of_view["stage"].unique()), []
        if len(stages) > 2 and len(step := means.xs(stages[1], level="stage").dropna().sort_values()):
            layer = of_view.loc[of_view["stage"] == stages[1], "layer"].iloc[0]
            ends = [f"{number(value)} ({pretty(str(method))})" for method, value in step.iloc[[0, -1]].items()]
            said.append(f"with the {layer} alone drawn, {' to '.join(dict.fromkeys(ends))}")
        last = means.xs(stages[-1], level="stage")
        judged = last.dropna().sort_values()
        for how, chosen in (("passed by", judged[judged <= limit]), ("failed by", judged[judged > limit])):
            values = [f"{pretty(str(method))} {number(value)}" for method, value in chosen.items()]
            said += [f"{how} {join_words(values)}"] if values else []
        if constant := [pretty(str(method)) for method in last.index[last.isna()]]:
            said.append(f"not judged, since maps are constant: {join_words(constant)}")
        parts.append(f"{capital(pretty(str(view)))}: {'; '.join(said)}")
    n_classes, n_seeds = table["target_class"].nunique(), table["seed"].nunique()
    return (
        f"Mean rank correlation of maps with the trained network's, over {n_classes} class{'es' * (n_classes > 1)} and "
        f"{n_seeds} seed{'s' * (n_seeds > 1)}, while layers are drawn at random from the output back to the input. "
        f"With all drawn, a method passes at or below {number(limit)}. {'. '.join(parts)}."
    )


@house_style()
def plot_stability(table: pd.DataFrame, fig: Figure | None = None) -> Figure:
    r"""Draw how alike the features are that the maps of several trainings put first.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`.map_stability` makes it.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        One panel per view: methods as rows, classes as markers with their intervals. Where the index is undefined
        (NaN), the row says so.

    Raises
    ------
    ValueError
        If the table lacks a column or has no row, or has more classes than can be told apart.

    Examples
    --------
    >>> table = pd.DataFrame([("snp", "high", "grad_cam", 0.8, 0.7, 0.9, 5, 10.0)], columns=STABILITY_COLUMNS)
    >>> plot_stability(table).axes[0].get_xlabel()
    'stability of the first\n10 features, 5 trainings'
    """
    require_columns(table, STABILITY_COLUMNS, "map_stability")
    views, classes, methods = (in_order(table[column]) for column in KEYS)
    looks = class_looks(classes)
    handles = [Line2D([], [], color=each.color, marker=each.marker, ls="", markersize=5) for each in looks.values()]
    names = [f"class {name}" for name in classes]
    if table["low"].notna().any():
        handles.append(Line2D([], [], color=GREY, linewidth=1.1))
        names.append("its interval")
    height = 1.1 + (0.1 + 0.13 * len(classes)) * len(methods)
    fig, panels = grid_of_panels(fig, len(views), 3, height, legend_lines(names))
    for ax, view in zip(panels, views, strict=True):
        of_view = table[table["view"] == view]
        for key, (value, *interval) in zip(
            of_view[KEYS[1:]].astype(str).to_numpy(), of_view[["stability", "low", "high"]].to_numpy(float), strict=True
        ):
            look, shift = looks[key[0]], (classes.index(key[0]) - (len(classes) - 1) / 2) * 0.8 / len(classes)
            y = methods.index(key[1]) + shift
            if np.isnan(value):
                ax.text(0.03, y, "undefined", color=look.color, fontsize=SMALL, va="center_baseline")
            else:
                ax.plot(interval, [y, y], color=look.color, linewidth=1.1)
                ax.plot(value, y, look.marker, color=look.color, markersize=5, markeredgecolor="white", zorder=3)
        _scale_stability(ax, of_view, len(methods))
        ax.set_title(capital(pretty(view)))
    panels[0].set_yticks(range(len(methods)), [pretty(method) for method in methods])
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    legend_below(fig, handles, names)
    return fig


def _scale_stability(ax: Axes, of_view: pd.DataFrame, n_methods: int) -> None:
    """Give the axis its ends in words, and say of how many features and trainings."""
    for place in range(1, n_methods, 2):
        ax.axhspan(place - 0.5, place + 0.5, color="#f2f2f2", linewidth=0, zorder=0)
    for end in (0, 1):
        ax.axvline(end, color=INK, linewidth=0.8, linestyle=":", zorder=1)
    values = of_view[["stability", "low", "high"]].to_numpy(float).ravel()
    lowest = min(LOWEST, np.nanmin([0, *of_view["stability"]]) - 0.05)  # a mark is never cut, its interval may be
    ends = [np.nanmin([0, *values]), np.nanmax([0, *values])]
    ax.set_xlim(min(-0.12, max(ends[0] - 0.05, lowest)), 1.12)
    ax.set_xticks([0, 0.5, 1], ["0\nchance", "0.5", "1\nsame features\nevery time"])
    ax.tick_params(axis="y", length=0)
    defined = of_view["stability"].notna()
    runs, features = (
        _span(of_view["n_runs"]),
        _span(of_view.loc[defined if defined.any() else ~defined, "n_selected"].round()),
    )
    lone = (defined & of_view["low"].isna()).any()
    notes = ["no interval: two trainings give none"] if lone else []
    notes += ["intervals cut at the edge"] if ends[0] < lowest or ends[1] > 1.12 else []
    label_with_notes(ax, f"stability of the first\n{features} features, {runs} trainings", notes)


def _span(values: pd.Series) -> str:
    return " to ".join(dict.fromkeys(number(float(end)) for end in (values.min(), values.max())))


def alt_stability(table: pd.DataFrame) -> str:
    """Say in words what :func:`plot_stability` shows: of every view the most and the least stable method."""
    require_columns(table, STABILITY_COLUMNS, "map_stability")
    parts = []
    for view, of_view in table.groupby("view", sort=False):
        means = of_view.groupby("method", sort=False)["stability"].mean().dropna()
        ranked = [str(method) for method in means.sort_values(ascending=False, kind="stable").index]
        places = ["most stable ", "least stable "] if len(ranked) > 1 else [""]
        said = [
            f"{place}{pretty(method)}, {_class_values(of_view[of_view['method'] == method])}"
            for place, method in zip(places, [*ranked[:1], *ranked[1:][-1:]], strict=False)
        ]
        undefined = of_view[of_view["stability"].isna()]
        names = [f"{pretty(m)} ({c})" for m, c in zip(undefined["method"], undefined["target_class"], strict=True)]
        said += [f"undefined, since nothing or everything is selected: {join_words(names)}"] if names else []
        parts.append(f"{capital(pretty(str(view)))}: {'; '.join(said)}")
    n_methods = table["method"].nunique()
    return (
        f"Stability of the features that maps put first, over {_span(table['n_runs'])} trainings, of {n_methods} "
        f"method{'s' * (n_methods > 1)}: 0 is chance, 1 the same features every time. {'. '.join(parts)}."
    )


def _class_values(rows: pd.DataFrame) -> str:
    """Give a method's index and interval for every class in which it is defined."""
    said = []
    for name, of_class in rows.dropna(subset="stability").groupby("target_class", sort=False):
        value, low, high = of_class[["stability", "low", "high"]].mean()
        reach = "" if np.isnan(low) else f" ({number(low)} to {number(high)})"
        said.append(f"{number(value)}{reach} for class {name}")
    return join_words(said)
