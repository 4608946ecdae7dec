"""Which scans a study has: from a folder of BIDS derivatives as fMRIPrep writes it, or from a table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from gcamccl_core.data.checks import name_some

COLUMNS = ["subject", "session", "run", "bold", "mask", "confounds", "repetition_time", "fault"]
ENTITY = re.compile(r"(?:^|_)([a-z]+)-([A-Za-z0-9+]+)")
BOLD_END, MASK_END, CONFOUNDS_END = "desc-preproc_bold.nii", "desc-brain_mask.nii", "desc-confounds_timeseries.tsv"


class ScanTableError(ValueError):
    """A list of scans that cannot be worked through; the message names file, line or subject."""


def find_scans(
    folder: str | Path,
    task: str | None = None,
    space: str | None = None,
    session: str | None = None,
    run: str | None = None,
) -> pd.DataFrame:
    """List the preprocessed scans in a BIDS derivatives folder, one row each.

    Parameters
    ----------
    folder : path
        As fMRIPrep writes it: ``sub-<id>[/ses-<id>]/func/…_desc-preproc_bold.nii.gz``, beside each its sidecar (JSON),
        brain mask and table of confounds.
    task, space, session, run : str, optional
        Take these alone; needed where subjects have several. A file that names no run is of run 1. Spaces that are not
        MNI are never taken unasked.

    Returns
    -------
    pandas.DataFrame
        ``subject`` (without ``sub-``), ``session``, ``run`` ("" if there is none), ``bold``, ``mask``, ``confounds``
        (paths; "" where there is no file), ``repetition_time`` (s, of the sidecar; NaN if it does not say), ``fault``
        (why there is no one scan to take; else ""). A subject whose folder holds none, or several, has a row with an
        empty ``bold``, so that nobody is lost without a word.

    Raises
    ------
    ScanTableError
        If there is no such folder or no subject in it, or every subject has several scans that fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ScanTableError(f"there is no folder {folder}")
    subjects = sorted(path for path in folder.glob("sub-*") if path.is_dir())
    if not subjects:
        raise ScanTableError(f"{folder} has no folder sub-…; is it the folder of derivatives?")
    asked = {"task": task, "space": space, "ses": session, "run": run and run.lstrip("0")}
    rows: list[dict[str, object]] = []
    for subject in subjects:
        found = []
        for path in sorted([*subject.glob("func/*"), *subject.glob("ses-*/func/*")]):
            entities = dict(ENTITY.findall(path.name))
            known = entities | {"run": entities.get("run", "1").lstrip("0")}
            fits = all(value is None or known.get(name) == value for name, value in asked.items())
            standard = space is not None or entities.get("space", "").startswith("MNI")
            if path.name.endswith((BOLD_END, f"{BOLD_END}.gz")) and fits and standard:
                found.append((path, entities))
        name = subject.name.removeprefix("sub-")
        if len(found) == 1:
            rows.append(_describe(name, *found[0]))
            continue
        fault = "there is no preprocessed scan"
        if found:
            names = name_some(path.name for path, _ in found)
            fault = f"there are {len(found)} scans, {names}; choose by task, space, session or run"
        rows.append({**dict.fromkeys(COLUMNS, ""), "subject": name, "fault": fault})
    table = pd.DataFrame(rows, columns=COLUMNS)
    if table["fault"].str.startswith("there are").all():
        raise ScanTableError(f"of every subject, and so of sub-{table['subject'][0]}, {table['fault'][0]}")
    return table.assign(repetition_time=pd.to_numeric(table["repetition_time"], errors="coerce"))


def _describe(subject: str, bold: Path, entities: dict[str, str]) -> dict[str, object]:
    """Find what belongs to a scan; confounds are of no space."""
    stem = bold.name.split("_desc-")[0]
    masks = [bold.parent / f"{stem}_{MASK_END}{end}" for end in (".gz", "")]
    plain = re.sub(r"_(space|res|cohort)-[A-Za-z0-9]+", "", stem)
    confounds = bold.parent / f"{plain}_{CONFOUNDS_END}"
    sidecar = bold.parent / re.sub(r"\.nii(\.gz)?$", ".json", bold.name)
    return {
        "subject": subject,
        "session": entities.get("ses", ""),
        "run": entities.get("run", ""),
        "bold": str(bold),
        "mask": next((str(path) for path in masks if path.is_file()), ""),
        "confounds": str(confounds) if confounds.is_file() else "",
        "repetition_time": _read_repetition_time(sidecar),
        "fault": "",
    }


def _read_repetition_time(sidecar: Path) -> float:
    """Read what a sidecar says, in seconds; NaN if it is missing, damaged or silent."""
    try:
        value = json.loads(sidecar.read_text())["RepetitionTime"]
        return float(value)
    except (OSError, ValueError, KeyError, TypeError):
        return np.nan


def read_scan_table(path: str | Path) -> pd.DataFrame:
    """Read a list of scans from a CSV file.

    Parameters
    ----------
    path : path
        With the columns ``subject``, ``bold`` and ``repetition_time`` (s), and as far as there are any ``mask``,
        ``confounds``, ``session`` and ``run``. Paths are relative to the file's folder.

    Returns
    -------
    pandas.DataFrame
        As of :func:`find_scans`.

    Raises
    ------
    ScanTableError
        If a column is missing, a subject is without a name or there twice.
    """
    path = Path(path)
    if not path.is_file():
        raise ScanTableError(f"there is no file {path}")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    lacking = [column for column in ("subject", "bold", "repetition_time") if column not in table]
    if lacking:
        raise ScanTableError(f"{path} has no column {name_some(lacking)}; it has {name_some(table.columns, 10)}")
    nameless = np.flatnonzero(table["subject"].str.strip() == "")
    if len(nameless):
        raise ScanTableError(f"{path}, line {nameless[0] + 2}: the subject has no name")
    table["subject"] = table["subject"].str.removeprefix("sub-")
    twice = table["subject"][table["subject"].duplicated()].unique()
    if len(twice):
        raise ScanTableError(f"{path} lists subjects twice: {name_some(twice)}; give each one scan")
    table = table.reindex(columns=COLUMNS, fill_value="")
    for column in ("bold", "mask", "confounds"):
        table[column] = [str(path.parent / each) if each else "" for each in table[column]]
    return table.assign(repetition_time=pd.to_numeric(table["repetition_time"], errors="coerce"))
