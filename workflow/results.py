"""Compute the tables of long runs that are missing or stale: ``python -m workflow.results --help``.

Each file in ``workflow/tables/`` makes one or more tables: ``TABLES``, the parameters of each by its name, and
``make(store, jobs, **parameters)``, which hands back the table, the numbers that the prose may quote, and the hashes of
its cohorts.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from gcamccl_core.data.manifest import UnavailableError
from gcamccl_core.provenance import code_of, fingerprint, hash_module, imported_modules, stamp, what_changed, write_json

SCRIPTS = Path("workflow/tables")
RESULTS = Path("results")
STORE = "runs/results"


def tables() -> dict[str, ModuleType]:
    """Import the scripts, and list them by the names of the tables that they make."""
    scripts = [importlib.import_module(f"workflow.tables.{path.stem}") for path in sorted(SCRIPTS.glob("[a-z]*.py"))]
    return {name: script for script in scripts for name in script.TABLES}


def made_from(name: str, script: ModuleType) -> dict[str, object]:
    """Say what a table depends on: its script, what that imports of the core, and its parameters."""
    source = inspect.getsource(script)
    beside = sorted(set(imported_modules(source, "workflow")))
    sources = [source, *(inspect.getsource(importlib.import_module(module)) for module in beside)]
    modules = sorted({module for each in sources for module in imported_modules(each)})
    return {
        "script": fingerprint([code_of(each) for each in sources]),
        "core": fingerprint({module: hash_module(module) for module in modules}),
        "parameters": script.TABLES[name],
    }


def changes(name: str, script: ModuleType) -> list[str] | None:
    """Name what changed since a table was made; None if it never was."""
    path = RESULTS / f"{name}.json"
    if not path.is_file() or not path.with_suffix(".csv").is_file():
        return None
    return what_changed(json.loads(path.read_text()), made_from(name, script))


def compute(name: str, script: ModuleType, jobs: int = 1) -> Path:
    """Make one table and write it with its stamp beside it, the stamp last."""
    basis = made_from(name, script)
    parameters: Mapping[str, object] = script.TABLES[name]
    made = script.make(STORE, jobs, **parameters)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    path.with_suffix(".json").unlink(missing_ok=True)  # until the new one is there, the table has no stamp
    made.table.to_csv(path, index=False)
    data = fingerprint(sorted(set(made.data)))  # of all cohorts, in whichever order they were opened
    write_json(path.with_suffix(".json"), {**stamp(parameters), **basis, "data": data, "numbers": made.numbers})
    return path


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, and make what is asked for."""
    known = tables()
    parser = argparse.ArgumentParser(prog="python -m workflow.results", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="TABLE", help=f"which; all unless given: {', '.join(known)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at work at once (all cores)")
    parser.add_argument("--force", action="store_true", help="also what is current; kept networks are still used")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.names) - set(known))
    if unknown:
        parser.error(f"no table {', '.join(unknown)}; tables are {', '.join(known)}")
    for name in asked.names or known:
        changed = changes(name, known[name])
        if changed == [] and not asked.force:
            print(f"results/{name}.csv is current")
            continue
        state = "is missing" if changed is None else f"is stale: {', '.join(changed)}" if changed else "is current"
        print(f"results/{name}.csv {state}", flush=True)
        try:
            print(f"wrote {compute(name, known[name], asked.jobs)}", flush=True)
        except UnavailableError as fault:  # said and passed over: the other tables do not need them
            print(f"results/{name}.csv left out, its data cannot be had here: {fault}", flush=True)


if __name__ == "__main__":
    main()
