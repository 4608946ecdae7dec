"""Make each chapter's exercise notebook, and the book's page of its exercises, from its worked solutions.

``python -m workflow.exercises`` writes ``notebooks/exercises/``; with ``--check`` it says which files are out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode

from gcamccl_core.kept_files import whole_file
from workflow.exercise_form import ExerciseError, Sheet, read_sheet
from workflow.profile import EXERCISES, SOLUTIONS, notebook_names

PLACE_FOR_CODE = "# Your code"


def exercise_notebook(sheet: Sheet) -> NotebookNode:
    """Give a chapter's exercises to work in: tasks, folded hints, and a place for code where the solution was."""
    cells = [_words("opening", sheet.opening), _code("setup", sheet.setup)]
    for exercise in sheet.exercises:
        name = exercise.kind.lower()
        folded = f"<details>\n<summary>Hint</summary>\n\n{exercise.hint.strip()}\n\n</details>"
        cells += [_words(name, exercise.task), _words(f"{name}-hint", folded), _code(f"{name}-code", PLACE_FOR_CODE)]
    return _notebook(cells, sheet)


def exercise_page(sheet: Sheet) -> NotebookNode:
    """Give the book's page: the same with hints, answers and code folded, and the exercise notebook to download."""
    offer = f"{{download}}`The exercises as a notebook, without the solutions <../exercises/{sheet.name}.ipynb>`"
    text = f"{sheet.opening}\n\n{offer}; it runs where this project is installed (`make setup`)."
    cells = [_words("opening", text), _code("setup", sheet.setup)]
    for exercise in sheet.exercises:
        name = exercise.kind.lower()
        cells += [_words(name, exercise.task), _words(f"{name}-hint", _dropdown("Hint", exercise.hint))]
        for number, cell in enumerate(exercise.solution, 1):
            if cell.cell_type == "code":
                cells.append(_code(f"{name}-solution-{number}", cell.source, "hide-cell"))
            else:
                cells.append(_words(f"{name}-solution-{number}", _dropdown("Answer", cell.source)))
    return _notebook(cells, sheet)


def _dropdown(title: str, text: str) -> str:
    """Fold text, with a fence longer than any that it holds."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{{dropdown}} {title}\n{text.strip()}\n{fence}"


def _words(name: str, text: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(text, id=name)


def _code(name: str, text: str, *tags: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(text, id=name, metadata={"tags": list(tags)} if tags else {})


def _notebook(cells: list[NotebookNode], sheet: Sheet) -> NotebookNode:
    metadata = {"kernelspec": sheet.kernel, "language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def text_of(notebook: NotebookNode) -> str:
    """Write a notebook as its file holds it; cells are named for their place, so the same solutions give the same."""
    return str(nbformat.writes(notebook)) + "\n"


def sheets(folder: Path = SOLUTIONS) -> list[Path]:
    """List the solutions notebooks."""
    return sorted(folder.glob("*.ipynb"))


def state_of(solutions: Path) -> str | None:
    """Say what is wrong with the exercise notebook of these solutions; None if it is what they give."""
    made = EXERCISES / solutions.name
    if not made.is_file():
        return "missing"
    current = made.read_text() == text_of(exercise_notebook(read_sheet(solutions)))
    return None if current else "out of date"


def orphans() -> list[Path]:
    """List exercise notebooks whose solutions are gone."""
    return [path for path in sheets(EXERCISES) if not (SOLUTIONS / path.name).is_file()]


def lay_out_exercises(source: Path, contents: Path) -> None:
    """Write the pages of exercises, and the notebooks that they offer, into the source of a book.

    Raises
    ------
    ExerciseError
        If the table of contents lists a page without solutions, or lacks one that there is.
    """
    pages = {f"{SOLUTIONS.as_posix()}/{path.stem}" for path in sheets()}
    listed = {name for name in _files_in(yaml.safe_load(contents.read_text())) if Path(name).parent == SOLUTIONS}
    if lacking := sorted(listed - pages):
        raise ExerciseError(f"{contents} lists {', '.join(lacking)}: write its solutions (.ipynb) or take it out")
    if unlisted := sorted(pages - listed):
        raise ExerciseError(f"{contents} does not list {', '.join(unlisted)}: add it below 'exercises'")
    for path in sheets():
        sheet = read_sheet(path)
        for place, notebook in ((SOLUTIONS, exercise_page(sheet)), (EXERCISES, exercise_notebook(sheet))):
            (source / place).mkdir(parents=True, exist_ok=True)
            (source / place / path.name).write_text(text_of(notebook))


def _files_in(contents: object) -> list[str]:
    """Collect what a table of contents lists, at any depth."""
    if isinstance(contents, list):
        return [name for each in contents for name in _files_in(each)]
    if not isinstance(contents, dict):
        return []
    own = [str(contents["file"])] if "file" in contents else []
    return own + [name for each in contents.values() for name in _files_in(each)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write all exercise notebooks, or say which are not what their solutions give."""
    parser = argparse.ArgumentParser(prog="python -m workflow.exercises", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a file is out of date")
    check = parser.parse_args(arguments).check
    faults = [f"{name} has no exercises: write {SOLUTIONS / name}.ipynb" for name in lacking_chapters()]
    for path in sheets():
        try:
            state = state_of(path)
            if state and check:
                faults.append(f"{EXERCISES / path.name} is {state}: run `make exercises`")
            elif state:
                EXERCISES.mkdir(exist_ok=True)
                with whole_file(EXERCISES / path.name) as partial:
                    partial.write_text(text_of(exercise_notebook(read_sheet(path))))
                print(f"wrote {EXERCISES / path.name}")
        except ExerciseError as fault:
            faults.append(str(fault))
    for path in orphans():
        if check:
            faults.append(f"{path} has no solutions any more: run `make exercises`, which removes it")
        else:
            path.unlink()
            print(f"removed {path}, whose solutions are gone")
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return 1 if faults else 0


def lacking_chapters() -> list[str]:
    """Name the chapters without solutions."""
    return sorted(set(notebook_names()) - {path.stem for path in sheets()})


if __name__ == "__main__":
    sys.exit(main())
