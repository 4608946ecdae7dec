"""Runs of controlled cohorts: whose they are, and the search of what they made before a book is built of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from gcamccl_core.provenance import resolve
from gcamccl_core.report.disclosure import find_disclosures, refuse_disclosures
from workflow.profile import Profile, declared, notebook_names, parameters_for


def subjects_of(cohort: str) -> list[str] | None:
    """Ids of a controlled cohort's subjects; None of any other, known by name or in a file.

    Only the file's attributes and ids are read.
    """
    path = resolve(cohort)
    if not path.is_file():
        return None
    with h5py.File(path) as file:
        access = file.attrs.get("access", "open")
        if (access.decode() if isinstance(access, bytes) else str(np.atleast_1d(access)[0])) != "controlled":
            return None
        ids = file["subject"][:]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in ids]


def controlled_subjects(parameters: Mapping[str, object]) -> list[str] | None:
    """Ids of the subjects whom a notebook with these parameters reads, if they are controlled."""
    return subjects_of(str(parameters["cohort"])) if "cohort" in parameters else None


def refuse_to_disclose(profile: Profile, executed: list[Path]) -> None:
    """Search what the notebooks of a controlled cohort have made.

    Raises
    ------
    DisclosureError
        If a subject, a count of few, or a place on this machine would be shown; with where.
    """
    subjects: set[str] = set()
    for name in notebook_names():
        subjects |= set(controlled_subjects({**declared(name), **parameters_for(profile, name)}) or ())
    if subjects:
        refuse_disclosures(find_disclosures(executed, profile.run_folder / "figures", subjects))
