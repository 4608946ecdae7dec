"""The multilayer perceptron of "MLP+SVM" in Table III: all views concatenated, its last hidden layer as features."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.utils.validation import check_is_fitted


class PerceptronFeatures(TransformerMixin, BaseEstimator):
    """Train a perceptron to tell the classes apart, and hand out the activations of its last hidden layer.

    Parameters
    ----------
    hidden : tuple of int
        Units of each hidden layer; the last has 64 by default, as many as a ConvNet's flattened layer has.
    alpha : float
        Weight of the quadratic penalty.
    max_iter : int
        Passes through the data.
    random_state : int
        Of first weights and order of the subjects.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> features, label = random.normal(size=(40, 10)), np.repeat([0, 1], 20)
    >>> PerceptronFeatures(hidden=(8, 4), max_iter=5).fit_transform(features, label).shape
    (40, 4)
    """

    def __init__(
        self, hidden: tuple[int, ...] = (64, 64), alpha: float = 0.1, max_iter: int = 40, random_state: int = 0
    ) -> None:
        self.hidden, self.alpha, self.max_iter, self.random_state = hidden, alpha, max_iter, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> PerceptronFeatures:  # noqa: N803 - scikit-learn's name
        """Train on features of shape (n, p) and labels of shape (n,)."""
        self.network_ = MLPClassifier(
            self.hidden,
            alpha=self.alpha,
            max_iter=self.max_iter,
            batch_size=min(64, len(X)),
            random_state=self.random_state,
        )
        with warnings.catch_warnings():  # it stops after max_iter passes: a setting, not a failure
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.network_.fit(X, y)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:  # noqa: N803 - scikit-learn's name
        """Activations of the last hidden layer, shape (n, units), not negative."""
        check_is_fitted(self)
        activations = np.asarray(X)
        for weights, bias in zip(self.network_.coefs_[:-1], self.network_.intercepts_[:-1], strict=True):
            activations = np.maximum(activations @ weights + bias, 0)
        return activations
