"""Lay out the book's source: prose, executed notebooks, figures, and the numbers that the prose quotes.

``python -m workflow.assemble PROFILE``
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import nbformat
import yaml

from workflow.profile import Profile, notebook_names, read_profile

BOOK = Path("book")
RESULTS = Path("results")
QUOTED = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
GLUED = "application/papermill.record/text/plain"


class BookError(ValueError):
    """A page that quotes a number which no run has made, or two runs that disagree on one."""


def glued_numbers(notebooks: Iterable[Path]) -> dict[str, str]:
    """Collect what executed notebooks glued (``myst_nb.glue``) as text, by name.

    Raises
    ------
    BookError
        If two notebooks glue unlike values under one name.
    """
    found: dict[str, tuple[str, Path]] = {}
    for path in notebooks:
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                name = output.get("metadata", {}).get("scrapbook", {}).get("name")
                text = output.get("data", {}).get(GLUED) or output.get("data", {}).get("text/plain")
                if name and text:
                    _add(found, name, _unquote(text), path)
    return {name: value for name, (value, _) in found.items()}


def stored_numbers(folder: Path = RESULTS) -> dict[str, str]:
    """Collect the numbers for prose that the stamps of long runs' tables hold, by name."""
    found: dict[str, tuple[str, Path]] = {}
    for path in sorted(folder.glob("*.json")):
        for name, value in json.loads(path.read_text()).get("numbers", {}).items():
            _add(found, name, str(value), path)
    return {name: value for name, (value, _) in found.items()}


def _add(found: dict[str, tuple[str, Path]], name: str, value: str, path: Path) -> None:
    if name in found and found[name][0] != value:
        raise BookError(f"'{name}' is {found[name][0]} in {found[name][1]} and {value} in {path}: rename one of them")
    found[name] = (value, path)


def _unquote(text: str) -> str:
    """Undo ``repr`` for text; numbers stay as they are written."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, str) else text


def quoted(source: Path) -> dict[str, list[str]]:
    """List the pages that quote each number as ``{{ name }}``, by name."""
    pages: dict[str, list[str]] = {}
    for path in sorted([*source.rglob("*.md"), *source.rglob("*.ipynb")]):
        text = path.read_text()
        if path.suffix == ".ipynb":
            cells = nbformat.reads(text, as_version=4).cells
            text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        for name in QUOTED.findall(text):
            pages.setdefault(name, []).append(path.relative_to(source).as_posix())
    return pages


def check_quoted(pages: Mapping[str, list[str]], numbers: Mapping[str, str]) -> None:
    """Refuse a book that quotes a number which nothing made.

    Raises
    ------
    BookError
        Naming every such number and the pages that quote it.
    """
    missing = [f"'{name}' (in {', '.join(sorted(set(where)))})" for name, where in pages.items() if name not in numbers]
    if missing:
        raise BookError(
            f"the book quotes numbers that no notebook has glued and no table in {RESULTS}/ holds: {'; '.join(missing)}"
        )


def assemble(profile: Profile) -> Path:
    """Fill ``runs/<profile>/source`` afresh and hand back the folder."""
    source = profile.run_folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(BOOK, source, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    executed = [profile.run_folder / "notebooks" / f"{name}.ipynb" for name in notebook_names()]
    for path in executed:
        (source / "notebooks").mkdir(exist_ok=True)
        shutil.copy(path, source / "notebooks")
    figures = profile.run_folder / "figures"
    if figures.is_dir():
        shutil.copytree(figures, source / "figures", ignore=shutil.ignore_patterns(".*"))
    numbers = {**stored_numbers(), **glued_numbers(executed), "profile": profile.name}
    pages = quoted(source)
    check_quoted(pages, numbers)
    config = yaml.safe_load((BOOK / "_config.yml").read_text())
    config["title"] = profile.title
    config["parse"]["myst_substitutions"] = {name: numbers[name] for name in sorted(pages)}
    (source / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return source


if __name__ == "__main__":
    try:
        assemble(read_profile(sys.argv[1]))
    except BookError as fault:
        sys.exit(f"cannot assemble the book: {fault}")
