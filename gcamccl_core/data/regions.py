"""Regions of the brain as an atlas gives them: spheres around coordinates, or an image of labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import SpatialImage
from nilearn.image import load_img, resample_to_img

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.manifest import region_table

ON_THE_EDGE = 1e-6  # mm; a voxel centre this much farther out is on the sphere


class AtlasError(ValueError):
    """An atlas that names no usable regions; the message names the file and the region."""


@dataclass(frozen=True)
class Spheres:
    """Spheres around coordinates, snapped to the centres of an image's voxels.

    Parameters
    ----------
    names : list of str
        Unlike.
    centers : array of shape (n_regions, 3)
        MNI coordinates in mm.
    radius : float
        In mm.

    Examples
    --------
    >>> power = power_spheres()
    >>> len(power.names), power.radius
    (264, 5.0)
    """

    names: list[str]
    centers: np.ndarray
    radius: float

    def snapped(self, affine: np.ndarray) -> np.ndarray:
        """Centres moved to the nearest voxel's, in mm, shape (n_regions, 3)."""
        voxels = np.round(self._to_voxels(affine))
        return voxels @ affine[:3, :3].T + affine[:3, 3]

    def voxels(self, affine: np.ndarray) -> list[np.ndarray]:
        """Voxels of each region, whether an image has them or not: arrays of shape (n_voxels, 3), int.

        Of a 2 mm grid, a sphere of 5 mm has 81 (section III-A: 264 of them 21,384).
        """
        reach = np.ceil(self.radius / np.linalg.norm(affine[:3, :3], axis=0)).astype(int)
        offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
        distance = np.linalg.norm(offsets @ affine[:3, :3].T, axis=1)
        inside = offsets[distance <= self.radius + ON_THE_EDGE]
        return [center + inside for center in np.round(self._to_voxels(affine)).astype(int)]

    def _to_voxels(self, affine: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv(affine)
        return self.centers @ inverse[:3, :3].T + inverse[:3, 3]


@dataclass(frozen=True)
class Labels:
    """Regions that an image marks with whole numbers.

    Parameters
    ----------
    names : list of str
        Unlike.
    image : nibabel image
        One number per voxel; 0 is no region.
    numbers : list of int
        The number of each region, in the order of the names.
    """

    names: list[str]
    image: SpatialImage
    numbers: list[int]

    def on_grid_of(self, reference: SpatialImage) -> np.ndarray:
        """Numbers on the grid of another image, by the nearest voxel."""
        moved = resample_to_img(self.image, reference, interpolation="nearest", force_resample=True, copy_header=True)
        return np.asarray(moved.dataobj).round().astype(int)


def power_spheres(radius: float = 5.0) -> Spheres:
    """Take the 264 regions of Power et al. (2011), as the paper does (section III-A)."""
    return read_spheres(region_table(), radius)


def read_spheres(table: pd.DataFrame | str | Path, radius: float) -> Spheres:
    """Read coordinates from a table with the columns ``roi``, ``x``, ``y`` and ``z`` (MNI, mm).

    Parameters
    ----------
    table : pandas.DataFrame or path
        Or a CSV file with these columns.
    radius : float
        In mm, above 0.

    Raises
    ------
    AtlasError
        If a column is missing, a name repeats, or a coordinate is no number.

    Examples
    --------
    >>> table = pd.DataFrame({"roi": ["left", "right"], "x": [-20, 20], "y": 0, "z": 8})
    >>> [len(voxels) for voxels in read_spheres(table, radius=5).voxels(np.diag([2.0, 2, 2, 1]))]
    [81, 81]
    """
    where = "the table" if isinstance(table, pd.DataFrame) else str(table)
    rows = table if isinstance(table, pd.DataFrame) else pd.read_csv(table)
    lacking = [column for column in ("roi", "x", "y", "z") if column not in rows]
    if lacking or rows.empty:
        raise AtlasError(f"{where} has no {f'column {name_some(lacking)}' if lacking else 'region'}")
    if not radius > 0:
        raise AtlasError(f"radius must be above 0 mm, got {radius}")
    names = rows["roi"].astype(str)
    if names.duplicated().any():
        raise AtlasError(f"{where} names regions twice: {name_some(names[names.duplicated()].unique())}")
    centers = rows[["x", "y", "z"]].apply(pd.to_numeric, errors="coerce")
    broken = names[~np.isfinite(centers.to_numpy(float)).all(axis=1)]
    if len(broken):
        raise AtlasError(f"{where} has no coordinates for {name_some(broken)}")
    return Spheres(names.tolist(), centers.to_numpy(float), float(radius))


def read_labels(image: str | Path | SpatialImage, names: pd.DataFrame | str | Path | None = None) -> Labels:
    """Read an atlas that is an image of labels.

    Parameters
    ----------
    image : path or nibabel image
        Three dimensions, whole numbers; 0 is no region.
    names : pandas.DataFrame or path, optional
        A table with the columns ``value`` and ``roi``; without it, regions are called by their numbers.

    Raises
    ------
    AtlasError
        If the image cannot be read, has no labels, or a value of the table is not in it.
    """
    where = "the image" if isinstance(image, SpatialImage) else str(image)
    try:
        loaded = load_img(image if isinstance(image, SpatialImage) else str(image))
        values = np.asarray(loaded.dataobj)
    except (OSError, EOFError, ValueError, ImageFileError) as fault:
        raise AtlasError(f"{where} cannot be read as an image ({fault})") from fault
    if values.ndim != 3 or not np.array_equal(values, np.round(values)):
        raise AtlasError(f"{where} is no image of labels: it has the shape {values.shape}, or values between numbers")
    present = sorted({int(value) for value in np.unique(values)} - {0})
    if not present:
        raise AtlasError(f"{where} has no label but 0")
    if names is None:
        return Labels([f"region {value}" for value in present], loaded, present)
    table = names if isinstance(names, pd.DataFrame) else pd.read_csv(names)
    lacking = [column for column in ("value", "roi") if column not in table]
    if lacking:
        raise AtlasError(f"the table of names has no column {name_some(lacking)}")
    absent = table.loc[~table["value"].isin(present), "roi"]
    if len(absent):
        raise AtlasError(f"{where} has no voxel of {name_some(absent)}")
    if table["value"].duplicated().any():
        raise AtlasError(f"the table has values twice: {name_some(table['value'][table['value'].duplicated()])}")
    if table["roi"].duplicated().any():
        raise AtlasError(f"the table names regions twice: {name_some(table['roi'][table['roi'].duplicated()])}")
    return Labels(table["roi"].astype(str).tolist(), loaded, table["value"].astype(int).tolist())
