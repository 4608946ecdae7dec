"""The simulated study against a plain loop over subjects: numpy's multivariate normal and ``corrcoef``, one filter."""

from __future__ import annotations

from functools import partial

import numpy as np
from nilearn.signal import butterworth
from scipy.special import ndtri

from gcamccl_core.data.regimes import find_regime
from gcamccl_core.data.simulated_connectivity import (
    BAND,
    N_SAMPLES,
    REPETITION_TIME,
    SETTLING_SAMPLES,
    make_brain,
    subject_covariance,
)
from gcamccl_core.data.simulated_genotypes import make_panel
from gcamccl_core.data.simulated_study import LOCAL_COUPLING, OLDEST
from gcamccl_core.data.simulation import simulate_cohort

from .timing import alternate, compare

OURS, PEER = "ours", "plain loop in numpy"


def plain_study(n_subjects: int, regime: str = "clear", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw the same people as ``simulate_cohort``, one after the other, from the same population.

    Returns
    -------
    connectivity : array of shape (n_subjects, 264, 264), float32
    genotypes : array of shape (n_subjects, 750), float32
    """
    population = find_regime(regime)
    panel, brain = make_panel(population.population_seed), make_brain(population)
    frequency, linkage = (panel.table[name].to_numpy() for name in ("frequency", "linkage"))
    threshold = ndtri(frequency)
    length = N_SAMPLES + 2 * SETTLING_SAMPLES
    connectivity, genotypes = [], []
    for child in np.random.SeedSequence(seed).spawn(n_subjects):
        rng = np.random.default_rng(child)
        noise = rng.standard_normal((2, len(frequency)))
        haplotypes = noise.copy()
        for snp in range(1, len(frequency)):
            haplotypes[:, snp] = linkage[snp] * haplotypes[:, snp - 1] + np.sqrt(1 - linkage[snp] ** 2) * noise[:, snp]
        genotype = (haplotypes < threshold).sum(axis=0)
        rest, _ = rng.standard_normal(), rng.standard_normal()  # the second is the score's own error
        age, _ = round(rng.uniform(8, OLDEST), 1), rng.choice(["female", "male"])
        motion = round(rng.gamma(4.0, 0.03), 3)
        polygenic = (genotype - 2 * frequency) @ panel.weight
        latent = np.sqrt(population.heritability) * polygenic + np.sqrt(1 - population.heritability) * rest
        local = LOCAL_COUPLING["motion"] * motion + LOCAL_COUPLING["youth"] * (OLDEST - age)
        covariance = subject_covariance(brain, latent, local, population.nuisance, rng)
        mean = np.zeros(len(covariance))
        signal = rng.multivariate_normal(mean, covariance, length, check_valid="ignore", method="cholesky")
        low, high = BAND
        filtered = butterworth(signal, 1 / REPETITION_TIME, low_pass=high, high_pass=low, copy=True)
        connectivity.append(np.corrcoef(filtered[SETTLING_SAMPLES:-SETTLING_SAMPLES], rowvar=False))
        genotypes.append(genotype)
    return np.array(connectivity, dtype=np.float32), np.array(genotypes, dtype=np.float32)


def measure(quick: bool = False) -> list[dict[str, object]]:
    """Time the whole study.

    Returns
    -------
    list of dict
        Rows of the table of ratios.
    """
    n = 40 if quick else 854
    check_agreement(20)
    contestants = {OURS: partial(simulate_cohort, n, progress=False), PEER: partial(plain_study, n)}
    seconds = alternate(contestants, 1 if quick else 3, warm_up=False, label="simulation")
    return [{"key": "simulation", "what": f"simulation, {n} subjects", **compare(seconds, OURS, PEER)}]


def check_agreement(n_subjects: int) -> None:
    """Raise AssertionError unless both draw the same people."""
    cohort = simulate_cohort(n_subjects, progress=False)
    connectivity, genotypes = plain_study(n_subjects)
    np.testing.assert_array_equal(cohort["snp"].to_numpy(), genotypes)
    np.testing.assert_allclose(cohort["fc"].to_numpy(), connectivity, rtol=0, atol=1e-6)
