"""The losses of fusion: Eq. 3 (DCCA) and Eq. 4 (DCL), a whole batch at once, and Eq. 12, subject by subject."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, logsigmoid, one_hot

RIDGE = 1e-6  # added to a covariance, as a share of the mean variance
FLOOR = 1e-8  # and as it is: a view that has collapsed to one point keeps finite gradients


def collaborative_loss(
    logits: Mapping[str, Tensor], target: Tensor, agreement: float = 1.0, output: str = "softmax"
) -> Tensor:
    r"""Collaborative loss of m views and C classes (Eq. 12), averaged over the subjects.

    .. math::
        -\frac{1}{m} \sum_{i=1}^m \sum_{c=1}^C y_c \log h_c^{(i)}
        - \frac{1}{m(m-1)} \sum_{i \neq j}^m \sum_{c=1}^C h_c^{(i)} \log h_c^{(j)}

    Parameters
    ----------
    logits : mapping of str to Tensor
        By view, shape (n, C).
    target : Tensor
        Class numbers 0 … C - 1, int64, shape (n,).
    agreement : float
        Weight of the second term; 1 in the paper.
    output : {"softmax", "sigmoid"}
        How logits become the :math:`h_c`; with ``"sigmoid"`` each class is a binary cross-entropy of its own.

    Returns
    -------
    Tensor
        A scalar: :func:`fit_term` plus ``agreement`` times :func:`agreement_term`. With two views and two classes it
        is half of Eq. 11, with log h_2 for the log(1 - h_2) that is printed there.

    Examples
    --------
    >>> logits = {"fc": torch.zeros(3, 2), "snp": torch.zeros(3, 2)}
    >>> round(collaborative_loss(logits, torch.tensor([0, 1, 1])).item(), 4)  # twice log 2
    1.3863
    """
    return fit_term(logits, target, output) + agreement * agreement_term(logits, output)


def fit_term(logits: Mapping[str, Tensor], target: Tensor, output: str = "softmax") -> Tensor:
    """First term of Eq. 12, a scalar: how well the views fit the label, the mean of their cross-entropies.

    Parameters
    ----------
    logits, target, output
        As in :func:`collaborative_loss`.

    Examples
    --------
    >>> round(fit_term({"fc": torch.zeros(1, 4)}, torch.tensor([2])).item(), 4)  # log 4
    1.3863
    """
    if output == "softmax":
        each = [cross_entropy(view, target) for view in logits.values()]
    else:
        views = list(logits.values())
        truth = one_hot(target, views[0].shape[1]).to(views[0].dtype)
        each = [binary_cross_entropy_with_logits(view, truth, reduction="sum") / len(target) for view in views]
    return torch.stack(each).mean()


def agreement_term(logits: Mapping[str, Tensor], output: str = "softmax") -> Tensor:
    """Second term of Eq. 12, a scalar: the mean cross-entropy between the predictions of two views; 0 with one view.

    Parameters
    ----------
    logits, output
        As in :func:`collaborative_loss`.

    Examples
    --------
    >>> agreement_term({"fc": torch.zeros(1, 2)}).item()
    0.0
    """
    stacked = torch.stack(list(logits.values()))  # (m, n, C)
    m, n, _ = stacked.shape
    if m == 1:
        return stacked.new_zeros(())
    if output == "softmax":
        log_h = stacked.log_softmax(dim=2)
    else:  # the two outcomes of each class, side by side
        log_h = torch.cat([logsigmoid(stacked), logsigmoid(-stacked)], dim=2)
    h = log_h.exp()
    # all pairs at once: the sum over i != j is the product of the sums less the pairs i == j
    pairs = (h.sum(dim=0) * log_h.sum(dim=0)).sum() - (h * log_h).sum()
    return -pairs / (m * (m - 1) * n)


def fusion_terms(
    fusion: str, outputs: Mapping[str, Tensor], target: Tensor, output: str = "softmax"
) -> tuple[Tensor, Tensor]:
    """Both terms of a loss, each to be minimised: how badly the views fit the label, how little they go together.

    Parameters
    ----------
    fusion : {"collaborative", "dcl", "dcca"}
        Eq. 12, Eq. 4, or Eq. 3, whose first term is 0.
    outputs : mapping of str to Tensor
        By view: logits of shape (n, C) for Eq. 12; otherwise latent variables of shape (n, p), of two views.
    target : Tensor
        Class numbers, int64, shape (n,); for DCL, of more than two classes, one column per class.
    output : {"softmax", "sigmoid"}
        As in :func:`collaborative_loss`.

    Examples
    --------
    >>> z = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    >>> [round(term.item(), 4) for term in fusion_terms("dcca", {"fc": z, "snp": z + 1}, torch.zeros(100))]
    [0.0, -2.0]
    """
    if fusion == "collaborative":
        return fit_term(outputs, target, output), agreement_term(outputs, output)
    z1, z2 = outputs.values()
    if fusion == "dcca":
        return z1.new_zeros(()), dcca_loss(z1, z2)
    return residual_sum_of_squares(z1, target) + residual_sum_of_squares(z2, target), dcca_loss(z1, z2)


def canonical_correlations(z1: Tensor, z2: Tensor, ridge: float = RIDGE) -> Tensor:
    r"""Canonical correlations of two views, the largest first: how alike their best linear combinations are (Eq. 2).

    They are the singular values of :math:`\Sigma_{11}^{-1/2} \Sigma_{12} \Sigma_{22}^{-1/2}`, computed in double
    precision from Cholesky factors of the covariances.

    Parameters
    ----------
    z1, z2 : Tensor of shape (n, p) and (n, q)
        The same n subjects in both; centred here.
    ridge : float
        Added to each covariance's diagonal, as a share of its mean variance.

    Returns
    -------
    Tensor of shape (min(p, q),)
        From 0 to 1, with gradients, in the precision of ``z1``.

    Raises
    ------
    ValueError
        If the two differ in subjects, or hold fewer than twice as many as latent variables: of n subjects,
        p + q + 1 - n correlations are 1 whatever the data are.

    Warns
    -----
    UserWarning
        If there are fewer than eight times as many subjects as latent variables; noise correlates then, too.

    References
    ----------
    Andrew et al. (2013), Deep canonical correlation analysis.

    Examples
    --------
    >>> z = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    >>> turned = z @ torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    >>> [round(each, 4) for each in canonical_correlations(z, turned).tolist()]
    [1.0, 1.0]
    """
    _check_sizes(z1, z2)
    first, second = z1.double() - z1.double().mean(dim=0), z2.double() - z2.double().mean(dim=0)
    whitened = torch.linalg.solve_triangular(_cholesky(first, ridge), first.T @ second / (len(z1) - 1), upper=False)
    between = torch.linalg.solve_triangular(_cholesky(second, ridge), whitened.T, upper=False)
    return torch.linalg.svdvals(between).to(z1.dtype)


def dcca_loss(z1: Tensor, z2: Tensor, ridge: float = RIDGE) -> Tensor:
    r"""Deep CCA (Eq. 3, for all pairs of latent variables at once): minus the sum of the canonical correlations.

    .. math:: -\left\| \Sigma_{11}^{-1/2} \Sigma_{12} \Sigma_{22}^{-1/2} \right\|_{tr}

    Parameters, errors and warnings are those of :func:`canonical_correlations`.

    Returns
    -------
    Tensor
        A scalar from -min(p, q) to 0.

    Examples
    --------
    >>> z = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    >>> round(dcca_loss(z, -3 * z).item(), 4)
    -2.0
    """
    return -canonical_correlations(z1, z2, ridge).sum()


def dcl_loss(z1: Tensor, z2: Tensor, target: Tensor, ridge: float = RIDGE) -> Tensor:
    r"""Deep collaborative learning (Eq. 4, as a loss): views that correlate, and from which the label can be regressed.

    .. math:: -\left\| \Sigma_{11}^{-1/2} \Sigma_{12} \Sigma_{22}^{-1/2} \right\|_{tr}
              + \sum_{i=1}^2 \left\| Y - Z_i (Z_i' Z_i)^{-1} Z_i' Y \right\|_2^2

    Parameters
    ----------
    z1, z2, ridge
        As in :func:`canonical_correlations`, whose errors and warnings apply.
    target : Tensor of shape (n,) or (n, r)
        Y: a phenotype, the numbers 0 and 1 of two classes, or one column per class. Centred, as the views are.

    Returns
    -------
    Tensor
        A scalar. The second term is a sum over subjects, as printed, so it grows with the batch.

    References
    ----------
    Hu et al. (2019), Deep collaborative learning with application to multimodal brain development study.

    Examples
    --------
    >>> z = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    >>> round(dcl_loss(z, z, target=z[:, 0] - z[:, 1]).item(), 3)  # correlates fully, leaves nothing unexplained
    -2.0
    """
    residuals = residual_sum_of_squares(z1, target, ridge) + residual_sum_of_squares(z2, target, ridge)
    return dcca_loss(z1, z2, ridge) + residuals


def residual_sum_of_squares(z: Tensor, target: Tensor, ridge: float = RIDGE) -> Tensor:
    r"""Sum of squares that a regression of the target on a view leaves, :math:`\|Y - Z(Z'Z)^{-1}Z'Y\|_2^2` (Eq. 4).

    Parameters
    ----------
    z : Tensor of shape (n, p)
        The view; centred here.
    target : Tensor of shape (n,) or (n, r)
        What to explain; centred here.
    ridge : float
        As in :func:`canonical_correlations`.

    Examples
    --------
    >>> z, target = torch.tensor([[-1.0], [0], [0], [1]]), torch.tensor([0.0, 0, 1, 1])
    >>> round(residual_sum_of_squares(z, target).item(), 4)  # a slope of 1/2
    0.5
    """
    y = target.double().reshape(len(target), -1)
    y, centred = y - y.mean(dim=0), z.double() - z.double().mean(dim=0)
    scaled = torch.linalg.solve_triangular(_cholesky(centred, ridge), centred.T, upper=False)  # rows of unit variance
    fitted = scaled.T @ (scaled @ y) / (len(z) - 1)
    return (y - fitted).square().sum().to(z.dtype)


def _cholesky(centred: Tensor, ridge: float) -> Tensor:
    """Lower factor of a regularised covariance."""
    covariance = centred.T @ centred / (len(centred) - 1)
    strength = ridge * covariance.diagonal().mean() + FLOOR
    return torch.linalg.cholesky(covariance + strength * torch.eye(len(covariance)).to(covariance))


def _check_sizes(z1: Tensor, z2: Tensor) -> None:
    """Refuse a batch in which correlations say nothing, and warn of one in which they say little."""
    if z1.ndim != 2 or z2.ndim != 2 or len(z1) != len(z2):
        raise ValueError(f"views must be (subjects, latent) with the same subjects; got {z1.shape} and {z2.shape}")
    n, latent = len(z1), max(z1.shape[1], z2.shape[1])
    advice = "take larger batches or a smaller latent size"
    if n < 2 * latent:
        raise ValueError(f"{n} subjects are fewer than twice the latent size, {latent}: {advice}")
    if n < 8 * latent:
        warnings.warn(
            f"{n} subjects are fewer than eight times the latent size, {latent}, and noise correlates, too: {advice}",
            stacklevel=3,
        )
