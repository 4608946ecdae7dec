"""Runs that were executed, by the workflow or by papermill alone, for ``make compare`` and ``make crate`` to read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat

from gcamccl_core.kept_files import DamagedFileError
from gcamccl_core.parameters import suggest
from gcamccl_core.provenance import resolve
from gcamccl_core.report.disclosure import find_disclosures, refuse_disclosures
from gcamccl_core.report.shown_tables import tables_in_html
from workflow.assemble import glued_numbers
from workflow.controlled import controlled_subjects, offered_files
from workflow.intact import stamp_of
from workflow.profile import NOTEBOOKS, RUNS, declared_in

OWN = ("core", "data", "date", "machine")  # rows of a chapter's closing stamp beside parameters and versions


class RunError(ValueError):
    """A run that is not there, has no executed chapter, or is the same as the one it is to be compared with."""


@dataclass(frozen=True)
class Run:
    """Executed chapters and the folder of their figures and tables.

    Parameters
    ----------
    name : str
        As it was asked for, or the name of its folder.
    folder : pathlib.Path
        The run folder.
    chapters : dict of str to pathlib.Path
        The executed notebooks, by the name of the chapter that they were executed from.
    """

    name: str
    folder: Path
    chapters: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def parameters(self) -> dict[str, dict[str, object]]:
        """Values of each chapter's parameters, its run folder left out."""
        found = {}
        for chapter, path in self.chapters.items():
            given = nbformat.read(path, as_version=4).metadata.get("papermill", {}).get("parameters", {})
            found[chapter] = {**declared_in(path), **given}
            found[chapter].pop("run_folder", None)
        return found

    @cached_property
    def stamps(self) -> dict[str, dict[str, Any]]:
        """What each chapter says it was made with in its closing cell: core, data, date, versions; empty if nothing."""
        return {chapter: _closing(path, self.parameters[chapter]) for chapter, path in self.chapters.items()}

    @cached_property
    def numbers(self) -> dict[str, dict[str, str]]:
        """The numbers that each chapter glued, by their names."""
        return {chapter: glued_numbers([path]) for chapter, path in self.chapters.items()}

    @cached_property
    def subjects(self) -> set[str] | None:
        """Ids of everybody under controlled access whom a chapter reads; None if all that it reads is open."""
        found = [controlled_subjects(each) for each in self.parameters.values()]
        people = {name for names in found if names for name in names}
        return people if any(names is not None for names in found) else None

    def figures(self) -> list[Path]:
        """Figures of these chapters, by their stamps or as shown in them; PNG, or SVG where that is all."""
        every = sorted((self.folder / "figures").glob("*.*"))
        listed = self._listed()
        kept = [path for path in every if (self._shows(path) if listed is None else path in listed)]
        pictures = {path.stem: path for path in kept if path.suffix == ".svg"}
        return list({**pictures, **{path.stem: path for path in kept if path.suffix == ".png"}}.values())

    def tables(self) -> list[Path]:
        """Tables (CSV) that these chapters offer."""
        return [path for path in offered_files(self.folder, list(self.chapters.values())) if path.suffix == ".csv"]

    def _listed(self) -> set[Path] | None:
        """List what the chapters' stamps say they made; None if one has no stamp, as after papermill alone."""
        try:
            stamps = [stamp_of(path) for path in self.chapters.values()]
        except DamagedFileError:
            return None
        return {self.folder / name for stamp in stamps for name in stamp["files"]}

    def _shows(self, figure: Path) -> bool:
        """Say by its alt text whether a chapter shows a figure; others, and figures without words, are not compared."""
        words = figure.with_suffix(".json")
        alt = json.loads(words.read_text())["alt"] if words.is_file() else ""
        return bool(alt) and any(
            json.dumps(alt, ensure_ascii=False)[1:-1] in path.read_text() for path in self.chapters.values()
        )

    def refuse_to_disclose(self) -> None:
        """Refuse what shows people.

        Raises
        ------
        RunError
            If a chapter's cohort file is not there any more, so that nobody can tell whose data they were.
        DisclosureError
            If the chapters of a controlled cohort show what a book of it would be refused for.
        """
        for given in self.parameters.values():
            cohort = str(given.get("cohort", ""))
            if cohort.endswith(".nc") and not resolve(cohort).is_file():
                raise RunError(
                    f"{self.name} was made of {cohort}, which is not there: whether its people may be shown is not "
                    "known. Put the file back."
                )
        if self.subjects is not None:
            paths = list(self.chapters.values())
            refuse_disclosures(
                find_disclosures(paths, self.folder / "figures", self.subjects, files=offered_files(self.folder, paths))
            )


def _closing(path: Path, parameters: Iterable[str]) -> dict[str, Any]:
    for cell in reversed(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "code" and "stamp_table(" in cell.source:
            shown = "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
            rows = {row[0].text: row[1].text for table in tables_in_html(shown) for row in table.rows if len(row) == 2}
            versions = {name: value for name, value in rows.items() if name not in (*parameters, *OWN, "run_folder")}
            return {**{name: rows.get(name) for name in OWN}, "versions": versions}
    return {}


def find_run(asked: str) -> Run:
    """Find a run by its profile's name, its folder, or one executed notebook.

    Parameters
    ----------
    asked : str
        ``demo``, ``runs/demo``, or the path of a notebook that papermill wrote.

    Returns
    -------
    Run
        With its executed chapters.

    Raises
    ------
    RunError
        If there is no such run (with names that are near), or none of its chapters has been executed.

    Examples
    --------
    >>> find_run("nobody's")
    Traceback (most recent call last):
    workflow.executed_runs.RunError: there is no run "nobody's"...
    """
    path = Path(asked)
    if path.suffix == ".ipynb":
        return _of_notebook(path)
    folder = path if path.is_dir() and "/" in asked.strip("/") else RUNS / asked
    if not folder.is_dir():
        known = sorted(each.parent.name for each in RUNS.glob("*/notebooks"))
        said = suggest(asked, known) if known else "no profile has been run yet: make book PROFILE=demo"
        raise RunError(f"there is no run {asked!r}, neither {folder} nor a notebook of that name; {said}")
    chapters = {each.stem: each for each in sorted((folder / "notebooks").glob("*.ipynb"))}
    if not chapters:
        beside = sorted(RUNS.glob("*.ipynb"))
        hint = f", or name the notebook that papermill wrote ({', '.join(map(str, beside))})" if beside else ""
        raise RunError(f"{folder} has no executed chapters: make book PROFILE={folder.name}{hint}")
    return Run(folder.name, folder, chapters)


def _of_notebook(path: Path) -> Run:
    """Read one executed notebook; papermill notes from which it came, and its parameters say where its figures lie."""
    if not path.is_file():
        known = [each.as_posix() for each in sorted(RUNS.glob("*.ipynb"))]
        raise RunError(f"there is no {path}; {suggest(str(path), known) if known else 'papermill wrote none in runs/'}")
    noted = nbformat.read(path, as_version=4).metadata.get("papermill", {})
    if not noted.get("end_time"):
        raise RunError(f"{path} has not been executed: papermill {path} runs/mine.ipynb --cwd {NOTEBOOKS} writes one")
    if noted.get("exception"):
        raise RunError(f"{path} stopped at an error, so it has no results; execute it again")
    given = {**declared_in(path), **noted.get("parameters", {})}
    chapter = Path(noted.get("input_path") or path.name).stem
    return Run(path.stem, resolve(str(given.get("run_folder", path.parent))), {chapter: path})
