"""The table of kills in ``results/``: what it was made from, whether it is stale, and the numbers that prose may quote.

The loop itself is ``tests/kill_loop.py``, run by ``make kills``; nothing of it is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from gcamccl_core.kept_files import whole_file
from gcamccl_core.provenance import code_of, fingerprint, stamp, what_changed
from workflow.results import EDITED, edit_of, write_stamp

TABLE = Path("results/kills.csv")
LOOP = ("tests/kill_loop.py", "tests/kill_scenarios.py", "tests/run_artefacts.py")
TESTED = (  # what keeps a run whole; elsewhere the code may change without a kill meaning anything else
    *(f"workflow/{name}.py" for name in ("assemble", "execute", "guard", "intact", "render", "run", "sweep")),
    *(f"gcamccl_core/{name}.py" for name in ("kept_files", "lifelines", "locks", "store")),
    *(f"gcamccl_core/model/{name}.py" for name in ("checkpoint", "fitted", "single_training", "training")),
    *(f"gcamccl_core/data/{name}.py" for name in ("downloads", "kept_series", "whole_folders")),
)


def made_from() -> dict[str, object]:
    """Say what the table depends on: the loop, and the code that keeps a run whole."""
    return {
        "script": fingerprint([code_of(Path(name).read_text()) for name in LOOP]),
        "tested": fingerprint([code_of(Path(name).read_text()) for name in TESTED]),
    }


def changes() -> list[str] | None:
    """Name what changed since the loop was run; None if it never was."""
    path = TABLE.with_suffix(".json")
    if not TABLE.is_file() or not path.is_file():
        return None
    edited = [EDITED] if edit_of(path) else []
    return what_changed(json.loads(path.read_text()), made_from()) + edited


def quote(table: pd.DataFrame) -> dict[str, object]:
    """Name the numbers that prose may quote.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per kill: ``kind``, ``cycle``, ``victim``, ``processes`` (at that moment), ``left`` (of them,
        afterwards), ``finished`` (the last run of the cycle), and of the cycle ``artefacts`` and ``different``.

    Examples
    --------
    >>> row = {"kind": "book", "cycle": 0, "victim": "make", "processes": 6, "left": 0}
    >>> numbers = quote(pd.DataFrame([{**row, "finished": True, "artefacts": 90, "different": 0}] * 2))
    >>> numbers["kills"], numbers["kills_book"], numbers["kills_runs"], numbers["kills_artefacts"]
    (2, 2, 1, 90)
    """
    cycles = table.drop_duplicates(["kind", "cycle"])
    return {
        "kills": len(table),
        **{f"kills_{kind}": int(count) for kind, count in table["kind"].value_counts(sort=False).items()},
        "kills_runs": len(cycles),
        "kills_runs_finished": int(cycles["finished"].sum()),
        "kills_artefacts": int(cycles["artefacts"].sum()),
        "kills_different": int(cycles["different"].sum()),
        "kills_processes_left": int(table["left"].sum()),
    }


def keep(table: pd.DataFrame, parameters: Mapping[str, object]) -> Path:
    """Write the table with its stamp beside it, the stamp last."""
    with whole_file(TABLE) as partial:
        table.to_csv(partial, index=False)
        TABLE.with_suffix(".json").unlink(missing_ok=True)
    return write_stamp(TABLE, {**stamp(parameters), **made_from(), "numbers": quote(pd.read_csv(TABLE))})
