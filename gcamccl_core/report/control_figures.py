"""The strip below a map: the same map where it ought to be another, and what needs no network at all."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from gcamccl_core.maps.dataset import is_image
from gcamccl_core.report.labels import capital, join_words
from gcamccl_core.report.map_figures import color_scale_of
from gcamccl_core.report.matrix import Arrangement, arrange_regions, draw_matrix
from gcamccl_core.report.style import GREY, INK, SMALL, house_style, new_figure, pretty

TITLE_WIDTH = 95  # characters of all panels' titles side by side


@house_style()
def plot_control_strip(
    strip: Mapping[str, np.ndarray], numbers: pd.DataFrame, maps: xr.Dataset, view: str, fig: Figure | None = None
) -> Figure:
    """Draw a class's map and its controls in one row, each with its likeness to the map and what it finds.

    Parameters
    ----------
    strip : mapping of str to array of shape (n_features,)
        As :func:`.control_strip` makes it; the first is the map.
    numbers : pandas.DataFrame
        As :func:`.measure_strip` makes them.
    maps : xarray.Dataset
        The maps it came from, for the arrangement of the regions.
    view : str
        Which view.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        Every panel on a scale of its own, since units differ; below it "alike", the rank correlation with the map, and
        "finds", the average precision.
    """
    image = is_image(maps, view)
    fig = fig or new_figure(1.75 if image else 0.35 + 0.55 * len(strip))
    axes = fig.subplots(1, len(strip), squeeze=False)[0] if image else fig.subplots(len(strip), 1, squeeze=False)[:, 0]
    arrangement = arrange_regions(maps, str(maps[view].dims[-1])) if image else Arrangement(np.arange(0), [])
    for ax, (name, values) in zip(axes, strip.items(), strict=True):
        said = "\n".join(_words(pd.Series(numbers.loc[name])))
        if image:
            matrix = _as_matrix(values, len(arrangement.order))
            draw_matrix(ax, matrix, arrangement, *color_scale_of(matrix))
            ax.set_title(fill(capital(name), TITLE_WIDTH // len(strip)), fontsize=SMALL)
            ax.set_xlabel(said, fontsize=SMALL)
        else:
            ax.plot(values, color=INK, linewidth=0.6)
            ax.set(yticks=[], xlim=(-0.5, len(values) - 0.5))
            ax.xaxis.set_major_locator(NullLocator())
            ax.set_ylabel(capital(name), fontsize=SMALL, rotation=0, ha="right", va="center")
            ax.text(1.01, 0.5, said, transform=ax.transAxes, fontsize=SMALL, va="center", color=GREY)
    return fig


def alt_control_strip(numbers: pd.DataFrame, view: str) -> str:
    """Say in words what :func:`plot_control_strip` shows.

    Examples
    --------
    >>> measured = {"likeness": [np.nan, 0.1], "average_precision": [0.9, 0.5]}
    >>> alt_control_strip(pd.DataFrame(measured, ["the map", "t-test"]), "fc")[-55:]
    'The map, finds 0.90 and t-test, alike 0.10, finds 0.50.'
    """
    said = [", ".join([str(name), *_words(row)]) for name, row in numbers.iterrows()]
    return f"The mean map of {pretty(view)} beside its controls. {capital(join_words(said))}."


def _words(row: pd.Series) -> list[str]:
    named = {"alike": row["likeness"], "finds": row["average_precision"]}
    return [f"{word} {value:z.2f}" for word, value in named.items() if not np.isnan(value)]


def _as_matrix(features: np.ndarray, side: int) -> np.ndarray:
    matrix = np.zeros((side, side))
    matrix[np.triu_indices(side, k=1)] = features
    return matrix + matrix.T
