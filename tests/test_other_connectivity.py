"""Connectivity of bands and along a tangent: closed forms, scipy's coherence, and nothing from the test part."""

import numpy as np
import pytest
from scipy.linalg import eigh, logm, sqrtm
from scipy.stats import zscore
from sklearn.covariance import LedoitWolf

from gcamccl_core.data.other_connectivity import METHODS, estimate_band_connectivity, estimate_tangent


def test_a_shared_rhythm_is_found_in_its_band_alone():
    rng, time = np.random.default_rng(0), 2.0 * np.arange(600)
    rhythm = 2 * np.sin(2 * np.pi * 0.05 * time + 3 * rng.standard_normal(600).cumsum() / 30)
    series = rng.standard_normal((600, 3))
    series[:, 0] += rhythm
    series[:, 1] += rhythm
    bands = {"its": (0.04, 0.06), "another": (0.08, 0.1)}
    found = estimate_band_connectivity([series], 2.0, bands)
    assert found["its"][0, 0, 1] > 0.6
    for band, pair in (("its", (0, 2)), ("its", (1, 2)), ("another", (0, 1))):
        assert found[band][0][pair] < 0.5
    for values in found.values():
        np.testing.assert_array_equal(values, values.swapaxes(1, 2))
        assert (values[0].diagonal() == 1).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_measure_is_bounded_and_one_matrix_per_subject(method):
    rng = np.random.default_rng(1)
    found = estimate_band_connectivity([rng.standard_normal((n, 4)) for n in (200, 250)], 2.0, method=method)
    for values in found.values():
        assert values.shape == (2, 4, 4)
        assert ((values >= 0) & (values <= 1 + 1e-6)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "plvv"}, "method must be one of coh, imcoh, plv, wpli, got 'plvv'"),
        ({"bands": {"b": (0.2, 0.1)}}, "band 'b' is empty"),
        ({"bands": {"b": (0.1, 0.3)}}, r"nothing above 0\.25 Hz can be told"),
        ({"bands": {"b": (0.001, 0.1)}}, r"shorter than one period of 0\.001 Hz"),
        ({"bands": {"b": (0.1, 0.105)}}, r"cannot tell a band of 0\.005 Hz from its neighbours"),
    ],
)
def test_what_cannot_be_estimated_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        estimate_band_connectivity([np.random.default_rng(0).standard_normal((200, 3))], 2.0, **changes)


def test_the_tangent_is_the_logarithm_at_the_training_mean_and_others_have_no_part_in_it():
    rng = np.random.default_rng(2)
    series = [rng.standard_normal((60, 4)) @ rng.normal(size=(4, 4)) for _ in range(6)]
    tangent, mean = estimate_tangent(series, train=range(4))
    root = np.linalg.inv(sqrtm(mean).real)
    for values, one in zip(tangent, series, strict=True):
        covariance = LedoitWolf(store_precision=False).fit(zscore(one)).covariance_
        np.testing.assert_allclose(values, logm(root @ covariance @ root).real, atol=1e-4)
    assert eigh(mean, eigvals_only=True).min() > 0
    rescaled = estimate_tangent([number * one for number, one in enumerate(series, start=1)], train=range(4))[0]
    np.testing.assert_allclose(rescaled, tangent, atol=1e-5)  # a scanner's unit is no connectivity
    changed = [*series[:4], series[4] @ np.ones((4, 4)) + series[5], series[5][:30]]
    np.testing.assert_allclose(estimate_tangent(changed, train=range(4))[0][:4], tangent[:4], atol=1e-6)
