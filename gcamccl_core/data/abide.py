"""A real cohort: 1,035 people of ABIDE, seen through functional connectivity and through brain morphometry."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.abide_sources import (
    N_REGIONS,
    PREPROCESSING,
    read_connectivity,
    read_morphometry,
    read_phenotypes,
    read_regions,
)
from gcamccl_core.data.checks import name_some
from gcamccl_core.data.cohort import assemble_cohort, extreme_groups
from gcamccl_core.data.external_files import read_manifest

CLASSES = {
    "fiq": ("low", "high"),
    "diagnosis": ("control", "autism"),
    "sex": ("male", "female"),
    "age": ("younger", "older"),
}
COLUMNS = {"fiq": "FIQ", "diagnosis": "DX_GROUP", "sex": "SEX", "age": "AGE_AT_SCAN", "motion": "func_mean_fd"}
WORDS = {"diagnosis": {1: "autism", 2: "control"}, "sex": {1: "male", 2: "female"}}  # ABIDE's codes
COLLECTIONS = ("abide_connectivity", "abide_freesurfer", "craddock_regions")
UNUSUAL = 8.0  # standard deviations from the mean at which a morphometric value is reported as suspect

logger = logging.getLogger(__name__)


class Report:
    """What was left out or found on the way, step by step, with the number of subjects left."""

    def __init__(self, n_subjects: int) -> None:
        self.left = n_subjects
        self.steps: list[dict[str, object]] = [
            {"step": "ABIDE I with time series", "of": "subjects", "number": n_subjects, "subjects_left": n_subjects}
        ]

    def leave_out(self, why: str, subjects: Collection[str]) -> None:
        """Add a step that leaves subjects out."""
        self.left -= len(subjects)
        self.note(f"left out: {why}", subjects, of="subjects")

    def note(self, step: str, names: Collection[object], of: str) -> None:
        """Add a step that concerns the named subjects or measures, and log it."""
        found = {"step": step, "of": of, "number": len(names), "subjects_left": self.left}
        self.steps.append({**found, "which": [str(name) for name in names]})
        logger.info("%s: %d %s (%s); %d subjects left", step, len(names), of, name_some(names), self.left)


def load_abide(label: str = "fiq", fraction: float = 0.2) -> xr.Dataset:
    """Assemble the ABIDE cohort: low against high intelligence by default, the cousin of the paper's WRAT task.

    Parameters
    ----------
    label : str
        ``fiq``: lowest and highest full-scale IQ, the rest outside the contrast; ``diagnosis``: control, autism;
        ``sex``: male, female; ``age``: up to the median, above it.
    fraction : float
        Share of the subjects with a known IQ in each extreme group; for ``fiq`` alone.

    Returns
    -------
    xarray.Dataset
        Views ``fc`` (subject, 200, 200), Pearson correlations of Craddock regions with diagonal 1, and ``morphometry``
        (subject, measure), FreeSurfer's thickness (mm), area (mm^2) and volumes (mm^3); ``label``, for ``fiq`` and
        ``age`` also ``score``; ``group`` the site; covariates age (years), sex, motion (mean framewise displacement in
        mm) and diagnosis, without the one that is the label. ``attrs["report"]`` holds as JSON what was left out:
        subjects with a region without signal, the second of two identical scans, constant measures.

    Raises
    ------
    ValueError
        If the label is unknown.
    UnavailableError
        If neither a mirror (GCAMCCL_MIRROR) nor the network has the files.
    ManifestError
        If a file is truncated or altered.

    Notes
    -----
    Fetching needs 40 MB from a mirror. From the network it is 370 MB; see
    :func:`~gcamccl_core.data.abide_sources.read_connectivity`.
    """
    if label not in CLASSES:
        raise ValueError(f"label must be one of {', '.join(CLASSES)}, got {label!r}")
    edges, subjects = read_connectivity()
    report = Report(len(subjects))
    edges, subjects = _leave_out(edges, subjects, report)
    phenotypes, morphometry = read_phenotypes(), read_morphometry()
    known = np.isin(subjects, phenotypes.index.intersection(morphometry.index))
    report.leave_out("no phenotypes or no FreeSurfer measures", subjects[~known])
    edges, subjects = edges[known], subjects[known]
    people = phenotypes.loc[subjects]
    views = {"fc": _image(edges, subjects), "morphometry": _measures(morphometry.loc[subjects], report)}
    numbers, score = _label(people, label, fraction)
    for column in COLUMNS.values():
        report.note(f"kept: {column} unknown", people.index[people[column].isna()], of="subjects")
    cohort = assemble_cohort(
        views,
        label=numbers,
        classes=CLASSES[label],
        score=score,
        covariates=_covariates(people, label),
        group=people["SITE_ID"],
        attrs=_describe(label, fraction, report),
    )
    return _add_regions(cohort)


def _leave_out(edges: np.ndarray, subjects: np.ndarray, report: Report) -> tuple[np.ndarray, np.ndarray]:
    """Leave out subjects with a region without signal, then all but the first of scans with identical content."""
    dead = np.isnan(edges).any(axis=1)
    report.leave_out("a region without signal", subjects[dead])
    edges, subjects = edges[~dead], subjects[~dead]
    content = pd.Series([scan.tobytes() for scan in edges])
    first = subjects[content.groupby(content).transform(lambda scans: scans.index[0]).to_numpy()]
    copied = content.duplicated().to_numpy()
    pairs = [f"{copy} (= {source})" for copy, source in zip(subjects[copied], first[copied], strict=True)]
    report.leave_out("the same scan as an earlier subject", pairs)
    return edges[~copied], subjects[~copied]


def _image(edges: np.ndarray, subjects: np.ndarray) -> xr.DataArray:
    """Square matrices (subject, roi, roi) from upper triangles (subject, edge)."""
    rows, columns = np.triu_indices(N_REGIONS, 1)
    matrices = np.zeros((len(edges), N_REGIONS, N_REGIONS), dtype=np.float32)
    matrices[:, rows, columns] = edges
    matrices[:, columns, rows] = edges
    matrices[:, range(N_REGIONS), range(N_REGIONS)] = 1
    return xr.DataArray(
        matrices, dims=("subject", "roi_i", "roi_j"), coords={"subject": subjects}, attrs={"kind": "correlation"}
    )


def _measures(table: pd.DataFrame, report: Report) -> xr.DataArray:
    """Morphometry (subject, measure) without constant columns; suspect segmentations are kept and reported."""
    constant = table.columns[table.max() == table.min()]
    report.note("left out: constant", constant, of="measures")
    table = table.drop(columns=constant)
    unusual = ((table - table.mean()) / table.std()).abs() > UNUSUAL
    suspect = table.index[unusual.any(axis=1)]
    report.note(f"kept: a measure {UNUSUAL:g} standard deviations from the mean", suspect, of="subjects")
    quantity = table.columns.str.extract(r"_(thickness|area)$", expand=False).fillna("volume")
    return xr.DataArray(
        table.to_numpy(np.float32),
        dims=("subject", "measure"),
        coords={
            "subject": table.index.to_numpy(str),
            "measure": table.columns.to_numpy(str),
            "measure_quantity": ("measure", quantity.to_numpy(str)),
        },
        attrs={"kind": "measure", "units": "thickness mm, area mm^2, volume mm^3"},
    )


def _label(people: pd.DataFrame, label: str, fraction: float) -> tuple[pd.Series, pd.Series | None]:
    """Class numbers, -1 where unknown or outside the contrast, and the score that they come from."""
    values = people[COLUMNS[label]]
    if label == "fiq":
        return pd.Series(extreme_groups(values.to_numpy(float), fraction), index=people.index), values
    if label == "age":
        return (values > values.median()).astype(np.int8), values
    words = values.map(WORDS[label])
    return pd.Series(pd.Categorical(words, CLASSES[label]).codes, index=people.index), None


def _covariates(people: pd.DataFrame, label: str) -> pd.DataFrame:
    """Age, sex, motion and diagnosis, without the one that the label is."""
    table = people.rename(columns={column: name for name, column in COLUMNS.items()})
    for name, words in WORDS.items():
        table[name] = table[name].map(words)
    return table[[name for name in ("age", "sex", "motion", "diagnosis") if name != label]]


def _describe(label: str, fraction: float, report: Report) -> dict[str, str]:
    """Say where the cohort came from and what was done, in attributes that netCDF can hold."""
    files = [file for file in read_manifest().values() if file.collection in COLLECTIONS]
    parameters = {"label": label, "fraction": fraction} if label == "fiq" else {"label": label}
    return {
        "source": f"ABIDE I, Preprocessed Connectomes Project ({PREPROCESSING}), Craddock 200 regions; FreeSurfer 6",
        "access": "open",
        "licence": files[0].licence,
        "citation": files[0].citation,
        "parameters": json.dumps(parameters),
        "checksums": json.dumps({file.name: file.sha256 for file in files}),
        "report": json.dumps(report.steps),
    }


def _add_regions(cohort: xr.Dataset) -> xr.Dataset:
    """Name the regions of the images and describe them along ``roi``."""
    regions = read_regions()
    names = regions["roi"].to_numpy(str)
    cohort = cohort.assign_coords(roi=names, roi_i=names, roi_j=names)
    for column in ("network", "region", "hemisphere", "lobe"):
        cohort[f"roi_{column}"] = ("roi", regions[column].to_numpy(str))
    for axis in "xyz":
        cohort[f"roi_{axis}"] = ("roi", regions[axis].to_numpy(), {"units": "mm", "space": "MNI"})
    cohort["roi_network"].attrs["origin"] = "network of the nearest Power region"
    return cohort
