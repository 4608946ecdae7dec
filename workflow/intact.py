"""Whether what a run has made is still what was made: not edited, not damaged, not left by a kill in the midst."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gcamccl_core.kept_files import DamagedFileError, digest_file, find_damage, read_sealed
from gcamccl_core.provenance import code_of, fingerprint, what_changed
from workflow.profile import SOLUTIONS, Profile, made_from, notebook_names, write_if_changed
from workflow.quoted_tables import hash_makers

CORE = Path("gcamccl_core")  # pages show its docstrings
CACHES = {".ipynb_checkpoints", "__pycache__"}  # below book/, and no part of it
BASIS = ".made_from.json"  # in a book's source, what it was made from
BOOK_BASIS = "made_from/book.json"  # of a run, what its book would be laid out from now
BOOK_STAMP = "stamp.json"  # in the rendered book
RENDERED = "made_from/rendered"  # of a run: as old as its book, which a rendering that fails leaves as it was
FOLDERS = ("figures", "tables", "views")  # of a run, where chapters write what pages show and offer
LAYOUT = (
    "assemble",
    "controlled",
    "left_out",
    "page_stamps",
    "quoted_tables",
    "render",
)  # code that decides how pages look
Seen = Mapping[Path, tuple[int, int]]


def look(run_folder: Path) -> Seen:
    """Note the files that chapters have written so far, by number and time."""
    files = [path for name in FOLDERS for path in (run_folder / name).glob("[!.]*") if path.is_file()]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def made_since(run_folder: Path, before: Seen) -> dict[str, dict[str, object]]:
    """Sizes and checksums of what was written since a look, by path below the run folder."""
    fresh = sorted(path for path, state in look(run_folder).items() if before.get(path) != state)
    return {path.relative_to(run_folder).as_posix(): digest_file(path) for path in fresh}


def stamp_of(executed: Path) -> dict[str, Any]:
    """Read what an executed notebook was made from, and what it made.

    Raises
    ------
    DamagedFileError
        If the stamp is missing, damaged, or does not say what the notebook made.
    """
    path = executed.with_suffix(".stamp.json")
    if not path.is_file():
        raise DamagedFileError(f"{path} is missing")
    held = read_sealed(path)
    if "files" not in held:
        raise DamagedFileError(f"{path} lists no checksums")
    return held


def fault_of(executed: Path) -> str | None:
    """Say what is wrong with an executed notebook, or with a figure, table or view that it made; None if nothing is."""
    try:
        return find_damage(executed.parent.parent, stamp_of(executed)["files"])
    except DamagedFileError as fault:
        return str(fault)


def renew(profile: Profile, notebook: str) -> None:
    """Write what a notebook would be made from now, newer than the executed one if that is not made from it.

    An executed notebook that is damaged, or whose figures are, counts as made from something else; that is said.
    """
    executed = profile.run_folder / "notebooks" / f"{notebook}.ipynb"
    basis = made_from(profile, notebook)
    path = write_if_changed(profile.run_folder / "made_from" / f"{notebook}.json", basis)
    if not executed.is_file():
        return
    fault = fault_of(executed)
    if fault:
        print(f"{fault}; {notebook} is executed again", file=sys.stderr, flush=True)
    if fault or what_changed(stamp_of(executed), basis):
        os.utime(path)


def listed_files(run_folder: Path, executed: list[Path]) -> set[Path]:
    """List the figures, tables and views that these executed notebooks say they made."""
    return {run_folder / name for path in executed for name in stamp_of(path)["files"]}


def book_made_from(profile: Profile) -> dict[str, object]:
    """Say what a book is made from: notebooks, exercises, pages, docstrings, numbers, what makes them, the layout."""
    executed = [profile.run_folder / "notebooks" / f"{name}.ipynb" for name in notebook_names()]
    pages = [path for path in Path("book").rglob("*") if path.is_file() and not CACHES & set(path.parts)]
    scripts = ("assemble", "controlled", "exercise_form", "exercises", "page_stamps", "quoted_tables", "render")
    layout = [Path(f"workflow/{name}.py") for name in scripts]
    return {
        "notebooks": fingerprint({path.name: path.read_bytes() for path in executed if path.is_file()}),
        "exercises": fingerprint({path.name: path.read_bytes() for path in SOLUTIONS.glob("*.ipynb")}),
        "pages": fingerprint({path.as_posix(): path.read_bytes() for path in pages}),
        "docstrings": fingerprint({path.as_posix(): path.read_bytes() for path in CORE.rglob("*.py")}),
        "results": fingerprint({path.name: path.read_bytes() for path in Path("results").glob("*.json")}),
        "makers": hash_makers(),
        "profile": fingerprint([profile.title, dict(profile.parameters), dict(profile.notebooks)]),
        "layout": fingerprint([code_of(path.read_text()) for path in layout]),
    }


def book_changes(profile: Profile) -> list[str] | None:
    """Name what changed since a book was rendered; None if there is none.

    Raises
    ------
    DamagedFileError
        If a page or another of its files is not what was rendered.
    """
    html = profile.run_folder / "html"
    if not (html / "index.html").is_file():
        return None
    if not (html / BOOK_STAMP).is_file():
        raise DamagedFileError(f"{html / BOOK_STAMP} is missing")
    held = read_sealed(html / BOOK_STAMP)
    if fault := find_damage(html, held["files"]):
        raise DamagedFileError(fault)
    return what_changed(held, book_made_from(profile))


def renew_book(profile: Profile) -> None:
    """Write what a book would be laid out from now, newer than the book if that is damaged or made from something else.

    The notebooks are left out, which are not executed yet.
    """
    basis = {name: value for name, value in book_made_from(profile).items() if name != "notebooks"}
    path = write_if_changed(profile.run_folder / BOOK_BASIS, basis)
    try:
        changed = book_changes(profile)
    except DamagedFileError as fault:
        print(f"{fault}; the book is rendered again", file=sys.stderr, flush=True)
        changed = [str(fault)]
    if changed != []:
        os.utime(path)
