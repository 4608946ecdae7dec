"""Which stored tables a page quotes or a chapter reads, and which of them are stale."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat

from gcamccl_core.provenance import code_of, fingerprint, hash_core, imported_modules
from workflow import benchmarks, kills
from workflow.results import RESULTS, ROOMS, SCRIPTS, changes, tables

GONE = "its values are missing"
UNKNOWN = "nothing makes it any more"


def table_stamps(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Read the stamps of all stored tables, by the table's name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def table_states() -> dict[str, list[str]]:
    """Say of every stored table what changed since it was made; nothing if it is current.

    Of a table of benchmarks, which are measured one by one, each is named before what changed. Takes some seconds,
    since the scripts that make tables are imported; none if nothing is stored.
    """
    stored = [path.stem for path in sorted(RESULTS.glob("*.json"))]
    if not stored:
        return {}
    found: dict[str, list[str]] = {}
    for name, script in tables().items():
        if name in stored:
            changed = changes(name, script)
            found[name] = [GONE] if changed is None else changed
    for benchmark, table in benchmarks.TABLE_OF.items():
        if table in stored:
            found.setdefault(table, [])
            found[table] += [f"{benchmark}: {each}" for each in benchmarks.changes(benchmark) or []]
    if kills.TABLE.stem in stored:
        changed = kills.changes()
        found[kills.TABLE.stem] = [GONE] if changed is None else changed
    return {name: found.get(name, [UNKNOWN]) for name in stored}


def hash_makers() -> str:
    """Fingerprint the code that decides whether stored tables are stale: what makes them, and the core's science.

    A page that quotes a table must be laid out again when that table becomes stale. Nothing is imported for it, so more
    may have changed than what a table depends on; a book that is laid out once too often costs a minute.
    """
    if not any(RESULTS.glob("*.json")):
        return fingerprint("no tables")
    sources = [path.read_text() for path in sorted(SCRIPTS.glob("*.py"))]
    beside = sorted({module for source in sources for module in imported_modules(source, "workflow")})
    files = [Path(*module.split(".")).with_suffix(".py") for module in beside]
    sources += [path.read_text() for path in files if path.is_file()]
    sources += [path.read_text() for path in sorted(benchmarks.BENCHMARKS.glob("*.py"))]
    tested = fingerprint(kills.changes())
    return fingerprint(hash_core(*ROOMS), [code_of(source) for source in sources], tested)


def tables_of_names(names: Iterable[str], stamps: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """List the tables whose numbers have one of these names.

    Examples
    --------
    >>> tables_of_names(["best", "worst"], {"clear": {"numbers": {"best": "0.9"}}, "null": {"numbers": {}}})
    ['clear']
    """
    wanted = set(names)
    return sorted(table for table, stamp in stamps.items() if wanted & set(stamp.get("numbers", {})))


def tables_read_by(notebook: Path, parameters: Mapping[str, object], known: Iterable[str]) -> list[str]:
    """List the stored tables that a notebook's cells open, as far as the text of the cells that do so tells.

    Parameters
    ----------
    notebook : pathlib.Path
        A chapter.
    parameters : mapping
        Its values, which may be part of a table's name (``f"returns_{regime}"``).
    known : iterable of str
        Names of the stored tables.

    Returns
    -------
    list of str
        Where a name is put together from what is not a parameter, all tables that it may be.
    """
    patterns = set()
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code" and re.search(r"""resolve\(f?["']results\b""", cell.source):
            patterns |= set(_names_in(ast.parse(cell.source), parameters))
    return sorted(name for name in known if any(re.fullmatch(pattern, name) for pattern in patterns))


def _names_in(tree: ast.AST, parameters: Mapping[str, object]) -> Iterable[str]:
    """Write every text of some code as a pattern for a table's name; those that would be any name are left out."""
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node] if isinstance(node, ast.Constant) else []
        pattern, written = "", ""
        for part in parts:
            if isinstance(part, ast.Constant):
                said = str(part.value)
            else:
                name = ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""
                said = str(parameters.get(name, ""))
            pattern += re.escape(said) if said else r"\w+"
            written += said
        if re.search("[a-z]{3}", written.removeprefix("results").removesuffix(".csv")):
            yield pattern.removeprefix("results/").removesuffix(r"\.csv")
