"""Connectivity of the paper's 854 subjects against nilearn's ``ConnectivityMeasure`` given all of them at once."""

from __future__ import annotations

from functools import partial

import numpy as np
from nilearn.connectome import ConnectivityMeasure
from sklearn.covariance import EmpiricalCovariance

from gcamccl_core.data.connectivity import estimate_connectivity
from gcamccl_core.data.simulated_connectivity import N_SAMPLES

from .machine import matrix_rate
from .timing import alternate, compare, share_of_limit

OURS, PEER = "ours", "nilearn, all at once"


def draw_scans(n_subjects: int, n_regions: int = 264, seed: int = 0) -> list[np.ndarray]:
    """Noise in the shape of the paper's scans, (231, n_regions) each."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((N_SAMPLES, n_regions)) for _ in range(n_subjects)]


def nilearn_connectivity(scans: list[np.ndarray]) -> np.ndarray:
    """Pearson's correlations by nilearn alone; its default estimator would shrink them."""
    measure = ConnectivityMeasure(EmpiricalCovariance(store_precision=False), kind="correlation", standardize=None)
    return measure.fit_transform(scans)


def measure(quick: bool = False) -> list[dict[str, object]]:
    """Time the correlations of all scans.

    Returns
    -------
    list of dict
        Rows of the table of ratios.
    """
    n = 40 if quick else 854
    scans = draw_scans(n)
    check_agreement(scans[:3])
    contestants = {OURS: partial(estimate_connectivity, scans), PEER: partial(nilearn_connectivity, scans)}
    seconds = alternate(contestants, 1 if quick else 5, label="connectivity")
    flops = 2 * n * N_SAMPLES * 264**2
    limit = matrix_rate("float64", 512 if quick else 3072)
    reached = share_of_limit(flops / 1e9, float(seconds[OURS].median()), limit)
    what = f"connectivity, {n} subjects, 264 regions"
    return [{"key": "connectivity", "what": what, **compare(seconds, OURS, PEER), **reached}]


def check_agreement(scans: list[np.ndarray]) -> None:
    """Raise AssertionError unless both give the same matrices."""
    np.testing.assert_allclose(estimate_connectivity(scans), nilearn_connectivity(scans), rtol=0, atol=1e-6)
