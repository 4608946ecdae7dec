"""Locks keep a second run out, say who holds them, and go with their process."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from gcamccl_core.locks import InUseError, hold_lock, holder

HOLD = """
import subprocess, sys, time
from pathlib import Path
from gcamccl_core.locks import hold_lock
with hold_lock(Path(sys.argv[1]), "the run", "make book"):
    child = subprocess.Popen(["sleep", "60"])
    print(child.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """A lock that another process holds, which has started a child; and that child's number."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / ".lock"], stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    yield tmp_path / ".lock", process, child
    process.kill()
    os.kill(child, signal.SIGKILL)  # first, since it holds the pipe open
    process.communicate()


def test_a_second_run_is_told_of_the_first(held):
    path, process, _ = held
    said = rf"the run is in use: process {process.pid} on {socket.gethostname()} since 20.*\(make book\)\. Wait"
    with pytest.raises(InUseError, match=said), hold_lock(path, "the run", "make sweep"):
        pass
    assert holder(path)["pid"] == process.pid


def test_a_killed_process_leaves_no_lock_even_if_its_child_lives(held):
    path, process, child = held
    process.kill()
    process.wait()
    os.kill(child, 0)
    assert holder(path) is None
    with hold_lock(path, "the run", "make sweep"):
        assert holder(path) == {**holder(path), "pid": os.getpid(), "command": "make sweep"}
    assert holder(path) is None
    assert path.read_text() == ""


def test_a_process_that_is_dying_is_waited_for(held):
    path, process, _ = held
    subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {process.pid}"])
    with hold_lock(path, "the run", "make sweep", patience=20):
        assert holder(path)["pid"] == os.getpid()


def test_whoever_waits_as_long_as_it_takes_says_so(held, capsys):
    path, process, _ = held
    started = time.monotonic()
    subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {process.pid}"])
    with hold_lock(path, "the download", "fetch", patience=None):
        assert time.monotonic() - started > 0.3
    assert f"the download is in use: process {process.pid} " in capsys.readouterr().err


def test_a_lock_that_says_nothing_yet_still_locks(held):
    path, _, _ = held
    path.write_text("")
    with pytest.raises(InUseError, match="the run is in use: process unknown"), hold_lock(path, "the run", "make book"):
        pass
