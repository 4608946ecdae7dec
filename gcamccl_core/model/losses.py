"""The collaborative loss, Eq. 12: every view fits the label and agrees with the other views, subject by subject."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, logsigmoid, one_hot


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
        A scalar: :func:`fit_term` plus ``agreement`` times :func:`agreement_term`.

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
