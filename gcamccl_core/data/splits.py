"""Who is trained on, who chooses, who tests: random divisions that keep classes in proportion and groups whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from sklearn.model_selection import train_test_split

from gcamccl_core.data.checks import class_names, name_some

N_ASSIGNMENTS = 100  # random orders of the groups tried for one split


@dataclass(frozen=True)
class Split:
    """Integer positions of the subjects to train on, to choose with, and to test on; disjoint, sorted."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def make_split(cohort: xr.Dataset, fractions: tuple[float, float, float] = (0.70, 0.15, 0.15), seed: int = 0) -> Split:
    """Divide the labelled subjects at random into training, validation and test parts.

    Classes keep their proportions. If the cohort has a ``group`` (site, family), no group is divided: 100 random
    orders of the groups are cut where the fractions are reached, and the one nearest to them in every class is taken.

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
    divide = _divide_groups if "group" in cohort else _divide_subjects
    train, validation, test = divide(cohort, subjects, fractions, seed)
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
    cohort: xr.Dataset, subjects: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> list[np.ndarray]:
    label = cohort["label"].to_numpy()
    _, validation_share, test_share = fractions
    try:
        train, rest = train_test_split(subjects, train_size=fractions[0], stratify=label[subjects], random_state=seed)
        share = validation_share / (validation_share + test_share)
        return [train, *train_test_split(rest, train_size=share, stratify=label[rest], random_state=seed)]
    except ValueError as fault:
        raise ValueError(f"{len(subjects)} labelled subjects are too few to divide by class: {fault}") from fault


def _divide_groups(
    cohort: xr.Dataset, subjects: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> list[np.ndarray]:
    label = cohort["label"].to_numpy()[subjects]
    names, member = np.unique(cohort["group"].to_numpy()[subjects], return_inverse=True)
    if len(names) < len(fractions):
        raise ValueError(f"{len(names)} groups are too few to divide in three without breaking one")
    counts = np.array([np.bincount(member[label == c], minlength=len(names)) for c in np.unique(label)]).T
    shares = counts / counts.sum(axis=0)  # (group, class): what part of the class each group brings
    random, nearest, parts = np.random.default_rng(seed), np.inf, list[np.ndarray]()
    for _ in range(N_ASSIGNMENTS):
        order = random.permutation(len(names))
        reached = shares[order].cumsum(axis=0).mean(axis=1)
        first = 1 + int(np.abs(reached[:-2] - fractions[0]).argmin())
        second = first + 1 + int(np.abs(reached[first:-1] - fractions[0] - fractions[1]).argmin())
        candidate = np.split(order, [first, second])
        reach = np.array([shares[part].sum(axis=0) for part in candidate])  # (part, class)
        distance = float(np.abs(reach - np.array(fractions)[:, None]).sum())
        if distance < nearest:
            nearest, parts = distance, candidate
    return [subjects[np.isin(member, part)] for part in parts]
