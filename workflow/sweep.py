"""Run a grid of trainings, here or on a cluster: ``python -m workflow.sweep --help``."""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from gcamccl_core.parameters import suggest
from gcamccl_core.provenance import what_changed
from workflow.profile import Profile, ProfileError, read_profile
from workflow.sweep_grid import Sweep, made_from, read_sweep
from workflow.sweep_slurm import ClusterError, slurm_options
from workflow.sweep_table import table_made_from

PLUGIN = "snakemake_executor_plugin_"
AT_ONCE = "100"  # jobs that wait or run on a cluster


def snakemake_command(sweep: Sweep, executor: str = "", jobs: str = "", options: Sequence[str] = ()) -> list[str]:
    """Write the call of Snakemake that runs a sweep.

    Parameters
    ----------
    sweep : Sweep
        The grid.
    executor : str
        One of Snakemake's executors; empty for this machine.
    jobs : str
        How many cells at once, in processor cores if on this machine; all cores here and 100 elsewhere if empty.
    options : sequence of str
        Others for Snakemake; they win.

    Raises
    ------
    ClusterError
        If Slurm is asked for and does not answer.
    """
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        "workflow/sweep.smk",
        "--scheduler",
        "greedy",
        "--nolock",
    ]
    command += ["--rerun-incomplete", "--rerun-triggers", "mtime", "--keep-going", "--quiet", "host", "reason", "rules"]
    if not executor or executor == "local":
        command += ["--cores", jobs or "all", "--resources", f"mem_mb={memory_of_this_machine()}"]
    else:  # files written on a node may be seen here a little later
        command += ["--executor", executor, "--jobs", jobs or AT_ONCE, "--latency-wait", "60"]
        command += slurm_options(sweep.folder.slurm) if executor == "slurm" else []
    return [*command, "--config", f"profile={sweep.profile}", *options, "--", "sweep"]


def memory_of_this_machine() -> int:
    """Physical memory in MB: cells on this machine together ask for no more."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000


def known_executors() -> list[str]:
    """Names of the executors that are installed beside Snakemake, and the one it brings."""
    found = [module.name.removeprefix(PLUGIN) for module in pkgutil.iter_modules() if module.name.startswith(PLUGIN)]
    steps = ("slurm_jobstep",)  # runs inside a job, never by itself
    return ["local", *sorted(name.replace("_", "-") for name in found if name not in steps)]


def cell_states(sweep: Sweep) -> dict[str, list[str] | None]:
    """Say of every cell what changed since it was executed: nothing if it is current; None if it is missing."""
    states: dict[str, list[str] | None] = {}
    for name, basis in made_from(sweep).items():
        folder = sweep.folder
        there = all(path.is_file() for path in (folder.executed(name), folder.scores(name), folder.stamp(name)))
        states[name] = what_changed(json.loads(folder.stamp(name).read_text()), basis) if there else None
    return states


def table_state(sweep: Sweep) -> list[str] | None:
    """Say what changed since the scores were gathered, as :func:`cell_states` does."""
    if not (sweep.folder.table.is_file() and sweep.folder.table_stamp.is_file()):
        return None
    return what_changed(json.loads(sweep.folder.table_stamp.read_text()), table_made_from(made_from(sweep)))


def sweep_states(profile: Profile) -> list[tuple[str, list[str] | None]]:
    """List a profile's cells that are missing or stale, one line for those that are current, and the table."""
    if not profile.sweep:
        return []
    sweep = read_sweep(profile)
    if not sweep.folder.path.is_dir():
        return []
    states = cell_states(sweep)
    rows: list[tuple[str, list[str] | None]] = [
        (str(sweep.folder.executed(name)), changed) for name, changed in states.items() if changed != []
    ]
    current = sum(changed == [] for changed in states.values())
    if current:
        rows.append((f"{sweep.folder.path / 'cells'}, {current} of {len(states)} cells", []))
    return [*rows, (str(sweep.folder.table), table_state(sweep))]


def report_unfinished(sweep: Sweep, started: float) -> str:
    """Name the cells that are not done: of those that ran since ``started``, parameters, log and its last lines."""
    said, waiting = [], 0
    states = cell_states(sweep)
    for cell in sweep.cells:
        log = sweep.folder.log(cell.name)
        if states[cell.name] == []:
            continue
        if not log.is_file() or log.stat().st_mtime < started:
            waiting += 1
            continue
        said += [f"{cell.name} failed, with the parameters {json.dumps(dict(cell.parameters))}"]
        for path in [log, *sorted(sweep.folder.slurm.glob(f"*/{cell.name}/*.log"))]:
            last = [line for line in path.read_text(errors="replace").splitlines() if line.strip()][-2:]
            said += [*(f"    {line}" for line in last), f"    log: {path}"]
    if waiting:
        said.append(f"{waiting} cells did not start; what the executor said of them is above")
    if not said:
        return f"All cells are done, and {sweep.folder.table} is not; why is said above"
    return "\n".join([*said, "What is done is kept: the same command goes on with the rest."])


def run_to_the_end(command: Sequence[str]) -> int:
    """Run a command that shall end by itself: an interrupt reaches it, too, and it has jobs to cancel first."""
    process = subprocess.Popen(command)
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, check everything, run the sweep, and name what failed."""
    parser = argparse.ArgumentParser(prog="python -m workflow.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("profile", help="a file of profiles/ with a section 'sweep'")
    parser.add_argument("--executor", default="", help=f"{', '.join(known_executors())}; this machine unless given")
    parser.add_argument("--jobs", default="", help="cells at once (here all cores, elsewhere 100)")
    parser.epilog = "What follows -- goes to Snakemake, such as options of its executor."
    given = sys.argv[1:] if arguments is None else arguments
    cut = given.index("--") if "--" in given else len(given)
    asked = parser.parse_args(given[:cut])
    if asked.executor and asked.executor not in known_executors():
        advice = f"install snakemake-executor-plugin-{asked.executor} if there is such a package"
        parser.error(f"no executor '{asked.executor}' here; {suggest(asked.executor, known_executors())}; {advice}")
    started = time.time()
    try:
        sweep = read_sweep(read_profile(asked.profile))
        command = snakemake_command(sweep, asked.executor, asked.jobs, given[cut + 1 :])
    except (ProfileError, ClusterError) as fault:
        print(fault, file=sys.stderr)
        return 1
    states = cell_states(sweep)
    done = sum(changed == [] for changed in states.values())
    print(f"{len(states)} cells, {done} of them done; {asked.executor or 'on this machine'}", flush=True)
    code = run_to_the_end(command)
    if code:
        print(report_unfinished(sweep, started), file=sys.stderr)
    else:
        print(f"The scores: {sweep.folder.table}, {sweep.folder.summary}")
    return code


if __name__ == "__main__":
    sys.exit(main())
