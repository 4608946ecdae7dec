"""What a profile asks of each notebook, and what each executed notebook is made from."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nbformat
import papermill
import yaml

from gcamccl_core.kept_files import CHECKSUM, digest_file
from gcamccl_core.parameters import suggest
from gcamccl_core.provenance import fingerprint, hash_core, resolve, versions

NOTEBOOKS = Path("notebooks")
SOLUTIONS, EXERCISES = NOTEBOOKS / "solutions", NOTEBOOKS / "exercises"  # the latter is made from the former
OF_PAGES = ("benchmarks", "growth", "kills")  # small tables that pages quote, and no notebook reads
RUNS = Path("runs")
LAUNCH = "launch"  # tag of the cell that `make launch` writes; it is no part of a chapter


class ProfileError(ValueError):
    """A profile that asks for what no notebook knows; the message names the file and what was probably meant."""


@dataclass(frozen=True)
class Profile:
    """A named set of parameters, from ``profiles/<name>.yaml``."""

    name: str
    title: str
    parameters: Mapping[str, object]
    notebooks: Mapping[str, Mapping[str, object]]
    sweep: Mapping[str, object] = field(default_factory=dict)  # a grid, as workflow.sweep_grid reads it

    @property
    def run_folder(self) -> Path:
        """Where all that this profile makes is kept, relative to the project."""
        return RUNS / self.name


def notebook_names() -> list[str]:
    """Names of the chapters, in the order of their numbers."""
    return sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def declared(notebook: str) -> dict[str, object]:
    """Names and default values of a notebook's parameters; the value as text if it is not a literal."""
    return declared_in(NOTEBOOKS / f"{notebook}.ipynb")


def declared_in(path: Path) -> dict[str, object]:
    """Names and default values of the parameters of a notebook that may be no chapter."""
    found = papermill.inspect_notebook(str(path))
    return {name: yaml.safe_load(entry["default"]) for name, entry in found.items()}


def read_profile(name: str, folder: Path = Path("profiles")) -> Profile:
    """Read a profile and refuse what no notebook declares.

    Raises
    ------
    ProfileError
        If there is no such profile, or it holds an unknown section, notebook or parameter.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise ProfileError(f"there is no {path}; {suggest(name, sorted(p.stem for p in folder.glob('*.yaml')))}")
    content = yaml.safe_load(path.read_text()) or {}
    refuse_unknown(path, "section", content, ("title", "parameters", "notebooks", "sweep"))
    known = {notebook: declared(notebook) for notebook in notebook_names()}
    shared = content.get("parameters") or {}
    own = content.get("notebooks") or {}
    if "run_folder" in shared or any("run_folder" in given for given in own.values()):
        raise ProfileError(f"{path}: the run folder of a profile is always {RUNS / name}; leave run_folder out")
    refuse_unknown(path, "parameter", shared, sorted({name for names in known.values() for name in names}))
    refuse_unknown(path, "notebook", own, known)
    for notebook, given in own.items():
        refuse_unknown(path, f"parameter of {notebook}", given, known[notebook])
    return Profile(name, str(content.get("title", name)), shared, own, content.get("sweep") or {})


def refuse_unknown(path: Path, what: str, given: Iterable[object], known: Collection[object]) -> None:
    """Raise ProfileError at the first name that is not known, with the nearest one that is."""
    for name in given:
        if name not in known:
            raise ProfileError(f"{path}: unknown {what} '{name}'; {suggest(str(name), known)}")


def parameters_for(profile: Profile, notebook: str) -> dict[str, object]:
    """Give the values to inject: those that the notebook declares and that differ from its own defaults."""
    defaults = declared(notebook)
    asked = {**profile.parameters, **profile.notebooks.get(notebook, {}), "run_folder": profile.run_folder.as_posix()}
    return {name: value for name, value in asked.items() if name in defaults and defaults[name] != value}


def launched(cell: nbformat.NotebookNode) -> bool:
    """Tell whether a cell is the one that ``make launch`` writes."""
    return LAUNCH in cell.metadata.get("tags", [])


def read_chapter(path: Path) -> nbformat.NotebookNode:
    """Read a notebook without the cell that ``make launch`` writes, which is for other machines."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if not launched(cell)]
    return notebook


def hash_notebook(path: Path) -> str:
    """Fingerprint a chapter's cells, their kind, source and tags; outputs and counters do not count."""
    cells = read_chapter(path).cells
    return fingerprint([[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in cells])


def made_from(profile: Profile, notebook: str) -> dict[str, object]:
    """Say what an executed notebook depends on: a change in any of it makes the executed one stale."""
    parameters = parameters_for(profile, notebook)
    asked = {**declared(notebook), **parameters}
    cohort = Path(str(asked.get("cohort", "")))
    return {
        "notebook": hash_notebook(NOTEBOOKS / f"{notebook}.ipynb"),
        "parameters": parameters,
        "core": hash_core(),
        "tables": hash_tables(NOTEBOOKS / f"{notebook}.ipynb"),
        "cohort": cohort.as_posix(),
        "study": fingerprint_files(Path(str(asked["study"]))) if asked.get("study") else None,
        "data": hash_file(cohort),
        "versions": versions(),
    }


def hash_file(path: Path) -> str | None:
    """Fingerprint a file, which may be larger than memory; None if there is none."""
    if not path.is_file():
        return None
    found = path.stat()
    return _hash_unchanged(path.resolve(), found.st_size, found.st_mtime_ns)


@cache
def _hash_unchanged(path: Path, size: int, time: int) -> str:
    """Read a file once as long as its size and time are the same: every chapter asks."""
    return str(digest_file(path)[CHECKSUM])[:16]


def fingerprint_files(folder: Path) -> str:
    """Fingerprint the names, sizes and times of all files in a folder, which may be too large to read."""
    files = sorted(path for path in resolve(folder).rglob("*") if path.is_file())
    return fingerprint([[path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in files])


def tables_read(notebook: Path) -> list[Path]:
    """List the small tables that a notebook may read: those of the manifest, and of long runs if it speaks of them."""
    folders = [Path("data_manifest"), *([Path("results")] if 'resolve(\\"results' in notebook.read_text() else [])]
    return sorted(path for folder in folders for path in folder.glob("*.csv") if path.stem not in OF_PAGES)


def hash_tables(notebook: Path) -> str:
    """Fingerprint the small tables that a notebook may read."""
    return fingerprint([path.read_bytes() for path in tables_read(notebook)])


def write_if_changed(path: Path, content: object) -> Path:
    """Write JSON only if it would differ, so that the file's time says when its content last changed."""
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return path
