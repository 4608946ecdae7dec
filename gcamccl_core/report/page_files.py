"""Files that a page offers: tables to download as CSV, and views to turn, each in a frame."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import xarray as xr
from IPython.display import HTML, display

from gcamccl_core.kept_files import whole_file
from gcamccl_core.provenance import resolve
from gcamccl_core.report.disclosure import mask_small_counts

TABLES, VIEWS = "tables", "views"  # folders of a run, and below `_static` of its book
FROM_PAGE = "../_static"  # a chapter's page lies one folder below the book's


def files_of_pages(texts: Iterable[str], folder: str) -> set[str]:
    """Find which files of one of the folders above the pages with these texts link to or embed.

    Examples
    --------
    >>> sorted(files_of_pages(['<a href="../_static/tables/hubs.csv" download>'], TABLES))
    ['hubs.csv']
    """
    linked = re.compile(rf"{re.escape(FROM_PAGE)}/{folder}/([\w.-]+)")
    return {name for text in texts for name in linked.findall(text)}


def offer_table(table: pd.DataFrame, name: str, run_folder: str | Path, data: xr.Dataset, *, caption: str) -> Path:
    """Write a table as CSV into ``<run folder>/tables``, and show a link to it, for readers to download.

    Parameters
    ----------
    table : pandas.DataFrame
        Its index is left out unless it has a name.
    name : str
        File name without ending, of letters, digits and ``_``.
    run_folder : path
        The notebook's parameter.
    data : xarray.Dataset
        The cohort; of one under controlled access, counts of few people are hidden.
    caption : str
        What the table holds, for the link.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If the name cannot be a file's, or the caption is empty.

    Examples
    --------
    >>> import tempfile
    >>> open_data = xr.Dataset(attrs={"access": "open"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = offer_table(pd.DataFrame({"region": ["Cuneus"]}), "hubs", folder, open_data, caption="Hubs")
    ...     path.read_text().splitlines()
    <IPython.core.display.HTML object>
    ['region', 'Cuneus']
    """
    if not name.isidentifier():
        raise ValueError(f"a table's name is made of letters, digits and _, got {name!r}")
    if not caption.strip():
        raise ValueError(f"table '{name}' needs a caption")
    path = resolve(run_folder) / TABLES / f"{name}.csv"
    named = any(level is not None for level in table.index.names)
    with whole_file(path) as partial:
        mask_small_counts(table.reset_index() if named else table, data).to_csv(partial, index=False)
    size = f"{len(table)} row{'' if len(table) == 1 else 's'}"
    address = f"{FROM_PAGE}/{TABLES}/{path.name}"
    words = html.escape(caption.rstrip("."))
    display(HTML(f'<p class="table-file"><a href="{address}" download>{words} (CSV, {size})</a></p>'))
    return path


def embed_views(paths: Mapping[str, Path], *, caption: str, height: int = 560) -> None:
    """Show pages to turn and look at, one frame each, with a link that opens it by itself.

    Parameters
    ----------
    paths : mapping of str to path
        HTML files in ``<run folder>/views``, by title.
    caption : str
        What they show; with the title, a frame's name for readers who cannot see it.
    height : int
        Of a frame, in pixels.

    Raises
    ------
    ValueError
        If a file does not lie in a folder of that name, where the book would not find it.
    """
    frames = []
    for title, path in paths.items():
        if path.parent.name != VIEWS:
            raise ValueError(f"{path.name} must lie in the run's folder '{VIEWS}' for the book to show it")
        address, words = f"{FROM_PAGE}/{VIEWS}/{path.name}", html.escape(f"{caption.rstrip('.')}: {title}")
        frames.append(
            f'<iframe src="{address}" title="{words}" loading="lazy" '
            f'style="width: 100%; height: {height}px; border: 1px solid #ccc"></iframe>'
            f'<p><a href="{address}">{words} (open it by itself)</a></p>'
        )
    display(HTML("".join(frames)))
