"""The perceptron of "MLP+SVM": its features are its own last hidden layer."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from gcamccl_core.model.perceptron import PerceptronFeatures

SMALL = {"hidden": (8, 5), "max_iter": 10}


def planted(n=200, p=12, dtype=float, seed=0):
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    features = rng.normal(size=(n, p))
    features[:, 0] = rng.choice([-1, 1], n) * np.where(label == 1, 2.5, 0.5) + 0.2 * features[:, 0]  # not linear
    return features.astype(dtype), label


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("hidden", [(6,), (8, 5), (7, 6, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_last_layer_read_from_the_features_gives_the_networks_own_probabilities(hidden, dtype):
    features, label = planted(dtype=dtype)
    fitted = PerceptronFeatures(hidden=hidden, max_iter=5).fit(features, label)
    found = fitted.transform(features)
    assert found.shape == (200, hidden[-1])
    assert (found >= 0).all()
    assert found.max() > 0
    last = sigmoid(found @ fitted.network_.coefs_[-1] + fitted.network_.intercepts_[-1]).ravel()
    np.testing.assert_allclose(last, fitted.network_.predict_proba(features)[:, 1], rtol=1e-4, atol=1e-6)


def test_it_is_scikit_learns_perceptron_of_these_settings():
    features, label = planted()
    ours = PerceptronFeatures(**SMALL, alpha=0.3, random_state=4).fit(features, label)
    reference = MLPClassifier((8, 5), alpha=0.3, max_iter=10, batch_size=64, random_state=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference.fit(features, label)
    for one, other in zip(ours.network_.coefs_, reference.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)


def test_random_state_decides_and_a_clone_is_unfitted_and_alike():
    features, label = planted()
    original = PerceptronFeatures(**SMALL, alpha=0.5, random_state=2)
    found = original.fit_transform(features, label)
    copy = clone(original)
    assert copy.get_params() == original.get_params() == {**SMALL, "alpha": 0.5, "random_state": 2}
    with pytest.raises(NotFittedError):
        copy.transform(features)
    np.testing.assert_array_equal(copy.fit(features, label).transform(features), found)
    other = clone(original).set_params(random_state=3).fit_transform(features, label)
    assert not np.array_equal(other, found)


def test_subjects_are_transformed_one_by_one_without_a_label():
    features, label = planted()
    fitted = PerceptronFeatures(**SMALL).fit(features[:150], label[:150])
    together = fitted.transform(features[150:])
    apart = np.vstack([fitted.transform(features[[row]]) for row in range(150, 200)])
    np.testing.assert_allclose(together, apart, rtol=1e-12)


def test_features_bend_what_a_line_cannot_divide():
    features, label = planted(n=600)
    plain = LogisticRegression(max_iter=500).fit(features[:400], label[:400]).score(features[400:], label[400:])
    fitted = PerceptronFeatures(max_iter=40, alpha=0.01).fit(features[:400], label[:400])
    found = fitted.transform(features)
    learnt = LogisticRegression(max_iter=500).fit(found[:400], label[:400]).score(found[400:], label[400:])
    assert plain < 0.65
    assert learnt > 0.85


def test_neither_few_subjects_nor_few_passes_are_complained_of():
    features, label = planted(n=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PerceptronFeatures(hidden=(4,), max_iter=2).fit_transform(features, label).shape == (30, 4)
