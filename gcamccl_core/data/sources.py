"""Open whichever cohort a notebook is asked for: the simulated one, ABIDE, or a file of one's own."""

from __future__ import annotations

import difflib
import logging
from pathlib import Path

import xarray as xr

from gcamccl_core.data.abide import load_abide
from gcamccl_core.data.cohort import load_cohort, open_on_disk
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.parameters import LABELS
from gcamccl_core.pieces import available_memory, in_words
from gcamccl_core.provenance import resolve

MEMORY_SHARE = 0.25  # of what is free, that a cohort may take; training holds it once more, and figures copy parts

logger = logging.getLogger(__name__)


def open_cohort(
    cohort: str = "simulated",
    *,
    regime: str = "clear",
    n_subjects: int = 854,
    label: str = "wrat",
    seed: int = 0,
    fraction: float = 0.2,
    progress: bool = True,
) -> xr.Dataset:
    """Open a cohort by name or path; what the notebooks call first.

    Parameters
    ----------
    cohort : str
        ``"simulated"``, ``"abide"``, or the path of a file that :func:`.save_cohort` wrote, absolute or from the
        project's top folder. The views of a file that would take more than a quarter of the free memory stay on
        disk, see :func:`.open_on_disk`, and a line says so.
    regime, n_subjects, seed
        For the simulated cohort, see :func:`.simulate_cohort`; ignored otherwise.
    label : str
        What to tell apart: ``"wrat"`` for the simulated cohort; ``"fiq"``, ``"diagnosis"``, ``"sex"`` or ``"age"`` for
        ABIDE. A file holds its own label, and this is ignored.
    fraction : float
        Share of the subjects in each extreme group where the label comes from a score.
    progress : bool
        Show a bar when it takes more than a few seconds.

    Returns
    -------
    xarray.Dataset
        A checked cohort.

    Raises
    ------
    ValueError
        If the label does not belong to the cohort, or the regime is unknown.
    FileNotFoundError
        If the name is neither a known cohort nor a file; the message suggests the nearest name.

    Examples
    --------
    >>> open_cohort("simulated", n_subjects=40).sizes["subject"]
    40
    >>> open_cohort("abdie")
    Traceback (most recent call last):
    ...
    FileNotFoundError: 'abdie' is neither a known cohort (simulated, abide) nor a file; did you mean 'abide'?
    """
    if cohort in LABELS and label not in LABELS[cohort]:
        raise ValueError(f"the {cohort} cohort has no label {label!r}; choose {', '.join(LABELS[cohort])}")
    if cohort == "simulated":
        return simulate_cohort(n_subjects, regime, seed, fraction, progress)
    if cohort == "abide":
        return load_abide(label, fraction)
    try:
        return _open_file(resolve(cohort))
    except FileNotFoundError as fault:
        near = difflib.get_close_matches(cohort, LABELS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise FileNotFoundError(
            f"{cohort!r} is neither a known cohort ({', '.join(LABELS)}) nor a file{hint}"
        ) from fault


def _open_file(path: Path) -> xr.Dataset:
    """Load a cohort, or leave its views on disk if they are large for the memory there is."""
    size, available = path.stat().st_size, available_memory()
    if size <= MEMORY_SHARE * available:
        return load_cohort(path)
    logger.warning(
        "%s holds %s, %s of memory are free: its views stay on disk", path, in_words(size), in_words(available)
    )
    return open_on_disk(path)
