"""Simulated cohorts of any size, written to disk as they are drawn."""

from __future__ import annotations

from pathlib import Path

from gcamccl_core.data.cohort import ViewInPieces, assemble_cohort, save_in_pieces
from gcamccl_core.data.netcdf_files import refuse_existing
from gcamccl_core.data.regimes import Regime
from gcamccl_core.data.simulated_study import draw_study, scan_people


def simulate_cohort_to(
    path: str | Path,
    n_subjects: int = 854,
    regime: str | Regime = "clear",
    seed: int = 0,
    fraction: float = 0.2,
    progress: bool = True,
    overwrite: bool = False,
) -> Path:
    """Simulate a cohort that may be larger than memory, straight into a file.

    Scans are drawn a few people at a time and never held together; of everything else a person takes about 12 KiB.

    Parameters
    ----------
    path : path
        The netCDF file to write, whole or not at all.
    n_subjects, regime, seed, fraction, progress
        As in :func:`.simulate_cohort`, whose cohort for the same arguments this file holds, to the bit.
    overwrite : bool
        Replace a file that is already there.

    Returns
    -------
    pathlib.Path
        The file written, for :func:`.open_on_disk`.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is False.
    StorageError
        If the disk has too little room.
    ValueError
        If the regime is unknown or the cohort is too small for two classes.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from gcamccl_core.data.cohort import open_on_disk
    >>> with TemporaryDirectory() as folder:
    ...     cohort = open_on_disk(simulate_cohort_to(f"{folder}/cohort.nc", n_subjects=40, seed=1))
    ...     dict(cohort["fc"].isel(subject=[3, 7]).sizes)
    {'subject': 2, 'roi_i': 264, 'roi_j': 264}
    """
    refuse_existing(path, overwrite)
    study = draw_study(n_subjects, regime, seed)
    snp = study.genotype_view
    tables = assemble_cohort({"snp": snp}, **study.tables(fraction), attrs=study.attrs(regime, fraction))
    tables = study.describe(tables.assign_coords(study.image_coords)).drop_vars("snp")
    fc = ViewInPieces(
        list(study.subjects),
        ["roi_i", "roi_j"],
        study.brain.base.shape,
        (values for _, values in scan_people(study, progress=False)),
        "correlation",
    )
    return save_in_pieces(tables, {"fc": fc, "snp": snp}, path, overwrite, progress)
