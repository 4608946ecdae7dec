r"""Signed maps from plain gradients, rivals of the paper's: what each feature adds to a class's logit.

Their positive part speaks for the class, their negative part against it; :func:`.class_values` takes the positive one.
The equations are written out here, and Captum's own implementation is what the tests hold them against.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gcamccl_core.maps.hooks import TracedPass

STEPS = 32  # integrated gradients then lie within some per cent of what many more steps give


@dataclass(frozen=True, eq=False)
class Background:
    """Training subjects with whom a subject is compared, and how finely the way from them to it is walked.

    Parameters
    ----------
    inputs : mapping of str to Tensor (n, 1, *view shape)
        Every view of n training subjects, as ``net.prepare`` makes them.
    steps : int
        Points on the way, m in the equations.
    seed : int
        Decides which training subjects and points :func:`expected_gradients_rule` draws.

    Raises
    ------
    ValueError
        If there is no training subject or no step, or the seed is negative.

    Examples
    --------
    >>> Background({"snp": torch.tensor([[[0.0, 2.0]], [[1.0, 2.0]]])}).mean()["snp"].tolist()
    [[[0.5, 2.0]]]
    """

    inputs: Mapping[str, Tensor]
    steps: int = STEPS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if not self.size:
            raise ValueError("the background has no subject; pass the positions of the training subjects")

    @property
    def size(self) -> int:
        """Number of training subjects."""
        return len(next(iter(self.inputs.values())))

    def mean(self) -> dict[str, Tensor]:
        """Mean of the training subjects, feature by feature: shape (1, 1, *view shape), by view."""
        return {view: x.mean(dim=0, keepdim=True) for view, x in self.inputs.items()}

    def draw(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a training subject and a share of the way for each step, the same whenever the number is the same.

        Every step has its own stretch of the way, and every training subject comes up once before any does again, so
        that each is met all along the way. The mean over steps is that of independent draws, with less chance in it.

        Parameters
        ----------
        number : int
            Whom the draws are for, at least 0.

        Returns
        -------
        rows : array of shape (steps,), int
            Positions in the background.
        shares : array of shape (steps,)
            From 0, at the training subject, to 1, at the subject.
        """
        rng = np.random.default_rng([self.seed, number])
        rounds = -(-self.steps // self.size)
        rows = np.concatenate([rng.permutation(self.size) for _ in range(rounds)])[: self.steps]
        return rows, (np.arange(self.steps) + rng.random(self.steps)) / self.steps


def gradient_x_input_rule(traced: TracedPass, view: str, target: int) -> Tensor:
    r"""Gradient of a class's logit times the input, as the network sees it: shape (n, *view shape), in logits.

    .. math:: \mathrm{map}_f = x_f \, \partial y^c / \partial x_f

    A feature of value 0 adds nothing. Zero is no correlation, no copy of the counted allele, and of a view that is
    scaled the training mean.
    """
    return traced.inputs[view].detach()[:, 0] * traced.input_gradient(view, target)


def integrated_gradients_rule(traced: TracedPass, view: str, target: int, background: Background) -> Tensor:
    r"""Integrated gradients (Sundararajan et al. 2017) from the training mean: shape (n, *view shape), in logits.

    .. math:: \mathrm{map}_f = (x_f - \bar x_f) \int_0^1 \frac{\partial y^c}{\partial x_f}
              \bigl(\bar x + \alpha (x - \bar x)\bigr)\,d\alpha
              \approx \frac{x_f - \bar x_f}{m} \sum_{k=1}^m \frac{\partial y^c}{\partial x_f}
              \Bigl(\bar x + \tfrac{k - 1/2}{m} (x - \bar x)\Bigr)

    The sum over the view's features is :math:`y^c(x) - y^c(\bar x)`, but for the error of the midpoint rule, which
    falls with m. Gauss's points would not do better: where a ReLU or a maximum switches, the gradient jumps.
    """

    def starts() -> Iterator[tuple[dict[str, Tensor], np.ndarray]]:
        mean = background.mean()
        for k in range(background.steps):
            yield mean, np.full(len(traced.numbers), (k + 0.5) / background.steps)

    return traced.once("integrated", view, target, lambda: _average_over(traced, starts()))[:, 0]


def expected_gradients_rule(traced: TracedPass, view: str, target: int, background: Background) -> Tensor:
    r"""Gradients expected on the way from a training subject (Erion et al. 2021): shape (n, *view shape), in logits.

    .. math:: \mathrm{map}_f = \mathbb{E}_{x' \sim \mathrm{training},\ \alpha \sim U(0, 1)}
              \left[ (x_f - x'_f)\, \frac{\partial y^c}{\partial x_f}\bigl(x' + \alpha (x - x')\bigr) \right]

    the mean over the training subjects of the integrated gradients that start at each, estimated from m draws of
    :meth:`Background.draw`. The sum over the view's features is on average :math:`y^c(x)` minus the mean of
    :math:`y^c` over the training subjects. The map of a single subject is rough where m is small; since every subject
    has draws of its own, a mean over subjects is less so.
    """

    def starts() -> Iterator[tuple[dict[str, Tensor], np.ndarray]]:
        rows, shares = (np.array(drawn) for drawn in zip(*map(background.draw, traced.numbers), strict=True))
        for k in range(background.steps):
            yield {view: x[rows[:, k]] for view, x in background.inputs.items()}, shares[:, k]

    return traced.once("expected", view, target, lambda: _average_over(traced, starts()))[:, 0]


def _average_over(
    traced: TracedPass, starts: Iterable[tuple[Mapping[str, Tensor], np.ndarray]]
) -> dict[tuple[str, int], Tensor]:
    """Mean of (x - x') times the gradient a share of the way from x' to x, by view and class: (n, 1, *view shape)."""
    ends = {view: x.detach() for view, x in traced.inputs.items()}
    totals: dict[tuple[str, int], Tensor] = {}
    count = 0
    for start, shares in starts:
        ways = {view: x - start[view].to(x) for view, x in ends.items()}
        points = {view: start[view].to(way) + _align(shares, way) * way for view, way in ways.items()}
        for key, gradient in traced.gradients_at(points).items():
            added = ways[key[0]] * gradient
            totals[key] = totals[key] + added if key in totals else added
        count += 1
    return {key: total / count for key, total in totals.items()}


def _align(shares: np.ndarray, like: Tensor) -> Tensor:
    """One number per subject, shaped to multiply what has a subject per row."""
    return torch.as_tensor(shares).to(like).reshape(-1, *[1] * (like.ndim - 1))
