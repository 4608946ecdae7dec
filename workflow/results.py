"""Compute the tables of long runs that are missing or stale: ``python -m workflow.results --help``.

Each file in ``workflow/tables/`` makes one or more tables: ``TABLES``, the parameters of each by its name,
``make(store, jobs, **parameters)``, which hands back the table and the hashes of its cohorts, and
``quote(table, parameters)``, the numbers in it that the prose may quote. Columns that compare a split with the others
end in the script's ``ACROSS_SPLITS``, if it has any.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pandas as pd

from gcamccl_core.data.manifest import UnavailableError
from gcamccl_core.disk_faults import StorageError, require_writable
from gcamccl_core.kept_files import (
    CHECKSUM,
    DamagedFileError,
    digest_file,
    read_sealed,
    refuse_damage,
    whole_file,
    write_sealed,
)
from gcamccl_core.locks import InUseError, hold_lock
from gcamccl_core.provenance import (
    code_of,
    fingerprint,
    hash_module,
    imported_modules,
    stamp,
    versions,
    what_changed,
)
from gcamccl_core.store import watch_versions

SCRIPTS = Path("workflow/tables")
RESULTS = Path("results")
STORE = "runs/results"
ROOMS = ("data", "model", "maps")  # of the core; how a figure looks changes no number of a table
FETCHING = (
    "gcamccl_core.data.manifest",
    "gcamccl_core.data.external_files",
)  # nor how a file came: a checksum says what it is
EDITED = "edited since it was made"
TRIED = 1  # split that is made again to confirm a table, by every method in it
SAME = 1.5e-6  # tables are rounded to six decimals


class UnconfirmedError(ValueError):
    """A table's first split, made again, is not what is stored."""


def tables() -> dict[str, ModuleType]:
    """Import the scripts, and list them by the names of the tables that they make."""
    scripts = [importlib.import_module(f"workflow.tables.{path.stem}") for path in sorted(SCRIPTS.glob("[a-z]*.py"))]
    return {name: script for script in scripts for name in script.TABLES}


def made_from(name: str, script: ModuleType) -> dict[str, object]:
    """Say what a table depends on: its script, what that imports of the core's rooms of science, and its parameters."""
    source = inspect.getsource(script)
    beside = sorted(set(imported_modules(source, "workflow")))
    sources = [source, *(inspect.getsource(importlib.import_module(module)) for module in beside)]
    modules = sorted({module for each in sources for module in imported_modules(each)})
    return {
        "script": fingerprint([code_of(each) for each in sources]),
        "core": fingerprint({module: hash_module(module, *ROOMS, without=FETCHING) for module in modules}),
        "parameters": script.TABLES[name],
    }


def changes(name: str, script: ModuleType) -> list[str] | None:
    """Name what changed since a table was made, the table itself included; None if it never was."""
    path = RESULTS / f"{name}.json"
    if not path.is_file() or not path.with_suffix(".csv").is_file():
        return None
    edited = [EDITED] if edit_of(path) else []
    return what_changed(json.loads(path.read_text()), made_from(name, script)) + edited


def edit_of(stamp: Path) -> str | None:
    """Say whether a table or its stamp is not what was written; None if both are, or the stamp holds no checksums."""
    held = json.loads(stamp.read_text())
    try:
        if CHECKSUM in held:
            refuse_damage(stamp.parent, read_sealed(stamp)["files"])
    except DamagedFileError as fault:
        return str(fault)
    return None


def compute(name: str, script: ModuleType, jobs: int = 1) -> Path:
    """Make one table and write it with its stamp beside it, the stamp last; until then the former ones stay."""
    basis = made_from(name, script)
    parameters: Mapping[str, object] = script.TABLES[name]
    with watch_versions() as seen:
        made = script.make(STORE, jobs, **parameters)
    made_with = {**stamp(parameters), "versions": list_versions([versions(), *seen])}
    path = RESULTS / f"{name}.csv"
    data = fingerprint(sorted(set(made.data)))  # of all cohorts, in whichever order they were opened
    with whole_file(path) as partial:
        made.table.to_csv(partial, index=False)
        numbers = script.quote(pd.read_csv(partial), parameters)
        path.with_suffix(".json").unlink(missing_ok=True)  # until the new one is there, the table has no stamp
    write_stamp(path, {**made_with, **basis, "data": data, "numbers": numbers})
    return path


def write_stamp(table: Path, content: Mapping[str, object]) -> Path:
    """Write the stamp of a table that lies there, with the checksums of both."""
    return write_sealed(table.with_suffix(".json"), {**content, "files": {table.name: digest_file(table)}})


def list_versions(seen: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """List the versions of every package: pieces of a table may come from several machines.

    Examples
    --------
    >>> list_versions([{"torch": "2.13.0", "numpy": "2.4.6"}, {"torch": "2.11.0", "numpy": "2.4.6"}])
    {'torch': '2.11.0, 2.13.0', 'numpy': '2.4.6'}
    """
    return {package: ", ".join(sorted({each[package] for each in seen if package in each})) for package in seen[0]}


def confirm(name: str, script: ModuleType, store: str, jobs: int = 1) -> Path:
    """Make the first split of a table again, from nothing; if it comes out as stored, say so in its stamp.

    Nothing means an empty store, or one that holds what the same process has made for other tables: they share
    networks, which are trained once.

    For a change of code that should change no number: minutes, where the whole table takes hours. A stored row of
    the first split that is not made any more is a difference, too; a column that is not made any more is none.

    Raises
    ------
    UnconfirmedError
        If its parameters changed, it has no splits, or a number comes out otherwise; the table stays as it was then.
    """
    basis, path = made_from(name, script), RESULTS / f"{name}.csv"
    if edit := edit_of(path.with_suffix(".json")):
        raise UnconfirmedError(f"{edit}; make it again, without --confirm")
    held = json.loads(path.with_suffix(".json").read_text())
    held.pop(CHECKSUM, None)
    parameters: Mapping[str, object] = script.TABLES[name]
    if held["parameters"] != parameters or "n_splits" not in parameters:
        why = "has no splits to try" if "n_splits" not in parameters else "was made with other parameters"
        raise UnconfirmedError(f"{path} {why}; make it again, without --confirm")
    made = script.make(store, jobs, **{**parameters, "n_splits": TRIED})
    table = pd.read_csv(path)
    fresh = pd.read_csv(StringIO(made.table.to_csv(index=False)))
    across = getattr(script, "ACROSS_SPLITS", None)
    refuse_differences(
        path, fresh[[column for column in fresh if not (across and str(column).endswith(across))]], table
    )
    confirmed = {"splits": TRIED, "date": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions()}
    numbers = script.quote(table, parameters)
    write_stamp(path, {**held, **basis, "numbers": numbers, "confirmed": confirmed})
    return path


def refuse_differences(path: Path, fresh: pd.DataFrame, table: pd.DataFrame) -> None:
    """Raise UnconfirmedError at the first number that is not stored; all columns but fractions say in which row."""
    lacking = [str(column) for column in fresh if column not in table]
    if lacking or fresh.empty:
        what = f"lacks the column {', '.join(lacking)}" if lacking else "has no row to compare"
        raise UnconfirmedError(f"{path} {what}; make the table again, without --confirm")
    keys = [str(column) for column in fresh if not pd.api.types.is_float_dtype(fresh[column])]
    if table.duplicated(keys).any():
        raise UnconfirmedError(f"{path}: {', '.join(keys)} do not name its rows; make it again, without --confirm")
    for _, row in fresh.merge(table, "left", on=keys, suffixes=("", " stored"), indicator="found").iterrows():
        where = f"{path}, " + ", ".join(f"{key} {row[key]}" for key in keys)
        if row["found"] != "both":
            raise UnconfirmedError(f"{where}: no such row is stored; make the table again, without --confirm")
        for column in fresh.columns.difference(keys, sort=False):
            new, old = row[column], row[f"{column} stored"]
            if not (pd.isna(new) and pd.isna(old)) and not abs(new - old) <= SAME:
                raise UnconfirmedError(
                    f"{where}: {column} comes out as {new}, stored is {old}; make the table again, without --confirm"
                )
    first = table[table["split"] == 0]
    if len(first) > len(first.merge(fresh[keys].drop_duplicates(), on=keys)):
        raise UnconfirmedError(
            f"{path} has rows of split 0 that are not made any more; make it again, without --confirm"
        )


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, and make what is asked for."""
    known = tables()
    parser = argparse.ArgumentParser(prog="python -m workflow.results", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="TABLE", help=f"which; all unless given: {', '.join(known)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at work at once (all cores)")
    parser.add_argument("--force", action="store_true", help="also what is current; kept networks are still used")
    parser.add_argument(
        "--confirm",
        action="store_true",
        help="make one split of what is stale from nothing, and take the rest for current if it comes out as "
        "stored: after a change of code that should change no number",
    )
    asked = parser.parse_args(arguments)
    os.environ.setdefault("GCAMCCL_DEVICE", "cpu")  # pieces of one table are made on one kind of device
    unknown = sorted(set(asked.names) - set(known))
    if unknown:
        parser.error(f"no table {', '.join(unknown)}; tables are {', '.join(known)}")
    try:
        for folder in (RESULTS, Path(STORE)):
            require_writable(folder)
            folder.mkdir(parents=True, exist_ok=True)
    except StorageError as fault:
        sys.exit(str(fault.strerror))
    with TemporaryDirectory() as nothing:  # only `--confirm` begins with an empty store
        said = attend(asked, known, nothing)
    if any(said.values()):
        sys.exit("; ".join(f"{what}: {', '.join(names)}" for what, names in said.items() if names))


def attend(asked: argparse.Namespace, known: Mapping[str, ModuleType], nothing: str) -> dict[str, list[str]]:
    """Go through the tables that are asked for, and list those that were not confirmed or are left to others."""
    refused: list[str] = []
    in_use: list[str] = []
    for name in asked.names or known:
        changed = changes(name, known[name])
        if changed == [] and not asked.force:
            print(f"results/{name}.csv is current")
            continue
        state = "is missing" if changed is None else f"is stale: {', '.join(changed)}" if changed else "is current"
        print(f"results/{name}.csv {state}", flush=True)
        try:
            with hold_lock(Path(STORE) / f".lock-{name}", f"results/{name}.csv", "make results"):
                if not asked.confirm:
                    print(f"wrote {compute(name, known[name], asked.jobs)}", flush=True)
                elif changed is not None:
                    print(f"confirmed {confirm(name, known[name], nothing, asked.jobs)}", flush=True)
        except InUseError as fault:
            in_use.append(name)
            print(f"left out: {fault}", flush=True)
        except UnconfirmedError as fault:  # said, and the others tried
            refused.append(name)
            print(f"not confirmed: {fault}", flush=True)
        except UnavailableError as fault:  # said and passed over: the other tables do not need them
            print(f"results/{name}.csv left out, its data cannot be had here: {fault}", flush=True)
    return {"not confirmed": refused, "left out, another process makes them": in_use}


if __name__ == "__main__":
    main()
