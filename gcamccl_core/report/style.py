"""How the book's figures look: sizes, type, and colours that hold for colour-blind readers and in grey print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PAGE_WIDTH = 7.0  # inches: the book's text column
SMALL = 6.8  # points: the smallest type that reads at the book's column width
SEQUENTIAL = "cividis"
DIVERGING = "RdBu_r"
GREY = "#8c8c8c"
INK = "#262626"
HIGHLIGHT = "#CC79A7"  # planted truth and other references; no class has this colour

_CLASS_COLORS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito 2008
_CLASS_HATCHES = ("", "////", "....", "xx", "\\\\\\\\", "++")
_CLASS_MARKERS = ("o", "s", "^", "D", "v", "P")

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # travels with matplotlib, so that figures are the same everywhere
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "gcam-ccl",  # the same figure gives the same file
}


@dataclass(frozen=True)
class Look:
    """How one class is drawn: never by colour alone."""

    color: str
    hatch: str
    marker: str


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the book's style inside this context, or as a decorator; matplotlib's settings come back afterwards.

    Examples
    --------
    >>> before = mpl.rcParams["font.size"]
    >>> with house_style():
    ...     mpl.rcParams["font.size"]
    8.5
    >>> mpl.rcParams["font.size"] == before
    True
    """
    with mpl.rc_context(_SETTINGS):
        yield


def class_looks(classes: Sequence[str]) -> dict[str, Look]:
    """Colour, hatch and marker of every class, fixed by the number of the class.

    Raises
    ------
    ValueError
        If there are more classes than looks that can be told apart.

    Examples
    --------
    >>> class_looks(["low", "high"])["high"]
    Look(color='#D55E00', hatch='////', marker='s')
    """
    if len(classes) > len(_CLASS_COLORS):
        raise ValueError(f"figures tell at most {len(_CLASS_COLORS)} classes apart, got {len(classes)}; draw fewer")
    looks = map(Look, _CLASS_COLORS, _CLASS_HATCHES, _CLASS_MARKERS)
    return {str(name): look for name, look in zip(classes, looks, strict=False)}


def new_figure(height: float, width: float = PAGE_WIDTH) -> Figure:
    """Empty figure of the book's width, in inches, that no global list keeps alive."""
    return Figure(figsize=(width, height), layout="constrained")


def axes_or_new(ax: Axes | None, height: float, width: float = PAGE_WIDTH) -> Axes:
    """Hand on the axes to draw in, or those of a new figure."""
    return new_figure(height, width).subplots() if ax is None else ax


def pretty(name: str) -> str:
    """Readable form of an identifier: ``guided_grad_cam`` becomes ``guided Grad-CAM``.

    Examples
    --------
    >>> pretty("guided_grad_cam"), pretty("class_contrast"), pretty("grad_cam_relu")
    ('guided Grad-CAM', 'class contrast', 'Grad-CAM (Eq. 10)')
    """
    known = {"grad_cam": "Grad-CAM", "grad_cam_relu": "Grad-CAM (Eq. 10)", "guided_grad_cam": "guided Grad-CAM"}
    known |= {"fc": "functional connectivity", "snp": "SNPs", "cam": "CAM", "t_test": "t-test"}
    return known.get(name, name.replace("_", " "))
