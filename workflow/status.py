"""Say what is stale: ``python -m workflow.status``."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat

from gcamccl_core.provenance import hash_core, what_changed
from workflow.profile import NOTEBOOKS, RUNS, hash_notebook, hash_tables, made_from, notebook_names, read_profile
from workflow.results import changes, tables
from workflow.sweep import sweep_states


def status() -> list[tuple[str, str]]:
    """List every result with ``"current"``, ``"missing"`` or what changed since it was made.

    Returns
    -------
    list of (path, state)
        Stored notebooks, then the executed ones of every profile that has a run, its sweep's cells and table, then the
        tables of long runs.
    """
    rows = [(str(NOTEBOOKS / f"{name}.ipynb"), stored_state(name)) for name in notebook_names()]
    for profile in sorted(path.stem for path in Path("profiles").glob("*.yaml")):
        if (RUNS / profile / "made_from").is_dir():  # or nobody asked for its book
            rows += [executed_state(profile, name) for name in notebook_names()]
        if (RUNS / profile / "sweep").is_dir():
            cells = sweep_states(read_profile(profile))
            rows += [(path, "missing" if changed is None else in_words(changed)) for path, changed in cells]
    for name, script in tables().items():
        changed = changes(name, script)
        rows.append((f"results/{name}.csv", "missing" if changed is None else in_words(changed)))
    return rows


def stored_state(name: str) -> str:
    """Compare the outputs stored in a notebook with its present cells, the present core and the tables it reads."""
    notebook = NOTEBOOKS / f"{name}.ipynb"
    made = nbformat.read(notebook, as_version=4).metadata.get("made_from", {})
    now = {"notebook": hash_notebook(notebook), "core": hash_core(), "tables": hash_tables(notebook)}
    return in_words(what_changed(made, now))


def executed_state(profile_name: str, name: str) -> tuple[str, str]:
    """Compare a notebook executed by the workflow with what it would be made from now."""
    profile = read_profile(profile_name)
    executed = profile.run_folder / "notebooks" / f"{name}.ipynb"
    stamp = executed.with_suffix(".stamp.json")
    if not executed.is_file() or not stamp.is_file():
        return str(executed), "missing"
    return str(executed), in_words(what_changed(json.loads(stamp.read_text()), made_from(profile, name)))


def in_words(changed: list[str]) -> str:
    """Turn names of what changed into a state."""
    return f"stale: {', '.join(changed)} changed" if changed else "current"


if __name__ == "__main__":
    rows = status()
    width = max((len(path) for path, _ in rows), default=0)
    print("\n".join(f"{path:<{width}}  {state}" for path, state in rows) or "nothing has been made yet")
