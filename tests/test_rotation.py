"""Rotated features: products and fits of the features themselves, copies counted, constants left out."""

import numpy as np
import pytest
import torch
from scipy.stats import ttest_ind
from sklearn.feature_selection import f_classif

from gcamccl_core.model.rotation import DistinctFeatures, Rotation, correlation_ratio


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_the_correlation_ratio_orders_features_as_t_and_f_do(random):
    values = random.standard_normal((40, 30))
    two, three = np.arange(40) % 2, np.arange(40) % 3
    values[:, 0] += two
    r = np.array([abs(np.corrcoef(feature, two)[0, 1]) for feature in values.T])
    np.testing.assert_allclose(correlation_ratio(values, two), r)
    t = np.abs(ttest_ind(values[two == 1], values[two == 0]).statistic)
    np.testing.assert_array_equal(np.argsort(r), np.argsort(t))
    np.testing.assert_array_equal(np.argsort(correlation_ratio(values, three)), np.argsort(f_classif(values, three)[0]))


def test_a_feature_that_is_the_label_has_ratio_one_and_a_constant_zero():
    label = np.arange(10) % 2
    values = np.stack([label, np.full(10, 0.3)], axis=1).astype(np.float32)
    assert correlation_ratio(values, label).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_coordinates_keep_all_products_of_gated_standardised_features(random, exponent):
    values, others = (random.standard_normal((n, 50)).astype(np.float32) for n in (12, 5))
    strength = random.uniform(0.1, 1, 50)
    rotation = Rotation(values, np.ones(50, dtype=int), strength, exponent)
    gate = strength**exponent / np.sqrt(np.mean(strength ** (2 * exponent)))
    np.testing.assert_allclose(rotation.gate, gate, rtol=1e-5)
    gated, new = ((x - values.mean(axis=0)) / values.std(axis=0) * gate for x in (values, others))
    norm = np.mean(np.sum(gated**2, axis=1))
    np.testing.assert_allclose(rotation.coordinates @ rotation.coordinates.T, gated @ gated.T / norm, atol=1e-4)
    np.testing.assert_allclose(rotation.transform(others) @ rotation.coordinates.T, new @ gated.T / norm, atol=1e-4)
    weight = random.standard_normal((2, rotation.coordinates.shape[1]))
    np.testing.assert_allclose(
        new @ rotation.weigh_features(weight).T, rotation.transform(others) @ weight.T, atol=1e-3
    )


def test_copies_count_as_often_as_they_stand(random):
    """A symmetric image by one triangle is what it is by all entries."""
    images = random.standard_normal((10, 6, 6)).astype(np.float32)
    images = torch.from_numpy(images + images.swapaxes(1, 2))[:, None]
    distinct = DistinctFeatures(images)
    strength = random.uniform(0.1, 1, (6, 6))
    strength = strength + strength.T
    half = Rotation(distinct.read(images), distinct.copies, strength[np.triu_indices(6)], 1.0)
    full = Rotation(images.numpy().reshape(10, 36), np.ones(36, dtype=int), strength.ravel(), 1.0)
    np.testing.assert_allclose(half.coordinates @ half.coordinates.T, full.coordinates @ full.coordinates.T, atol=1e-4)
    np.testing.assert_allclose(distinct.lay_out(half.gate), full.gate.reshape(6, 6), rtol=1e-4)
    weight = random.standard_normal((2, half.coordinates.shape[1]))
    of_image = distinct.lay_out(half.weigh_features(weight)).numpy()
    standardised = (images[:, 0].numpy() - images[:, 0].numpy().mean(axis=0)) / images[:, 0].numpy().std(axis=0)
    logits = np.einsum("nij,ij,cij->nc", standardised, distinct.lay_out(half.gate).numpy(), of_image)
    np.testing.assert_allclose(logits, half.coordinates @ weight.T, atol=1e-3)


def test_an_image_that_is_not_symmetric_keeps_all_its_entries(random):
    images = torch.from_numpy(random.standard_normal((4, 1, 5, 5)))
    distinct = DistinctFeatures(images)
    assert distinct.read(images).shape == (4, 25)
    assert torch.equal(distinct.lay_out(distinct.read(images)), images[:, 0])


def test_features_that_never_vary_span_one_direction_of_zeros():
    values = np.full((6, 4), 0.3, dtype=np.float32)
    rotation = Rotation(values, np.ones(4, dtype=int), np.zeros(4), 1.0)
    assert rotation.coordinates.tolist() == [[0.0]] * 6
    assert not rotation.transform(values + 1).any()
    assert not rotation.weigh_features(np.ones((2, 1))).any()
