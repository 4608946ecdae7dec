"""A grid of trainings: execute the cell notebook for each, here or on a cluster, and gather the scores.

    python -m workflow.sweep PROFILE [--executor slurm]

What each cell is made from is written whenever the first process reads this file, and only if it changed: a change
there, and nothing else, executes the cell again. Jobs of a cluster, which read this file anew, look at the plan alone.
"""

import json
import sys
from pathlib import Path

from workflow.sweep_files import SweepFolder


FILES = SweepFolder(Path("runs") / config["profile"] / "sweep")
if workflow.is_main_process:
    from workflow.profile import ProfileError, read_profile
    from workflow.sweep_grid import read_sweep
    from workflow.sweep_state import write_plan

    try:
        write_plan(read_sweep(read_profile(config["profile"])))
    except ProfileError as fault:
        raise WorkflowError(str(fault))
PLAN = json.loads(FILES.plan.read_text())


localrules:
    sweep,
    gather,


CELLS = [FILES.scores(name) for name in PLAN["cells"]] + [FILES.executed(name) for name in PLAN["cells"]]


rule sweep:
    input:
        FILES.table,
        CELLS,  # named here, too: one that is lost is made again, though the table is there


rule gather:
    input:
        CELLS,
        FILES.table_made_from,
    output:
        FILES.table,
        FILES.summary,
        FILES.table_stamp,
    params:
        python=sys.executable,
        profile=config["profile"],
    shell:
        "exec {params.python:q} -m workflow.sweep_table {params.profile:q}"


rule cell:
    input:
        notebook=ancient("workflow/sweeps/cell.ipynb"),
        made_from=FILES.made_from("{cell}"),
    output:
        notebook=FILES.executed("{cell}"),
        scores=FILES.scores("{cell}"),
    log:
        FILES.log("{cell}"),
    params:
        python=sys.executable,  # of the project's .venv, wherever the job runs
    threads: PLAN["resources"]["cpus"]
    resources:
        **{name: value for name, value in PLAN["resources"].items() if name != "cpus"},
    shell:
        "exec {params.python:q} -m workflow.execute {input.notebook:q} {output.notebook:q} {input.made_from:q} > {log:q} 2>&1"
