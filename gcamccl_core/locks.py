"""Locks on files, which go with the process that holds them, however it ends."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not on Windows: two runs at once are not told from one another there
    fcntl = None  # type: ignore[assignment]

STEP = 0.1  # seconds between two looks


class InUseError(RuntimeError):
    """Something that another process is at work on; the message says which process, and since when."""


@contextmanager
def hold_lock(path: Path, what: str, command: str, patience: float | None = 0.0) -> Iterator[None]:
    """Keep other processes out while something is worked on.

    The lock is the kernel's, on an open file that no program started meanwhile inherits: a process that is killed
    leaves none behind. What the file says is for people.

    Parameters
    ----------
    path : pathlib.Path
        The lock's file, in a folder that is there; it stays, empty.
    what : str
        What is kept from others, for the message.
    command : str
        What is done with it, for others' messages.
    patience : float or None
        Seconds to wait for another process, which may be dying; None waits as long as it takes, and says so.

    Raises
    ------
    InUseError
        If another process still holds it then.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, hold_lock(Path(folder) / ".lock", "the run", "make book"):
    ...     with hold_lock(Path(folder) / ".lock", "the run", "make book"):
    ...         pass
    Traceback (most recent call last):
    ...
    gcamccl_core.locks.InUseError: the run is in use: process ... since ... (make book). Wait until it is done, ...
    """
    with path.open("a+") as file:
        _wait(file, what, patience)
        file.truncate(0)
        about = {"pid": os.getpid(), "host": socket.gethostname(), "command": command}
        json.dump({**about, "since": datetime.now(UTC).isoformat(timespec="seconds")}, file)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder(path: Path) -> dict[str, object] | None:
    """Say who holds a lock: ``pid``, ``host``, ``command`` and ``since``; None if nobody does."""
    if not path.is_file():
        return None
    with path.open("r+") as file:
        return None if _take(file) else _about(file)


def say_holder(about: dict[str, object]) -> str:
    """Put what :func:`holder` found in words."""
    return "process {pid} on {host} since {since} ({command})".format(**about)


def _wait(file: IO[str], what: str, patience: float | None) -> None:
    start, said = time.monotonic(), False
    while not _take(file):
        about = say_holder(_about(file))
        if patience is not None and time.monotonic() - start > patience:
            raise InUseError(f"{what} is in use: {about}. Wait until it is done, or stop it.")
        if patience is None and not said:
            print(f"{what} is in use: {about}; waiting for it", file=sys.stderr, flush=True)
            said = True
        time.sleep(STEP)


def _take(file: IO[str]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _about(file: IO[str]) -> dict[str, object]:
    unknown: dict[str, object] = dict.fromkeys(("pid", "host", "since", "command"), "unknown")
    try:
        file.seek(0)
        return unknown | json.loads(file.read() or "{}")
    except ValueError:  # it is being written
        return unknown
