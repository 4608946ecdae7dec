"""A simulated cohort with planted truth: what a notebook, a test or a new method can be held against."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gcamccl_core.data.cohort import assemble_cohort
from gcamccl_core.data.regimes import REGIMES, Regime
from gcamccl_core.data.simulated_pathways import CLASSES
from gcamccl_core.data.simulated_study import draw_study, scan_people

__all__ = ["REGIMES", "Regime", "relabel_three_classes", "simulate_cohort"]


def simulate_cohort(
    n_subjects: int = 854,
    regime: str | Regime = "clear",
    seed: int = 0,
    fraction: float = 0.2,
    progress: bool = True,
) -> xr.Dataset:
    r"""Simulate the paper's study: two views of the same people, a score, and the truth behind them.

    .. math:: z = \sqrt{h}\,G + \sqrt{1-h}\,E, \qquad \mathrm{score} = 100 + 15\,(a z + \sqrt{1-a^2}\,e)

    Latent cognition z ties both views to the score: G is the polygenic value of the 86 causal SNPs, and the
    correlation of every planted connection is linear in z. Panel, brain and truth belong to the regime and are the
    same for every ``seed`` and size; the seed draws the people, and the first n of a larger cohort are the same people.

    Parameters
    ----------
    n_subjects : int
        The paper has 854.
    regime : str or Regime
        ``"clear"``, ``"realistic"``, ``"scattered"``, ``"null"``, or one of your own.
    seed : int
        Another seed, other people.
    fraction : float
        Share of the subjects in each extreme group; the middle stays in the cohort with label -1.
    progress : bool
        Show a bar when the simulation takes more than a few seconds.

    Returns
    -------
    xarray.Dataset
        A checked cohort: views ``fc`` (subject, 264, 264) and ``snp`` (subject, 750), ``label``, ``score``,
        ``latent_cognition``, covariates ``age`` (years), ``sex``, ``motion`` (mm), descriptions along ``roi`` and
        ``locus``, and along ``target_class`` what was planted (``truth_fc``, ``truth_snp``) and what differs in the
        population because of it (``population_truth_fc``, ``population_truth_snp``).

    Raises
    ------
    ValueError
        If the regime is unknown or the cohort is too small for two classes.

    Examples
    --------
    >>> cohort = simulate_cohort(n_subjects=40, seed=1)
    >>> cohort["fc"].shape, cohort["snp"].shape, int((cohort["label"] >= 0).sum())
    ((40, 264, 264), (40, 750), 16)
    """
    study = draw_study(n_subjects, regime, seed)
    scans = np.empty((n_subjects, *study.brain.base.shape), dtype=np.float32)
    for rows, values in scan_people(study, progress):
        scans[rows] = values
    coords, dims = {"subject": study.subjects, **study.image_coords}, ("subject", "roi_i", "roi_j")
    fc = xr.DataArray(scans, coords, dims, attrs={"kind": "correlation"})
    cohort = assemble_cohort(
        views={"fc": fc, "snp": study.genotype_view}, **study.tables(fraction), attrs=study.attrs(regime, fraction)
    )
    return study.describe(cohort)


def relabel_three_classes(cohort: xr.Dataset) -> xr.Dataset:
    """Turn low, high and "not in this contrast" into the paper's three classes low, middle and high.

    Parameters
    ----------
    cohort : xarray.Dataset
        With the classes low and high; subjects labelled -1 become the middle class.

    Returns
    -------
    xarray.Dataset
        A copy with ``label`` 0, 1, 2. The truth along ``target_class`` stays that of low and high.

    Raises
    ------
    ValueError
        If the cohort's classes are not low and high.

    Examples
    --------
    >>> three = relabel_three_classes(simulate_cohort(n_subjects=40, seed=1))
    >>> three["label"].attrs["classes"], np.bincount(three["label"]).tolist()
    (['low', 'middle', 'high'], [8, 24, 8])
    """
    classes = list(np.atleast_1d(cohort["label"].attrs["classes"]))
    if classes != list(CLASSES):
        raise ValueError(f"the cohort's classes are {', '.join(map(str, classes))}; expected low, high")
    label = cohort["label"].to_numpy()
    relabelled = np.select([label == 0, label == 1], [0, 2], 1).astype(np.int8)
    return cohort.assign(label=("subject", relabelled, {"classes": ["low", "middle", "high"]}))
