"""Divide rows into parts without breaking a site or family."""

from __future__ import annotations

import numpy as np

N_ASSIGNMENTS = 100  # random orders of the groups tried for one division


def divide_groups(
    label: np.ndarray, group: np.ndarray, fractions: tuple[float, ...], seed: int = 0
) -> list[np.ndarray]:
    """Divide rows into parts without breaking a group.

    Random orders of the groups are cut where the fractions are reached; the division nearest to the fractions in every
    class is taken, and one that gives every part every class before any that does not.

    Parameters
    ----------
    label, group : array of shape (n,)
        Of every row: class number, and site or family.
    fractions : tuple of float
        Share of each part; they sum to 1.
    seed : int
        Of the orders.

    Returns
    -------
    list of array of int
        Positions of each part, sorted. A part may lack a class, where no order of the groups that was tried gives it
        every one.

    Raises
    ------
    ValueError
        If there are fewer groups than parts.

    Examples
    --------
    >>> site = np.repeat(["Leuven", "NYU", "Yale", "USM"], [10, 10, 10, 10])
    >>> train, test = divide_groups(np.tile([0, 1], 20), site, (0.75, 0.25))
    >>> len(train), len(test), len(set(site[train]) & set(site[test]))
    (30, 10, 0)
    """
    names, member = np.unique(group, return_inverse=True)
    if len(names) < len(fractions):
        number = {2: "two", 3: "three"}[len(fractions)]
        raise ValueError(f"{len(names)} groups are too few to divide in {number} without breaking one")
    counts = np.array([np.bincount(member[label == c], minlength=len(names)) for c in np.unique(label)]).T
    shares = counts / counts.sum(axis=0)  # (group, class): what part of the class each group brings
    random, nearest, parts = np.random.default_rng(seed), (True, np.inf), list[np.ndarray]()
    for _ in range(N_ASSIGNMENTS):
        order = random.permutation(len(names))
        candidate = np.split(order, _cut(shares[order].cumsum(axis=0).mean(axis=1), fractions))
        reach = np.array([shares[part].sum(axis=0) for part in candidate])  # (part, class)
        distance = float(np.abs(reach - np.array(fractions)[:, None]).sum())
        merit = (bool((reach == 0).any()), distance)  # a part without a class is worse than any distance
        if merit < nearest:
            nearest, parts = merit, candidate
    return [np.flatnonzero(np.isin(member, part)) for part in parts]


def _cut(reached: np.ndarray, fractions: tuple[float, ...]) -> list[int]:
    """Where to cut an order of groups, given what share is reached after each; every part gets at least one group."""
    cuts, missing = list[int](), reached
    for number, fraction in enumerate(fractions[:-1]):
        first, last = (cuts[-1] if cuts else 0), len(reached) - (len(fractions) - 1 - number)
        missing = missing - fraction
        cuts.append(first + 1 + int(np.abs(missing[first:last]).argmin()))
    return cuts
