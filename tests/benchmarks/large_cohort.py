"""Cohorts larger than memory, from simulation to selected features: time and memory of every step.

``python -m tests.benchmarks.large_cohort --subjects 342 1000`` prints the table; 40,000 people take 14 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from tqdm.std import tqdm

from gcamccl_core.data.cohort import make_split, open_on_disk
from gcamccl_core.data.simulated_files import simulate_cohort_to
from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.selection import select_biomarkers
from gcamccl_core.maps.stored_maps import open_maps
from gcamccl_core.model.network_files import load_net, save_net
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import hash_data

SUBJECTS = (342, 1000, 4000, 40_000)
QUICK_SUBJECTS = (60, 90)
COHORT, NET, MAPS = "cohort.nc", "net.safetensors", "maps.nc"
Work = Callable[[], object]


def simulate(folder: Path, n: int) -> Work:
    """Simulate and write."""
    return lambda: simulate_cohort_to(folder / COHORT, n, progress=False)


def open_and_check(folder: Path, n: int) -> Work:
    """Open, which checks everything."""
    return lambda: open_on_disk(folder / COHORT)


def fingerprint(folder: Path, n: int) -> Work:
    """Hash all values."""
    cohort = open_on_disk(folder / COHORT)
    return lambda: hash_data(cohort)


def train(folder: Path, n: int) -> Work:
    """Train the demo's recipe for one epoch, validation included."""
    cohort = open_on_disk(folder / COHORT)
    recipe = Recipe.demo(epochs=1)
    return lambda: save_net(fit(cohort, make_split(cohort), recipe, progress=False).net, folder / NET)


def compute(folder: Path, n: int) -> Work:
    """Compute the maps of the test part."""
    cohort, net = open_on_disk(folder / COHORT), load_net(folder / NET)
    part = make_split(cohort).test
    return lambda: compute_maps(net, cohort, ["guided_grad_cam"], subjects=part, out=folder / MAPS, progress=False)


def select(folder: Path, n: int) -> Work:
    """Select from the maps in the file."""
    return lambda: select_biomarkers(open_maps(folder / MAPS))


STEPS: dict[str, Callable[[Path, int], Work]] = {
    "simulate": simulate,
    "open and check": open_and_check,
    "fingerprint": fingerprint,
    "train one epoch": train,
    "maps of the test part": compute,
    "select": select,
}


def measure(quick: bool = False) -> list[dict[str, object]]:
    """Measure every step at several numbers of subjects.

    Returns
    -------
    list of dict
        As :func:`measure_cohort`.
    """
    return [row for n in (QUICK_SUBJECTS if quick else SUBJECTS) for row in measure_cohort(n)]


def measure_cohort(n: int, folder: Path | None = None) -> list[dict[str, object]]:
    """Measure every step for one number of subjects, each in a process of its own.

    Parameters
    ----------
    n : int
        Subjects.
    folder : pathlib.Path, optional
        Where cohort and maps lie meanwhile, on a disk with room for them; a temporary one if None.

    Returns
    -------
    list of dict
        ``stage``, ``dimension`` ("subjects"), ``size``, ``n_subjects``, ``seconds`` of the step, and ``mebibytes``, the
        most memory that the process held, libraries included.
    """
    rows = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for stage in tqdm(STEPS, desc=f"{n} subjects", leave=False):
            command = [sys.executable, "-m", f"{__package__}.large_cohort", "--step", stage, str(n), place]
            root = Path(__file__).parents[len(str(__package__).split("."))]
            done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=dict(os.environ))
            if done.returncode:
                raise RuntimeError(f"{stage} of {n} subjects failed:\n{done.stderr[-2000:]}")
            found = json.loads(done.stdout.splitlines()[-1])
            rows.append({"stage": stage, "dimension": "subjects", "size": n, "n_subjects": n, **found})
    return rows


def measure_step(stage: str, n: int, folder: Path) -> dict[str, float]:
    """Do one step in this process."""
    work = STEPS[stage](folder, n)
    start = time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - start, "mebibytes": most_mebibytes()}


def most_mebibytes() -> float:
    """Most memory that this process has held; not what its parent held, which getrusage hands on."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 2**10
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--subjects", type=int, nargs="+", default=SUBJECTS)
    parser.add_argument("--folder", type=Path, help="for cohort and maps; a temporary one unless given")
    parser.add_argument("--csv", type=Path, help="write the table here, too, after each number of subjects")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.step:
        stage, n, folder = asked.step
        print(json.dumps(measure_step(stage, int(n), Path(folder))))
        return
    rows: list[dict[str, object]] = []
    for n in asked.subjects:
        rows += measure_cohort(n, asked.folder)
        table = pd.DataFrame(rows).round({"seconds": 2, "mebibytes": 1})
        print(table[table["size"] == n].to_string(index=False), flush=True)
        if asked.csv:
            table.to_csv(asked.csv, index=False)


if __name__ == "__main__":
    main()
