"""Install what a hosted runtime lacks, and keep what it has: run by the set-up cell of `make launch`.

Only the standard library is used, for nothing else may be there. A runtime such as Colab's has its own torch, numpy and
so on, gigabytes that are built for its accelerator. What it has stays if its first number is that which we test with
(pandas 2 would not do for 3); the rest is installed as pinned in ``constraints.txt``. So numbers there agree with the
book's as those of any other machine do: within tolerances, not to the digit.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).parent.parent
ALSO = ("myst-nb", "papermill")  # of the book's extra, what chapters themselves import


def canonical(name: str) -> str:
    """Write a package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(project: Path) -> dict[str, str]:
    """Read the exact versions of ``constraints.txt``."""
    lines = (project / "constraints.txt").read_text().splitlines()
    return {canonical(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line and line[0] != "#"}


def needed(project: Path) -> list[str]:
    """List the packages that the core and the chapters import."""
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    return [canonical(re.split(r"[<>=!~ \[;]", text)[0]) for text in declared] + list(ALSO)


def installed(names: list[str]) -> dict[str, str]:
    """Find which of them are there."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def lacking(names: list[str], wanted: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Say what to install, as pip reads it: what is not there, or there with another first number.

    Examples
    --------
    >>> lacking(["numpy", "pandas", "nilearn"], {"numpy": "2.4.6", "pandas": "3.1.1", "nilearn": "0.14.1"},
    ...         {"numpy": "2.0.2", "pandas": "2.2.2"})
    ['pandas==3.1.1', 'nilearn==0.14.1']
    """
    return [
        f"{name}=={wanted[name]}"
        for name in names
        if name not in there or there[name].split(".")[0] != wanted[name].split(".")[0]
    ]


def main() -> None:
    """Install what is lacking, then the project itself, of which nothing is copied."""
    names = needed(PROJECT)
    there = installed(names)
    missing = lacking(names, pins(PROJECT), there)
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    if missing:
        subprocess.run([*pip, *missing], check=True)
    # the package asks for the Python that we test with; of a newer one we only say so
    subprocess.run([*pip, "--no-deps", "--ignore-requires-python", "--editable", str(PROJECT)], check=True)
    replaced = sorted(name for name in there if any(entry.startswith(f"{name}==") for entry in missing))
    if replaced:
        print(f"Replaced {', '.join(replaced)}: restart the kernel once before you go on.")
    if sys.version_info[:2] != (3, 11):
        print("The project is tested with Python 3.11; this is another.")


if __name__ == "__main__":
    main()
