"""How good a scan is: how far the head moved, and how quiet the signal is (the exclusions of section III-A)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from nibabel.spatialimages import SpatialImage

TRANSLATIONS = ("trans_x", "trans_y", "trans_z")  # as fMRIPrep calls them, mm
ROTATIONS = ("rot_x", "rot_y", "rot_z")  # radians
MOTION = (*TRANSLATIONS, *ROTATIONS)
CHUNK = 20_000  # voxels worked on at a time


@dataclass(frozen=True)
class Limits:
    """What a scan may not exceed, or fall below.

    Parameters
    ----------
    translation : float or None
        In mm; 2 in the paper. None for no limit.
    sfnr : float or None
        A ratio, without a unit; 275 in the paper. None for no limit: it depends on the scanner, on smoothing and on
        what is averaged, so another study may have to choose its own.
    """

    translation: float | None = 2.0
    sfnr: float | None = 275.0


def largest_translation(motion: pd.DataFrame) -> float:
    """Give the farthest that the head was from where it was at first, along any axis, in mm.

    Parameters
    ----------
    motion : pandas.DataFrame
        ``trans_x``, ``trans_y`` and ``trans_z`` in mm, one row per volume.

    Examples
    --------
    >>> largest_translation(pd.DataFrame({"trans_x": [0.5, 0.5], "trans_y": [0.0, -1.5], "trans_z": [0.0, 1.0]}))
    1.5
    """
    moved = motion[list(TRANSLATIONS)].to_numpy(float)
    return float(np.abs(moved - moved[0]).max())


def measure_sfnr(bold: SpatialImage, mask: np.ndarray) -> float:
    r"""Measure the signal-to-fluctuation-noise ratio, as a mean over the mask.

    .. math:: \mathrm{SFNR} = \frac{1}{|M|} \sum_{v \in M} \frac{\bar{s}_v}{\sqrt{\frac{1}{T - 3}
              \sum_t r_{vt}^2}},

    with the mean :math:`\bar{s}_v` of a voxel over time, and r what is left of its signal once a polynomial of second
    degree is taken out (Friedman and Glover 2006, who average over a square in a phantom). The scan is the one before
    smoothing and regression.

    Parameters
    ----------
    bold : nibabel image of shape (x, y, z, n_volumes)
        In the scanner's unit: a mean of 0 over time leaves nothing to measure.
    mask : array of shape (x, y, z), bool
        Voxels of the brain.

    Returns
    -------
    float
        Without a unit; NaN if no voxel of the mask varies.

    Examples
    --------
    >>> from nibabel import Nifti1Image
    >>> noise = np.random.default_rng(0).normal(0, 2, (4, 4, 4, 500))
    >>> round(measure_sfnr(Nifti1Image(100 + noise, np.eye(4)), np.ones((4, 4, 4), dtype=bool)), 0)
    50.0
    """
    voxels, length = np.argwhere(mask), bold.shape[3]
    time = np.linspace(-1, 1, length)
    basis, _ = np.linalg.qr(np.vander(time, 3))
    data = np.asanyarray(bold.dataobj)
    total, n = 0.0, 0
    for start in range(0, len(voxels), CHUNK):
        series = data[tuple(voxels[start : start + CHUNK].T)].astype(float)
        left = series - (series @ basis) @ basis.T
        noise = np.sqrt(np.square(left).sum(axis=1) / (length - 3))
        mean = series.mean(axis=1)
        usable = (noise > 1e-9 * np.abs(mean)) & (mean > 0)
        total += float((mean[usable] / noise[usable]).sum())
        n += int(usable.sum())
    return total / n if n else float("nan")


def exceeds(translation: float, sfnr: float, limits: Limits) -> str:
    """Say in words which limit a scan does not keep; "" if it keeps both.

    Examples
    --------
    >>> exceeds(2.5, 300, Limits())
    'the head moved by 2.5 mm, more than 2'
    """
    faults = []
    if limits.translation is not None and np.isnan(translation):
        faults.append("how far the head moved is not known; Limits(translation=None) does without")
    elif limits.translation is not None and not translation <= limits.translation:
        faults.append(f"the head moved by {translation:.3g} mm, more than {limits.translation:g}")
    if limits.sfnr is not None and np.isnan(sfnr):
        faults.append("there is no SFNR, since no voxel of the brain varies")
    elif limits.sfnr is not None and not sfnr >= limits.sfnr:
        faults.append(f"the SFNR is {sfnr:.3g}, below {limits.sfnr:g}")
    return "; ".join(faults)
