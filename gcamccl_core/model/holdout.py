"""Set rows aside to choose the epoch by: classes in proportion, groups whole, nothing but the rows themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.whole_groups import divide_groups


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
        Sites or families; none is divided, see :func:`.divide_groups`.

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
    if groups is None:
        validation = _take_rows(label, counts, fraction, np.random.default_rng(seed))
    else:
        validation = _take_groups(label, groups, fraction, seed)
    return np.setdiff1d(np.arange(len(label)), validation), validation


def _take_rows(label: np.ndarray, counts: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
    taken = []
    for number, count in enumerate(counts):
        size = min(max(1, round(fraction * int(count))), int(count) - 1)
        taken.append(random.permutation(np.flatnonzero(label == number))[:size])
    return np.sort(np.concatenate(taken))


def _take_groups(label: np.ndarray, groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    n_groups = len(np.unique(groups))
    parts = divide_groups(label, groups, (1 - fraction, fraction), seed) if n_groups > 1 else []
    if not parts or any(len(np.unique(label[part])) < len(np.unique(label)) for part in parts):
        raise ValueError(
            f"the {n_groups} groups cannot be divided in two parts that both hold every class; "
            "pass more groups, or no groups if rows are independent"
        )
    return parts[1]
