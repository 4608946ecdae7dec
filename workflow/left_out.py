"""Chapters that cannot be made of a cohort: they keep their words, say why they have no results, and stop no book.

A chapter says with ``need_view(data, "image")`` what it is about. Executed by hand on a cohort without such a view it
stops there; in a book it is left out.
"""

from __future__ import annotations

import html as markup
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import h5py
import nbformat

from gcamccl_core.provenance import resolve
from gcamccl_core.report.needed_views import say_missing
from workflow.profile import NOTEBOOKS

NEEDED = re.compile(r"""need_view\(\w+, ["'](\w+)["']\)""")
BOOK = Path("book")
FIGURE = re.compile(r"\{\{ +figure_(\w+)_alt +\}\}")
WORDS = "(not in this book)"
FONT = 'text-anchor="middle" font-family="sans-serif" font-size="11"'
SIZE = 'width="480" height="80" viewBox="0 0 480 80"'


def why_left_out(notebook: Path, parameters: Mapping[str, object]) -> str | None:
    """Say why a chapter cannot be made of its cohort; None if it can, or if its cohort is no file.

    Only the file's header is read.
    """
    path = resolve(str(parameters.get("cohort", "")))
    kinds = {
        kind
        for cell in nbformat.read(notebook, as_version=4).cells
        if cell.cell_type == "code"
        for kind in NEEDED.findall(cell.source)
    }
    if not kinds or not path.is_file():
        return None
    with h5py.File(path) as file:
        views = {name: [*range(held.ndim)] for name, held in file.items() if _role(held) == "view"}
    return say_missing(views, sorted(kinds))


def _role(held: h5py.Dataset) -> str:
    role = held.attrs.get("role", "")
    return role.decode() if isinstance(role, bytes) else str(role)


def write_left_out(notebook: Path, output: Path, parameters: Mapping[str, object], reason: str) -> None:
    """Write a chapter without results: its words and code as they are, and at the top why there are no more."""
    left = nbformat.read(notebook, as_version=4)
    for cell in left.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    said = "```{admonition} This chapter has no results in this book\n:class: note\n"
    said += f"It {reason}. Its code was not run.\n```"
    left.cells.insert(1, nbformat.v4.new_markdown_cell(said, id="left-out"))
    left.metadata["papermill"] = {"input_path": notebook.as_posix(), "parameters": dict(parameters), "left_out": reason}
    nbformat.write(left, output)


def left_out(executed: Iterable[Path]) -> list[Path]:
    """List the chapters, as they are in ``notebooks/``, that were left out of a run."""
    return [
        NOTEBOOKS / path.name
        for path in executed
        if "left_out" in nbformat.read(path, as_version=4).metadata.get("papermill", {})
    ]


def stand_in(numbers: Iterable[str], source: Path) -> dict[str, str]:
    """Give words for the numbers and figures of chapters that were left out, and draw a note in place of the latter.

    Parameters
    ----------
    numbers : iterable of str
        Names of the numbers that these chapters glue where they are executed; without any, nothing is done.
    source : pathlib.Path
        The book that is being laid out.

    Returns
    -------
    dict of str to str
        By the name that pages quote.
    """
    words = dict.fromkeys(numbers, WORDS)
    shown = [*sorted(BOOK.rglob("*.md")), *sorted((source / "notebooks").glob("*.ipynb"))] if words else []
    pages = "\n".join(path.read_text() for path in shown)
    for name in sorted(set(FIGURE.findall(pages))):
        picture = source / "figures" / f"{name}.svg"
        if not picture.is_file():
            said = "This figure is not in this book: the chapter that draws it cannot be made of this cohort."
            words |= {f"figure_{name}_alt": said, f"figure_{name}_caption": said}
            picture.parent.mkdir(exist_ok=True)
            picture.write_text(_draw(said))
    return words


def _draw(said: str) -> str:
    first, _, rest = said.partition(": ")
    lines = "".join(
        f'<text x="240" y="{y}" {FONT}>{markup.escape(text)}</text>' for y, text in ((35, first), (55, rest))
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" {SIZE}><rect width="480" height="80" fill="#eee"/>{lines}</svg>\n'
