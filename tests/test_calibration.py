"""Calibration: probabilities that are right have no error in the long run, and pooling loses nothing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from gcamccl_core.model.calibration import expected_calibration_error, pool_reliability, reliability


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_bins_are_those_of_scikit_learn(random):
    probability = random.uniform(size=500)
    label = (random.uniform(size=500) < probability).astype(int)
    share, mean = calibration_curve(label, probability, n_bins=10)
    found = reliability(label, probability)
    np.testing.assert_allclose(found["share"], share)
    np.testing.assert_allclose(found["mean_probability"], mean)


def test_probabilities_that_are_right_have_next_to_no_error_and_boasting_ones_have(random):
    probability = random.uniform(size=100_000)
    label = (random.uniform(size=len(probability)) < probability).astype(int)
    assert expected_calibration_error(reliability(label, probability)) < 0.01
    boasting = (probability > 0.5).astype(float)
    assert expected_calibration_error(reliability(label, boasting)) == pytest.approx(0.25, abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=2, max_size=60), st.integers(1, 12))
def test_pooled_parts_are_the_whole(pairs, n_bins):
    label, probability = np.array(pairs).T
    half = len(pairs) // 2
    parts = [reliability(label[part], probability[part], n_bins) for part in (slice(half), slice(half, None))]
    pooled, whole = pool_reliability(pd.concat(parts)), reliability(label, probability, n_bins)
    pd.testing.assert_frame_equal(pooled, whole, check_dtype=False)
    assert 0 <= expected_calibration_error(whole) <= 1


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="probabilities must lie between 0 and 1"):
        reliability(np.array([0, 1]), np.array([0.5, 1.5]))
    with pytest.raises(ValueError, match="labels must be 0 or 1"):
        reliability(np.array([0, 2]), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="n_bins must be at least 1"):
        reliability(np.array([0, 1]), np.array([0.5, 0.5]), n_bins=0)
