"""Maps of a vector view: every subject's map as a strip, the class mean above it, blocks and planted features below."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcamccl_core.report.labels import number
from gcamccl_core.report.map_figures import color_scale_of, subjects_of
from gcamccl_core.report.style import HIGHLIGHT, class_looks, house_style, new_figure, pretty


@house_style()
def plot_vector_maps(
    maps: xr.Dataset,
    view: str = "snp",
    method: str = "guided_grad_cam",
    truth: xr.DataArray | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw the maps of a vector view along its features, class by class.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them; with the coordinate ``<view>_block``, blocks are shaded in turn.
    view, method : str
        Which maps; each subject's map for its own class.
    truth : xarray.DataArray, optional
        ``cohort["truth_snp"]`` (target_class, feature): planted features are marked.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        Per class the mean over its subjects as a line, and one row of colour per subject; one scale for all classes.
    """
    own = _own_maps(maps, view, method)
    fig = fig or new_figure(0.8 + 1.75 * len(own))
    axes = fig.subplots(2 * len(own), 1, sharex=True, height_ratios=[1, 1] * len(own))
    norm, cmap = color_scale_of(np.concatenate(list(own.values())))
    means = {name: values.mean(axis=0) for name, values in own.items()}
    low, high = min(mean.min() for mean in means.values()), max(mean.max() for mean in means.values())
    margin = 0.08 * ((high - low) or 1.0)
    looks = class_looks([str(name) for name in maps["target_class"].to_numpy()])
    for place, (name, values) in enumerate(own.items()):
        line, strip = axes[2 * place : 2 * place + 2]
        _shade_blocks(line, maps, view)
        line.plot(means[name], color=looks[name].color, linewidth=0.9)
        line.set(ylim=(low - 2 * margin, high + margin), ylabel="class mean")
        line.set_title(f"{name}: {pretty(method)} of {len(values)} subjects")
        line.ticklabel_format(axis="y", scilimits=(-2, 2), useMathText=True)
        _mark_planted(line, truth, name)
        image = strip.imshow(values, aspect="auto", norm=norm, cmap=cmap, interpolation="antialiased")
        strip.set(ylabel="subject", yticks=[])
    axes[-1].set(xlabel=_axis_label(maps, view), xlim=(-0.5, maps[view].shape[-1] - 0.5))
    beyond = "both" if norm.vmin else "max"
    fig.colorbar(image, ax=list(axes), location="right", aspect=40, label=f"{pretty(method)} value", extend=beyond)
    return fig


def alt_vector_maps(
    maps: xr.Dataset, view: str = "snp", method: str = "guided_grad_cam", truth: xr.DataArray | None = None
) -> str:
    """Say in words what :func:`plot_vector_maps` shows of these maps.

    Examples
    --------
    >>> maps = xr.Dataset(
    ...     {"thickness": (("subject", "target_class", "map_method", "measure"), [[[[0.0, 1.0, 2.0]]]])},
    ...     coords={"target_class": ["high"], "map_method": ["grad_cam"], "label": ("subject", [0]),
    ...             "measure": [*"abc"]},
    ... )
    >>> alt_vector_maps(maps, "thickness", "grad_cam")
    'Grad-CAM along 3 features of thickness: class high, 1 subject, mean highest at c (2).'
    """
    features = maps[maps[view].dims[-1]].to_numpy()
    parts = []
    for name, values in _own_maps(maps, view, method).items():
        mean = values.mean(axis=0)
        top = int(np.argmax(mean))
        people = f"{len(values)} subject{'' if len(values) == 1 else 's'}"
        text = f"class {name}, {people}, mean highest at {features[top]} ({number(float(mean[top]))})"
        planted = _planted(truth, name)
        if planted is not None and planted.any():
            inside, outside = number(float(mean[planted].mean())), number(float(mean[~planted].mean()))
            text += f", on average {inside} at the {planted.sum()} planted features and {outside} elsewhere"
        parts.append(text)
    return f"{pretty(method)} along {len(features)} features of {pretty(view)}: {'; '.join(parts)}."


def _own_maps(maps: xr.Dataset, view: str, method: str) -> dict[str, np.ndarray]:
    """Take every subject's map for its own class, by class: (n subjects, n features)."""
    found = {}
    for name in map(str, maps["target_class"].to_numpy()):
        chosen = subjects_of(maps, name)
        if len(chosen):
            found[name] = maps[view].sel({"target_class": name, "map_method": method}).isel(subject=chosen).to_numpy()
    return found


def _shade_blocks(ax: Axes, maps: xr.Dataset, view: str) -> None:
    """Shade every second linkage block, so that neighbours in linkage are seen as one."""
    blocks = maps.coords.get(f"{view}_block")
    if blocks is None:
        return
    start = 0
    for place, (_, members) in enumerate(groupby(blocks.to_numpy())):
        stop = start + len(list(members))
        if place % 2:
            ax.axvspan(start - 0.5, stop - 0.5, color="#ececec", linewidth=0, zorder=0)
        start = stop


def _mark_planted(ax: Axes, truth: xr.DataArray | None, name: str) -> None:
    planted = _planted(truth, name)
    if planted is not None and planted.any():
        where = np.flatnonzero(planted)
        ax.plot(
            where, np.full(len(where), 0.06), "^", color=HIGHLIGHT, markersize=3.2, markeredgewidth=0,
            transform=ax.get_xaxis_transform(), label=f"planted for {name}",
        )  # fmt: skip
        ax.legend(loc="lower right", bbox_to_anchor=(1, 0.96), borderaxespad=0, handletextpad=0.1)


def _planted(truth: xr.DataArray | None, name: str) -> np.ndarray | None:
    if truth is None or name not in truth["target_class"].to_numpy():
        return None
    return truth.sel(target_class=name).to_numpy().astype(bool)


def _axis_label(maps: xr.Dataset, view: str) -> str:
    genome = ", in genome order; every second linkage block is shaded" if f"{view}_block" in maps.coords else ""
    return f"{pretty(view)}{genome}"
