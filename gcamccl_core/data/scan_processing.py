"""All scans of a study, one by one: what each gives is kept, who fails is listed, and a rerun does what is missing."""

from __future__ import annotations

import gzip
import json
import os
import re
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.masking import compute_epi_mask
from threadpoolctl import threadpool_limits
from tqdm.std import tqdm

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.kept_series import keep_series, kept_row
from gcamccl_core.data.regions import Labels, Spheres
from gcamccl_core.data.scan_quality import MOTION, TRANSLATIONS, Limits, exceeds, largest_translation, measure_sfnr
from gcamccl_core.data.time_series import BAND, RegionSeries, ScanError, extract_time_series, voxels_of_mask
from gcamccl_core.disk_faults import StorageError, require_writable
from gcamccl_core.kept_files import whole_file
from gcamccl_core.lifelines import end_with
from gcamccl_core.provenance import fingerprint, hash_module

SUMMARY_COLUMNS = ["subject", "status", "reason", "n_volumes", "repetition_time", "translation", "sfnr", "n_regions"]
SUMMARY_COLUMNS += ["stamp"]  # of what the series was made from
FEWEST_VOLUMES = 30


@dataclass(frozen=True)
class ScanSettings:
    """How scans become time series; the defaults are the paper's.

    Parameters
    ----------
    confounds : tuple of str or mapping
        Columns of the tables of confounds; or, of fMRIPrep's, the arguments of
        :func:`nilearn.interfaces.fmriprep.load_confounds`, as in ``{"strategy": ["motion", "wm_csf"]}``.
    smoothing : float or None
        Full width at half maximum, mm. None where smoothing was done before.
    band : tuple
        Lowest and highest frequency, Hz.
    limits : Limits
        Who moved too much, or whose signal is too noisy.
    least_coverage : float
        Share of a region that must lie in the scan and its mask.
    """

    confounds: tuple[str, ...] | Mapping[str, object] = MOTION
    smoothing: float | None = None
    band: tuple[float | None, float | None] = BAND
    limits: Limits = field(default_factory=Limits)
    least_coverage: float = 0.5


def process_scans(
    scans: pd.DataFrame,
    regions: Spheres | Labels,
    out: str | Path,
    settings: ScanSettings | None = None,
    jobs: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Extract the time series of all scans, several at a time.

    One scan per process is in memory. What a subject gives is kept in ``<out>/<subject>.npz`` with the fingerprint of
    file, atlas and settings; a rerun takes it from there, and tries those again who failed.

    Parameters
    ----------
    scans : pandas.DataFrame
        As of :func:`.find_scans` or :func:`.read_scan_table`.
    regions : Spheres or Labels
        The atlas.
    out : path
        Folder to keep the series in.
    settings : ScanSettings, optional
        The paper's by default.
    jobs : int
        How many processes.
    progress : bool
        Show a bar.

    Returns
    -------
    pandas.DataFrame
        One row per scan: ``subject``, ``status`` ("used", "excluded" by a limit, or "failed"), ``reason``,
        ``n_volumes``, ``repetition_time`` (s), ``translation`` (mm), ``sfnr``, ``n_regions`` (covered), ``stamp``. Also
        written to ``<out>/scans.csv``.

    Raises
    ------
    ScanError
        If a subject's name cannot be that of a file.
    """
    nameless = [name for name in scans["subject"].astype(str) if not re.fullmatch(r"[\w.+-]+", name) or name[0] == "."]
    if nameless:
        raise ScanError(f"subjects need names of letters, digits, _, + and -; not so: {name_some(nameless)}")
    settings = settings or ScanSettings()
    out = Path(out)
    require_writable(out)
    out.mkdir(parents=True, exist_ok=True)
    pool = Parallel(n_jobs=jobs, return_as="generator")
    rows = pool(delayed(_process)(scan, regions, out, settings, os.getpid()) for scan in scans.to_dict("records"))
    table = pd.DataFrame(
        list(tqdm(rows, "scans", total=len(scans), unit="subject", disable=not progress)), columns=SUMMARY_COLUMNS
    )
    with whole_file(out / "scans.csv") as partial:
        table.to_csv(partial, index=False)
    return table


def read_series(out: str | Path, subject: str, stamp: str | None = None) -> RegionSeries:
    """Read what :func:`process_scans` has kept of a subject.

    Raises
    ------
    ScanError
        If a stamp is given, as in the table of scans, and the series was made otherwise since.
    """
    with np.load(Path(out) / f"{subject}.npz", allow_pickle=False) as kept:
        if stamp is not None and str(kept["stamp"]) != stamp:
            raise ScanError(f"the series of {subject} in {out} were made anew, otherwise; process the scans again")
        coverage = pd.DataFrame({name: kept[name] for name in ("roi", "voxels", "expected", "coverage")})
        return RegionSeries(kept["signal"], kept["regions"].tolist(), coverage)


def _process(
    scan: Mapping[str, object], regions: Spheres | Labels, out: Path, settings: ScanSettings, worker_of: int
) -> dict:
    """Work on one scan; a fault of it becomes the reason of its row, whatever it is, and the others go on."""
    end_with(worker_of)
    row = {"subject": scan["subject"], "status": "failed", "reason": "", "repetition_time": scan["repetition_time"]}
    try:
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return row | _extract(scan, regions, out, settings)
    except StorageError:  # no other scan can be kept either
        raise
    except Exception as fault:
        kind = "" if isinstance(fault, ScanError) else f"{type(fault).__name__}: "
        return row | {"reason": f"{kind}{fault}" if str(fault) else type(fault).__name__}


def _extract(scan: Mapping[str, object], regions: Spheres | Labels, out: Path, settings: ScanSettings) -> dict:
    bold_path, mask_path, confounds_path = (str(scan[name]) for name in ("bold", "mask", "confounds"))
    if not bold_path:
        raise ScanError(str(scan.get("fault", "")) or "there is no preprocessed scan")
    for path in filter(None, (bold_path, mask_path, confounds_path)):
        if not Path(path).is_file():
            raise ScanError(f"there is no file {path}")
    kept = out / f"{scan['subject']}.npz"
    stamp = fingerprint(
        {name: [str(scan[name]), *_state(str(scan[name]))] for name in ("bold", "mask", "confounds")},
        float(scan["repetition_time"]),  # type: ignore[arg-type]
        regions.names,
        [regions.centers, regions.radius]
        if isinstance(regions, Spheres)
        else [np.asarray(regions.image.dataobj), regions.image.affine, regions.numbers],
        json.dumps(asdict(settings), default=str),
        hash_module(__name__, "data"),
    )
    if (row := kept_row(kept, stamp)) is not None:
        return row
    bold = _load(bold_path)
    repetition_time = _agree(float(scan["repetition_time"]), bold)  # type: ignore[arg-type]
    mask = _load(mask_path) if mask_path else None
    confounds, motion = _read_confounds(bold_path, confounds_path, settings.confounds, bold.shape[3])
    brain = voxels_of_mask(bold, mask if mask is not None else compute_epi_mask(bold))
    translation = float("nan") if motion is None else largest_translation(motion)
    sfnr = measure_sfnr(bold, brain)
    measured = {
        "n_volumes": bold.shape[3],
        "repetition_time": repetition_time,
        "translation": translation,
        "sfnr": sfnr,
    }
    fault = exceeds(translation, sfnr, settings.limits)
    series = extract_time_series(
        bold,
        confounds,
        regions,
        repetition_time=repetition_time,
        mask=mask,
        smoothing=settings.smoothing,
        band=settings.band,
        least_coverage=settings.least_coverage,
    )
    row = {"status": "excluded" if fault else "used", "reason": fault, **measured, "n_regions": len(series.regions)}
    row["stamp"] = stamp
    keep_series(series, kept, row)
    return row


def _state(path: str) -> list[int]:
    found = Path(path).stat() if path else None
    return [found.st_size, found.st_mtime_ns] if found else []


def _load(path: str) -> Any:
    """Read an image into memory in single precision, to its end: a truncated one is found before any work."""
    try:
        if path.endswith(".gz"):
            with gzip.open(path) as file:  # to its end, where the checksum is
                while file.read(1 << 24):
                    pass
        image: Any = nib.load(path)
        data = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError) as fault:
        raise ScanError(f"{Path(path).name} is truncated or damaged ({str(fault).splitlines()[0]})") from fault
    header = image.header.copy()
    header.set_data_dtype(np.float32)
    return nib.Nifti1Image(data, image.affine, header)


def _agree(stated: float, bold: Any) -> float:
    """Give the repetition time that is stated, if the image does not say otherwise."""
    if len(bold.shape) != 4 or bold.shape[3] < FEWEST_VOLUMES:
        raise ScanError(f"the scan has the shape {bold.shape}; it takes {FEWEST_VOLUMES} volumes or more")
    unit = bold.header.get_xyzt_units()[1]
    of_image = float(bold.header.get_zooms()[3]) * {"msec": 1e-3, "usec": 1e-6}.get(unit, 1.0)
    if not np.isfinite(stated) or stated <= 0:
        raise ScanError("no sidecar or table says the repetition time; the image alone is not believed")
    if of_image > 0 and abs(of_image - stated) > 0.01 * stated:
        raise ScanError(f"the repetition time is {stated:g} s in the sidecar or table, {of_image:g} s in the image")
    return stated


def _read_confounds(
    bold: str, path: str, wanted: tuple[str, ...] | Mapping[str, object], n_volumes: int
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Read what is to be regressed out, and the motion by which a scan may be excluded."""
    if not path:
        if wanted:
            raise ScanError("there is no table of confounds; with confounds=() none are regressed out")
        return None, None
    table = pd.read_csv(path, sep="\t" if path.endswith(".tsv") else ",", na_values="n/a")
    if len(table) != n_volumes:
        raise ScanError(f"the table of confounds has {len(table)} rows, the scan {n_volumes} volumes")
    motion = table if set(TRANSLATIONS) <= set(table) else None
    if isinstance(wanted, Mapping):
        if Path(path).parent != Path(bold).parent:
            raise ScanError(
                "load_confounds reads the table beside the scan, and another is named; name columns instead"
            )
        chosen, left = load_confounds(bold, **wanted)
        if left is not None and len(left) < n_volumes:
            lost = sorted(set(range(n_volumes)) - {int(volume) for volume in left})
            raise ScanError(
                f"these confounds leave out {len(lost)} volumes ({name_some(lost)}), which the filter cannot bridge; "
                "cut non-steady volumes off the start of the scan, or choose without 'scrub'"
            )
        return chosen, motion
    lacking = [name for name in wanted if name not in table]
    if lacking:
        raise ScanError(f"the table of confounds has no column {name_some(lacking)}")
    return (table[list(wanted)] if wanted else None), motion
