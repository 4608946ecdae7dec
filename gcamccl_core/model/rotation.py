"""Penalised fits at the cost of the number of subjects: features gated, standardised and turned onto what they span."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gcamccl_core.model.scaling import center_and_spread

TINY = 1e-12  # in place of a zero to divide by


class DistinctFeatures:
    """The features of a view that are not copies of others: of a symmetric image, one triangle and the diagonal.

    A pair of copies with the same weight is one feature of twice the square, so half the work gives the same fit.

    Parameters
    ----------
    inputs : Tensor of shape (n, 1, *view shape)
        The subjects by whom to tell whether an image is symmetric.

    Examples
    --------
    >>> image = torch.tensor([[[[1.0, 2], [2, 3]]]])
    >>> features = DistinctFeatures(image)
    >>> features.read(image).tolist(), features.copies.tolist()
    ([[1.0, 2.0, 3.0]], [1, 2, 1])
    >>> features.lay_out(np.array([5.0, 6, 7])).tolist()
    [[5.0, 6.0], [6.0, 7.0]]
    """

    def __init__(self, inputs: Tensor) -> None:
        self.shape = tuple(inputs.shape[2:])
        self._triangle: tuple[np.ndarray, np.ndarray] | None = None
        self.copies = np.ones(int(np.prod(self.shape)), dtype=int)
        if len(self.shape) == 2 and torch.equal(inputs, inputs.mT):
            rows, columns = np.triu_indices(self.shape[0])
            self._triangle = (rows, columns)
            self.copies = np.where(rows == columns, 1, 2)

    def read(self, inputs: Tensor) -> np.ndarray:
        """Read the distinct features of subjects.

        Parameters
        ----------
        inputs : Tensor of shape (n, 1, *view shape)

        Returns
        -------
        array of shape (n, n_distinct)
        """
        values = inputs[:, 0].cpu().numpy()
        return values.reshape(len(values), -1) if self._triangle is None else values[:, *self._triangle]

    def lay_out(self, features: np.ndarray) -> Tensor:
        """Bring values of distinct features into the shape of the view.

        Parameters
        ----------
        features : array of shape (..., n_distinct)

        Returns
        -------
        Tensor of shape (..., *view shape)
            Copies have the same value.
        """
        if self._triangle is None:
            return torch.from_numpy(features.reshape(*features.shape[:-1], *self.shape))
        rows, columns = self._triangle
        image = np.empty((*features.shape[:-1], *self.shape), dtype=features.dtype)
        image[..., rows, columns] = image[..., columns, rows] = features
        return torch.from_numpy(image)


class Rotation:
    r"""Gated, standardised features of some subjects, turned onto the directions that these subjects span.

    A fit with a penalty on the squares of its weights has the same solution there.

    Parameters
    ----------
    values : array of shape (n, n_features), float32
        Of the subjects who will be trained on.
    copies : array of shape (n_features,)
        How often each feature stands in the view.
    strength : array of shape (n_features,)
        Of :func:`correlation_ratio`.
    exponent : float
        :math:`\gamma`; gates are ``strength ** exponent``, scaled to a mean square of 1; 0 where a feature never
        varies.

    Attributes
    ----------
    gate : array of shape (n_features,)
    coordinates : array of shape (n, n_directions)
        Of the same subjects, scaled to a mean square norm of 1; one direction of zeros if no feature varies.
    """

    def __init__(self, values: np.ndarray, copies: np.ndarray, strength: np.ndarray, exponent: float) -> None:
        self._center, spread = center_and_spread(values)
        varies = spread > 0
        gate = np.where(varies, strength**exponent, 0.0)
        mean_square = np.average(gate[varies] ** 2, weights=copies[varies]) if varies.any() else 0.0
        self.gate = (gate / max(np.sqrt(mean_square), TINY)).astype(np.float32)
        self._copies = copies
        self._scale = (np.sqrt(copies) * self.gate / np.where(varies, spread, np.inf)).astype(np.float32)
        self._trained = (values - self._center) * self._scale
        kernel = (self._trained @ self._trained.T).astype(np.float64)
        self._norm = max(np.sqrt(np.trace(kernel) / len(kernel)), TINY)
        squares, turned = np.linalg.eigh(kernel)
        kept = squares > max(squares.max() * 1e-7, TINY)  # the precision of the products
        if not kept.any():
            kept[-1], squares[-1] = True, np.inf
        self._span = turned[:, kept] / np.sqrt(squares[kept])  # of the subjects, to directions of unit length
        self.coordinates = kernel @ self._span / self._norm

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Give the coordinates of other subjects.

        Parameters
        ----------
        values : array of shape (n, n_features)

        Returns
        -------
        array of shape (n, n_directions)
        """
        return ((values - self._center) * self._scale) @ self._trained.T @ self._span / self._norm

    def weigh_features(self, weight: np.ndarray) -> np.ndarray:
        """Turn weights of directions into weights of gated, standardised features.

        Parameters
        ----------
        weight : array of shape (n_classes, n_directions)

        Returns
        -------
        array of shape (n_classes, n_features)
        """
        return weight @ self._span.T @ self._trained / np.sqrt(self._copies) / self._norm


def correlation_ratio(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    r"""How far each feature by itself tells the classes apart, from 0 to 1; of two classes the size of its correlation.

    .. math:: \eta_j = \sqrt{\frac{\sum_c n_c (\bar x_{cj} - \bar x_j)^2}{\sum_i (x_{ij} - \bar x_j)^2}}

    It orders features as the t of two classes or the F of more does, and stays finite where these do not.

    Parameters
    ----------
    values : array of shape (n, n_features)
    label : array of shape (n,)
        Class numbers.

    Returns
    -------
    array of shape (n_features,)
        0 for a feature that does not vary, see :func:`.center_and_spread`.

    Examples
    --------
    >>> values, label = np.array([[0.0, 1, 4], [1, 1, 4], [0, 3, 4], [1, 3, 4]]), np.array([0, 0, 1, 1])
    >>> correlation_ratio(values, label).tolist()
    [0.0, 1.0, 0.0]
    """
    center, spread = center_and_spread(values)
    centred = values - center
    total = np.square(centred, dtype=np.float64).sum(axis=0)
    between = sum(
        (label == number).sum() * np.square(centred[label == number].mean(axis=0), dtype=np.float64)
        for number in np.unique(label)
    )
    ratio = np.divide(between, total, out=np.zeros(len(total)), where=spread > 0)
    return np.sqrt(np.clip(ratio, 0, 1))
