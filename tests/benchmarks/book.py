"""The demo book made again, when nothing changed and when prose did, against all chapters by papermill, one by one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import nbformat

from gcamccl_core.provenance import project_root
from workflow.profile import notebook_names, read_profile
from workflow.status import executed_state

from .timing import alternate

PROFILE = "demo"
PEER = "papermill, chapter by chapter"
UNCHANGED, CHANGED = "make book, nothing changed", "make book, prose changed"
LEFT_OUT = (".git", ".snakemake", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")


class NotMadeError(RuntimeError):
    """There is no current demo book to make again."""


def measure(quick: bool = False) -> list[dict[str, object]]:
    """Time ``make book`` in a copy of the project; the chapters themselves are not executed.

    What they would take is what papermill has noted in the executed ones, all with the settings of the Makefile.

    Returns
    -------
    list of dict
        Rows of the table of ratios.

    Raises
    ------
    NotMadeError
        If a chapter or the rendered book is missing or stale.
    """
    root = project_root()
    executed = require_book(root)
    whole = papermill_seconds(executed)
    with tempfile.TemporaryDirectory(prefix="book-") as folder:
        copy = copy_project(root, Path(folder) / "project")
        make_book(copy)  # in the copy, what Snakemake has noted of the past is not there
        page = copy / "book" / "index.md"

        def change_prose() -> None:
            page.write_text(page.read_text() + "\nOne more sentence.\n")
            make_book(copy)

        ours = {UNCHANGED: lambda: make_book(copy), CHANGED: change_prose}
        seconds = alternate(ours, 1 if quick else 3, warm_up=False, label="book")
    return [
        {
            "key": key,
            "what": f"demo book, {len(executed)} chapters",
            "ours": name,
            "peer": PEER,
            "seconds": seconds[name].median(),
            "peer_seconds": whole,
            "ratio": seconds[name].median() / whole,
            "ratio_low": seconds[name].min() / whole,
            "ratio_high": seconds[name].max() / whole,
            "repeats": len(seconds),
        }
        for key, name in {"book_unchanged": UNCHANGED, "book_prose": CHANGED}.items()
    ]


def require_book(root: Path) -> list[Path]:
    """Paths of the executed chapters, if all of them and the book are there and current."""
    profile = read_profile(PROFILE)
    states = [executed_state(PROFILE, name) for name in notebook_names()]
    stale = [f"{path} is {state}" for path, state in states if state != "current"]
    index = root / profile.run_folder / "html" / "index.html"
    if not index.is_file():
        stale.append(f"{index.relative_to(root)} is missing")
    if stale:
        raise NotMadeError(f"{stale[0]}{f', and {len(stale) - 1} more' if len(stale) > 1 else ''}; `make book` first")
    return [root / path for path, _ in states]


def papermill_seconds(notebooks: Iterable[Path]) -> float:
    """Sum of the times that papermill took to execute some notebooks, as it has noted in them."""
    return sum(float(nbformat.read(path, as_version=4).metadata["papermill"]["duration"]) for path in notebooks)


def copy_project(root: Path, target: Path) -> Path:
    """Copy the project with its run, times of files included, beside a link to its environment."""

    def ignore(folder: str, names: list[str]) -> set[str]:
        beside = {name for name in names if Path(folder) == root / "runs" and name != PROFILE}
        environment = {".venv"} if Path(folder) == root else set()
        return beside | environment | (set(names) & set(LEFT_OUT))

    shutil.copytree(root, target, ignore=ignore, symlinks=True)
    (target / ".venv").symlink_to(root / ".venv")
    return target


def make_book(project: Path) -> None:
    """Run ``make book`` and refuse to go on if it executed a chapter or failed."""
    before = _times(project)
    surroundings = {**os.environ, "PYTHONPATH": str(project)}  # the environment's own is the project that was copied
    done = subprocess.run(["make", "book"], cwd=project, capture_output=True, text=True, env=surroundings)
    if done.returncode:
        raise NotMadeError(f"`make book` failed in a copy of the project:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    if _times(project) != before:
        raise NotMadeError("`make book` executed chapters that were said to be current; see `make status`")


def _times(project: Path) -> dict[str, int]:
    executed = (project / "runs" / PROFILE / "notebooks").glob("*.ipynb")
    return {path.name: path.stat().st_mtime_ns for path in executed}
