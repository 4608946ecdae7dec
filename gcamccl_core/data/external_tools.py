"""Find and run the programs of others: plink2 filters genotypes, shapeit4 phases and minimac4 imputes them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

HOW_TO_GET = {
    name: f"Debian and Ubuntu: apt install {name}; conda: conda install bioconda::{name}"
    for name in ("plink2", "bcftools", "shapeit4", "minimac4")
}


class MissingToolError(RuntimeError):
    """A program that this machine lacks; the message says how to get it."""


class ToolError(RuntimeError):
    """A program that stopped with an error of its own, which the message repeats."""


def find_tool(name: str) -> Path:
    """Find a program: where the environment variable GCAMCCL_<NAME> says, else on the search path.

    Parameters
    ----------
    name : str
        A key of ``HOW_TO_GET``.

    Raises
    ------
    MissingToolError
        If it is not there, or the environment variable names no file.

    Examples
    --------
    >>> import os
    >>> os.environ["GCAMCCL_MINIMAC4"] = "/nowhere/minimac4"
    >>> find_tool("minimac4")
    Traceback (most recent call last):
    gcamccl_core.data.external_tools.MissingToolError: GCAMCCL_MINIMAC4 names /nowhere/minimac4, which is no file
    >>> del os.environ["GCAMCCL_MINIMAC4"]
    """
    variable = f"GCAMCCL_{name.upper()}"
    named = os.environ.get(variable)
    if named:
        if not Path(named).is_file():
            raise MissingToolError(f"{variable} names {named}, which is no file")
        return Path(named)
    found = shutil.which(name)
    if found is None:
        raise MissingToolError(f"{name} is not installed ({HOW_TO_GET[name]}), or let {variable} name the program")
    return Path(found)


def run_tool(name: str, arguments: Sequence[object]) -> str:
    """Run a program to its end, and hand back what it printed.

    Parameters
    ----------
    name : str
        As for :func:`find_tool`.
    arguments : sequence
        Its command line; paths and numbers become text.

    Raises
    ------
    MissingToolError
        If it is not there.
    ToolError
        If it fails; with the lines in which it says why, or the last of them.
    """
    command = [str(find_tool(name)), *(str(each) for each in arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        lines = [line.strip() for line in done.stdout.replace("\r", "\n").splitlines() if line.strip()]
        starts = [number for number, line in enumerate(lines) if line.startswith("Error")]
        why = " ".join(lines[starts[0] :] if starts else lines[-3:])
        raise ToolError(f"{name} stopped with status {done.returncode}: {why} (arguments: {' '.join(command[1:])})")
    return done.stdout
