"""Compute the tables of long runs that are missing or stale: ``python -m workflow.results``.

Each file in ``workflow/tables/`` is one table: ``PARAMETERS``, ``ROOMS`` (what of the core it depends on), and
``make(models, **PARAMETERS)``, which hands back the table and the numbers that the prose may quote.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from gcamccl_core.provenance import code_of, fingerprint, hash_core, stamp, what_changed, write_json

TABLES = Path("workflow/tables")
RESULTS = Path("results")
MODELS = "runs/results/models"


def tables() -> dict[str, ModuleType]:
    """Import the scripts of all tables, by name."""
    return {path.stem: importlib.import_module(f"workflow.tables.{path.stem}") for path in sorted(TABLES.glob("*.py"))}


def made_from(script: ModuleType) -> dict[str, object]:
    """Say what a table depends on: a change in any of it makes the stored one stale."""
    return {
        "script": fingerprint(code_of(inspect.getsource(script))),
        "core": hash_core(*script.ROOMS),
        "parameters": script.PARAMETERS,
    }


def changes(name: str, script: ModuleType) -> list[str] | None:
    """Name what changed since a table was made; None if it never was."""
    path = RESULTS / f"{name}.json"
    if not path.is_file() or not path.with_suffix(".csv").is_file():
        return None
    return what_changed(json.loads(path.read_text()), made_from(script))


def compute(name: str, script: ModuleType, parameters: Mapping[str, object]) -> Path:
    """Make one table and write it with its stamp beside it, the stamp last."""
    basis = made_from(script)
    table, numbers = script.make(MODELS, **parameters)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    path.with_suffix(".json").unlink(missing_ok=True)  # until the new one is there, the table has no stamp
    table.to_csv(path, index=False)
    write_json(path.with_suffix(".json"), {**stamp(parameters), **basis, "parameters": parameters, "numbers": numbers})
    return path


if __name__ == "__main__":
    for name, script in tables().items():
        changed = changes(name, script)
        if changed == []:
            print(f"results/{name}.csv is current")
        else:
            print(f"results/{name}.csv {'is missing' if changed is None else 'is stale: ' + ', '.join(changed)}")
            print(f"wrote {compute(name, script, script.PARAMETERS)}")
