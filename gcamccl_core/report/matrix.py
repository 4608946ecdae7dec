"""Region-by-region (or SNP-by-SNP) images whose rows are ordered and bracketed by the group they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from gcamccl_core.report.labels import spread_apart
from gcamccl_core.report.style import GREY, INK, SMALL

UNPLACED = ("Uncertain", "uncertain", "none", "None", "")  # networks of regions that belong to none: shown last


@dataclass(frozen=True)
class Arrangement:
    """Order of the rows, and the runs of rows that share a group: name, first row, row after the last."""

    order: np.ndarray
    groups: list[tuple[str, int, int]]


def arrange(groups: Sequence[str] | np.ndarray, sort: bool = True) -> Arrangement:
    """Order rows by group, those without one last, and otherwise as they were.

    Parameters
    ----------
    groups : sequence of str, length n
        Group of every row.
    sort : bool
        False keeps the order and only finds the runs, as for SNPs along the genome.

    Examples
    --------
    >>> found = arrange(["visual", "auditory", "Uncertain", "visual"])
    >>> found.order.tolist(), found.groups
    ([1, 0, 3, 2], [('auditory', 0, 1), ('visual', 1, 3), ('Uncertain', 3, 4)])
    """
    names = [str(name) for name in groups]
    order = list(range(len(names)))
    if sort:
        order.sort(key=lambda row: (names[row] in UNPLACED, names[row]))
    runs, start = [], 0
    for name, members in groupby(names[row] for row in order):
        stop = start + len(list(members))
        runs.append((name, start, stop))
        start = stop
    return Arrangement(np.array(order, dtype=int), runs)


def arrange_regions(dataset: xr.Dataset, dim: str, by: str = "roi_network") -> Arrangement:
    """Order the regions of a cohort or of its maps by network; as stored, in no groups, if it has no networks."""
    if by in dataset.variables:
        return arrange(dataset[by].to_numpy().astype(str))
    return Arrangement(np.arange(dataset.sizes[dim]), [])


def draw_matrix(ax: Axes, values: np.ndarray, arrangement: Arrangement, norm: Normalize, cmap: str) -> AxesImage:
    """Draw one image in the arranged order, groups divided by lines.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    values : array of shape (n, n)
        In the stored order.
    arrangement : Arrangement
        From :func:`arrange_regions`.
    norm, cmap
        The colour scale, which panels to be compared share.
    """
    order = arrangement.order
    image = ax.imshow(values[np.ix_(order, order)], norm=norm, cmap=cmap, interpolation="antialiased")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(True)
    for _, start, _ in arrangement.groups[1:]:
        for draw_line in (ax.axhline, ax.axvline):
            draw_line(start - 0.5, color=GREY, linewidth=0.35, alpha=0.7)
    return image


def draw_brackets(ax: Axes, arrangement: Arrangement) -> None:
    """Name every group at the left of an image, with a bracket over its rows; names never overlap.

    Call it last: the figure is laid out to learn how high the image will be, and the names are moved apart to fit.

    Parameters
    ----------
    ax : Axes
        Holds an image with one row per member.
    arrangement : Arrangement
        Groups of rows.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    left_border = figure.dpi_scale_trans + ScaledTranslation(0, 0, ax.transAxes)  # type: ignore[arg-type]
    transform = blended_transform_factory(left_border, ax.transData)  # x in inches from the border, y in rows
    names, leaders = [], []
    middles = [(start + stop - 1) / 2 for _, start, stop in arrangement.groups]
    for (name, start, stop), middle in zip(arrangement.groups, middles, strict=True):
        inset = min(0.3, (stop - start) / 4)
        top, bottom = start - 0.5 + inset, stop - 0.5 - inset
        line: Any = {"color": INK, "linewidth": 0.6, "transform": transform, "clip_on": False}
        ax.plot([-0.03, -0.07, -0.07, -0.03], [top, top, bottom, bottom], **line)
        leaders += ax.plot([-0.07, -0.14, -0.17], [middle] * 3, **line)
        names.append(ax.text(-0.19, middle, name, fontsize=SMALL, ha="right", va="center", transform=transform))
    figure.draw_without_rendering()
    count = len(arrangement.order)
    gap = 1.08 * SMALL / 72 * figure.dpi * count / ax.get_window_extent().height  # in rows
    texts = spread_apart(middles, gap, low=0, high=count - 1)
    for name_text, leader, middle, y in zip(names, leaders, middles, texts, strict=True):
        name_text.set_y(y)
        leader.set_ydata([middle, y, y])
