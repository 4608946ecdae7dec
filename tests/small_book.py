"""A project of two small notebooks and their exercises with the real workflow, and how it is run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
ROOT = Path(__file__).parent.parent
FOLDERS = ("workflow", "gcamccl_core")  # the real ones
PAGES = {
    "index.md": "# Small\n\nThe best is {{ best }}, see {doc}`notebooks/02_second` and {cite}`hu2021gcamccl`.\n\n"
    "$$ a = b $$ (eq-one)\n\nEquation {eq}`eq-one`.\n\n"
    "```{figure} figures/dot.svg\n:alt: A dot.\nA dot.\n```\n",
    "bibliography.md": "# Bibliography\n\n```{bibliography}\n```\n",
    "_toc.yml": "format: jb-book\nroot: index\nchapters:\n"
    "- file: notebooks/01_first\n- file: notebooks/02_second\n- file: bibliography\n"
    "- file: notebooks/solutions/01_first\n- file: notebooks/solutions/02_second\n",
}
DRAW = """from pathlib import Path
from myst_nb import glue
glue("best", f"{0.5 + seed:.2f}", display=False)
folder = Path("../runs/demo/figures")
folder.mkdir(parents=True, exist_ok=True)
(folder / "dot.svg").write_text(
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle cx="4" cy="4" r="3"/></svg>')
(folder / "result.png").write_bytes(b"the picture of this run")"""


def words(text: str, *tags: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_markdown_cell(text, metadata={"tags": list(tags)} if tags else {})


def code(text: str, *tags: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(text, metadata={"tags": list(tags)} if tags else {})


def solutions(name: str, title: str, answer: str = "It is four, since $2 + 2 = 4$.") -> nbformat.NotebookNode:
    """Give a sheet in the agreed form; only the answer of the first exercise can be chosen."""
    cells = [
        words(f"# Exercises: {title}\n\nThey belong to [the chapter](../{name}.ipynb)."),
        code("import math\n\nnumbers = [2, 2]", "setup"),
        words("## Predict. What is the sum?\n\nWrite it down, then compute it.", "exercise"),
        words("Count on your fingers, as `numbers` says.", "hint"),
        code("total = sum(numbers)\nassert total == 4", "solution"),
        words(answer, "solution"),
        words("## Change. Take three numbers.\n\nWhat changes?", "exercise"),
        words("A list can grow.", "hint"),
        code("longer = [*numbers, 2]", "solution"),
        words("Now there are three:", "solution"),
        code("assert math.prod(longer) == 8", "solution"),
        words("## Break. Divide by nothing.\n\nWhat does Python say?", "exercise"),
        words("Nothing is zero.", "hint"),
        code("try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    said = str(error)", "solution"),
        code('assert "division by zero" in said', "solution"),
        words("It refuses.", "solution"),
    ]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


FENCED = "It is four:\n\n```python\n# a comment, no heading\n2 + 2\n```"
SHEETS = {
    "01_first": solutions("01_first", "First"),
    "02_second": solutions("02_second", "Second", answer=FENCED),
}


def notebook(title: str, *sources: str) -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_markdown_cell(f"# {title}\n\n$$ x^2 $$")]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    cells[1].metadata["tags"] = ["parameters"]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def write_book(folder: Path, pages: Mapping[str, str]) -> None:
    """Write pages beside the real settings, styles and scripts of the book."""
    for name in ("_static", "_extensions"):
        shutil.copytree(ROOT / "book" / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "references.bib"):
        shutil.copy(ROOT / "book" / name, folder)
    for name, text in pages.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def run(project: Path, target: str, profile: str = "demo") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "workflow.run", target, profile]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, env=environment())


def environment() -> dict[str, str]:
    """Have the programs beside this Python found first, as under make."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def write_project(folder: Path) -> Path:
    """Set up a project of two small notebooks with the real workflow and the real settings of the book."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    for name in ("notebooks", "profiles"):
        (folder / name).mkdir()
    write_book(folder / "book", PAGES)
    (folder / "profiles" / "demo.yaml").write_text("title: Small\nparameters: {seed: 0}\nnotebooks: {}\n")
    nbformat.write(notebook("First", "seed: int = 0  # which", "seed"), folder / "notebooks" / "01_first.ipynb")
    nbformat.write(notebook("Second", "seed: int = 0", DRAW), folder / "notebooks" / "02_second.ipynb")
    (folder / "notebooks" / "solutions").mkdir()
    for name, sheet in SHEETS.items():
        nbformat.write(sheet, folder / "notebooks" / "solutions" / f"{name}.ipynb")
    return folder
