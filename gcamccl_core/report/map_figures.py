"""Figures 2 to 4: activation maps of sample subjects and their class mean, and how their values are distributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from scipy.stats import spearmanr

from gcamccl_core.maps.dataset import class_number
from gcamccl_core.report.labels import capital, join_words, number
from gcamccl_core.report.matrix import Arrangement, arrange_regions, draw_brackets, draw_matrix
from gcamccl_core.report.style import (
    DIVERGING,
    SEQUENTIAL,
    SMALL,
    axes_or_new,
    class_looks,
    house_style,
    new_figure,
    pretty,
)

FIGURE_METHODS = ("grad_cam", "guided_grad_cam")  # rows of the paper's Figs. 2 and 3
CLIPPED = 0.005  # share of the values that may lie beyond the colour scale, so that one pixel does not dim the rest


@house_style()
def plot_class_maps(
    maps: xr.Dataset,
    target_class: str,
    view: str = "fc",
    methods: Sequence[str] = FIGURE_METHODS,
    n_subjects: int = 3,
    patterns: Mapping[str, xr.Dataset] | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw Figure 2 or 3: maps of the first subjects of a class for that class, and the mean over the class.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them.
    target_class : str
        Whose subjects, and for which class.
    view : str
        An image view, or its symmetrised maps (``fc_symmetric``).
    methods : sequence of str
        One row each. A method has one colour scale, for all panels and all classes, so that the figures of two classes
        can be compared.
    n_subjects : int
        Sample subjects, the first of the class in the order of the maps.
    patterns : mapping of str to xarray.Dataset, optional
        Maps that a class has as a whole, by title, as :func:`.activation_patterns` makes them: a last row, the
        recommended map first, then what it is to be compared with, each with its rank correlation with the first.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        Rows are methods; columns are the subjects, then the mean.
    """
    panels = {method: _panels(maps, view, target_class, method, n_subjects) for method in methods}
    scales = {method: color_scale(maps, view, method, n_subjects) for method in methods}
    if patterns:
        name, panels_of_class, scale = _pattern_panels(patterns, view, target_class)
        panels, scales = {**panels, name: panels_of_class}, {**scales, name: scale}
    columns = max(map(len, panels.values()))
    fig = fig or new_figure(0.2 + 2.05 * len(panels))
    if isinstance(engine := fig.get_layout_engine(), ConstrainedLayoutEngine):
        engine.set(w_pad=0.02, wspace=0.01)
    axes = fig.subplots(len(panels), columns, squeeze=False)
    arrangement = arrange_regions(maps, str(maps[view].dims[-1]))
    for row, (method, of_method) in zip(axes, panels.items(), strict=True):
        norm, cmap = scales[method]
        for unused in row[len(of_method) :]:
            unused.set_visible(False)
        for ax, (title, values) in zip(row, of_method.items(), strict=False):
            image = draw_matrix(ax, values, arrangement, norm, cmap)
            ax.set_title(title, fontsize=8, loc="center")
        for ax, likeness in zip(row[1:], _likeness(of_method) if method not in methods else (), strict=False):
            ax.set_xlabel(f"alike {likeness:.2f}", fontsize=SMALL)
        beyond = "both" if norm.vmin else "max"
        bar = fig.colorbar(image, ax=list(row), location="bottom", aspect=45, shrink=0.6, pad=0.03, extend=beyond)
        bar.ax.ticklabel_format(axis="x", scilimits=(-2, 2), useMathText=True)
        bar.set_label(f"{pretty(method)} value")
    for row in axes:
        draw_brackets(row[0], arrangement)
    return fig


def alt_class_maps(
    maps: xr.Dataset,
    target_class: str,
    view: str = "fc",
    methods: Sequence[str] = FIGURE_METHODS,
    n_subjects: int = 3,
    patterns: Mapping[str, xr.Dataset] | None = None,
) -> str:
    """Say in words what :func:`plot_class_maps` shows of these maps."""
    groups = arrange_regions(maps, str(maps[view].dims[-1]))
    parts = []
    for method in methods:
        *_, mean = _panels(maps, view, target_class, method, n_subjects).values()
        parts.append(f"{capital(pretty(method))}: class mean {_span(mean, groups)}")
    if patterns:
        name, panels, _ = _pattern_panels(patterns, view, target_class)
        (title, pattern), *others = panels.items()
        alike = [f"{other} {number(likeness)}" for (other, _), likeness in zip(others, _likeness(panels), strict=True)]
        text = f"{capital(pretty(name))}, {title}: {_span(pattern, groups)}"
        parts.append(f"{text}; rank correlation with {join_words(alike)}" if alike else text)
    chosen = subjects_of(maps, target_class)
    shown = f"{min(n_subjects, len(chosen))} of its subjects and the " if n_subjects else "the "
    return (
        f"Maps of {pretty(view)} for the class {target_class}: {shown}"
        f"mean of all {len(chosen)}, regions ordered by network, one colour scale per method for all classes. "
        f"{'. '.join(parts)}."
    )


def _span(values: np.ndarray, groups: Arrangement) -> str:
    """Say from where to where an image goes, and in which network's rows it is highest."""
    if not values.any():
        return "zero everywhere"
    text = f"from {number(values.min())} to {number(values.max())}"
    if not groups.groups:
        return text
    ordered = values[np.ix_(groups.order, groups.order)]
    rows = {name: ordered[start:stop].mean() for name, start, stop in groups.groups}
    return f"{text}, highest on average in rows of the network {max(rows, key=lambda name: rows[name])}"


def _likeness(panels: Mapping[str, np.ndarray]) -> list[float]:
    """Rank correlations of the first image with each of the others, over their upper triangles."""
    first, *others = (image[np.triu_indices(len(image), k=1)] for image in panels.values())
    return [float(spearmanr(first, other).statistic) for other in others]


def color_scale(maps: xr.Dataset, view: str, method: str, n_subjects: int = 3) -> tuple[Normalize, str]:
    """One colour scale for a method's panels in all classes: from zero, or around zero if values have both signs.

    Parameters
    ----------
    maps, view, method, n_subjects
        As for :func:`plot_class_maps`.

    Returns
    -------
    Normalize, str
        Limits and the colour map; one value in two hundred lies beyond.
    """
    drawn = [
        values
        for target_class in maps["target_class"].to_numpy()
        if len(subjects_of(maps, target_class))
        for values in _panels(maps, view, target_class, method, n_subjects).values()
    ]
    return color_scale_of(np.concatenate([panel.ravel() for panel in drawn]))


def color_scale_of(values: np.ndarray) -> tuple[Normalize, str]:
    """Colour scale of any values: from zero, or around zero if they have both signs; all zero is drawn as zero."""
    limit = float(np.quantile(np.abs(values), 1 - CLIPPED)) or float(np.abs(values).max()) or 1.0
    return (Normalize(-limit, limit), DIVERGING) if values.min() < 0 else (Normalize(0, limit), SEQUENTIAL)


@house_style()
def plot_map_histogram(maps: xr.Dataset, view: str = "fc", method: str = "grad_cam", ax: Axes | None = None) -> Axes:
    """Draw Figure 4: how many values of a map are how high, on average over the subjects of each class.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them.
    view, method : str
        Which maps; each subject's map for its own class.
    ax : Axes, optional
        Drawn on; made if None.

    Returns
    -------
    Axes
        One outline per class, counts on a log scale.
    """
    ax = axes_or_new(ax, 2.6, 4.6)
    own = _own_maps(maps, view, method)
    edges = np.histogram_bin_edges(np.concatenate([values.ravel() for values in own.values()]), bins=50)
    for (name, values), look in zip(own.items(), _looks(maps, own), strict=True):
        counts = np.histogram(values, edges)[0] / len(values)
        label = f"{name} (mean of {len(values)} subjects)"
        ax.stairs(counts, edges, fill=True, facecolor=look.color, alpha=0.25, hatch=look.hatch, edgecolor=look.color)
        ax.stairs(counts, edges, color=look.color, linewidth=1.3, label=label)
    ax.set_yscale("log")
    ax.set(xlabel=f"{pretty(method)} value", ylabel="values per subject (log scale)")
    ax.set_title(f"Values of the maps of {pretty(view)}")
    ax.ticklabel_format(axis="x", scilimits=(-2, 3), useMathText=True)
    ax.legend(loc="upper right")
    return ax


def alt_map_histogram(maps: xr.Dataset, view: str = "fc", method: str = "grad_cam") -> str:
    """Say in words what :func:`plot_map_histogram` shows of these maps.

    Examples
    --------
    >>> maps = xr.Dataset(
    ...     {"thickness": (("subject", "target_class", "map_method", "measure"), [[[[0.0, 1.0, 2.0]]]])},
    ...     coords={"target_class": ["high"], "map_method": ["grad_cam"], "label": ("subject", [0]),
    ...             "measure": [*"abc"]},
    ... )
    >>> alt_map_histogram(maps, "thickness").split(". ")[-1]
    'Above half of the largest value lie 33.3 % (high) of the values.'
    """
    own = _own_maps(maps, view, method)
    means = [f"{number(float(values.mean()))} ({name})" for name, values in own.items()]
    text = f"Histogram of {pretty(method)} values of {pretty(view)}, by class, log counts. Mean: {join_words(means)}."
    half = max(float(values.max()) for values in own.values()) / 2
    if half <= 0:
        return f"{text} No value is above zero."
    shares = {name: 100 * float((values > half).mean()) for name, values in own.items()}
    listed = join_words([f"{number(share)} % ({name})" for name, share in shares.items()])
    first, *rest = sorted(shares, key=lambda name: shares[name], reverse=True)
    most = f", most in the class {first}" if rest and shares[first] > shares[rest[0]] else ""
    return f"{text} Above half of the largest value lie {listed} of the values{most}."


def _own_maps(maps: xr.Dataset, view: str, method: str) -> dict[str, np.ndarray]:
    """Take the maps for their own class, by class: (n subjects, n values); classes without subjects are left out."""
    found = {}
    for target_class in map(str, maps["target_class"].to_numpy()):
        chosen = subjects_of(maps, target_class)
        if len(chosen):
            which = {"target_class": target_class, "map_method": method}
            found[target_class] = maps[view].sel(which).isel(subject=chosen).to_numpy().reshape(len(chosen), -1)
    return found


def _looks(maps: xr.Dataset, names: Sequence[str] | dict[str, np.ndarray]) -> list:
    looks = class_looks([str(name) for name in maps["target_class"].to_numpy()])
    return [looks[name] for name in names]


def _panels(maps: xr.Dataset, view: str, target_class: str, method: str, n_subjects: int) -> dict[str, np.ndarray]:
    """Images by title: the first subjects of the class, and the mean over all of them."""
    chosen = subjects_of(maps, target_class)
    if not len(chosen):
        raise ValueError(f"no subject of class '{target_class}' is among the maps; map other subjects")
    of_class = maps[view].sel({"target_class": target_class, "map_method": method}).isel(subject=chosen)
    panels = {str(image["subject"].item()): image.to_numpy() for image in of_class[:n_subjects]}
    return panels | {f"mean of {len(chosen)}": of_class.mean("subject").to_numpy()}


def _pattern_panels(
    patterns: Mapping[str, xr.Dataset], view: str, target_class: str
) -> tuple[str, dict[str, np.ndarray], tuple[Normalize, str]]:
    """Name of the map, images of one class by title, and the colour scale that the images of all classes share."""
    first = next(iter(patterns.values()))
    method = str(first["map_method"].to_numpy()[0])
    images = {title: of[view].sel(map_method=method) for title, of in patterns.items()}
    panels = {}
    for title, of in images.items():
        row = subjects_of(patterns[title], target_class)[0]
        panels[title] = of.sel(target_class=target_class).isel(subject=row).to_numpy()
    scale = color_scale_of(np.concatenate([of.to_numpy().ravel() for of in images.values()]))
    return method, panels, scale


def subjects_of(maps: xr.Dataset, target_class: str) -> np.ndarray:
    """Find the subjects whose true label is the class: positions along ``subject``."""
    return np.flatnonzero(maps["label"].to_numpy() == class_number(maps, target_class))
