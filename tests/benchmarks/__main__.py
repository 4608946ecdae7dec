"""Run the benchmarks and keep what they measured in ``results/``: ``python -m tests.benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from gcamccl_core.lifelines import end_with_parent
from gcamccl_core.locks import InUseError, hold_lock
from workflow.benchmarks import GROWTH, RATIOS, RESULTS, TABLE_OF, changes, keep, refuse_edited, requote

from .growth_figure import draw
from .machine import PACKAGE, PROJECT, describe_machine, name_machine
from .quote import quote_growth, quote_ratios

LONG = ("large_cohort",)  # an hour and more, so only when named
MEASURE, LEFT_OUT = "measure", 3
LOCK = f"gcamccl-benchmarks-{os.getuid()}.lock"
QUOTE = {RATIOS: quote_ratios, GROWTH: quote_growth}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, and measure what is asked for, each benchmark in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    which = f"all but {', '.join(LONG)} unless given: {', '.join(TABLE_OF)}"
    parser.add_argument("names", nargs="*", metavar="BENCHMARK", help=which)
    parser.add_argument("--again", action="store_true", help="also what this code has measured on this machine")
    parser.add_argument("--quick", action="store_true", help="on small sizes, to see that all works; nothing is kept")
    parser.add_argument(
        "--threads", type=int, help="of ours and of the peers alike; as many as torch takes unless given"
    )
    parser.add_argument("--quote", action="store_true", help="measure nothing, write the page's numbers again")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)  # of the one benchmark that this process measures
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.names) - set(TABLE_OF))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; benchmarks are {', '.join(TABLE_OF)}")
    if asked.threads:
        os.environ["OMP_NUM_THREADS"] = str(asked.threads)  # of the processes that are started from here
    if asked.rows:
        end_with_parent()
        sys.exit(measure_here(asked.names[0], asked.quick, asked.rows))
    if asked.quote:
        for table, numbers in QUOTE.items():
            requote(table, numbers)
        return
    names = asked.names or [name for name in TABLE_OF if name not in LONG]
    for name in names if not asked.quick else []:
        refuse_edited(name)
    try:
        with hold_lock(Path(tempfile.gettempdir()) / LOCK, "this machine's time", "make bench"):
            failed = [
                name for number, name in enumerate(names, 1) if not run(name, asked, f"[{number}/{len(names)}] {name}")
            ]
    except InUseError as fault:
        sys.exit(f"{fault} Two benchmarks at once measure one another.")
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}; what is above says why")


def run(name: str, asked: argparse.Namespace, title: str) -> bool:
    """Measure one benchmark and keep it, unless it is there; say so, and whether there is something to keep now."""
    changed = changes(name, name_machine())
    if changed == [] and not (asked.again or asked.quick):
        print(f"{title}: results/{TABLE_OF[name]}.csv has it, by this code and machine", flush=True)
        return True
    print(f"{title} …", flush=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        command = [sys.executable, "-m", PACKAGE, name, "--rows", str(rows)]
        command += ["--quick"] * asked.quick
        done = subprocess.run(command, cwd=PROJECT)
        if done.returncode:
            return False
        measured = json.loads(rows.read_text())
    print(f"{title}: {time.perf_counter() - started:.0f} s\n{show(measured['rows'])}", flush=True)
    if not asked.quick:
        save(name, **measured)
    return True


def measure_here(name: str, quick: bool, path: Path) -> int:
    """Measure in this process, as many threads for every library; write rows and machine, and give the status."""
    from .book import NotMadeError

    module = import_module(f"{__package__}.{name}")
    try:
        with threadpool_limits(torch.get_num_threads(), user_api="blas"):
            rows, machine = getattr(module, MEASURE)(quick=quick), describe_machine()
    except NotMadeError as fault:
        print(f"{name} left out: {fault}", file=sys.stderr)
        return LEFT_OUT
    path.write_text(json.dumps({"rows": rows, "machine": {"name": name_machine(), **machine}}, default=float))
    return 0


def save(name: str, rows: list[dict[str, object]], machine: dict[str, object]) -> None:
    """Put the rows into their table, with the numbers that prose quotes and, of growth, the figure."""
    table = TABLE_OF[name]
    path = keep(name, rows, machine, QUOTE[table])
    if name == GROWTH:
        drawn = pd.read_csv(path)
        draw(drawn[drawn["benchmark"] == name])
    print(f"kept in {RESULTS / path.name}", flush=True)


def show(rows: list[dict[str, object]]) -> str:
    """Lay out what was measured for a terminal."""
    columns = ("what", "stage", "dimension", "size", "ours", "peer", "seconds", "peer_seconds", "mebibytes", "ratio")
    columns += ("ratio_low", "ratio_high", "goal", "rate", "unit", "share_of_limit", "accuracy", "difference")
    table = pd.DataFrame(rows)
    return table[[name for name in columns if name in table]].round(3).to_string(index=False, na_rep="")


if __name__ == "__main__":
    main()
