"""Simulated scans as files: a small folder of BIDS derivatives, with what goes wrong in real ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import xarray as xr
from tqdm.std import tqdm

from gcamccl_core.data.manifest import region_table
from gcamccl_core.data.regions import Spheres, read_spheres
from gcamccl_core.data.scan_quality import MOTION
from gcamccl_core.data.simulated_connectivity import REPETITION_TIME, draw_time_series

VOXEL = 4.0  # mm; coarse, so that the files stay small
RADIUS = 5.0  # mm, of the spheres
SHAPE, ORIGIN = (40, 48, 40), (-78.0, -112.0, -70.0)  # voxels; mm, of the first voxel's centre
BASELINE = 1000.0  # of every voxel of the brain, in the scanner's unit
SIGNAL, NOISE, MOTION_SHARE, DRIFT = 2.0, 1.0, 3.0, 3.0  # standard deviations in the same unit; the last two are sizes
FAULTS = ("moved too much", "no run", "truncated", "wrong repetition time", "cut off", "no confounds")
STEM = "task-nback_space-MNI152NLin6Asym_res-4"


def write_scans(
    cohort: xr.Dataset, folder: str | Path, faults: Mapping[str, str], seed: int = 0, progress: bool = True
) -> np.ndarray:
    r"""Write a scan of every subject, as fMRIPrep would have left it.

    A voxel in the sphere of region r has the signal :math:`b + a x_r(t) + m(t) + d(t) + e(t)`: a baseline, the region's
    series drawn from the subject's connectivity, an artefact that follows the six motion parameters, a drift, and
    noise.

    Parameters
    ----------
    cohort : xarray.Dataset
        A simulated cohort, whose view ``fc`` is the covariance of the series.
    folder : path
        Where ``sub-…/func/…`` are made.
    faults : mapping of str to str
        By subject, what is to be wrong with its scan, one of ``FAULTS``.
    seed : int
        Of series, noise and motion.
    progress : bool
        Show a bar.

    Returns
    -------
    array of shape (n_subjects, n_volumes, n_regions), float32
        The regions' series as they were planted.
    """
    folder = Path(folder)
    spheres = read_spheres(region_table(), RADIUS)
    affine = np.diag([VOXEL, VOXEL, VOXEL, 1.0])
    affine[:3, 3] = ORIGIN
    brain, region = _lay_out(spheres, affine)
    planted = []
    subjects = [str(name) for name in cohort["subject"].to_numpy()]
    for number, subject in enumerate(tqdm(subjects, "scans", unit="subject", disable=not progress, leave=False)):
        rng = np.random.default_rng([seed, number])
        covariance = cohort["fc"][number].to_numpy().astype(float)
        covariance += max(0.0, 1e-3 - np.linalg.eigvalsh(covariance)[0]) * np.eye(len(covariance))
        series = draw_time_series(covariance, rng)
        series /= series.std(axis=0)
        planted.append(series.astype(np.float32))
        _write_subject(folder, subject, series, brain, region, affine, faults.get(subject, ""), rng)
    (folder / "dataset_description.json").write_text(
        json.dumps({"Name": "simulated", "BIDSVersion": "1.8.0", "DatasetType": "derivative"}, indent=1) + "\n"
    )
    return np.stack(planted)


def _lay_out(spheres: Spheres, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which voxels are brain, and the region of each (-1 for none; of overlapping spheres, the later)."""
    region = np.full(SHAPE, -1)
    for number, places in enumerate(spheres.voxels(affine)):
        region[tuple(places.T)] = number
    centre = np.indices(SHAPE).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    ellipsoid = (np.square((centre - [0, -18, 8]) / [74, 90, 66]).sum(axis=1) < 1).reshape(SHAPE)
    return ellipsoid | (region >= 0), region


def _write_subject(
    folder: Path,
    subject: str,
    series: np.ndarray,
    brain: np.ndarray,
    region: np.ndarray,
    affine: np.ndarray,
    fault: str,
    rng: np.random.Generator,
) -> None:
    func = folder / f"sub-{subject}" / "func"
    func.mkdir(parents=True, exist_ok=True)
    if fault == "no run":
        return
    length = len(series)
    seconds = REPETITION_TIME * np.arange(length)
    sway = np.sin(2 * np.pi * (rng.uniform(0.02, 0.08, 6) * seconds[:, None] + rng.random(6)))  # as in breathing
    walk = 0.02 * rng.standard_normal((length, 6)).cumsum(axis=0)
    motion = pd.DataFrame(walk + 0.2 * sway, columns=list(MOTION))
    motion[["rot_x", "rot_y", "rot_z"]] /= 50  # radians, of a head of 50 mm
    motion -= motion.iloc[0]
    if fault == "moved too much":
        motion.loc[length // 2 :, "trans_z"] += 3.0
    artefact = (motion / motion.std()).to_numpy() @ rng.normal(0, MOTION_SHARE / 6**0.5, 6)
    time = np.linspace(-1, 1, length)
    shared = artefact + DRIFT * (rng.normal() * time + rng.normal() * time**2)
    scan = np.zeros((*SHAPE, length), dtype=np.float32)
    within = brain & (region >= 0)
    scan[brain] = BASELINE + shared + NOISE * rng.standard_normal((int(brain.sum()), length))
    scan[within] += SIGNAL * series.T[region[within]]
    if fault == "cut off":  # the scanner's field of view ended below the top of the head
        brain = brain.copy()
        brain[:, :, SHAPE[2] - 14 :] = False
        scan[~brain] = 0
    name = f"sub-{subject}_{STEM}"
    image = nib.Nifti1Image(np.round(10 * scan).astype(np.int16), affine)
    image.header.set_slope_inter(0.1, 0)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((VOXEL, VOXEL, VOXEL, REPETITION_TIME))
    bold = func / f"{name}_desc-preproc_bold.nii.gz"
    nib.save(image, bold)
    if fault == "truncated":
        bold.write_bytes(bold.read_bytes()[: bold.stat().st_size // 2])
    nib.save(nib.Nifti1Image(brain.astype(np.uint8), affine), func / f"{name}_desc-brain_mask.nii.gz")
    stated = 2.0 if fault == "wrong repetition time" else REPETITION_TIME
    sidecar = {"RepetitionTime": stated, "TaskName": "nback", "SkullStripped": False}
    (func / f"{name}_desc-preproc_bold.json").write_text(json.dumps(sidecar) + "\n")
    if fault != "no confounds":
        motion.round(6).to_csv(func / f"sub-{subject}_task-nback_desc-confounds_timeseries.tsv", sep="\t", index=False)
