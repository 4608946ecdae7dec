"""A folder of results appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from gcamccl_core.disk_faults import explain, require_writable
from gcamccl_core.kept_files import partial_suffix, remove_leftovers


@contextmanager
def write_folder(out: str | Path) -> Iterator[Path]:
    """Hand out a folder to write into, which takes its name when all is written; an error removes it.

    Parameters
    ----------
    out : path
        The folder to make, its parents included.

    Yields
    ------
    Path
        Where to write meanwhile, beside ``out``.

    Raises
    ------
    FileExistsError
        If ``out`` is there already; nothing is overwritten.
    StorageError
        If it cannot be written, with the reason and what to do.

    Examples
    --------
    >>> with write_folder(mkdtemp() + "/results") as folder:
    ...     _ = (folder / "table.csv").write_text("a")
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(f"{out} exists; remove it or choose another folder")
    require_writable(out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out.parent, f".{out.name}-*")
    partial = Path(mkdtemp(prefix=f".{out.name}-", suffix=partial_suffix(), dir=out.parent))
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp keeps others out
        partial.rename(out)
    except OSError as fault:
        said = explain(fault, out)
        if said is None:
            raise
        raise said from fault
    finally:
        shutil.rmtree(partial, ignore_errors=True)
