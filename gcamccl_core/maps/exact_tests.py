"""Exact tests of allele counts, which are few and skewed: a normal approximation is wrong where classes are unequal."""

from __future__ import annotations

import numpy as np
from scipy.stats import hypergeom


def exact_trend(of_class: np.ndarray, others: np.ndarray) -> float:
    r"""Probability that a class holds as many copies of an allele as it does, or more, if genotypes fell at random.

    .. math:: P(S \ge s), \qquad S = 2 K + H, \quad K \sim \mathrm{Hyp}(N, n_2, m), \quad
              H \mid K \sim \mathrm{Hyp}(N - n_2, n_1, m - K),

    with N people, m of them of the class, and :math:`n_1` and :math:`n_2` of them all with one copy and with two. This
    is the permutation distribution of the Cochran-Armitage trend test, without drawing permutations.

    Parameters
    ----------
    of_class, others : arrays of shape (m,) and (N - m,)
        Genotypes, 0, 1 or 2 copies.

    Returns
    -------
    float
        One-sided, at most 1.

    Raises
    ------
    ValueError
        If a value is no genotype.

    Examples
    --------
    >>> exact_trend(np.array([2, 2]), np.array([0, 0]))  # one division of six
    0.16666666666666666
    """
    every = np.concatenate([of_class, others])
    if not np.isin(every, (0, 1, 2)).all():
        raise ValueError("genotypes must be 0, 1 or 2 copies of an allele")
    n_people, n_class = len(every), len(of_class)
    one, two = int((every == 1).sum()), int((every == 2).sum())
    double = np.arange(max(0, n_class - (n_people - two)), min(two, n_class) + 1)
    at_least = of_class.sum() - 2 * double
    beyond = hypergeom.sf(at_least - 1, n_people - two, one, n_class - double)
    return float(min(1.0, (hypergeom.pmf(double, n_people, two, n_class) * beyond).sum()))
