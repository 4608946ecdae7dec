"""Simulated connectivity: a population of brains over the Power regions, and the scans of people drawn from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from nilearn.signal import butterworth
from scipy.spatial.distance import cdist

from gcamccl_core.data.manifest import region_table
from gcamccl_core.data.regimes import Regime

N_SAMPLES = 231  # the paper's n-back scan (section III-A)
REPETITION_TIME = 3.0  # seconds
BAND = (0.01, 0.1)  # hertz
LATENT_LIMIT = 2.5  # latent cognition acts on the brain up to here, so that every covariance is positive definite
SETTLING_SAMPLES = 60  # drawn before and after the scan and cut off, so that the filter's edges lie outside it

HUBS = ("Lingual Gyrus", "Middle Occipital Gyrus", "Inferior Occipital Gyrus")
HUB_TARGETS = ("Cuneus", "Fusiform Gyrus", "Parahippocampal Gyrus")
CINGULATE = ("Cingulate Gyrus", "Anterior Cingulate", "Posterior Cingulate")
TASK_POSITIVE = ("Fronto-parietal", "Dorsal attention", "Cingulo-opercular", "Salience", "Visual")

# Shares of a region's variance in the base correlation; the floor is noise of its own and bounds the eigenvalues.
VARIANCE_SHARES = {"distance": 0.22, "network": 0.20, "task axis": 0.06, "global": 0.12, "floor": 0.40}
DECAY_LENGTH = 25.0  # millimetres over which the distance kernel falls to 1/e


@dataclass(frozen=True)
class Brain:
    """The connectivity of a simulated population.

    Parameters
    ----------
    regions : pandas.DataFrame
        The region table, one row per ROI.
    base : array of shape (n_rois, n_rois)
        Correlation at average cognition.
    planted : array of shape (2, n_rois, n_rois), bool
        Connections planted for the low and for the high class.
    effect : array of shape (n_rois, n_rois)
        Change of correlation per standard deviation of latent cognition.
    distance : array of shape (n_rois, n_rois)
        The distance kernel, from 0 to 1; head motion and youth add covariance of this shape.
    """

    regions: pd.DataFrame
    base: np.ndarray
    planted: np.ndarray
    effect: np.ndarray
    distance: np.ndarray


@lru_cache(maxsize=8)
def make_brain(regime: Regime) -> Brain:
    """Build the population's connectivity; the same regime gives the same one.

    Raises
    ------
    ValueError
        If the effects are so strong that people of extreme cognition would have no valid correlation matrix.

    Examples
    --------
    >>> from gcamccl_core.data.regimes import REGIMES
    >>> make_brain(REGIMES["clear"]).planted.shape
    (2, 264, 264)
    """
    regions = region_table()
    distance = _distance_kernel(regions)
    planted = plant_connections(regions, regime)
    effect = regime.high_effect * planted[1] - regime.low_effect * planted[0]
    base = _base_correlation(regions, distance)
    least = min(np.linalg.eigvalsh(base + sign * LATENT_LIMIT * effect)[0] for sign in (-1, 1))
    if least <= 0:
        raise ValueError(
            f"high_effect {regime.high_effect} and low_effect {regime.low_effect} are too strong for "
            f"{planted[1].sum() // 2} and {planted[0].sum() // 2} connections: at a latent cognition of {LATENT_LIMIT} "
            f"the correlation matrix has the eigenvalue {least:.2f}; lower the effects or the shares"
        )
    return Brain(regions, base, planted, effect, distance)


def _distance_kernel(regions: pd.DataFrame) -> np.ndarray:
    """Exponential decay, averaged with its mirror image, so that homotopic regions are coupled as well."""
    here = regions[["x", "y", "z"]].to_numpy(dtype=float)
    kernel = np.exp(-cdist(here, here) / DECAY_LENGTH) + np.exp(-cdist(here, here * [-1, 1, 1]) / DECAY_LENGTH)
    scale = np.sqrt(np.diag(kernel))
    return kernel / np.outer(scale, scale)


def _base_correlation(regions: pd.DataFrame, distance: np.ndarray) -> np.ndarray:
    """Sum of positive semidefinite kernels: distance, network, default mode against task, global signal, floor."""
    network = regions["network"].to_numpy()
    same = (network[:, None] == network) & (network != "Uncertain") | np.eye(len(regions), dtype=bool)
    axis = np.isin(network, TASK_POSITIVE) * 1.0 - (network == "Default mode")
    kernels = {
        "distance": distance,
        "network": same,
        "task axis": np.outer(axis, axis),
        "global": np.ones_like(distance),
        "floor": np.eye(len(regions)),
    }
    covariance = np.sum([share * kernels[name] for name, share in VARIANCE_SHARES.items()], axis=0)
    scale = np.sqrt(np.diag(covariance))
    return covariance / np.outer(scale, scale)


def plant_connections(regions: pd.DataFrame, regime: Regime) -> np.ndarray:
    """Choose the connections that change with cognition.

    For the high class they join the paper's three hubs (lingual, middle and inferior occipital) to cuneus, fusiform and
    parahippocampal regions; for the low class they lie diffusely among default-mode and cingulate regions.

    Parameters
    ----------
    regions : pandas.DataFrame
        With the columns ``region`` and ``network``.
    regime : Regime
        Shares and placement.

    Returns
    -------
    array of shape (2, n_rois, n_rois), bool
        Low, then high; symmetric, no connection of a region with itself, none in both.
    """
    if regime.placement not in PLACEMENTS:
        raise ValueError(f"placement must be one of {', '.join(PLACEMENTS)}; got {regime.placement!r}")
    name, network = regions["region"], regions["network"]
    hub, target = name.isin(HUBS).to_numpy(), name.isin(HUB_TARGETS).to_numpy()
    diffuse = (network.eq("Default mode") | name.isin(CINGULATE)).to_numpy() & ~hub
    rng = np.random.default_rng([regime.population_seed, 2])
    candidates = np.stack([np.outer(diffuse, diffuse), np.outer(hub, hub | target) | np.outer(target, hub)])
    upper = np.triu(np.ones(candidates.shape[1:], dtype=bool), k=1)
    shares = np.array([regime.low_share, regime.high_share])[:, None, None]
    planted = PLACEMENTS[regime.placement](candidates & upper & (rng.random(candidates.shape) < shares), rng)
    return planted | planted.swapaxes(1, 2)


def _keep_places(planted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return planted


def _scatter(planted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move as many connections to places drawn at random from all."""
    rows, columns = np.triu_indices(planted.shape[1], k=1)
    n_low, n_high = planted.sum(axis=(1, 2))
    chosen = rng.choice(len(rows), n_low + n_high, replace=False)
    moved = np.zeros_like(planted)
    moved[0, rows[chosen[:n_low]], columns[chosen[:n_low]]] = True
    moved[1, rows[chosen[n_low:]], columns[chosen[n_low:]]] = True
    return moved


PLACEMENTS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "anatomical": _keep_places,
    "scattered": _scatter,
}


def subject_covariance(
    brain: Brain, latent: float, local: float, nuisance: float, rng: np.random.Generator
) -> np.ndarray:
    r"""Covariance of one person's regional signals.

    .. math:: \Sigma = R_0 + z\,\Delta + \nu\,(g\,11^\top + k\,K + W W^\top)

    with the base correlation :math:`R_0`, the planted change :math:`\Delta` at latent cognition z (cut at +-2.5), and
    nuisance: global signal of strength g, local coupling k (head motion, youth) along the distance kernel K, and three
    smooth random fields W. Every term of the nuisance is positive semidefinite, so the sum is as positive definite as
    its first two terms.

    Parameters
    ----------
    brain : Brain
        The population.
    latent : float
        z, in standard deviations.
    local : float
        k, not negative.
    nuisance : float
        :math:`\nu`.
    rng : numpy.random.Generator
        Draws g and W.

    Returns
    -------
    array of shape (n_rois, n_rois)
        Positive definite.
    """
    coordinates = brain.regions[["x", "y", "z"]].to_numpy(dtype=float)
    waves = rng.normal(scale=1 / 100, size=(3, 3))  # wavelengths of about 100 mm: smooth over the brain
    fields = np.cos(2 * np.pi * rng.random(3)[:, None] + waves @ coordinates.T)
    global_signal = rng.gamma(2.0, 0.02)
    extra = global_signal + local * brain.distance + 0.024 * fields.T @ fields
    return brain.base + np.clip(latent, -LATENT_LIMIT, LATENT_LIMIT) * brain.effect + nuisance * extra


def draw_time_series(covariance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one scan: 231 samples at a repetition time of 3 s, band-passed from 0.01 to 0.1 Hz.

    Parameters
    ----------
    covariance : array of shape (n_rois, n_rois)
        Positive definite.
    rng : numpy.random.Generator
        Draws the samples.

    Returns
    -------
    array of shape (231, n_rois)
        Regional signals, in the units of the covariance's square root.

    Examples
    --------
    >>> draw_time_series(np.eye(3), np.random.default_rng(0)).shape
    (231, 3)
    """
    length = N_SAMPLES + 2 * SETTLING_SAMPLES
    samples = rng.standard_normal((length, len(covariance))) @ np.linalg.cholesky(covariance).T
    low, high = BAND
    filtered = butterworth(samples, sampling_rate=1 / REPETITION_TIME, low_pass=high, high_pass=low, copy=True)
    return filtered[SETTLING_SAMPLES:-SETTLING_SAMPLES]
