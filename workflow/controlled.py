"""Runs of controlled cohorts: whose they are, and the search of what they made before a book is built of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from gcamccl_core.data.filesets import open_fileset
from gcamccl_core.data.raw_study import read_people, read_raw_study
from gcamccl_core.provenance import resolve
from gcamccl_core.report.disclosure import find_disclosures, refuse_disclosures
from gcamccl_core.report.page_files import TABLES, VIEWS, files_of_pages
from workflow.profile import Profile, declared, notebook_names, parameters_for


def subjects_of(cohort: str) -> list[str] | None:
    """Ids of a cohort file's subjects, unless the file says that its data are open; None of a cohort known by name.

    Only the file's attributes and ids are read.
    """
    path = resolve(cohort)
    if not path.is_file():
        return None
    with h5py.File(path) as file:
        access = file.attrs.get("access", "")
        if (access.decode() if isinstance(access, bytes) else str(np.atleast_1d(access)[0])) == "open":
            return None
        ids = file["subject"][:]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in ids]


def subjects_of_study(folder: str) -> list[str]:
    """Ids of everybody in a raw study of one's own: scanned, listed or genotyped."""
    raw = read_raw_study(resolve(folder))
    ids = {path.name.removeprefix("sub-") for path in raw.derivatives.glob("sub-*")} | set(
        read_people(raw.people, ()).index
    )
    return sorted(ids.union(*(open_fileset(prefix).samples["subject"] for prefix in raw.arrays)))


def controlled_subjects(parameters: Mapping[str, object]) -> list[str] | None:
    """Ids of the subjects whom a notebook with these parameters reads, if they are not open."""
    if parameters.get("study"):
        return subjects_of_study(str(parameters["study"]))
    return subjects_of(str(parameters["cohort"])) if "cohort" in parameters else None


def offered_files(run_folder: Path, executed: list[Path]) -> list[Path]:
    """List the tables and views of a run that these executed notebooks link to or embed."""
    texts = [path.read_text() for path in executed]
    return [
        run_folder / folder / name
        for folder in (TABLES, VIEWS)
        for name in sorted(files_of_pages(texts, folder))
        if (run_folder / folder / name).is_file()
    ]


def refuse_to_disclose(profile: Profile, executed: list[Path]) -> None:
    """Search what the notebooks of a controlled cohort have made.

    Raises
    ------
    DisclosureError
        If a subject, a count of few, or a place on this machine would be shown; with where.
    """
    subjects: set[str] = set()
    theirs = []
    for name, path in zip(notebook_names(), executed, strict=True):
        found = controlled_subjects({**declared(name), **parameters_for(profile, name)})
        if found:
            subjects |= set(found)
            theirs.append(path)  # a chapter that is about open data, or the practice study, may count its people
    if subjects:
        files = offered_files(profile.run_folder, theirs)
        refuse_disclosures(find_disclosures(theirs, profile.run_folder / "figures", subjects, files=files))
