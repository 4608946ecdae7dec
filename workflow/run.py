"""Make a book, or execute its notebooks, one run at a time per profile: ``python -m workflow.run --help``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from gcamccl_core.lifelines import end_with_parent


def snakemake_command(target: str, profile: str) -> list[str]:
    """Write the call of Snakemake that makes a book, or executes its notebooks.

    Its own lock, which would outlive a kill, is left out. A file is made again if what it is made from is newer, also
    where that has the content that it had before: it is written anew where what was made is damaged.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--cores", "all"]
    command += ["--scheduler", "greedy", "--nolock", "--rerun-incomplete", "--rerun-triggers", "mtime"]
    command += ["--max-checksum-file-size", "0"]
    return [*command, "--quiet", "all", "--config", f"profile={profile}", "--", target]


def end_with_make() -> None:
    """Have this process told to end when the make that started it ends: a make that is killed tells nobody."""
    if "MAKELEVEL" not in os.environ:
        return
    end_with_parent(signal.SIGTERM)
    if os.getppid() == 1 and "make" not in Path("/proc/1/comm").read_text():
        sys.exit("the make that started this run has ended")


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, check everything, and run."""
    parser = argparse.ArgumentParser(prog="python -m workflow.run", description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=("book", "notebooks"), help="the rendered book, or its executed notebooks")
    parser.add_argument("profile", help="a file of profiles/")
    asked = parser.parse_args(arguments)
    end_with_make()  # before the imports that take a second
    from gcamccl_core.disk_faults import StorageError
    from gcamccl_core.locks import InUseError
    from workflow.guard import guard, run_to_the_end
    from workflow.profile import ProfileError, read_profile

    try:
        profile = read_profile(asked.profile)
        with guard(profile.run_folder, f"make {asked.target} PROFILE={profile.name}"):
            code = run_to_the_end(snakemake_command(asked.target, profile.name))
    except (ProfileError, StorageError, InUseError) as fault:
        print(fault.strerror if isinstance(fault, StorageError) else fault, file=sys.stderr)
        return 1
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
