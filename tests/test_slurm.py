"""A sweep on a real Slurm: installed if need be, on loopback, without accounting; the same table as on this machine."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from slurm_cluster import ClusterUnavailableError, install_slurm, loopback_cluster
from sweep_checkout import environment_of, make_checkout, run_here

pytestmark = pytest.mark.slow

SWEEP = """sweep:
  splits: 3
  seeds: [0, 1]
  regimes: [clear, null]
  recipes:
    short: {base: demo, epochs: 1, patience: null}
    sigmoid: {base: demo, epochs: 1, patience: null, output: sigmoid}
  parameters: {n_subjects: 60, regions_kept: 20}
  resources: {cpus: 1, mem_mb: 900, runtime: 15}
"""
N_CELLS = 24
SOON = ("--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "3")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Bring a cluster up and take it down; hand back its folder and the variables that lead to it."""
    folder = tmp_path_factory.mktemp("slurm")
    try:
        install_slurm()
        with loopback_cluster(folder, cpus=os.cpu_count() or 1) as variables:
            yield folder, variables
    except ClusterUnavailableError as fault:
        pytest.skip(f"no Slurm to test on: {fault}")


def jobs_of(variables) -> list[list[str]]:
    """State, processors, memory and time limit of every job that the controller knows."""
    command = ["squeue", "--states=all", "--noheader", "--format=%T %C %m %l"]
    asked = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **variables})
    return [line.split() for line in asked.stdout.splitlines()]


def watch_calls(folder, name):
    """Put a command in front of Slurm's own that writes down with which arguments it is called."""
    calls, watched = folder / f"{name}.calls", folder / "bin" / name
    calls.touch()
    watched.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {shutil.which(name)} "$@"\n')
    watched.chmod(0o755)
    return calls


def test_a_sweep_on_slurm_gives_the_table_of_this_machine_to_the_byte(cluster, tmp_path):
    folder, variables = cluster
    asked = {name: watch_calls(folder, name) for name in ("sacct", "squeue")}
    checkout = make_checkout(tmp_path / "checkout", here=SWEEP, there=SWEEP)
    runs = checkout / "runs"
    there = run_here(checkout, "workflow.sweep", "there", "--executor", "slurm", "--", *SOON, **variables)
    assert there.returncode == 0, there.stdout + there.stderr
    how_jobs_are = {name: calls.read_text().count("--name") for name, calls in asked.items()}
    assert how_jobs_are["squeue"] > 0
    assert how_jobs_are["sacct"] == 0  # there are no accounts that it could read
    assert jobs_of(variables) == [["COMPLETED", "1", "900M", "15:00"]] * N_CELLS
    here = run_here(checkout, "workflow.sweep", "here")
    assert here.returncode == 0, here.stdout + here.stderr
    for name in ("table.csv", "summary.csv"):
        assert (runs / "there/sweep" / name).read_bytes() == (runs / "here/sweep" / name).read_bytes()
    assert len((runs / "there/sweep/table.csv").read_text().splitlines()) == 1 + 3 * N_CELLS
    lost = runs / "there/sweep/scores/null-short-split1-seed1.json"
    lost.unlink()
    again = run_here(checkout, "workflow.sweep", "there", "--executor", "slurm", "--", *SOON, **variables)
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(jobs_of(variables)) == N_CELLS + 1
    assert "null-short-split1-seed1" in again.stderr
    assert lost.is_file()


def test_a_sweep_that_is_told_to_end_takes_its_jobs_with_it(cluster, tmp_path):
    _, variables = cluster
    checkout = make_checkout(tmp_path / "checkout", ended=SWEEP)
    before = len(jobs_of(variables))
    command = [sys.executable, "-m", "workflow.sweep", "ended", "--executor", "slurm", "--", *SOON]
    with (tmp_path / "said").open("w") as said:
        run = subprocess.Popen(
            command, cwd=checkout, env=environment_of(checkout, **variables), stdout=said, stderr=said
        )
        deadline = time.monotonic() + 120
        while sum(state == "RUNNING" for state, *_ in jobs_of(variables)) == 0 and time.monotonic() < deadline:
            time.sleep(1)
        run.send_signal(signal.SIGTERM)
        assert run.wait(120) != 0, (tmp_path / "said").read_text()
    deadline = time.monotonic() + 60
    while {state for state, *_ in jobs_of(variables)} & {"RUNNING", "PENDING", "COMPLETING"}:
        assert time.monotonic() < deadline, jobs_of(variables)
        time.sleep(1)
    ended = jobs_of(variables)
    assert len(ended) > before
    assert "CANCELLED" in {state for state, *_ in ended}
    assert "What is done is kept" in (tmp_path / "said").read_text()
