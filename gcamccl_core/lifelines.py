"""Processes that end with the one that started them, so that what was killed goes on writing nowhere."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of prctl(2)


def end_with_parent(number: int = signal.SIGKILL, parent: int | None = None) -> None:
    """Have the kernel send this process a signal when its parent ends, however it ends; Linux only, nothing elsewhere.

    It holds across an ``exec``, not for processes that this one starts. "Parent" is the very thread that started it.

    Parameters
    ----------
    number : int
        The signal; as it is, nothing can catch it.
    parent : int, optional
        Number of the parent, if it is known: it may have ended before this was called.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if parent is not None and os.getppid() != parent:
            os.kill(os.getpid(), number)


def end_with(worker_of: int) -> None:
    """End a worker process with the process whose number is given; now, if that has ended already.

    A worker that another process started, as some schedulers do, is left to these.

    Parameters
    ----------
    worker_of : int
        Number of the process that hands out the work.
    """
    if os.getppid() == worker_of:
        end_with_parent(parent=worker_of)
    elif os.getpid() != worker_of:
        try:
            os.kill(worker_of, 0)
        except ProcessLookupError:
            os.kill(os.getpid(), signal.SIGKILL)
        except PermissionError:  # somebody else's, and alive
            return
