"""A book of few pages that hold what pages of the book hold: tables, code, equations, figures, frames, what folds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from small_book import KERNEL, environment, write_book

WIDE = pd.DataFrame({f"a column with a long name, number {place}": range(3) for place in range(12)})
VIEW = """<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><title>A view</title></head><body><h1>A view</h1></body></html>
"""
FRAME = '<iframe src="../_static/views/view.html" title="A view" loading="lazy" style="width: 100%"></iframe>'
INDEX = """# Small pages

This page holds what a page of prose may hold, {doc}`notebooks/01_chapter` what a chapter may hold.

| A column | Another |
|---|---|
| `a_long_name_in_code_that_no_phone_is_wide_enough_for_unless_it_breaks` | {cite}`hu2021gcamccl` |
| a word | a [link](bibliography) |

A term in `a_long_name_in_code_that_no_phone_is_wide_enough_for_unless_it_breaks`
: is explained here.

$$ a = b + c + d + e + f + g + h + i + j + k + l + m + n + o + p + q + r + s + t + u + v + w + x + y + z $$ (eq-long)

```python
def a_function(with_one_parameter, and_another_parameter, and_one_more_parameter=None):  # a comment
    return f"{with_one_parameter} and {and_another_parameter}" if and_one_more_parameter is None else 42
```

```{admonition} A question
:class: dropdown

Its answer, after Eq. {eq}`eq-long`.
```

:::{dropdown} Another question
Another answer.
:::

```{warning}
Mind the gap.
```

```{figure} images/dot.svg
:alt: A dot.
A dot, with [a link](notebooks/01_chapter).
```
"""
DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="900" height="90"><circle cx="45" cy="45" r="40"/></svg>'
PAGES = {
    "index.md": INDEX,
    "bibliography.md": "# Bibliography\n\nThis page lists what the other pages cite.\n\n```{bibliography}\n```\n",
    "_toc.yml": "format: jb-book\nroot: index\nchapters:\n- file: notebooks/01_chapter\n- file: bibliography\n",
    "_static/views/view.html": VIEW,
    "images/dot.svg": DOT,
}


def chapter() -> nbformat.NotebookNode:
    """Give an executed notebook whose cells have printed, shown a table and a frame, failed, and been hidden."""
    table = new_output("execute_result", {"text/html": WIDE._repr_html_(), "text/plain": "a table"}, execution_count=1)
    frame = new_output("display_data", {"text/html": FRAME, "text/plain": "a frame"})
    wide = new_output("stream", name="stdout", text="printed " * 40)
    failed = new_output("error", ename="ValueError", evalue="no such class", traceback=["ValueError: no such class"])
    cells = [
        new_markdown_cell("# A chapter\n\nIt says what the agreement term rewards, in a sentence or two.\n\n$$ x^2 $$"),
        new_code_cell("import numpy as np  # whose name is short\n\nWIDE", outputs=[wide, table]),
        new_code_cell("show_the_frame()", outputs=[frame]),
        new_code_cell("1 / 0", outputs=[failed], metadata={"tags": ["raises-exception"]}),
        *(new_code_cell(f"'{tag}'", metadata={"tags": [tag]}) for tag in ("hide-input", "hide-cell")),
    ]
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def render_small_pages(folder: Path) -> Path:
    """Write the pages with the real settings of the book, render them, and hand back the folder of HTML.

    Raises
    ------
    RuntimeError
        With what the renderer said, if it warned.
    """
    source = folder / "source"
    write_book(source, PAGES)
    (source / "notebooks").mkdir()
    nbformat.write(chapter(), source / "notebooks" / "01_chapter.ipynb")
    program = str(Path(sys.executable).parent / "jupyter-book")
    command = [program, "build", str(source), "-W", "--keep-going", "--nitpick", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return source / "_build" / "html"
