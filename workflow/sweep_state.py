"""What a sweep has made, and whether it is still what it would make now."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gcamccl_core.kept_files import DamagedFileError, find_damage, read_sealed
from gcamccl_core.provenance import code_of, fingerprint, what_changed
from workflow.intact import fault_of, stamp_of
from workflow.profile import Profile, write_if_changed
from workflow.results import EDITED
from workflow.sweep_files import SweepFolder
from workflow.sweep_grid import Sweep, made_from, read_sweep

GATHERING = Path(__file__).with_name("sweep_table.py")


def table_made_from(basis: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Say what a table depends on: what each of its cells was made from, and the code that gathers them.

    Parameters
    ----------
    basis : mapping
        What each cell is made from, by its name.
    """
    return {
        "cells": {name: fingerprint(dict(made)) for name, made in basis.items()},
        "gathered_by": fingerprint(code_of(GATHERING.read_text())),
    }


def read_cell(folder: SweepFolder, cell: str, keys: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a cell's scores, and what it was made from.

    Raises
    ------
    DamagedFileError
        If the executed notebook, its stamp or the scores are not as they were written.
    """
    if fault := fault_of(folder.executed(cell)):
        raise DamagedFileError(fault)
    held = stamp_of(folder.executed(cell))
    return read_sealed(folder.scores(cell)), {key: held.get(key) for key in keys}


def cell_states(sweep: Sweep, basis: Mapping[str, Mapping[str, object]] | None = None) -> dict[str, list[str] | None]:
    """Say of every cell what changed since it was executed: nothing if it is current; None if it is missing."""
    folder, states = sweep.folder, {}
    for name, now in (made_from(sweep) if basis is None else basis).items():
        files = (folder.executed(name), folder.scores(name), folder.stamp(name))
        if not all(path.is_file() for path in files):
            states[name] = None
            continue
        try:
            states[name] = what_changed(read_cell(folder, name, now)[1], now)
        except DamagedFileError:
            states[name] = [EDITED]
    return states


def table_state(sweep: Sweep, basis: Mapping[str, Mapping[str, object]] | None = None) -> list[str] | None:
    """Say what changed since the scores were gathered, as :func:`cell_states` does."""
    folder = sweep.folder
    if not all(path.is_file() for path in (folder.table, folder.summary, folder.table_stamp)):
        return None
    try:
        held = read_sealed(folder.table_stamp)
        damaged = find_damage(folder.path, held["files"]) is not None
    except DamagedFileError:
        return [EDITED]
    return [EDITED] if damaged else what_changed(held, table_made_from(made_from(sweep) if basis is None else basis))


def sweep_states(profile: Profile) -> list[tuple[str, list[str] | None]]:
    """List a profile's cells that are missing or stale, one line for those that are current, and the table."""
    if not profile.sweep:
        return []
    sweep = read_sweep(profile)
    if not sweep.folder.path.is_dir():
        return []
    basis = made_from(sweep)
    states = cell_states(sweep, basis)
    rows = [(str(sweep.folder.executed(name)), changed) for name, changed in states.items() if changed != []]
    current = sum(changed == [] for changed in states.values())
    if current:
        rows.append((f"{sweep.folder.path / 'cells'}, {current} of {len(states)} cells", []))
    return [*rows, (str(sweep.folder.table), table_state(sweep, basis))]


def write_plan(sweep: Sweep) -> None:
    """Write what Snakemake goes by: names of cells, resources, and what each cell and the table would be made from.

    What is made from something else, or damaged, is older than what is written here: so it is made again.
    """
    folder, basis = sweep.folder, made_from(sweep)
    states = cell_states(sweep, basis)
    for name, made in basis.items():
        path = write_if_changed(folder.made_from(name), made)
        if states[name] != []:
            os.utime(path)
    path = write_if_changed(folder.table_made_from, table_made_from(basis))
    if table_state(sweep, basis) != []:
        os.utime(path)
    write_if_changed(folder.plan, {"cells": list(basis), "resources": dict(sweep.resources)})
