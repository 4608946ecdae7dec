"""The simulated brain: planted places, valid covariances, and scans that are filtered noise of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from gcamccl_core.data.connectivity import estimate_connectivity
from gcamccl_core.data.regimes import REGIMES
from gcamccl_core.data.simulated_connectivity import (
    CINGULATE,
    HUB_TARGETS,
    HUBS,
    N_SAMPLES,
    REPETITION_TIME,
    draw_time_series,
    make_brain,
    subject_covariance,
)

UPPER = np.triu_indices(264, k=1)


def correlation(covariance):
    scale = np.sqrt(np.diag(covariance))
    return covariance / np.outer(scale, scale)


@pytest.mark.parametrize("name", REGIMES)
def test_planted_connections_are_symmetric_disjoint_and_never_of_a_region_with_itself(name):
    planted = make_brain(REGIMES[name]).planted
    np.testing.assert_array_equal(planted, planted.swapaxes(1, 2))
    assert not planted[:, range(264), range(264)].any()
    assert not (planted[0] & planted[1]).any()
    assert planted[0].sum() > planted[1].sum() > 0  # the low class has the larger, diffuse set


def test_planted_connections_lie_where_the_paper_found_them():
    brain = make_brain(REGIMES["clear"])
    region, network = brain.regions["region"], brain.regions["network"]
    hub = region.isin(HUBS).to_numpy()
    for i, j in np.argwhere(brain.planted[1]):
        assert hub[i] or hub[j]
        assert {region[i], region[j]} <= {*HUBS, *HUB_TARGETS}
    diffuse = (network.eq("Default mode") | region.isin(CINGULATE)).to_numpy()
    assert diffuse[np.argwhere(brain.planted[0])].all()
    assert set(region[brain.planted[1].any(axis=0)]) >= set(HUBS)


def test_scattered_connections_are_as_many_without_spatial_pattern():
    clear, scattered = (make_brain(REGIMES[name]) for name in ("clear", "scattered"))
    np.testing.assert_array_equal(clear.planted.sum(axis=(1, 2)), scattered.planted.sum(axis=(1, 2)))
    hub = clear.regions["region"].isin(HUBS).to_numpy()
    touching = (hub[:, None] | hub)[UPPER]
    high = scattered.planted[1][UPPER]
    assert hypergeom.sf((touching & high).sum() - 1, touching.size, touching.sum(), high.sum()) > 0.01


def test_changes_lie_on_planted_connections_alone_and_have_their_strength():
    regime = REGIMES["realistic"]
    brain = make_brain(regime)
    quiet = {"local": 0.0, "nuisance": 0.0, "rng": np.random.default_rng(0)}
    high, low = (subject_covariance(brain, latent, **quiet) for latent in (1.0, -1.0))
    change = (high - low) / 2
    np.testing.assert_allclose(change[brain.planted[1]], regime.high_effect)
    np.testing.assert_allclose(change[brain.planted[0]], -regime.low_effect)
    np.testing.assert_allclose(change[~brain.planted.any(axis=0)], 0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(list(REGIMES)),
    latent=st.floats(-20, 20),
    local=st.floats(0, 2),
    nuisance=st.floats(0, 3),
    seed=st.integers(0, 100),
)
def test_every_covariance_is_positive_definite_however_extreme_the_person(name, latent, local, nuisance, seed):
    covariance = subject_covariance(make_brain(REGIMES[name]), latent, local, nuisance, np.random.default_rng(seed))
    np.testing.assert_allclose(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance)[0] > 0


def test_base_correlation_falls_with_distance_and_is_higher_within_networks():
    brain = make_brain(REGIMES["clear"])
    place = brain.regions[["x", "y", "z"]].to_numpy(float)
    apart = np.linalg.norm(place[:, None] - place, axis=2)[UPPER]
    network = brain.regions["network"].to_numpy()
    within = ((network[:, None] == network) & (network != "Uncertain"))[UPPER]
    base = brain.base[UPPER]
    assert np.diag(brain.base) == pytest.approx(1)
    assert base[within & (apart < 40)].mean() > base[within & (apart > 80)].mean() + 0.05
    assert base[within].mean() > base[~within].mean() + 0.1


def test_too_strong_effects_are_refused_before_anyone_is_scanned():
    with pytest.raises(ValueError, match=r"high_effect 0.3 .* lower the effects or the shares"):
        make_brain(replace(REGIMES["clear"], high_effect=0.3))


def test_an_unknown_placement_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="anatomical, scattered"):
        make_brain(replace(REGIMES["clear"], placement="random"))


def test_scans_scatter_around_their_covariance_by_more_than_unfiltered_samples_would():
    rng = np.random.default_rng(0)
    covariance = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 1.0]])
    estimates = estimate_connectivity([draw_time_series(covariance, rng) for _ in range(400)])
    spread = estimates.std(axis=0)
    assert np.abs(estimates.mean(axis=0) - correlation(covariance)).max() < 4 * spread.max() / np.sqrt(400) + 0.005
    # The pass band is 0.09 of 0.1667 Hz: about 125 of the 231 samples count.
    assert spread[0, 2] == pytest.approx(1 / np.sqrt(N_SAMPLES * 0.09 * 2 * REPETITION_TIME), rel=0.15)


def test_scans_hold_power_in_the_papers_band_alone():
    series = draw_time_series(np.eye(40), np.random.default_rng(1))
    assert series.shape == (N_SAMPLES, 40)
    power = (np.abs(np.fft.rfft(series * np.hanning(N_SAMPLES)[:, None], axis=0)) ** 2).mean(axis=1)
    frequency = np.fft.rfftfreq(N_SAMPLES, REPETITION_TIME)
    inside = power[(frequency > 0.02) & (frequency < 0.09)].mean()
    assert power[frequency > 0.13].max() < 0.01 * inside
    assert power[frequency < 0.002].max() < 0.05 * inside
