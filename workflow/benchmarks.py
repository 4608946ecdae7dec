"""The table of benchmarks in ``results/``: what each was measured with, which are stale, and how new ones are kept.

The benchmarks themselves are in ``tests/benchmarks/`` and run by ``make bench``; nothing of them is imported here.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from gcamccl_core.kept_files import whole_file
from gcamccl_core.provenance import code_of, fingerprint, hash_module, imported_modules, versions, what_changed
from workflow.results import EDITED, ROOMS, edit_of, write_stamp

BENCHMARKS = Path("tests/benchmarks")
RESULTS = Path("results")
RATIOS, GROWTH = "benchmarks", "growth"
TABLE_OF = {  # in the order of the tables' rows
    "machine": RATIOS,
    "training": RATIOS,
    "accuracy": RATIOS,
    "maps": RATIOS,
    "connectivity": RATIOS,
    "simulation": RATIOS,
    "selection": RATIOS,
    "book": RATIOS,
    "growth": GROWTH,
    "large_cohort": GROWTH,
}
Numbers = Callable[[pd.DataFrame, Mapping[str, Any]], Mapping[str, object]]


def basis_of(name: str) -> dict[str, object]:
    """Say what a benchmark's figures depend on, the machine aside: its script and those beside it, and the core."""
    sources = _sources(name)
    modules = sorted({module for source in sources.values() for module in imported_modules(source)})
    return {
        "versions": versions(),
        "script": fingerprint({stem: code_of(source) for stem, source in sources.items()}),
        "core": fingerprint({module: _hash_once(module) for module in modules}),
    }


@cache
def _hash_once(module: str) -> str:
    """Hash a module and what it imports; many benchmarks share theirs, and no figure of the book's looks counts."""
    return hash_module(module, *ROOMS)


def _sources(name: str) -> dict[str, str]:
    """Source of a benchmark and, however indirectly, of what it imports of its own folder, by file name."""
    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        stem = waiting.pop()
        path = BENCHMARKS / f"{stem}.py"
        if stem not in found and path.is_file():
            found[stem] = path.read_text()
            nodes = [node for node in ast.walk(ast.parse(found[stem])) if isinstance(node, ast.ImportFrom)]
            waiting += [str(node.module) for node in nodes if node.level == 1 and node.module]
    return found


def changes(name: str, machine: str | None = None) -> list[str] | None:
    """Name what changed since a benchmark was measured, ``"machine"`` if it was on another; None if it never was."""
    made = _read_stamp(TABLE_OF[name]).get(name)
    if made is None or not (RESULTS / f"{TABLE_OF[name]}.csv").is_file():
        return None
    elsewhere = machine is not None and made["machine"]["name"] != machine
    edited = edit_of(RESULTS / f"{TABLE_OF[name]}.json") is not None
    return what_changed(made, basis_of(name)) + ["machine"] * elsewhere + [EDITED] * edited


def states() -> list[tuple[str, list[str] | None]]:
    """List the benchmarks with what changed since each was measured, see :func:`changes`."""
    return [(f"results/{table}.csv, {name}", changes(name)) for name, table in TABLE_OF.items() if _sources(name)]


def keep(name: str, rows: Sequence[Mapping[str, object]], machine: Mapping[str, object], numbers: Numbers) -> Path:
    """Put a benchmark's rows in place of its old ones, and renew the stamp; the other benchmarks' stay.

    Parameters
    ----------
    name : str
        Which benchmark.
    rows : sequence of mapping
        What it measured, by column.
    machine : mapping
        Where: ``name``, a few words for every row, and whatever else decides how long things take.
    numbers : callable
        Gives the numbers that prose may quote, of the whole table and of what its benchmarks were made from.
    """
    table = TABLE_OF[name]
    path = RESULTS / f"{table}.csv"
    fresh = pd.DataFrame(rows)
    fresh.insert(0, "benchmark", name)
    fresh["machine"] = machine["name"]
    if path.is_file():
        old = pd.read_csv(path)
        fresh = pd.concat([old[old["benchmark"] != name], fresh.round(6)], ignore_index=True)
    order = {each: number for number, each in enumerate(TABLE_OF)}
    fresh = fresh.sort_values("benchmark", key=lambda column: column.map(order), kind="stable", ignore_index=True)
    measured = {
        **basis_of(name),
        "machine": dict(machine),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    made_from = {**_read_stamp(table), name: measured}
    made_from = {each: made_from[each] for each in TABLE_OF if each in made_from}
    RESULTS.mkdir(exist_ok=True)
    with whole_file(path) as partial:
        fresh.to_csv(partial, index=False)
    return _seal(path, made_from, numbers)


def requote(table: str, numbers: Numbers) -> Path | None:
    """Write the numbers that prose may quote again, of the rows as they are; nothing if there are none."""
    path = RESULTS / f"{table}.csv"
    return _seal(path, _read_stamp(table), numbers) if path.is_file() else None


def refuse_edited(name: str) -> None:
    """Raise ValueError if the table that a benchmark would add to is not what was written."""
    stamp = RESULTS / f"{TABLE_OF[name]}.json"
    fault = edit_of(stamp) if stamp.is_file() else None
    if fault:
        raise ValueError(
            f"{fault} Take both files back from version control, or remove both and measure everything again; "
            "`python -m tests.benchmarks --quote` takes the table as it is"
        )


def _seal(path: Path, made_from: Mapping[str, object], numbers: Numbers) -> Path:
    quoted = dict(numbers(pd.read_csv(path), made_from))
    write_stamp(path, {"made_from": made_from, "numbers": quoted})
    return path


def _read_stamp(table: str) -> dict[str, Any]:
    """Read what the benchmarks of a table were made from, by name; empty if nothing has been measured."""
    path = RESULTS / f"{table}.json"
    return json.loads(path.read_text())["made_from"] if path.is_file() else {}
