"""Who is trained on, who chooses, who tests: random divisions that keep classes in proportion and groups whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from sklearn.model_selection import train_test_split

from gcamccl_core.data.checks import class_names, name_some

N_ASSIGNMENTS = 100  # random orders of the groups tried for one division


@dataclass(frozen=True)
class Split:
    """Integer positions of the subjects to train on, to choose with, and to test on; disjoint, sorted."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def make_split(cohort: xr.Dataset, fractions: tuple[float, float, float] = (0.70, 0.15, 0.15), seed: int = 0) -> Split:
    """Divide the labelled subjects at random into training, validation and test parts.

    Classes keep their proportions. If the cohort has a ``group`` (site, family), no group is divided: the groups are
    put into 100 random orders, and of all ways to cut one in two the nearest to the fractions, class by class, is
    taken.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort; subjects whose label is -1 belong to no part.
    fractions : (float, float, float)
        Shares of training, validation and test; the paper's are 0.70, 0.15, 0.15.
    seed : int
        Another seed, another split.

    Returns
    -------
    Split
        Positions along ``subject``.

    Raises
    ------
    ValueError
        If the fractions do not sum to 1 or a part would lack a class.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> split = make_split(simulate_cohort(n_subjects=100, seed=1), seed=3)
    >>> len(split.train), len(split.validation), len(split.test)
    (28, 6, 6)
    """
    if abs(sum(fractions) - 1) > 1e-9 or min(fractions) <= 0:
        raise ValueError(f"fractions must be positive and sum to 1, got {fractions}")
    label = cohort["label"].to_numpy()
    subjects = np.flatnonzero(label >= 0)
    halve = _divide_groups if "group" in cohort else _divide_subjects
    train, rest = halve(cohort, subjects, fractions[0], seed)
    validation, test = halve(cohort, rest, fractions[1] / (fractions[1] + fractions[2]), seed)
    split = Split(np.sort(train), np.sort(validation), np.sort(test))
    for name in ("train", "validation", "test"):
        lacking = set(np.unique(label[subjects])) - set(label[getattr(split, name)])
        if lacking:
            classes = class_names(cohort)
            raise ValueError(
                f"the {name} part has no subject of class {name_some(classes[c] for c in sorted(lacking))}"
            )
    return split


def _divide_subjects(
    cohort: xr.Dataset, subjects: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    label = cohort["label"].to_numpy()[subjects]
    try:
        first, second = train_test_split(subjects, train_size=share, stratify=label, random_state=seed)
    except ValueError as fault:
        raise ValueError(f"{len(subjects)} labelled subjects are too few to divide by class: {fault}") from fault
    return first, second


def _divide_groups(cohort: xr.Dataset, subjects: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    label = cohort["label"].to_numpy()[subjects]
    group = cohort["group"].to_numpy()[subjects]
    if len(np.unique(group)) < 2:
        raise ValueError(f"{len(np.unique(group))} group is too few to divide without breaking one")
    names, member = np.unique(group, return_inverse=True)
    counts = np.array([[(label[member == n] == c).sum() for c in np.unique(label)] for n in range(len(names))])
    shares = counts / counts.sum(axis=0)  # (group, class): what part of the class each group brings
    random, nearest, chosen = np.random.default_rng(seed), np.inf, np.array([], dtype=int)
    for _ in range(N_ASSIGNMENTS):
        order = random.permutation(len(names))
        distance = np.abs(shares[order].cumsum(axis=0)[:-1] - share).sum(axis=1)
        if distance.min() < nearest:
            nearest, chosen = distance.min(), order[: distance.argmin() + 1]
    first = np.isin(member, chosen)
    return subjects[first], subjects[~first]
