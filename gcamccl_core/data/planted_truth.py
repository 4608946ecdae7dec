"""The planted truth: which connections and SNPs speak for which class, on purpose and in the population."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gcamccl_core.data.regimes import Regime
from gcamccl_core.data.simulated_connectivity import Brain
from gcamccl_core.data.simulated_genotypes import SnpPanel
from gcamccl_core.data.simulated_pathways import CLASSES

SMALLEST_SHIFT = 1e-6  # correlations with the polygenic value below this are rounding of the closed form


def add_planted_truth(cohort: xr.Dataset, population: Regime, panel: SnpPanel, brain: Brain) -> xr.Dataset:
    """Write the truth of a simulated cohort into it, in two depths; where the score ignores cognition, it is empty.

    Parameters
    ----------
    cohort : xarray.Dataset
        With the views ``fc`` (subject, roi_i, roi_j) and ``snp`` (subject, locus).
    population : Regime
        How score, cognition and genes hang together.
    panel, brain : SnpPanel, Brain
        Causal SNPs with their weights; planted connections with their effects.

    Returns
    -------
    xarray.Dataset
        With ``truth_<view>`` (target_class, features), bool: changed on purpose so that it speaks for that class; and
        ``population_truth_<view>``: differs between the classes in the population because of it.
    """
    cohort = cohort.assign_coords(target_class=list(CLASSES))
    signs = np.array([-1.0, 1.0]) * population.score_loading
    genetic = signs[:, None] * population.heritability
    cohort["truth_fc"] = (("target_class", "roi_i", "roi_j"), signs[:, None, None] * brain.effect > 0)
    cohort["truth_snp"] = (("target_class", "locus"), genetic * panel.weight > 0)
    # Changes of correlation stay where they are planted; SNPs hand theirs on to the neighbours they are linked with.
    cohort["population_truth_fc"] = cohort["truth_fc"].copy()
    cohort["population_truth_snp"] = (("target_class", "locus"), genetic * panel.shift > SMALLEST_SHIFT)
    for name in ("truth_fc", "truth_snp", "population_truth_fc", "population_truth_snp"):
        cohort[name].attrs["role"] = "truth"
    return cohort
