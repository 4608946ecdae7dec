"""From a scan to the time series of its regions (section III-A), by nilearn's maskers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from nibabel.spatialimages import SpatialImage
from nilearn.image import new_img_like, resample_to_img
from nilearn.maskers import NiftiLabelsMasker, NiftiSpheresMasker

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.connectivity import without_signal
from gcamccl_core.data.regions import Labels, Spheres

BAND = (0.01, 0.1)  # Hz


class ScanError(ValueError):
    """A scan that cannot be used; the message says why."""


@dataclass(frozen=True)
class RegionSeries:
    """Time series of the regions that a scan covers.

    Parameters
    ----------
    signal : array of shape (n_volumes, n_covered)
        Mean signal of each region after cleaning, in the scan's unit.
    regions : list of str
        Names of the columns.
    coverage : pandas.DataFrame
        One row per region of the atlas: ``roi``, ``voxels`` (in the scan and the mask), ``expected`` (what the atlas
        gives it), ``coverage`` (their ratio).
    """

    signal: np.ndarray
    regions: list[str]
    coverage: pd.DataFrame


def extract_time_series(
    bold: SpatialImage,
    confounds: pd.DataFrame | np.ndarray | None,
    regions: Spheres | Labels,
    *,
    repetition_time: float,
    mask: SpatialImage | None = None,
    smoothing: float | None = None,
    band: tuple[float | None, float | None] = BAND,
    least_coverage: float = 0.0,
) -> RegionSeries:
    """Average the voxels of every region, take confounds out and keep a band of frequencies.

    Voxels may be smoothed first. Confounds are regressed out and frequencies filtered (Butterworth) by
    ``nilearn.signal.clean``, which filters the confounds alike, so that neither brings back what the other removed.

    Parameters
    ----------
    bold : nibabel image of shape (x, y, z, n_volumes)
        In the atlas's space (MNI).
    confounds : DataFrame or array of shape (n_volumes, n_confounds), or None
        The six motion parameters in the paper.
    regions : Spheres or Labels
        As of :func:`.power_spheres`, :func:`.read_spheres` or :func:`.read_labels`.
    repetition_time : float
        Seconds from one volume to the next.
    mask : nibabel image, optional
        Voxels outside it do not count, nor do voxels that do not vary, with or without a mask.
    smoothing : float, optional
        Full width at half maximum, in mm.
    band : tuple of float or None
        Lowest and highest frequency in Hz; None leaves that side open.
    least_coverage : float
        Regions of which a smaller share lies in the scan and the mask are left out, as are those with none at all.

    Returns
    -------
    RegionSeries

    Raises
    ------
    ScanError
        If the image has no four dimensions, too few volumes or no number in it, confounds do not fit, the band does
        not fit the repetition time, or no region is covered.
    """
    _check(bold, confounds, repetition_time, band)
    inside = voxels_of_mask(bold, mask)
    _refuse_missing(bold, inside)
    inside &= voxels_with_signal(bold)
    table = find_coverage(regions, bold, inside)
    covered = np.flatnonzero((table["voxels"] > 0) & (table["coverage"] >= least_coverage))
    if not len(covered):
        raise ScanError(
            "no region of the atlas lies in the scan and its mask, where there is a signal; are both in MNI space?"
        )
    masker = _make_masker(
        regions,
        covered,
        bold,
        mask_img=new_img_like(bold, inside.astype("uint8")),
        smoothing_fwhm=smoothing,
        low_pass=band[1],
        high_pass=band[0],
        t_r=repetition_time,
        detrend=True,
        standardize=None,
        reports=False,
    )
    values = masker.fit_transform(bold, confounds=None if confounds is None else np.asarray(confounds, dtype=float))
    names = np.array(regions.names)[covered]
    heard = ~without_signal(values)
    names, values = names[heard], values[:, heard]
    table.loc[~table["roi"].isin(names), ["voxels", "coverage"]] = 0  # also what is in the scan, but without signal
    return RegionSeries(values, names.tolist(), table)


def _refuse_missing(bold: SpatialImage, inside: np.ndarray) -> None:
    """Refuse NaN and infinite values, for which nilearn would put 0."""
    for volume in range(bold.shape[3]):
        missing = ~np.isfinite(np.asarray(bold.dataobj[..., volume])[inside])
        if missing.any():
            raise ScanError(f"volume {volume} has values that are no number in {missing.sum()} voxels of the mask")


def _make_masker(
    regions: Spheres | Labels, covered: np.ndarray, bold: SpatialImage, **settings: object
) -> NiftiSpheresMasker | NiftiLabelsMasker:
    """Set up nilearn's masker for the regions at some positions of the atlas, in this order."""
    if isinstance(regions, Spheres):
        seeds = [tuple(center) for center in regions.snapped(bold.affine)[covered]]
        return NiftiSpheresMasker(seeds, regions.radius, allow_overlap=True, **settings)
    numbers = regions.on_grid_of(_first_volume(bold))
    wanted = np.zeros_like(numbers, dtype="int32")
    for place, number in enumerate(covered, start=1):
        wanted[numbers == regions.numbers[number]] = place
    return NiftiLabelsMasker(new_img_like(bold, wanted), **settings)


def find_coverage(regions: Spheres | Labels, bold: SpatialImage, inside: np.ndarray) -> pd.DataFrame:
    """Count the voxels of every region that the scan has.

    Parameters
    ----------
    regions : Spheres or Labels
        The atlas.
    bold : nibabel image
        Whose grid it is.
    inside : array of shape (x, y, z), bool
        Which voxels count.

    Returns
    -------
    pandas.DataFrame
        As in :class:`RegionSeries`.
    """
    shape = inside.shape
    if isinstance(regions, Spheres):
        voxels, expected = [], []
        for places in regions.voxels(bold.affine):
            known = ((places >= 0) & (places < shape)).all(axis=1)
            voxels.append(int(inside[tuple(places[known].T)].sum()))
            expected.append(len(places))
    else:
        numbers = regions.on_grid_of(_first_volume(bold))
        size = abs(np.linalg.det(regions.image.affine[:3, :3])) / abs(np.linalg.det(bold.affine[:3, :3]))
        own = np.asarray(regions.image.dataobj)
        voxels = [int((inside & (numbers == value)).sum()) for value in regions.numbers]
        expected = [max(1, round(float((own == value).sum()) * size)) for value in regions.numbers]
    table = pd.DataFrame({"roi": regions.names, "voxels": voxels, "expected": expected})
    return table.assign(coverage=(table["voxels"] / table["expected"]).clip(upper=1.0))


def _first_volume(bold: SpatialImage) -> SpatialImage:
    return new_img_like(bold, np.asarray(bold.dataobj[..., 0]))


def voxels_with_signal(bold: SpatialImage) -> np.ndarray:
    """Mark the voxels that vary over time by more than single precision rounds: not the empty space around a brain.

    Returns
    -------
    array of shape (x, y, z), bool
    """
    data = bold.dataobj
    varies = np.empty(bold.shape[:3], dtype=bool)
    for slab in range(len(varies)):  # one at a time, to hold no second copy of the scan
        values = np.asarray(data[slab], dtype=np.float32)
        spread = values.max(axis=-1) - values.min(axis=-1)
        varies[slab] = spread > 8 * np.finfo(np.float32).eps * np.abs(values).max(axis=-1)
    return varies


def voxels_of_mask(bold: SpatialImage, mask: SpatialImage | None) -> np.ndarray:
    """Lay a mask on the grid of a scan; without one, all voxels count.

    Raises
    ------
    ScanError
        If the mask has more than one volume.
    """
    if mask is None:
        return np.ones(bold.shape[:3], dtype=bool)
    if len(mask.shape) == 4 and mask.shape[3] == 1:
        mask = _first_volume(mask)
    if len(mask.shape) != 3:
        raise ScanError(f"the mask has the shape {mask.shape}; it takes three dimensions")
    if mask.shape[:3] != bold.shape[:3] or not np.allclose(mask.affine, bold.affine, atol=1e-3):
        reference = _first_volume(bold)
        mask = resample_to_img(mask, reference, interpolation="nearest", force_resample=True, copy_header=True)
    return np.asarray(mask.dataobj) > 0


def _check(
    bold: SpatialImage,
    confounds: pd.DataFrame | np.ndarray | None,
    repetition_time: float,
    band: tuple[float | None, float | None],
) -> None:
    if len(bold.shape) != 4:
        raise ScanError(f"the image has the shape {bold.shape}; a scan has four dimensions, the last of them time")
    if not repetition_time > 0:
        raise ScanError(f"the repetition time must be above 0 s, got {repetition_time}")
    low, high = band
    fastest = 0.5 / repetition_time
    if (low is not None and high is not None and low >= high) or any(f is not None and f < 0 for f in band):
        raise ScanError(f"the band {low} to {high} Hz is empty; its first number is the lowest frequency")
    if high is not None and high >= fastest:
        raise ScanError(
            f"with a repetition time of {repetition_time:g} s nothing above {fastest:.3g} Hz can be told, and the band "
            f"ends at {high:g} Hz; is the repetition time in seconds?"
        )
    if low and bold.shape[3] * repetition_time < 1 / low:
        raise ScanError(
            f"{bold.shape[3]} volumes of {repetition_time:g} s are shorter than one period of the lowest frequency, "
            f"{low:g} Hz"
        )
    if confounds is not None:
        found = np.asarray(confounds, dtype=float)
        if len(found) != bold.shape[3]:
            raise ScanError(f"the confounds have {len(found)} rows, the scan {bold.shape[3]} volumes")
        if not np.isfinite(found).all():
            broken = np.flatnonzero(~np.isfinite(found).all(axis=0))
            columns = [str(c) for c in confounds.columns] if isinstance(confounds, pd.DataFrame) else None
            names = [columns[n] if columns else f"#{n}" for n in broken]
            raise ScanError(f"the confounds have missing values in {name_some(names)}")
