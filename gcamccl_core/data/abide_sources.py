"""The ABIDE files as tables and arrays: connectivity, phenotypes, FreeSurfer measures, Craddock regions."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
from nilearn.datasets import fetch_abide_pcp
from requests.exceptions import RequestException
from scipy.spatial.distance import cdist
from tqdm import tqdm

from gcamccl_core.data.connectivity import estimate_connectivity, without_signal
from gcamccl_core.data.external_files import read_manifest
from gcamccl_core.data.manifest import UnavailableError, cache_folder, fetch, region_table
from gcamccl_core.kept_files import whole_file

N_REGIONS = 200
MIDLINE_MM = 3.0  # one voxel of the 3 mm grid that the Craddock regions were cut from
OTHER_LOBES = {  # of gyri that hold a Craddock region but no Power region
    "Caudate": "Sub-lobar",
    "Cerebellar Tonsil": "Cerebellum",
    "Inferior Semi-Lunar Lobule": "Cerebellum",
    "Subcallosal Gyrus": "Frontal",
    "Unnamed": "Unnamed",
}

# Which of the project's preprocessings the stored correlations come from. Found by looking at the raw series of NYU:
# no power is missing above 0.1 Hz, quadratic trends are, and correlations are positive on average.
PREPROCESSING = {
    "pipeline": "cpac",
    "band_pass_filtering": False,
    "global_signal_regression": False,
    "quality_checked": False,
}


def read_connectivity() -> tuple[np.ndarray, np.ndarray]:
    """Read the correlations of 200 Craddock regions of the 1,035 ABIDE subjects.

    Taken from the manifest's file where a mirror or the cache has it; otherwise made anew from what nilearn downloads
    (1,035 files, about 370 MB), once, and kept in the cache. That way was written without network: it is tested against
    a small copy of the project's web site on the same machine, and its arithmetic on the raw series of the site NYU,
    but the real site has never been asked.

    Returns
    -------
    edges : array of shape (subject, 19900), float16
        Upper triangles in the order of ``numpy.triu_indices(200, 1)``; NaN at regions without signal.
    subjects : array of shape (subject,), str
        ABIDE's FILE_ID.

    Raises
    ------
    UnavailableError
        If neither a mirror nor the network has the files.
    """
    try:
        stored = fetch("abide/abide_cc200_fc.npz")
    except UnavailableError:
        stored = cache_folder() / "abide" / "cc200_fc_made_from_time_series.npz"
        if not stored.is_file():
            _make_connectivity(stored)
    with np.load(stored) as arrays:
        return arrays["fc"], arrays["file_id"].astype(str)


def read_phenotypes() -> pd.DataFrame:
    """Read ABIDE's phenotypes, one row per FILE_ID, missing values (-9999 or blank) as NaN.

    Raises
    ------
    UnavailableError
        If neither a mirror nor the network has the table.
    """
    try:
        table = pd.read_csv(fetch("abide/phenotypes.csv"))
    except UnavailableError:
        table = _download_phenotypes()
    return table.set_index("FILE_ID").replace([-9999, "-9999"], np.nan)


def read_morphometry() -> pd.DataFrame:
    """Read FreeSurfer's thickness (mm), area (mm^2) and volumes (mm^3), by FILE_ID, named as FreeSurfer does."""
    names = [name for name, file in read_manifest().items() if file.collection == "abide_freesurfer"]
    return pd.concat([pd.read_csv(fetch(name), sep="\t", index_col=0) for name in names], axis=1)


def read_regions() -> pd.DataFrame:
    """Describe the 200 Craddock regions as :func:`~gcamccl_core.data.manifest.region_table` describes Power's.

    The gyrus is the largest of the Talairach-Tournoux atlas in the region ("Unnamed" where it names none), the network
    is that of the nearest Power region.

    Returns
    -------
    pandas.DataFrame
        Columns ``roi``, ``number``, ``region``, ``hemisphere``, ``lobe``, ``network``, ``x``, ``y``, ``z`` (MNI mm).
    """
    text = fetch("cc200/CC200_ROI_labels.csv").read_text().replace("\r", "\n")  # lines end in CR alone
    table = pd.read_csv(io.StringIO(text), skipinitialspace=True)
    table.columns = table.columns.str.strip()
    points = table["center of mass"].str.strip("() ").str.split(";", expand=True).to_numpy(float)
    gyri = [name_gyrus(labels) for labels in table["Talairach-Tournoux"]]
    sides = np.where(np.abs(points[:, 0]) < MIDLINE_MM, "M", np.where(points[:, 0] < 0, "L", "R"))
    power = region_table()
    nearest = power.iloc[cdist(points, power[["x", "y", "z"]]).argmin(axis=1)]
    lobe_of_gyrus = {**dict(zip(power["region"], power["lobe"], strict=True)), **OTHER_LOBES}
    short = [re.sub(r" (Gyrus|Lobule)$", "", gyrus).replace(" ", "_") for gyrus in gyri]
    numbers = table["ROI number"].to_numpy()
    return pd.DataFrame(
        {
            "roi": [f"{word}_{side}_{number}" for word, side, number in zip(short, sides, numbers, strict=True)],
            "number": numbers,
            "region": gyri,
            "hemisphere": sides,
            "lobe": [lobe_of_gyrus[gyrus] for gyrus in gyri],
            "network": nearest["network"].to_numpy(),
            **{axis: points[:, column] for column, axis in enumerate("xyz")},
        }
    )


def name_gyrus(labels: str) -> str:
    """Find the first gyrus, without its side, in the shares that the Craddock table lists.

    Examples
    --------
    >>> name_gyrus('["None": 0.60]["Left Lingual Gyrus": 0.22]["Left Cuneus": 0.18]')
    'Lingual Gyrus'
    >>> name_gyrus('["None": 1.00]')
    'Unnamed'
    """
    named = [re.sub(r"^(Left|Right) ", "", label) for label in re.findall(r'"([^"]+)"\s*:', labels) if label != "None"]
    return named[0] if named else "Unnamed"


def correlate_edges(series: np.ndarray) -> np.ndarray:
    """Correlate the regions of one subject and keep the upper triangle, as the stored file does.

    Parameters
    ----------
    series : array of shape (time, roi)
        Signal in any unit.

    Returns
    -------
    array of shape (roi (roi - 1) / 2,), float16
        NaN at regions without signal.

    Examples
    --------
    >>> correlate_edges(np.array([[1.0, 2.0, 7.0], [2.0, 1.0, 7.0], [3.0, 3.0, 7.0]])).tolist()
    [0.5, nan, nan]
    """
    alive = np.flatnonzero(~without_signal(series))
    matrix = np.full((series.shape[1],) * 2, np.nan, dtype=np.float32)
    if len(alive) > 0:
        matrix[np.ix_(alive, alive)] = estimate_connectivity([series[:, alive]])[0]
    return matrix[np.triu_indices(len(matrix), 1)].astype(np.float16)


def _make_connectivity(target: Path) -> None:
    """Download the time series subject by subject, which a broken connection can resume, and store the correlations."""
    people = _download_phenotypes()
    edges = np.empty((len(people), N_REGIONS * (N_REGIONS - 1) // 2), dtype=np.float16)
    for row, number in enumerate(tqdm(people["SUB_ID"], desc="ABIDE time series", unit="subject")):
        edges[row] = correlate_edges(_download("rois_cc200", SUB_ID=[number])["rois_cc200"][0])
    with whole_file(target) as partial, partial.open("wb") as file:
        np.savez_compressed(file, fc=edges, file_id=people["FILE_ID"].to_numpy(str))


def _download_phenotypes() -> pd.DataFrame:
    return _download()["phenotypic"].reset_index(drop=True)


def _download(*derivatives: str, **which: list[int]) -> dict:
    """Let nilearn download derivatives of some subjects; what it has already it does not download again."""
    try:
        return fetch_abide_pcp(
            data_dir=cache_folder() / "nilearn", derivatives=list(derivatives), verbose=0, **PREPROCESSING, **which
        )
    except (RequestException, OSError) as fault:
        raise UnavailableError(
            f"nilearn could not download ABIDE ({type(fault).__name__}: {fault}); connect this machine, or set "
            "GCAMCCL_MIRROR to a folder that holds abide/abide_cc200_fc.npz and abide/phenotypes.csv"
        ) from fault
