"""Run a grid of trainings, here or on a cluster: ``python -m workflow.sweep --help``."""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Sequence

from gcamccl_core.disk_faults import StorageError
from gcamccl_core.locks import InUseError
from gcamccl_core.parameters import suggest
from workflow.guard import RUNNER, guard, run_to_the_end
from workflow.profile import ProfileError, read_profile
from workflow.run import end_with_make
from workflow.sweep_grid import Sweep, read_sweep
from workflow.sweep_slurm import ClusterError, slurm_options
from workflow.sweep_state import cell_states

HERE = ("", "local")
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
    command += ["--max-checksum-file-size", "0"]  # a basis that is written again alike has its reason, too
    command += ["--rerun-incomplete", "--rerun-triggers", "mtime", "--keep-going", "--quiet", "host", "reason", "rules"]
    if executor in HERE:
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
    end_with_make()
    try:
        profile = read_profile(asked.profile)
        sweep = read_sweep(profile)
        command = snakemake_command(sweep, asked.executor, asked.jobs, given[cut + 1 :])
        with guard(profile.run_folder, f"make sweep PROFILE={profile.name}"):
            return run(sweep, command, asked.executor)
    except (ProfileError, ClusterError, StorageError, InUseError) as fault:
        print(fault.strerror if isinstance(fault, StorageError) else fault, file=sys.stderr)
        return 1


def run(sweep: Sweep, command: Sequence[str], executor: str) -> int:
    """Run Snakemake to its end, and say what came of it."""
    started = time.time()
    states = cell_states(sweep)
    done = sum(changed == [] for changed in states.values())
    print(f"{len(states)} cells, {done} of them done; {executor or 'on this machine'}", flush=True)
    if executor in HERE:
        code = run_to_the_end(command)
    else:
        os.environ.pop(RUNNER, None)  # a process of this machine, which a node would look for in vain
        code = run_to_the_end(command, signal.SIGINT)  # at which Snakemake cancels its jobs
    if code:
        print(report_unfinished(sweep, started), file=sys.stderr)
    else:
        print(f"The scores: {sweep.folder.table}, {sweep.folder.summary}")
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
