"""Figure 1: the network drawn from the network itself, whatever its views, sizes and classes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from gcamccl_core.model.layer_table import describe
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.pathways import PUBLISHED
from gcamccl_core.report.style import GREY, INK, PAGE_WIDTH, SMALL, axes_or_new, house_style, pretty

LANE = 1.5  # inches: the height that one view takes
REACH = 0.34  # inches from the middle of a lane to the text above and below what is drawn
FOOT = 0.32  # inches below the lanes, for the legend
INPUT_X, FEATURES_X, HEAD_X, LOSS_X = 0.45, 4.12, 4.82, 5.52
FILLS = {2: "#cfe3f1", 1: "#f6d9c6"}  # images and vectors
GRADIENT = "#b5179e"


class _Stage(NamedTuple):
    """One drawn stage of a lane: the input or a block."""

    title: str
    shape: tuple[int, ...]  # channels and extent, without the batch
    details: str
    dropout: bool
    mapped: bool


@house_style()
def draw_architecture(net: CollaborativeNet, ax: Axes | None = None) -> Axes:
    """Draw Figure 1 (and Table IV) of any network: one lane per view, joined by the loss of Eq. 12.

    Parameters
    ----------
    net : CollaborativeNet
        Only its structure is read.
    ax : Axes, optional
        Drawn in inches, 7 wide and 1.5 high per view; made if None.

    Returns
    -------
    Axes
        What was drawn on.

    Raises
    ------
    ValueError
        If the network has other pathways than ConvNets; :func:`.describe` lists those.

    Examples
    --------
    >>> ax = draw_architecture(CollaborativeNet({"snp": (750,)}))
    >>> [text.get_text() for text in ax.texts][:2]
    ['SNPs', 'input']
    """
    _refuse_pathways(net)
    height = LANE * len(net.views) + FOOT
    ax = axes_or_new(ax, height)
    ax.set(xlim=(0, PAGE_WIDTH), ylim=(0, height), aspect="equal")
    ax.set_axis_off()
    table = describe(net)
    middles = [height - LANE * (lane + 0.5) for lane in range(len(net.views))]
    for view, middle in zip(net.views, middles, strict=True):
        _draw_lane(ax, net, view, table[table["view"] == view], middle)
    _draw_loss(ax, net, middles)
    _draw_legend(ax, net)
    return ax


def alt_architecture(net: CollaborativeNet) -> str:
    """Say in words what :func:`draw_architecture` draws of this network."""
    _refuse_pathways(net)
    table = describe(net)
    lanes = []
    for view, shape in net.views.items():
        rows = table[(table["view"] == view) & (table["layer"] != "head")]
        outputs = ", ".join(_times(output[1:]) for output in rows["output_shape"])
        lanes.append(
            f"View {pretty(view)}, input {_times(shape)}, passes {len(rows)} convolution blocks with outputs "
            f"{outputs}, and one linear head with {net.n_classes} logits; maps are read at {net.default_layer(view)}"
        )
    count = sum(parameter.numel() for parameter in net.parameters())
    joined = (
        "The collaborative loss of Eq. 12 joins the views: cross-entropy of each view plus their agreement, and its "
        "composite gradient flows back into every view."
        if len(net.views) > 1
        else "With one view the loss is the cross-entropy alone."
    )
    return f"Diagram of the network, {count:,} parameters. {'. '.join(lanes)}. {joined}"


def _refuse_pathways(net: CollaborativeNet) -> None:
    others = {view: names for view, names in net.pathway_names.items() if set(names) != set(PUBLISHED)}
    if others:
        said = "; ".join(f"{view}: {', '.join(names)}" for view, names in others.items())
        raise ValueError(f"the figure draws ConvNets alone, and this network has {said}; list its layers with describe")


def _draw_lane(ax: Axes, net: CollaborativeNet, view: str, table: pd.DataFrame, middle: float) -> None:
    stages = _stages(net, view, table)
    dimensions = len(net.views[view])
    ax.text(0.02, middle + LANE / 2 - 0.05, pretty(view), fontsize=9, fontweight="bold", ha="left", va="top")
    positions = np.linspace(INPUT_X, FEATURES_X, len(stages))
    edges = []
    for stage, x in zip(stages, positions, strict=True):
        edges.append(_draw_stage(ax, stage, x, middle, dimensions))
    for (_, right), (left, _) in pairwise(edges):
        _arrow(ax, (right + 0.04, middle), (left - 0.04, middle))
    _draw_head(ax, net, view, edges[-1][1], middle)


def _stages(net: CollaborativeNet, view: str, table: pd.DataFrame) -> list[_Stage]:
    stages = [_Stage("input", (1, *net.views[view]), "", False, False)]
    for row in table[table["layer"] != "head"].to_dict("records"):
        block = net.encoders[view].get_submodule(row["layer"])
        dropout = "dropout" in dict(block.named_children())
        mapped = row["layer"] == net.default_layer(view)
        stages.append(_Stage(row["layer"], row["output_shape"][1:], _spell(row["operation"]), dropout, mapped))
    return stages


def _spell(operation: str) -> str:
    """Table IV's notation in words, over two lines: ``K, P, MP = 7, 3, 2``."""
    names, sizes = (part.split(", ") for part in operation.split(" = "))
    size = dict(zip(names, sizes, strict=True))
    padding = f", pad {size['P']}" if "P" in size else ""
    pool = f"\nmax pool {size['MP']}" if "MP" in size else ""
    return f"kernel {size['K']}{padding}{pool}"


def _draw_stage(ax: Axes, stage: _Stage, x: float, middle: float, dimensions: int) -> tuple[float, float]:
    """Draw a pile of feature maps, its side by the logarithm of its extent; return its left and right border."""
    channels, extent = stage.shape[0], stage.shape[1]
    side = 0.07 + 0.43 * np.log2(extent + 1) / np.log2(750)
    width = side if dimensions == 2 else 0.07
    sheets = 1 if channels == 1 else int(np.log2(channels)) - 1
    step = 0.035
    left, bottom = x - (width + step * (sheets - 1)) / 2, middle - (side + step * (sheets - 1)) / 2
    for sheet in reversed(range(sheets)):
        corner = (left + sheet * step, bottom + sheet * step)
        border = 1.3 if stage.mapped else 0.6
        hatch = "/////" if stage.dropout and sheet == 0 else None
        ax.add_patch(
            Rectangle(corner, width, side, facecolor=FILLS[dimensions], edgecolor=INK, linewidth=border, hatch=hatch)
        )
    weight = "bold" if stage.mapped else "normal"
    ax.text(x, middle + REACH, stage.title, fontsize=SMALL + 0.7, ha="center", va="bottom", fontweight=weight)
    under = "\n".join(filter(None, [_times(stage.shape), stage.details]))
    ax.text(x, middle - REACH, under, fontsize=SMALL, ha="center", va="top", linespacing=1.15)
    return left, left + width + step * (sheets - 1)


def _draw_head(ax: Axes, net: CollaborativeNet, view: str, start: float, middle: float) -> None:
    """Flattened features to one logit per class, drawn as units."""
    spread = min(0.2, 0.55 / net.n_classes)
    for unit in range(net.n_classes):
        y = middle + spread * ((net.n_classes - 1) / 2 - unit)
        _arrow(ax, (start + 0.04, middle), (HEAD_X - 0.09, y), head=2.5)
        ax.add_patch(Circle((HEAD_X, y), 0.33 * spread, facecolor="white", edgecolor=INK, linewidth=0.8))
    ax.text(HEAD_X, middle + REACH, "head", fontsize=SMALL + 0.7, ha="center", va="bottom")
    number = list(net.views).index(view) + 1
    label = f"{net.n_classes} logits\n{net.output} $h^{{({number})}}$"
    ax.text(HEAD_X, middle - REACH, label, fontsize=SMALL, ha="center", va="top", linespacing=1.25)


def _draw_loss(ax: Axes, net: CollaborativeNet, middles: list[float]) -> None:
    """Draw the box that joins the views, the ways into it, and the composite gradients out of it."""
    top, bottom = middles[0] + 0.55, middles[-1] - 0.55
    right = PAGE_WIDTH - 0.08
    box = FancyBboxPatch(
        (LOSS_X, bottom), right - LOSS_X, top - bottom,
        boxstyle="round,pad=0,rounding_size=0.08", facecolor="#f4f4f4", edgecolor=INK, linewidth=0.8,
    )  # fmt: skip
    ax.add_patch(box)
    lines = _loss_lines(net)
    first = (top + bottom) / 2 + sum(step for step, *_ in lines) / 2
    for step, text, size, weight in lines:
        first -= step
        ax.text((LOSS_X + right) / 2, first, text, fontsize=size, fontweight=weight, ha="center", va="baseline")
    for middle in middles:
        _arrow(ax, (HEAD_X + 0.1, middle + 0.06), (LOSS_X - 0.03, middle + 0.06))
        _arrow(
            ax, (LOSS_X - 0.03, middle - 0.06), (HEAD_X + 0.1, middle - 0.06), color=GRADIENT, linestyle=(0, (2.5, 1.5))
        )


def _loss_lines(net: CollaborativeNet) -> list[tuple[float, str, float, str]]:
    """Lines of the box: distance from the line above in inches, text, size and weight."""
    name = "Collaborative loss" if len(net.views) > 1 else "Loss"
    count = f"{len(net.views)} view{'s' if len(net.views) > 1 else ''}, {net.n_classes} classes"
    fit = "$-\\frac{1}{m}\\sum_{i}\\,\\sum_{c}\\,y_c\\,\\log h_c^{(i)}$"
    lines = [
        (0.14, name, 8, "bold"),
        (0.15, f"Eq. 12: {count}", SMALL, "normal"),
        (0.26, "fit to the class $y$", SMALL, "normal"),
        (0.22, fit, 7.8, "normal"),
    ]
    if len(net.views) > 1:
        agreement = "$-\\frac{1}{m(m-1)}\\sum_{i\\neq j}\\,\\sum_{c}\\,h_c^{(i)}\\log h_c^{(j)}$"
        lines += [(0.38, "agreement of the views", SMALL, "normal"), (0.22, agreement, 7.8, "normal")]
        lines += [(0.38, "prediction: mean of $h^{(i)}$", SMALL, "normal")]
    return lines


def _draw_legend(ax: Axes, net: CollaborativeNet) -> None:
    """One line below the lanes: what every block does, and what hatching, heavy lines and dashes mean."""
    y = 0.13
    rate = f"dropout {net.dropout:g} (hatched)" if net.dropout else "no dropout"
    text = f"Block: convolution, max pooling, batch norm, ReLU; {rate}. Bold: maps are read here."
    ax.text(0.02, y, text, fontsize=SMALL, ha="left", va="center", color=INK)
    _arrow(ax, (5.45, y), (5.1, y), color=GRADIENT, linestyle=(0, (2.5, 1.5)))
    name = "composite gradient" if len(net.views) > 1 else "gradient"
    ax.text(5.52, y, f"{name} of the loss", fontsize=SMALL, ha="left", va="center", color=GRADIENT)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], head: float = 5.0, **line: Any) -> None:
    look: Any = {"color": GREY, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0} | line
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=head, **look))


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape)
