"""How far each view is to be trusted in the fused prediction, from logits of subjects left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import cross_entropy


@dataclass(frozen=True)
class Weighed:
    """Confidence by view and offset by class, and the negative logarithm of their posterior."""

    confidence: dict[str, float]
    offset: list[float]
    loss: float


def weigh_views(held_out: Mapping[str, Tensor], target: Tensor) -> Weighed:
    """Confidence of every view, at least 0, and offset of every class, most likely for subjects left out."""
    stacked = torch.stack([each.double() for each in held_out.values()])
    n_views, n, n_classes = stacked.shape

    def negative_log_posterior(values: np.ndarray) -> tuple[float, np.ndarray]:
        free = torch.from_numpy(values).requires_grad_()
        beta, offset = free[:n_views], free[n_views:]
        loss = n * cross_entropy(offset + torch.einsum("v,vnc->nc", beta, stacked), target)
        loss = loss + 0.5 * (beta - 1).square().sum() + 0.5 * offset.square().sum()
        (gradient,) = torch.autograd.grad(loss, free)
        return loss.item(), gradient.numpy()

    start = np.r_[np.ones(n_views), np.zeros(n_classes)]
    bounds = [(0, None)] * n_views + [(None, None)] * n_classes
    best = minimize(negative_log_posterior, start, jac=True, bounds=bounds, method="L-BFGS-B")
    confidence = dict(zip(held_out, best.x[:n_views].tolist(), strict=True))
    return Weighed(confidence, best.x[n_views:].tolist(), float(best.fun))


def likeliest(weighed: Mapping[float, Weighed]) -> float:
    """Tell with which weight of the agreement term the posterior of those left out is the largest."""
    return min(weighed, key=lambda term: weighed[term].loss)
