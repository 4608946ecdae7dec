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
from typing import Any

import nbformat
import yaml

from gcamccl_core.disk_faults import StorageError, explain
from gcamccl_core.kept_files import CHECKSUM, DamagedFileError, read_sealed, write_sealed
from gcamccl_core.report.disclosure import DisclosureError
from workflow.controlled import offered_files, refuse_to_disclose
from workflow.execute import end_with_run
from workflow.exercise_form import ExerciseError
from workflow.exercises import lay_out_exercises
from workflow.intact import BASIS, CACHES, book_made_from, listed_files
from workflow.left_out import left_out, stand_in
from workflow.profile import Profile, declared, notebook_names, parameters_for, read_profile

BOOK = Path("book")
RESULTS = Path("results")
QUOTED = re.compile(r"\{\{ +([A-Za-z_]\w*) +\}\}")  # with blanks, which set it apart from braces in equations
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
        for name, value in _stamp(path).get("numbers", {}).items():
            _add(found, name, str(value), path)
    return {name: value for name, (value, _) in found.items()}


def _stamp(path: Path) -> dict[str, Any]:
    """Read a table's stamp; one that knows its checksum must agree with it."""
    held = json.loads(path.read_text())
    return read_sealed(path) if CHECKSUM in held else held


def figure_words(folder: Path) -> dict[str, str]:
    """Collect alt text and caption of every saved figure, as ``figure_<name>_alt`` and ``figure_<name>_caption``."""
    saved = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return {f"figure_{words['name']}_{part}": words[part] for words in saved for part in ("alt", "caption")}


def shared_parameters(profile: Profile) -> dict[str, str]:
    """Give the parameters that have one value in all chapters, as ``parameter_<name>``."""
    values: dict[str, set[str]] = {}
    for notebook in notebook_names():
        for name, value in {**declared(notebook), **parameters_for(profile, notebook)}.items():
            values.setdefault(f"parameter_{name}", set()).add(str(value))
    shared = {name: found.pop() for name, found in values.items() if len(found) == 1}
    if shared.get("parameter_cohort", "").endswith(".nc"):
        shared["parameter_label"] = "its own"  # of the file; the parameter is of other cohorts
    return shared


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


def fill_in(source: Path, numbers: Mapping[str, str]) -> None:
    """Replace every ``{{ name }}`` in pages and in the notebooks' prose, directive options included.

    Raises
    ------
    BookError
        If a name is unknown, naming every such name and the pages that quote it.
    """
    missing: dict[str, set[str]] = {}

    def replace(text: str, path: Path) -> str:
        for name in QUOTED.findall(text):
            if name not in numbers:
                missing.setdefault(name, set()).add(path.relative_to(source).as_posix())
        return QUOTED.sub(lambda match: numbers.get(match[1], match[0]), text)

    for path in sorted(source.rglob("*.md")):
        path.write_text(replace(path.read_text(), path))
    for path in sorted(source.rglob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            cell.source = replace(cell.source, path) if cell.cell_type == "markdown" else cell.source
        nbformat.write(notebook, path)
    if missing:
        wanted = "; ".join(f"'{name}' (in {', '.join(sorted(pages))})" for name, pages in missing.items())
        raise BookError(f"no notebook has glued, no table in {RESULTS}/ and no saved figure holds: {wanted}")


def assemble(profile: Profile) -> Path:
    """Fill ``runs/<profile>/source`` afresh and hand back the folder."""
    executed = [profile.run_folder / "notebooks" / f"{name}.ipynb" for name in notebook_names()]
    refuse_to_disclose(profile, executed)
    finished = profile.run_folder / "source"
    source = profile.run_folder / ".source.partial"  # takes its name when all is there: a kill leaves no half of a book
    shutil.rmtree(source, ignore_errors=True)
    basis = book_made_from(profile)
    shutil.copytree(BOOK, source, ignore=shutil.ignore_patterns(*CACHES))
    for path in executed:
        (source / "notebooks").mkdir(exist_ok=True)
        shutil.copy(path, source / "notebooks")
    lay_out_exercises(source, BOOK / "_toc.yml")
    figures = profile.run_folder / "figures"
    made = listed_files(profile.run_folder, executed)
    for path in sorted(path for path in made if path.parent == figures):  # none that an earlier chapter has left
        (source / "figures").mkdir(exist_ok=True)
        shutil.copy(path, source / "figures")
    for path in offered_files(profile.run_folder, executed):  # what pages offer or show in a frame, as it is
        (source / "_static" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, source / "_static" / path.parent.name)
    words = {
        **stand_in(glued_numbers(left_out(executed)), source),
        **shared_parameters(profile),
        **figure_words(source / "figures"),
        **stored_numbers(),
        **glued_numbers(executed),
    }
    fill_in(source, {**words, "profile": profile.name})
    config = yaml.safe_load((BOOK / "_config.yml").read_text())
    config["title"] = profile.title
    write_sealed(source / BASIS, basis)
    (source / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    shutil.rmtree(finished, ignore_errors=True)
    source.rename(finished)
    return finished


def main(name: str) -> None:
    """Lay out a profile's book, or say why not."""
    profile = read_profile(name)
    try:
        assemble(profile)
    except (BookError, DisclosureError, DamagedFileError, ExerciseError) as fault:
        sys.exit(f"cannot assemble the book: {fault}")
    except OSError as fault:
        said = fault if isinstance(fault, StorageError) else explain(fault, profile.run_folder / "source")
        if said is None:
            raise
        sys.exit(f"cannot assemble the book: {said.strerror}")


if __name__ == "__main__":
    end_with_run()
    main(sys.argv[1])
