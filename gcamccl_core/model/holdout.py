"""Set rows aside to choose the epoch by: classes in proportion, groups whole, nothing but the rows themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gcamccl_core.data.checks import name_some

N_ASSIGNMENTS = 100  # random orders of the groups tried


def hold_out(
    label: np.ndarray,
    fraction: float,
    seed: int,
    classes: Sequence[object],
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows into those to train on and those to choose the epoch by.

    Parameters
    ----------
    label : array of int, shape (n_rows,)
        Class numbers from 0.
    fraction : float
        Share of every class to set aside, above 0 and below 1; at least one row is, and at least one is left.
    seed : int
        Another seed, another division.
    classes : sequence
        Names of the classes, for errors.
    groups : array of shape (n_rows,), optional
        Sites or families; none is divided. Of 100 random orders of the groups, each cut where the fraction is
        reached, the one nearest to it in every class is taken.

    Returns
    -------
    (array of int, array of int)
        Positions for training and for validation, sorted.

    Raises
    ------
    ValueError
        If the fraction is out of range, or a part would lack a class.

    Examples
    --------
    >>> train, validation = hold_out(np.repeat([0, 1], 10), 0.2, seed=0, classes=["low", "high"])
    >>> len(train), len(validation), (validation < 10).sum().item()
    (16, 4, 2)
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation_fraction must be above 0 and below 1, got {fraction!r}")
    counts = np.bincount(label, minlength=len(classes))
    scarce = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < 2]
    if scarce:
        raise ValueError(
            f"too few rows of class {name_some(scarce)}; every class needs at least 2, one to train on and one to "
            "choose the epoch by"
        )
    random = np.random.default_rng(seed)
    if groups is None:
        validation = _take_rows(label, counts, fraction, random)
    else:
        validation = _take_groups(label, counts, fraction, random, groups)
    return np.setdiff1d(np.arange(len(label)), validation), validation


def _take_rows(label: np.ndarray, counts: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
    taken = []
    for number, count in enumerate(counts):
        size = min(max(1, round(fraction * int(count))), int(count) - 1)
        taken.append(random.permutation(np.flatnonzero(label == number))[:size])
    return np.sort(np.concatenate(taken))


def _take_groups(
    label: np.ndarray, counts: np.ndarray, fraction: float, random: np.random.Generator, groups: np.ndarray
) -> np.ndarray:
    names, member = np.unique(groups, return_inverse=True)
    shares = np.array([np.bincount(member[label == each], minlength=len(names)) for each in range(len(counts))]).T
    shares = shares / counts  # (group, class): what part of the class each group brings
    nearest, chosen = np.inf, None
    for _ in range(N_ASSIGNMENTS):
        order = random.permutation(len(names))
        reached = shares[order].cumsum(axis=0)  # (number of groups set aside, class)
        cut = int(np.abs(reached.mean(axis=1) - fraction).argmin())
        both = (reached[cut] > 0).all() and (shares[order[cut + 1 :]].sum(axis=0) > 0).all()
        distance = float(np.abs(reached[cut] - fraction).sum())
        if both and distance < nearest:
            nearest, chosen = distance, order[: cut + 1]
    if chosen is None:
        raise ValueError(
            f"the {len(names)} groups cannot be divided in two parts that both hold every class; "
            "pass more groups, or no groups if rows are independent"
        )
    return np.flatnonzero(np.isin(member, chosen))
