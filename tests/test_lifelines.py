"""What a killed process had started ends with it, and nothing else does."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gcamccl_core.lifelines import end_with

CHAIN = """
import subprocess, sys, time
from gcamccl_core.lifelines import end_with_parent
end_with_parent() if sys.argv[1] != "3" else None
if sys.argv[1] != "0":
    subprocess.Popen([sys.executable, "-c", sys.argv[2], str(int(sys.argv[1]) - 1), sys.argv[2]])
print(__import__("os").getpid(), flush=True)
time.sleep(60)
"""
WORKERS = """
import os, sys, time
from functools import partial
from pathlib import Path
from workflow.units import run_units

def write(folder, _):
    while True:
        Path(folder, str(os.getpid())).write_text(str(time.time()))
        time.sleep(0.05)

if __name__ == "__main__":
    run_units(partial(write, sys.argv[1]), [0, 1], 2)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent ended")


def alive(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(happened, seconds=20):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def test_a_chain_of_processes_ends_with_its_first():
    first = subprocess.Popen([sys.executable, "-c", CHAIN, "3", CHAIN], stdout=subprocess.PIPE, text=True)
    numbers = [int(first.stdout.readline()) for _ in range(4)]
    time.sleep(0.5)
    assert all(map(alive, numbers))
    first.kill()
    first.wait()
    wait_until(lambda: not any(map(alive, numbers)))
    first.stdout.close()


def test_workers_of_a_killed_process_write_no_more(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(WORKERS)
    folder = tmp_path / "written"
    folder.mkdir()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = {**os.environ, "PYTHONPATH": root}
    process = subprocess.Popen([sys.executable, script, folder], env=environment, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(folder.iterdir())) == 2, 60)
    numbers = [int(path.name) for path in folder.iterdir()]
    assert process.pid not in numbers
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(map(alive, numbers)))


def test_a_process_does_not_tie_itself_to_its_own_parent(monkeypatch):
    monkeypatch.setattr("gcamccl_core.lifelines.end_with_parent", lambda **_: pytest.fail("tied"))
    end_with(os.getpid())
