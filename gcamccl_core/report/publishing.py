"""How a figure leaves a notebook: shown with alt text, or saved as SVG and PNG with alt text and caption beside it."""

from __future__ import annotations

import io
from pathlib import Path

from IPython.display import Image as ShownImage
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gcamccl_core.kept_files import whole_file
from gcamccl_core.provenance import write_json
from gcamccl_core.report.style import house_style

SCREEN_DPI = 100
RASTER_DPI = 150  # of the rasterised parts inside an SVG


def show_figure(drawn: Figure | Axes, alt: str) -> None:
    """Show a figure as the output of a notebook cell, with alt text for readers who cannot see it.

    The alt text travels in the output's metadata, where nbconvert finds it, and the built book through
    ``alt_text.py``.

    Parameters
    ----------
    drawn : Figure or Axes
        What a figure function returned.
    alt : str
        What the figure shows, in words and numbers.

    Raises
    ------
    ValueError
        If the alt text is empty.
    """
    display(ShownImage(data=render_png(drawn, alt), format="png", alt=alt))


def save_figure(
    drawn: Figure | Axes, name: str, folder: str | Path, *, alt: str, caption: str, dpi: int = SCREEN_DPI
) -> dict[str, Path]:
    """Write a figure as SVG and PNG, its alt text and caption as JSON, each whole; the same figure, the same files.

    Parameters
    ----------
    drawn : Figure or Axes
        What a figure function returned.
    name : str
        File name without ending.
    folder : path
        Usually ``runs/<profile>/figures``; made if need be.
    alt, caption : str
        What the figure shows; what stands below it.
    dpi : int
        Pixels per inch of the PNG.

    Returns
    -------
    dict of str to Path
        The files, by ``"svg"``, ``"png"`` and ``"json"``.

    Raises
    ------
    ValueError
        If alt text or caption is empty.

    Examples
    --------
    >>> import tempfile
    >>> from gcamccl_core.report.style import new_figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = save_figure(new_figure(1), "empty", folder, alt="An empty figure.", caption="Nothing.")
    ...     sorted(path.name for path in paths.values())
    ['empty.json', 'empty.png', 'empty.svg']
    """
    if not caption.strip():
        raise ValueError(f"figure '{name}' needs a caption")
    folder = Path(folder)
    paths = {kind: folder / f"{name}.{kind}" for kind in ("svg", "png", "json")}
    with whole_file(paths["png"]) as partial:
        partial.write_bytes(render_png(drawn, alt, dpi))
    with whole_file(paths["svg"]) as partial, house_style():
        about = {"Title": caption, "Description": alt, "Date": None}
        _figure_of(drawn).savefig(partial, format="svg", dpi=RASTER_DPI, metadata=about)
    write_json(paths["json"], {"name": name, "alt": alt, "caption": caption})
    return paths


def render_png(drawn: Figure | Axes, alt: str, dpi: int = SCREEN_DPI) -> bytes:
    """PNG of a figure with a palette of 128 colours, a quarter of the size, so that notebooks stay small."""
    if not alt.strip():
        raise ValueError("a figure needs alt text that says what it shows")
    full, small = io.BytesIO(), io.BytesIO()
    with house_style():
        _figure_of(drawn).savefig(full, format="png", dpi=dpi)
    about = PngInfo()
    about.add_itxt("Description", alt)
    palette = Image.open(full).convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette.save(small, format="png", optimize=True, pnginfo=about, dpi=(dpi, dpi))
    return small.getvalue()


def _figure_of(drawn: Figure | Axes) -> Figure:
    figure = drawn.figure if isinstance(drawn, Axes) else drawn
    while isinstance(figure, SubFigure):
        figure = figure.figure
    assert isinstance(figure, Figure)
    return figure
