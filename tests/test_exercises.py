"""Exercises: their form, what is made from the solutions, and that every solution holds what it claims."""

import os
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from small_book import ROOT, SHEETS, notebook, words

from workflow.exercise_form import KINDS, ExerciseError, read_sheet
from workflow.exercises import exercise_notebook, exercise_page, lay_out_exercises, main, text_of

SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CONTENTS = ROOT / "book" / "_toc.yml"
sheets_of_the_book = pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """Two chapters with their solutions, as the folder in which commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    for name, sheet in SHEETS.items():
        title = name.split("_")[1].capitalize()
        nbformat.write(notebook(title, "seed: int = 0", "seed"), tmp_path / "notebooks" / f"{name}.ipynb")
        nbformat.write(sheet, tmp_path / "notebooks" / "solutions" / f"{name}.ipynb")
    return tmp_path


def first_sheet(project: Path) -> Path:
    return project / "notebooks" / "solutions" / "01_first.ipynb"


def test_an_exercise_notebook_has_tasks_folded_hints_and_nothing_of_the_solutions(project):
    made = exercise_notebook(read_sheet(first_sheet(project)))
    nbformat.validate(made)
    kinds = ["markdown", "code", *["markdown", "markdown", "code"] * 3]
    assert [cell.cell_type for cell in made.cells] == kinds
    assert [cell.source for cell in made.cells if cell.cell_type == "code"][1:] == ["# Your code"] * 3
    assert made.cells[3].source.startswith("<details>\n<summary>Hint</summary>\n\nCount on")  # blank: it is markdown
    for told in ("total", "since", "longer", "refuses", "assert"):
        assert told not in text_of(made)
    assert made.metadata.kernelspec.name == "python3"


def test_the_same_solutions_give_the_same_file_whatever_their_cells_are_called(project):
    path = first_sheet(project)
    before = text_of(exercise_notebook(read_sheet(path)))
    renamed = nbformat.read(path, as_version=4)
    for number, cell in enumerate(renamed.cells):
        cell.id = f"other-{number}"
    nbformat.write(renamed, path)
    assert text_of(exercise_notebook(read_sheet(path))) == before


def test_a_page_folds_hint_answer_and_code_and_offers_the_notebook(project):
    made = exercise_page(read_sheet(first_sheet(project).with_name("02_second.ipynb")))
    nbformat.validate(made)
    assert "<../exercises/02_second.ipynb>`" in made.cells[0].source
    answers = [cell.source for cell in made.cells if "{dropdown} Answer" in cell.source]
    assert answers[0].startswith("````{dropdown} Answer\n")  # longer than the fence inside
    assert answers[0].endswith("```\n````")
    assert [cell.source.count("{dropdown} Hint") for cell in made.cells].count(1) == 3
    folded = [cell.source for cell in made.cells if cell.metadata.get("tags") == ["hide-cell"]]
    assert [text.count("assert") for text in folded] == [1, 0, 1, 0, 1]
    assert made.cells[1].source.startswith("import math")
    assert "hide-cell" not in made.cells[1].metadata.get("tags", [])


def replace(number, text):
    return lambda cells: cells[number - 1].update(source=text)


def tag(number, *tags):
    return lambda cells: cells[number - 1].metadata.update(tags=list(tags))


def remove(number):
    return lambda cells: cells.pop(number - 1)


def cut_after(number):
    return lambda cells: cells.__delitem__(slice(number, None))


WRONG = {
    "title": (replace(1, "# Exercises: Other\n"), "cell 1: it must begin with '# Exercises: First', not"),
    "no link": (replace(1, "# Exercises: First\n"), "cell 1: it must link to its chapter as ../01_first.ipynb"),
    "set-up": (tag(2), "cell 2: it must be code with the tag 'setup' alone"),
    "order": (replace(3, "## Change. It?\n\nDo."), "cell 3: it must begin with '## Predict. ' and a sentence"),
    "no sentence": (replace(3, "## Predict. \n\nDo."), "cell 3: it must begin with '## Predict. '"),
    "no task": (replace(3, "## Predict. What is it?\n"), "cell 3: the task is missing below its heading"),
    "no hint": (remove(4), "cell 4: the hint must be here"),
    "hint in a directive": (replace(4, "```{hint}\nCount.\n```"), "cell 4: a hint is plain text"),
    "number": (replace(4, "It is {{ best }}."), r"cell 4: \{\{ best \}\} would not be filled in"),
    "no code": (remove(5), "cell 3: its solution has 0 code cells; one to three"),
    "no assertion": (replace(5, "sum(numbers)"), "cell 3: its solution asserts nothing"),
    "no words": (remove(6), "cell 3: its solution lacks the answer in words"),
    "heading": (replace(6, "Four.\n\n### Why\n"), "cell 6: hints and answers are folded, so they can hold no heading"),
    "wide": (replace(5, "assert True\n\nassert " + "1 + " * 30 + "1"), "cell 5: line 3 is wider than 88 columns"),
    "long": (replace(5, "assert True\n" * 26), "cell 5: it has 26 lines, at most 25"),
    "syntax": (replace(5, "assert ("), "cell 5: its code cannot be read"),
    "outputs": (lambda cells: cells[4].update(execution_count=3), "cell 5: it has outputs or a counter"),
    "one missing": (
        lambda cells: cells.__delitem__(slice(11, None)),
        "the exercise '## Break.' .* missing after cell 11",
    ),
    "one too many": (lambda cells: cells.append(words("And more.")), "cell 17: nothing may follow the solution"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_breaks_the_form_is_named_with_its_cell(project, wrong, capsys):
    change, said = WRONG[wrong]
    path = first_sheet(project)
    broken = nbformat.read(path, as_version=4)
    change(broken.cells)
    nbformat.write(broken, path)
    with pytest.raises(ExerciseError, match=rf"01_first\.ipynb.*{said}"):
        read_sheet(path)
    assert main([]) == 1
    assert "01_first.ipynb" in capsys.readouterr().err
    assert [made.stem for made in (project / "notebooks" / "exercises").iterdir()] == ["02_second"]


def test_solutions_of_no_chapter_or_for_another_kernel_are_refused(project):
    path = first_sheet(project)
    other = path.rename(path.with_name("03_third.ipynb"))
    with pytest.raises(ExerciseError, match=r"there is no chapter .*03_third.ipynb: give both the same name"):
        read_sheet(other)
    sheet = nbformat.read(other, as_version=4)
    sheet.metadata.kernelspec.name = "another"
    nbformat.write(sheet, path)
    with pytest.raises(ExerciseError, match="must name the same kernelspec"):
        read_sheet(path)
    path.write_text("{}")
    with pytest.raises(ExerciseError, match=r"01_first.ipynb is no notebook"):
        read_sheet(path)


def test_the_command_writes_what_changed_and_says_what_is_out_of_date(project, capsys):
    assert main(["--check"]) == 1
    assert "notebooks/exercises/01_first.ipynb is missing: run `make exercises`" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0
    made = project / "notebooks" / "exercises" / "01_first.ipynb"
    before = made.stat().st_mtime_ns
    assert main([]) == 0
    assert made.stat().st_mtime_ns == before
    made.write_text(made.read_text().replace("Your code", "My code"))
    assert main(["--check"]) == 1
    assert "01_first.ipynb is out of date" in capsys.readouterr().err
    first_sheet(project).unlink()
    assert main([]) == 1  # a chapter without exercises is said as well
    assert "01_first has no exercises: write notebooks/solutions/01_first.ipynb" in capsys.readouterr().err
    assert not made.exists()


def test_a_book_lists_the_page_of_every_sheet_and_no_other(project):
    contents = project / "_toc.yml"
    listed = ["notebooks/solutions/01_first", "notebooks/solutions/02_second", "notebooks/02_second"]
    contents.write_text(yaml.safe_dump({"root": "index", "parts": [{"chapters": [{"file": name} for name in listed]}]}))
    lay_out_exercises(project / "source", contents)
    assert sorted(path.stem for path in (project / "source/notebooks/solutions").iterdir()) == ["01_first", "02_second"]
    offered = project / "source" / "notebooks" / "exercises" / "01_first.ipynb"
    assert offered.read_text() == text_of(exercise_notebook(read_sheet(first_sheet(project))))
    kept = first_sheet(project).read_text()
    first_sheet(project).unlink()
    with pytest.raises(ExerciseError, match=r"_toc.yml lists notebooks/solutions/01_first: write its solutions"):
        lay_out_exercises(project / "source", contents)
    first_sheet(project).write_text(kept)
    contents.write_text(yaml.safe_dump({"chapters": [{"file": listed[0]}]}))
    with pytest.raises(ExerciseError, match=r"_toc.yml does not list notebooks/solutions/02_second"):
        lay_out_exercises(project / "source", contents)


def test_every_chapter_has_solutions_and_a_page_in_the_table_of_contents():
    chapters = [path.stem for path in CHAPTERS]
    assert [path.stem for path in SOLUTIONS] == chapters
    assert re.findall(r"file: notebooks/solutions/(\w+)", CONTENTS.read_text()) == chapters


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_teaching_guide_has_every_chapter_with_the_time_that_it_says_it_takes(path):
    guide = (ROOT / "book" / "teaching.md").read_text()
    opening = nbformat.read(path, as_version=4).cells[0].source
    time = re.search(r"^\*([^*\n]*minutes?\b[^*\n]*)\*$", opening, re.MULTILINE)[1]
    assert f"| {{doc}}`notebooks/{path.stem}` | {time} |" in guide
    assert guide.count(f"<notebooks/{path.stem}>`") >= 2, "a plan, and what people believe"


@sheets_of_the_book
def test_an_exercise_notebook_is_what_its_solutions_give(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    made = ROOT / "notebooks" / "exercises" / path.name
    assert made.is_file(), "run `make exercises`"
    assert made.read_text() == text_of(exercise_notebook(read_sheet(path))), "run `make exercises`"


@sheets_of_the_book
def test_a_chapter_names_the_same_three_exercises_and_links_to_them(path):
    chapter = nbformat.read(ROOT / "notebooks" / path.name, as_version=4)
    prose = "\n\n".join(cell.source for cell in chapter.cells if cell.cell_type == "markdown")
    section = re.search(r"^## Exercises\n(.*?)(?=^## |\Z)", prose, re.MULTILINE | re.DOTALL)[1]
    named = re.findall(r"^\d\. \*\*(\w+)\.\*\*\s+(.*?)(?=\n\d\. |\n\n|\Z)", section, re.MULTILINE | re.DOTALL)
    sheet = read_sheet(path)
    assert [(kind, " ".join(text.split())) for kind, text in named] == [
        (exercise.kind, exercise.sentence) for exercise in sheet.exercises
    ]
    assert [kind for kind, _ in named] == list(KINDS)
    assert f"(solutions/{path.name})" in section
    assert "{dropdown}" not in section, "answers are on the page of exercises"


@pytest.mark.slow
@sheets_of_the_book
def test_solutions_run_offline_and_hold_what_they_claim(path, alone, monkeypatch):
    """From a clean kernel in their own folder; nothing is written there, and no address can be reached."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # beside other work two threads wait for one another
    before = files_of(ROOT / "notebooks")
    sheet = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": path.parent}}
    NotebookClient(sheet, timeout=600, startup_timeout=300, kernel_name="python3", resources=where).execute()
    assert files_of(ROOT / "notebooks") == before


def files_of(folder: Path) -> dict[str, int]:
    found = (os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)
    return {name: os.stat(name).st_mtime_ns for name in found if "__pycache__" not in name}
