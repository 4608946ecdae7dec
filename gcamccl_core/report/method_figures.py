"""Every kind of map of one subject, side by side: from CAM and deconvnets to guided Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcamccl_core.data.checks import name_some
from gcamccl_core.maps.dataset import is_image
from gcamccl_core.report.labels import capital, number
from gcamccl_core.report.map_figures import color_scale_of
from gcamccl_core.report.matrix import Arrangement, arrange_regions, draw_brackets, draw_matrix
from gcamccl_core.report.style import GREY, INK, PAGE_WIDTH, house_style, new_figure, pretty

UNITS = {  # a method that is not listed has values of no unit known here
    "cam": "logits of the retrained head",
    "grad_cam": "logits",
    "grad_cam_relu": "logits",
    "guided_backprop": "logits per input unit",
    "deconvnet": "logits per input unit",
    "class_contrast": "logits per input unit",
    "guided_grad_cam": "logits² per input unit",
    "guided_grad_cam_plain": "logits² per input unit",
}
COLUMNS = 3  # of images; more would be too small to read


@house_style()
def plot_map_methods(
    maps: xr.Dataset,
    subject: str,
    view: str = "fc",
    target_class: str | None = None,
    methods: Sequence[str] | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw one subject's maps for one class, one panel per method.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them.
    subject : str
        Whose maps; a value along ``subject``.
    view : str
        An image view (or its symmetrised maps, ``fc_symmetric``) is drawn as images in network order, a vector view as
        lines along its features.
    target_class : str, optional
        For which class; the subject's own if None.
    methods : sequence of str, optional
        Which, in this order; all that the maps have if None.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        Every panel has its own scale, since units differ; :func:`caption_map_methods` says so.

    Raises
    ------
    ValueError
        If subject, view, class or a method are not among the maps, or a subject without a class needs one named.
    """
    target_class, panels = _panels(maps, subject, view, target_class, methods)
    image = is_image(maps, view)
    columns = min(COLUMNS, len(panels)) if image else 1
    rows = -(-len(panels) // columns)
    width = 1.2 + (PAGE_WIDTH - 1.2) * columns / COLUMNS if image else PAGE_WIDTH
    fig = fig or new_figure(0.4 + (2.5 if image else 1.1) * rows, width)
    axes = fig.subplots(rows, columns, squeeze=False, sharex=not image)
    drawn = list(axes.flat)[: len(panels)]
    arrangement = arrange_regions(maps, str(maps[view].dims[-1])) if image else None
    for ax, (method, values) in zip(drawn, panels.items(), strict=True):
        if arrangement is None:
            _draw_line(ax, values, method)
        else:
            _draw_image(ax, values, method, arrangement)
        ax.set_title(capital(pretty(method)))
    for ax in list(axes.flat)[len(panels) :]:
        ax.remove()
    fig.suptitle(
        f"{capital(pretty(view))} of subject {subject}: maps for the class {target_class}", fontsize=9, weight="bold"
    )
    if arrangement is None:
        drawn[-1].set(xlabel=f"position along {maps[view].shape[-1]} features", xlim=(-0.5, maps[view].shape[-1] - 0.5))
    else:
        for row in range(rows):
            draw_brackets(axes[row, 0], arrangement)
    return fig


def alt_map_methods(
    maps: xr.Dataset,
    subject: str,
    view: str = "fc",
    target_class: str | None = None,
    methods: Sequence[str] | None = None,
) -> str:
    r"""Say in words what :func:`plot_map_methods` shows of these maps.

    Examples
    --------
    >>> maps = xr.Dataset(
    ...     {"thickness": (("subject", "target_class", "map_method", "measure"), [[[[0.0, 1.0, 2.0], [1.0, -3, 0]]]])},
    ...     coords={"subject": ["s1"], "target_class": ["high"], "map_method": ["cam", "deconvnet"],
    ...             "label": ("subject", [0]), "measure": [*"abc"]},
    ... )
    >>> print(alt_map_methods(maps, "s1", "thickness").replace(". ", ".\n"))
    Maps of thickness of subject s1 for the class high, 2 methods, each on a scale of its own.
    CAM: from 0 to 2 logits of the retrained head, strongest at c.
    Deconvnet: from -3 to 1 logits per input unit, strongest at b.
    """
    target_class, panels = _panels(maps, subject, view, target_class, methods)
    names = [maps[dim].to_numpy() for dim in maps[view].dims[3:]]
    parts = []
    for method, values in panels.items():
        top = np.unravel_index(int(np.abs(values).argmax()), values.shape)
        where = " – ".join(str(name[place]) for name, place in zip(names, top, strict=True))
        span = f"from {number(values.min())} to {number(values.max())} {_unit(method)}, strongest at {where}"
        parts.append(f"{capital(pretty(method))}: {span if values.any() else 'zero everywhere'}")
    return (
        f"Maps of {pretty(view)} of subject {subject} for the class {target_class}, "
        f"{len(panels)} method{'' if len(panels) == 1 else 's'}, each on a scale of its own. {'. '.join(parts)}."
    )


def caption_map_methods(
    maps: xr.Dataset,
    subject: str,
    view: str = "fc",
    target_class: str | None = None,
    methods: Sequence[str] | None = None,
) -> str:
    """Write what has to stand below :func:`plot_map_methods`: whose maps, for which class, and that scales differ."""
    target_class, panels = _panels(maps, subject, view, target_class, methods)
    units = {unit: [pretty(m) for m in panels if _unit(m) == unit] for unit in dict.fromkeys(map(_unit, panels))}
    listed = "; ".join(f"{', '.join(names)} in {unit}" for unit, names in units.items())
    return (
        f"Maps of {pretty(view)} of one subject ({subject}) for the class {target_class}, by every method. Units "
        f"differ, so every panel has its own scale, and colours cannot be compared between panels: {listed}."
    )


def _panels(
    maps: xr.Dataset, subject: str, view: str, target_class: str | None, methods: Sequence[str] | None
) -> tuple[str, dict[str, np.ndarray]]:
    """Name the class, and take one map by method."""
    wanted = [str(method) for method in (maps["map_method"].to_numpy() if methods is None else methods)]
    if view not in maps.data_vars:
        raise ValueError(f"the maps have no view {view!r}; they have {name_some(map(str, maps.data_vars))}")
    for dim, names in (("subject", [subject]), ("map_method", wanted)):
        for name in names:
            if name not in maps[dim].to_numpy():
                raise ValueError(f"the maps have no {dim} {name!r}; they have {name_some(maps[dim].to_numpy())}")
    of_subject = maps[view].sel(subject=subject)
    classes = [str(name) for name in maps["target_class"].to_numpy()]
    if target_class is None:
        label = int(of_subject["label"])
        if label < 0:
            raise ValueError(f"subject {subject!r} belongs to no class; name the target_class: {name_some(classes)}")
        target_class = classes[label]
    if target_class not in classes:
        raise ValueError(f"the maps have no target_class {target_class!r}; they have {name_some(classes)}")
    of_class = of_subject.sel(target_class=target_class)
    return target_class, {method: of_class.sel(map_method=method).to_numpy() for method in wanted}


def _unit(method: str) -> str:
    return UNITS.get(method, "map values")


def _draw_image(ax: Axes, values: np.ndarray, method: str, arrangement: Arrangement) -> None:
    norm, cmap = color_scale_of(values)
    image = draw_matrix(ax, values, arrangement, norm, cmap)
    beyond = "both" if norm.vmin else "max"
    bar = ax.figure.colorbar(image, ax=ax, location="bottom", aspect=25, pad=0.03, extend=beyond)
    bar.ax.ticklabel_format(axis="x", scilimits=(-2, 2), useMathText=True)
    bar.ax.locator_params(axis="x", nbins=5)
    bar.set_label(_unit(method), loc="left", fontsize=7.5)  # the power of ten stands at the right


def _draw_line(ax: Axes, values: np.ndarray, method: str) -> None:
    ax.axhline(0, color=GREY, linewidth=0.6)
    ax.plot(values, color=INK, linewidth=0.8)
    ax.ticklabel_format(axis="y", scilimits=(-2, 2), useMathText=True)
    ax.set_ylabel(_unit(method).replace(" ", "\n", 1), fontsize=7)
