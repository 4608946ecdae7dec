"""The smallest effects that so many people could show."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, norm
from scipy.stats import t as student

POWER, LEVEL = 0.8, 0.05
GRID = 4000  # quantiles that stand for a distribution


def smallest_difference(n_one: int, n_two: int, level: float = LEVEL, power: float = POWER) -> float:
    r"""Give the smallest difference of two classes' means that a t-test finds with some certainty.

    .. math:: P\bigl(|T_{\nu}(\delta)| > t_{\nu, 1 - \alpha / 2}\bigr) = 1 - \beta, \qquad
              \delta = d \sqrt{\tfrac{n_1 n_2}{n_1 + n_2}}, \quad \nu = n_1 + n_2 - 2

    Parameters
    ----------
    n_one, n_two : int
        People in the two classes.
    level, power : float
        :math:`\alpha`, two-sided, and :math:`1 - \beta`.

    Returns
    -------
    float
        d, in standard deviations (Cohen's); infinite where a class has fewer than two people.

    Examples
    --------
    >>> round(smallest_difference(64, 64), 2)  # Cohen's table: 64 in each group for d = 0.5
    0.5
    """
    if min(n_one, n_two) < 2:
        return float("inf")
    freedom, root = n_one + n_two - 2, (n_one * n_two / (n_one + n_two)) ** 0.5
    critical = student.ppf(1 - level / 2, freedom)
    # of the non-central t, as a mean over its spread: scipy's own gives up in the tails
    spread = np.sqrt(chi2.ppf((np.arange(GRID) + 0.5) / GRID, freedom) / freedom)

    def lacking(d: float) -> float:
        beyond = norm.sf(critical * spread - d * root) + norm.cdf(-critical * spread - d * root)
        return float(beyond.mean()) - power

    return float(brentq(lacking, 0, 10 * critical / root))


def smallest_auc(n_one: int, n_two: int, level: float = LEVEL, power: float = POWER) -> float:
    """Give the smallest area under the ROC curve that can be told from one half (Hanley and McNeil 1982).

    Parameters
    ----------
    n_one, n_two : int
        People of the two classes who are predicted.
    level, power : float
        Two-sided level, and the chance to find it.

    Examples
    --------
    >>> smallest_auc(20, 20) > smallest_auc(200, 200) > 0.5
    True
    """

    def error(auc: float) -> float:
        q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
        variance = auc * (1 - auc) + (n_one - 1) * (q1 - auc**2) + (n_two - 1) * (q2 - auc**2)
        return float((variance / (n_one * n_two)) ** 0.5)

    def lacking(auc: float) -> float:
        return (auc - 0.5) - norm.ppf(1 - level / 2) * error(0.5) - norm.ppf(power) * error(auc)

    return float(brentq(lacking, 0.5, 1 - 1e-9)) if lacking(1 - 1e-9) > 0 else 1.0
