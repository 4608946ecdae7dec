"""The form of a chapter's worked solutions, from which its exercises are made, and what breaks it."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

KINDS = ("Predict", "Change", "Break")
WIDEST, LONGEST = 88, 25  # columns that a page shows; lines that a reader can hold
QUOTED = re.compile(r"\{\{ +[A-Za-z_]\w* +\}\}")
DIRECTIVE = re.compile(r"^(?:`{3,}|:{3,})\{", re.MULTILINE)
FENCED = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.MULTILINE | re.DOTALL)
Cells = Sequence[NotebookNode]


class ExerciseError(ValueError):
    """Solutions that do not have the form from which exercises are made; names the notebook, the cell, and why."""


@dataclass(frozen=True)
class Exercise:
    """One exercise with its hint and its worked solution."""

    kind: str
    sentence: str
    task: str
    hint: str
    solution: Cells


@dataclass(frozen=True)
class Sheet:
    """The exercises of a chapter, as its solutions notebook holds them."""

    name: str
    opening: str
    setup: str
    exercises: tuple[Exercise, ...]
    kernel: NotebookNode


def read_sheet(path: Path) -> Sheet:
    """Read a solutions notebook.

    Raises
    ------
    ExerciseError
        At the first cell that breaks the form, which ``CONTRIBUTING.md`` describes.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (ValueError, nbformat.ValidationError) as fault:
        raise ExerciseError(f"{path} is no notebook: {fault}") from fault
    chapter = path.parent.parent / path.name
    _require(chapter.is_file(), path, None, f"there is no chapter {chapter}: give both the same name")
    of_chapter = nbformat.read(chapter, as_version=4)
    kernel = notebook.metadata.get("kernelspec")
    same_kernel = kernel is not None and kernel == of_chapter.metadata.get("kernelspec")
    _require(same_kernel, path, None, f"its metadata must name the same kernelspec as {chapter}")
    for number, cell in enumerate(notebook.cells, 1):
        _check_cell(path, number, cell)
    cells = list(enumerate(notebook.cells, 1))
    _require(len(cells) >= 2, path, None, "it must begin with a cell of words and one of set-up")
    _check_opening(path, cells[0][1], of_chapter.cells[0].source.splitlines()[0].removeprefix("# "))
    _require(_is(cells[1][1], "code", "setup"), path, 2, "it must be code with the tag 'setup' alone")
    exercises, rest = [], cells[2:]
    for kind in KINDS:
        exercise, rest = _take_exercise(path, kind, rest, after=len(cells) - len(rest))
        exercises.append(exercise)
    if rest:
        raise ExerciseError(f"{path}, cell {rest[0][0]}: nothing may follow the solution of '{KINDS[-1]}'")
    return Sheet(path.stem, notebook.cells[0].source, notebook.cells[1].source, tuple(exercises), kernel)


def _require(holds: bool, path: Path, number: int | None, reason: str) -> None:
    if not holds:
        raise ExerciseError(f"{path}{'' if number is None else f', cell {number}'}: {reason}")


def _is(cell: NotebookNode, kind: str, *tags: str) -> bool:
    return cell.cell_type == kind and tuple(cell.metadata.get("tags", ())) == tags


def _check_cell(path: Path, number: int, cell: NotebookNode) -> None:
    """Refuse what no cell may hold, whatever its place."""
    words = FENCED.sub("", cell.source)
    if cell.cell_type == "markdown":
        if {"hint", "solution"} & set(cell.metadata.get("tags", ())):
            heading = re.search(r"^#+ .*", words, re.MULTILINE)
            _require(heading is None, path, number, "hints and answers are folded, so they can hold no heading")
        if "hint" in cell.metadata.get("tags", ()):
            directive = DIRECTIVE.search(cell.source)
            _require(directive is None, path, number, "a hint is plain text, without a directive around it")
        if "solution" not in cell.metadata.get("tags", ()):
            quoted = QUOTED.search(cell.source)
            _require(quoted is None, path, number, f"{quoted and quoted[0]} would not be filled in in an exercise")
        return
    _require(cell.cell_type == "code", path, number, f"it is neither code nor markdown but {cell.cell_type}")
    empty = not cell.outputs and cell.execution_count is None
    _require(empty, path, number, "it has outputs or a counter: clear them, these notebooks are stored without")
    lines = cell.source.splitlines()
    _require(len(lines) <= LONGEST, path, number, f"it has {len(lines)} lines, at most {LONGEST} are allowed")
    wide = [str(at) for at, line in enumerate(lines, 1) if len(line) > WIDEST]
    _require(not wide, path, number, f"line {', '.join(wide)} is wider than {WIDEST} columns")
    try:
        ast.parse(cell.source)
    except SyntaxError as fault:
        raise ExerciseError(f"{path}, cell {number}: its code cannot be read: {fault}") from fault


def _check_opening(path: Path, cell: NotebookNode, title: str) -> None:
    _require(_is(cell, "markdown"), path, 1, "it must be markdown without tags")
    first = cell.source.partition("\n")[0]
    _require(first == f"# Exercises: {title}", path, 1, f"it must begin with '# Exercises: {title}', not '{first}'")
    _require(f"](../{path.name})" in cell.source, path, 1, f"it must link to its chapter as ../{path.name}")


def _take_exercise(path: Path, kind: str, cells: list[tuple[int, NotebookNode]], after: int) -> tuple[Exercise, list]:
    """Split the next exercise, its hint and its solution from the cells that are left."""
    here = after + 1
    _require(len(cells) >= 2, path, None, f"the exercise '## {kind}.' and its hint are missing after cell {after}")
    (_, task), (_, hint) = cells[:2]
    _require(_is(task, "markdown", "exercise"), path, here, f"the exercise '{kind}' must be here: markdown, 'exercise'")
    heading, _, words = task.source.partition("\n")
    found = re.fullmatch(rf"## {kind}\. (\S.*[.?])", heading)
    _require(found is not None, path, here, f"it must begin with '## {kind}. ' and a sentence, not '{heading}'")
    _require(bool(words.strip()), path, here, "the task is missing below its heading")
    _require(_is(hint, "markdown", "hint"), path, here + 1, "the hint must be here: markdown with the tag 'hint' alone")
    rest = cells[2:]
    taken = [cell for _, cell in rest]
    count = next((k for k, cell in enumerate(taken) if cell.metadata.get("tags") != ["solution"]), len(taken))
    solution = taken[:count]
    code = [cell.source for cell in solution if cell.cell_type == "code"]
    _require(1 <= len(code) <= 3, path, here, f"its solution has {len(code)} code cells; one to three carry 'solution'")
    answered = len(solution) > len(code)
    _require(answered, path, here, "its solution lacks the answer in words: markdown with the tag 'solution'")
    asserts = any(isinstance(node, ast.Assert) for text in code for node in ast.walk(ast.parse(text)))
    _require(asserts, path, here, "its solution asserts nothing: what it claims must be checked")
    return Exercise(kind, found[1] if found else "", task.source, hint.source, tuple(solution)), rest[count:]
