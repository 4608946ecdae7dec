"""What runs have not finished, or have left behind: trainings, half-written files, damaged files, figures of nobody."""

from __future__ import annotations

from pathlib import Path

from gcamccl_core.kept_files import DamagedFileError, is_leftover
from gcamccl_core.locks import holder, say_holder
from workflow.guard import LOCK
from workflow.intact import look, stamp_of

Rows = list[tuple[str, str]]


def at_work(run_folder: Path) -> Rows:
    """Say who is at work in a run folder, if anybody is."""
    about = holder(run_folder / LOCK)
    return [(str(run_folder), f"at work: {say_holder(about)}")] if about else []


def trainings(run_folder: Path) -> Rows:
    """Count a run's trainings, and how many of them a killed run has left unfinished."""
    models = run_folder / "models"
    finished = {path.parent for path in models.glob("[!.]*/training.json")}
    done, begun = len(finished), len({path.parent for path in models.glob("[!.]*/*.safetensors")} - finished)
    if not done + begun:
        return []
    unfinished = f", {begun} unfinished: the chapter that began them goes on with them" if begun else ""
    return [(str(models), f"{done} trainings{unfinished}")]


def leftovers(run_folder: Path) -> Rows:
    """List half-written files of processes that no longer live, and what was set aside as damaged."""
    half, aside = "half-written by a run that was killed; the next one removes it", "damaged, set aside and made anew"
    rows = [(str(path), half) for path in _partial(run_folder)]
    return rows + [(str(path), f"{aside}; remove it at will") for path in sorted(run_folder.glob("**/.damaged-*"))]


def _partial(run_folder: Path) -> list[Path]:
    return sorted(path for path in run_folder.glob("**/*.partial") if is_leftover(path))


def orphans(run_folder: Path) -> Rows:
    """List figures, tables and views that no executed notebook says it made; no book shows them."""
    made: set[Path] = set()
    for path in (run_folder / "notebooks").glob("*.ipynb"):
        try:
            made |= {run_folder / name for name in stamp_of(path)["files"]}
        except DamagedFileError:  # said of the notebook itself
            return []
    lost = sorted(set(look(run_folder)) - made)
    return [(str(path), "left by another version of a chapter, or by a run of it by hand") for path in lost]
