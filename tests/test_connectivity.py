from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from gcamccl_core.data.connectivity import CHUNK, estimate_connectivity, without_signal


def draw(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 2 * rng.standard_normal((*shape[:-1], 1))


@pytest.mark.parametrize("n_subjects", [1, CHUNK, CHUNK + 1])
def test_correlation_is_pearsons(n_subjects) -> None:
    series = draw((n_subjects, 40, 5))
    expected = np.stack([np.corrcoef(one.T) for one in series])
    found = estimate_connectivity(series)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_covariance_and_partial_correlation_against_their_definitions() -> None:
    series = draw((1, 60, 4))
    np.testing.assert_allclose(
        estimate_connectivity(series, "covariance")[0], np.cov(series[0].T, bias=True), rtol=1e-5
    )
    standard = (series[0] - series[0].mean(axis=0)) / series[0].std(axis=0, ddof=1)
    precision = np.linalg.inv(ledoit_wolf(standard)[0])
    scale = np.sqrt(np.diag(precision))
    partial = -precision / np.outer(scale, scale)
    np.fill_diagonal(partial, 1)
    np.testing.assert_allclose(estimate_connectivity(series, "partial correlation")[0], partial, atol=1e-5)
    np.testing.assert_allclose(estimate_connectivity(series, "precision")[0], precision, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["correlation", "covariance", "partial correlation", "precision"])
def test_matrices_are_exactly_symmetric(kind) -> None:
    found = estimate_connectivity(draw((3, 20, 30)), kind)
    np.testing.assert_array_equal(found, found.swapaxes(1, 2))
    if "correlation" in kind:
        assert (np.diagonal(found, axis1=1, axis2=2) == 1).all()
        assert np.abs(found).max() <= 1


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-1e4, 1e4),
    n_times=st.integers(4, 30),
)
def test_units_do_not_matter_to_a_correlation(seed, scale, shift, n_times) -> None:
    series = draw((1, n_times, 6), seed)
    np.testing.assert_allclose(estimate_connectivity(series * scale + shift), estimate_connectivity(series), atol=1e-5)


def test_subjects_may_differ_in_length_and_do_not_see_each_other() -> None:
    first, second = draw((30, 4), seed=1), draw((50, 4), seed=2)
    both = estimate_connectivity([first, second])
    np.testing.assert_array_equal(both[0], estimate_connectivity([first])[0])
    np.testing.assert_array_equal(both[1], estimate_connectivity([second])[0])


def test_input_is_left_alone_and_single_precision_accepted() -> None:
    series = draw((2, 30, 4)).astype(np.float32)
    before = series.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate_connectivity(series)
    np.testing.assert_array_equal(series, before)


@pytest.mark.parametrize("dead", [0.1, np.nan, np.inf, -3e8])
def test_region_without_signal_is_named(dead) -> None:
    series = draw((3, 30, 4))
    series[1, :, 2] = dead
    with pytest.raises(ValueError, match=r"subject ann has no signal.*in region Lingual_L_3;"):
        estimate_connectivity(series, subjects=["bob", "ann", "eve"], regions=["a", "b", "Lingual_L_3", "d"])
    with pytest.raises(ValueError, match=r"subject #1 has no signal.*in region #2;"):
        estimate_connectivity(series)


def test_one_missing_sample_is_found() -> None:
    series = draw((30, 4))
    series[7, 3] = np.nan
    assert without_signal(series).tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("series", "options", "fault"),
    [
        (draw((2, 30, 4)), {"kind": "tangent"}, "kind must be one of correlation, .*got 'tangent'"),
        ([draw((30, 4)), draw((30, 5))], {}, r"subject #1 has shape \(30, 5\); expected \(time, 4\)"),
        ([draw((30, 4)), draw((4,))], {}, r"subject #1 has shape \(4,\)"),
        (draw((2, 2, 4)), {}, "subject #0 has 2 time points"),
        (draw((2, 30, 4)), {"subjects": ["one"]}, "2 time series and 1 subjects"),
        (draw((2, 30, 4)), {"regions": ["one"]}, "1 region names for series of 4 regions"),
        ([], {}, "0 time series"),
    ],
)
def test_bad_input_is_refused(series, options, fault) -> None:
    with pytest.raises(ValueError, match=fault):
        estimate_connectivity(series, **options)
