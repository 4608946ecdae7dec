"""One run at a time per run folder, and nothing that outlives it: what both need from the operating system.

Whatever a run starts ends with it, however it ends, so that the next one finds nobody at work and goes on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from gcamccl_core.disk_faults import require_room, require_writable
from gcamccl_core.kept_files import remove_leftovers
from gcamccl_core.lifelines import end_with_parent
from gcamccl_core.locks import hold_lock

LOCK = ".lock"
PATIENCE = 10.0  # seconds for what a killed run has left dying
ROOM = 2**29  # bytes that a book takes: the demo's is half of it
PR_SET_CHILD_SUBREAPER = 36  # of prctl(2)
RUNNER = "GCAMCCL_RUNNER"  # environment variable with the number of the process that holds the lock


@contextmanager
def guard(run_folder: Path, command: str, room: int = ROOM) -> Iterator[None]:
    """Keep a run folder for one run, after a check that it can be written to and has room.

    Parameters
    ----------
    run_folder : pathlib.Path
        Of a profile; made if need be.
    command : str
        What the user typed, for the message to a second one.
    room : int
        Bytes that the run takes.

    Raises
    ------
    StorageError
        If the folder cannot be written to, or its disk has too little room; with how much there is and is needed.
    InUseError
        If another run is at work in the folder; with its process, and since when.
    """
    require_writable(run_folder)
    run_folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(run_folder / LOCK, str(run_folder), command, PATIENCE):
        require_room(run_folder, room)
        left = remove_leftovers(run_folder, "**/*.partial")
        if left:
            print(f"removed what a killed run had not finished writing: {', '.join(map(str, left))}", file=sys.stderr)
        os.environ[RUNNER] = str(os.getpid())
        yield


def run_to_the_end(command: Sequence[str], number: int = signal.SIGKILL) -> int:
    """Run a program and wait for its end; neither it nor what it starts outlives this process.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    number : int
        The signal that it is sent if this process is told to end; what is kept survives a kill.

    Returns
    -------
    int
        Its exit status; negative, the number of the signal that ended it.
    """
    if sys.platform == "linux":  # whoever loses its parent becomes a child of this process
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = subprocess.Popen(command, preexec_fn=partial(_follow, os.getpid(), number))
    asked_to_end = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup; else the terminal has gone
        asked_to_end.append(signal.SIGHUP)
    before = {each: signal.signal(each, lambda *_: process.send_signal(number)) for each in asked_to_end}
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the terminal has told the program, too, which ends by itself
                continue
    finally:
        end_children()
        for each, handler in before.items():
            signal.signal(each, handler)


def _follow(parent: int, number: int) -> None:
    """In the program that is about to start: end with its parent, and hear the signal that asks it to.

    What a script starts in the background ignores SIGINT, and so would all that it starts.
    """
    end_with_parent(signal.SIGKILL, parent)
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)


def end_children(seconds: float = PATIENCE) -> None:
    """Kill what is left of this process's children, those of programs that ended before theirs among them."""
    end = time.monotonic() + seconds
    while (left := children()) and time.monotonic() < end:
        for number in left:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(number, signal.SIGKILL)
                os.waitpid(number, os.WNOHANG)
        time.sleep(0.02)


def children() -> list[int]:
    """Numbers of this process's children, on Linux."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(path.parent.name))
    return found
