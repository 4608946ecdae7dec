"""Disks that are full, read-only or somebody else's: found before work starts, or said in words."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from gcamccl_core.pieces import in_words

WHAT_TO_DO = {
    errno.ENOSPC: "the disk is full ({free} free); make room",
    errno.EDQUOT: "your quota on this disk is used up; make room",
    errno.EROFS: "the disk is mounted read-only; mount it for writing, or choose another folder",
    errno.EACCES: "you may not write there; change the folder's permissions, or choose another folder",
    errno.EPERM: "you may not write there; change the folder's permissions, or choose another folder",
}


class StorageError(OSError):
    """A file that cannot be written: a full or read-only disk, a folder of somebody else's; with what to do."""


def explain(fault: BaseException, path: Path) -> StorageError | None:
    """Say why a file cannot be written, and what to do; None if the fault is of another kind.

    Libraries that write in C or Rust hand the number of the error on in their message only.

    Examples
    --------
    >>> print(explain(OSError(errno.EROFS, "Read-only file system"), Path("runs/demo/table.csv")).strerror)
    runs/demo/table.csv cannot be written: the disk is mounted read-only; mount it for writing, or choose another \
folder, then start again. What was there before is as it was.
    """
    if isinstance(fault, StorageError | ValueError | LookupError | TypeError):
        return None
    if (
        isinstance(fault, OSError)
        and fault.filename
        and path.parent.absolute() not in Path(fault.filename).absolute().parents
    ):
        return None  # of another file, which was read, perhaps
    number = fault.errno if isinstance(fault, OSError) else None
    if number is None and (found := re.search(r"os error (\d+)|errno ?= ?(\d+)", str(fault))):
        number = int(found[1] or found[2])
    return None if number not in WHAT_TO_DO else _fault(number, path)


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written to, before long work starts whose results it is to hold.

    Raises
    ------
    StorageError
        If it cannot, or its nearest parent where it is yet to be made.
    """
    there = _nearest(folder)
    if not there.is_dir():
        raise StorageError(errno.ENOTDIR, f"{there} is a file, and {folder} would be a folder; remove or rename it")
    if not os.access(there, os.W_OK | os.X_OK):
        read_only = os.statvfs(there).f_flag & os.ST_RDONLY
        raise _fault(errno.EROFS if read_only else errno.EACCES, folder)


def require_room(path: Path, size: float) -> None:
    """Refuse to write a file for which the disk has too little room.

    HDF5 must not find out by itself: where it cannot write what it holds back until a file is closed, it takes the
    whole process down.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    size : float
        Bytes of its content; a tenth and a MiB are added for what surrounds it.

    Raises
    ------
    StorageError
        If there is too little.
    """
    needed = int(1.1 * size) + 2**20
    if (free := free_bytes(path)) < needed:
        said = (
            f"{path} takes {in_words(needed)}, its disk has {in_words(free)} left; make room or choose another folder"
        )
        raise StorageError(errno.ENOSPC, f"{said}. What was there before is as it was.")


def _fault(number: int, path: Path) -> StorageError:
    reason = WHAT_TO_DO[number].format(free=in_words(free_bytes(path)))
    said = f"{path} cannot be written: {reason}, then start again. What was there before is as it was."
    return StorageError(number, said)


def _nearest(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def free_bytes(path: Path) -> int:
    """How much room the disk has on which a path lies, or would lie."""
    return shutil.disk_usage(_nearest(path)).free
