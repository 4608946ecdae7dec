"""Say what is stale: ``python -m workflow.status``."""

from __future__ import annotations

from pathlib import Path

import nbformat

from gcamccl_core.kept_files import DamagedFileError
from gcamccl_core.provenance import hash_core, what_changed
from workflow import kills
from workflow.benchmarks import states
from workflow.exercise_form import ExerciseError
from workflow.exercises import sheets, state_of
from workflow.intact import book_changes, fault_of, stamp_of
from workflow.leftovers import at_work, leftovers, orphans, trainings
from workflow.page_stamps import page_states
from workflow.profile import (
    EXERCISES,
    NOTEBOOKS,
    RUNS,
    ProfileError,
    hash_notebook,
    hash_tables,
    made_from,
    notebook_names,
    read_profile,
)
from workflow.results import EDITED, changes, tables
from workflow.sweep_state import sweep_states


def status() -> list[tuple[str, str]]:
    """List every result with ``"current"``, ``"missing"`` or what changed since it was made.

    Returns
    -------
    list of (path, state)
        Stored notebooks and exercises, then of every profile that has a run: who is at work there, executed notebooks,
        the book and its stale pages, the sweep's cells and table, trainings, leftovers. Then the tables of long
        runs, of benchmarks and of kills.
    """
    rows = [(str(NOTEBOOKS / f"{name}.ipynb"), stored_state(name)) for name in notebook_names()]
    rows += [(str(EXERCISES / path.name), exercises_state(path)) for path in sheets()]
    for profile in sorted(path.stem for path in Path("profiles").glob("*.yaml")):
        run_folder = RUNS / profile
        rows += at_work(run_folder)
        if (run_folder / "made_from").is_dir():  # or nobody asked for its book
            rows += [executed_state(profile, name) for name in notebook_names()]
            rows += [book_state(profile), *page_states(read_profile(profile)), *orphans(run_folder)]
        if (RUNS / profile / "sweep").is_dir():
            rows += sweep_rows(profile)
        rows += [*trainings(run_folder), *leftovers(run_folder)]
    for name, script in tables().items():
        changed = changes(name, script)
        rows.append((f"results/{name}.csv", "missing" if changed is None else in_words(changed)))
    others = [*states(), (str(kills.TABLE), kills.changes())]
    return rows + [(path, "missing" if changed is None else in_words(changed)) for path, changed in others]


def sweep_rows(profile_name: str) -> list[tuple[str, str]]:
    """List a sweep's cells and table; what is wrong with its section of the profile hides nothing else."""
    try:
        cells = sweep_states(read_profile(profile_name))
    except ProfileError as fault:
        return [(str(RUNS / profile_name / "sweep"), f"unknown: {fault}")]
    return [(path, "missing" if changed is None else in_words(changed)) for path, changed in cells]


def stored_state(name: str) -> str:
    """Compare the outputs stored in a notebook with its present cells, the present core and the tables it reads."""
    notebook = NOTEBOOKS / f"{name}.ipynb"
    made = nbformat.read(notebook, as_version=4).metadata.get("made_from", {})
    now = {"notebook": hash_notebook(notebook), "core": hash_core(), "tables": hash_tables(notebook)}
    return in_words(what_changed(made, now))


def exercises_state(solutions: Path) -> str:
    """Compare an exercise notebook with what its solutions give."""
    try:
        return {None: "current", "missing": "missing"}.get(state_of(solutions), "stale: solutions changed")
    except ExerciseError as fault:
        return f"unknown: {fault}"


def executed_state(profile_name: str, name: str) -> tuple[str, str]:
    """Compare a notebook executed by the workflow with what it would be made from now."""
    profile = read_profile(profile_name)
    executed = profile.run_folder / "notebooks" / f"{name}.ipynb"
    if not executed.is_file():
        return str(executed), "missing"
    if fault := fault_of(executed):
        return str(executed), f"edited or damaged: {fault}"
    return str(executed), in_words(what_changed(stamp_of(executed), made_from(profile, name)))


def book_state(profile_name: str) -> tuple[str, str]:
    """Compare a rendered book with the notebooks, pages and numbers that it would be made from now."""
    profile = read_profile(profile_name)
    path = str(profile.run_folder / "html" / "index.html")
    try:
        changed = book_changes(profile)
    except DamagedFileError as fault:
        return path, f"edited or damaged: {fault}"
    return path, "missing" if changed is None else in_words(changed)


def in_words(changed: list[str]) -> str:
    """Turn names of what changed into a state."""
    edited, others = [each for each in changed if each == EDITED], [each for each in changed if each != EDITED]
    said = [*([f"{', '.join(others)} changed"] if others else []), *edited]
    return f"stale: {', '.join(said)}" if changed else "current"


if __name__ == "__main__":
    rows = status()
    width = max((len(path) for path, _ in rows), default=0)
    print("\n".join(f"{path:<{width}}  {state}" for path, state in rows) or "nothing has been made yet")
