"""Who is trained on, who chooses, who tests: random divisions that keep classes in proportion and groups whole."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import xarray as xr
from sklearn.model_selection import train_test_split

from gcamccl_core.data.checks import class_names, name_some
from gcamccl_core.data.whole_groups import divide_groups
from gcamccl_core.parameters import suggest

SCHEMES = ("groups", "subjects", "leave one group out")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Integer positions of the subjects to train on, to choose with, and to test on; disjoint, sorted."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def make_split(
    cohort: xr.Dataset,
    fractions: tuple[float, float, float] = (0.70, 0.15, 0.15),
    seed: int = 0,
    keep_groups: bool = True,
) -> Split:
    """Divide the labelled subjects at random into training, validation and test parts.

    Classes keep their proportions. If the cohort has a ``group`` (site, family), no group is divided: 100 random
    orders of the groups are cut where the fractions are reached. Of those that give every part every class, the one
    nearest to the fractions in every class is taken.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort; subjects whose label is -1 belong to no part.
    fractions : (float, float, float)
        Shares of training, validation and test; the paper's are 0.70, 0.15, 0.15.
    seed : int
        Another seed, another split.
    keep_groups : bool
        False divides the subjects at random as if the cohort had no ``group``, which is how most published numbers
        are made. A site or family on both sides of the split leaks: a network that recognises the site, or a
        relative, scores better on such a test part than it would on people from elsewhere.

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
    subjects = np.flatnonzero(cohort["label"].to_numpy() >= 0)
    divide = _divide_groups if keep_groups and "group" in cohort else _divide_subjects
    train, validation, test = divide(cohort, subjects, fractions, seed)
    return _sorted_split(cohort, train, validation, test)


def leave_one_group_out(
    cohort: xr.Dataset, validation: float = 0.15 / 0.85, seed: int = 0, min_per_class: int = 5
) -> dict[str, Split]:
    """Test on each group (site, family) in turn, with every other group to train on and to choose with.

    The test part is all labelled subjects of the group. The others are divided in two as :func:`make_split` divides,
    without breaking a group. Only where the others are one group, or no order of whole groups gives every class to
    both parts, are subjects divided at random by class instead, with a warning in the log; the test part is as
    strictly apart as ever.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort with a ``group``; subjects whose label is -1 belong to no part.
    validation : float
        Share of the validation part in what is not tested, above 0 and below 1. The default gives training and
        validation the proportions they have in :func:`make_split`.
    seed : int
        Another seed, another division into training and validation.
    min_per_class : int
        A group with fewer labelled subjects than this in any class is never the test part, because no area under the
        curve can be told from so few; it stays among those that are trained on and chosen with.

    Returns
    -------
    dict of str to Split
        Positions along ``subject``, by the name of the group that is the test part, in alphabetical order.

    Raises
    ------
    ValueError
        If the cohort has no ``group`` or a single one, no group has ``min_per_class`` subjects of every class,
        ``validation`` or ``min_per_class`` is out of range, or a training or validation part would lack a class.

    Examples
    --------
    >>> site = np.repeat(["Leuven", "NYU", "Yale"], [4, 20, 20])
    >>> label = ("subject", np.tile([0, 1], 22), {"classes": ["control", "autism"]})
    >>> splits = leave_one_group_out(xr.Dataset({"label": label, "group": ("subject", site)}))
    >>> {name: len(split.test) for name, split in splits.items()}
    {'NYU': 20, 'Yale': 20}
    """
    if not 0 < validation < 1:
        raise ValueError(f"validation must be above 0 and below 1, got {validation}")
    if min_per_class < 1:
        raise ValueError(f"min_per_class must be at least 1, got {min_per_class}")
    if "group" not in cohort:
        raise ValueError("the cohort has no 'group' to leave out; give assemble_cohort the site or family of everyone")
    subjects = np.flatnonzero(cohort["label"].to_numpy() >= 0)
    group = cohort["group"].to_numpy()[subjects]
    counts = _count_by_group(cohort, subjects)
    if len(counts) < 2:
        raise ValueError(f"all labelled subjects are of one group, {name_some(counts)}; nobody is left to train on")
    tested = [name for name, count in counts.items() if min(count.values()) >= min_per_class]
    if not tested:
        shown = name_some(
            f"{name} ({', '.join(f'{number} {kind}' for kind, number in count.items())})"
            for name, count in counts.items()
        )
        raise ValueError(
            f"no group has {min_per_class} labelled subjects of every class: {shown}; "
            "lower min_per_class, join small groups, or use make_split"
        )
    splits = {}
    for name in tested:
        out = group.astype(str) == name
        try:
            train, chosen_with = _divide_the_others(cohort, subjects[~out], validation, seed, name)
            splits[name] = _sorted_split(cohort, train, chosen_with, subjects[out])
        except ValueError as fault:
            raise ValueError(
                f"with group {name} left out, {fault}; change validation or min_per_class, or use make_split"
            ) from fault
    return splits


def make_splits(cohort: xr.Dataset, n_splits: int, scheme: str = "groups", seed: int = 0) -> list[Split]:
    """Make several splits by one scheme; split k is made with seed + k.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort.
    n_splits : int
        How many; ignored by ``"leave one group out"``, which makes one for every group that can be tested.
    scheme : {"groups", "subjects", "leave one group out"}
        ``"groups"`` keeps every group whole, if the cohort has any; ``"subjects"`` divides subjects at random, so that
        a group may be on both sides and leak, see :func:`make_split`; the third is :func:`leave_one_group_out`, every
        split with the same seed.
    seed : int
        Of the first split.

    Returns
    -------
    list of Split
        Positions along ``subject``.

    Raises
    ------
    ValueError
        If the scheme is unknown, ``n_splits`` is below 1, or the cohort cannot be divided so.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=100, seed=1)
    >>> [len(split.test) for split in make_splits(cohort, 2, scheme="subjects")]
    [6, 6]
    """
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme!r} of splits; {suggest(scheme, SCHEMES)}")
    if scheme == "leave one group out":
        return list(leave_one_group_out(cohort, seed=seed).values())
    if n_splits < 1:
        raise ValueError(f"n_splits must be at least 1, got {n_splits}")
    return [make_split(cohort, seed=seed + k, keep_groups=scheme == "groups") for k in range(n_splits)]


def _sorted_split(cohort: xr.Dataset, train: np.ndarray, validation: np.ndarray, test: np.ndarray) -> Split:
    """Sort the parts and refuse one that lacks a class."""
    label = cohort["label"].to_numpy()
    split = Split(np.sort(train), np.sort(validation), np.sort(test))
    for name in ("train", "validation", "test"):
        lacking = set(np.unique(label[label >= 0])) - set(label[getattr(split, name)])
        if lacking:
            classes = class_names(cohort)
            raise ValueError(
                f"the {name} part has no subject of class {name_some(classes[c] for c in sorted(lacking))}"
            )
    return split


def _count_by_group(cohort: xr.Dataset, subjects: np.ndarray) -> dict[str, dict[str, int]]:
    """Count the subjects of every group by class, classes that nobody has left out."""
    label, group = cohort["label"].to_numpy()[subjects], cohort["group"].to_numpy()[subjects].astype(str)
    classes = {int(c): class_names(cohort)[int(c)] for c in np.unique(label)}
    return {
        str(name): {kind: int((label[group == name] == c).sum()) for c, kind in classes.items()}
        for name in np.unique(group)
    }


def _divide_the_others(
    cohort: xr.Dataset, others: np.ndarray, validation: float, seed: int, left_out: str
) -> list[np.ndarray]:
    """Divide those who are not tested into training and validation, without breaking a group where that can be."""
    label = cohort["label"].to_numpy()
    fractions = (1 - validation, validation)
    if len(np.unique(cohort["group"].to_numpy()[others])) > 1:
        parts = _divide_groups(cohort, others, fractions, seed)
        if all(len(np.unique(label[part])) == len(np.unique(label[others])) for part in parts):
            return parts
    logger.warning(
        "%s left out: the other groups cannot stay whole and give every class to training and validation; "
        "divided by subject",
        left_out,
    )
    return _divide_subjects(cohort, others, fractions, seed)


def _divide_subjects(
    cohort: xr.Dataset, subjects: np.ndarray, fractions: tuple[float, ...], seed: int
) -> list[np.ndarray]:
    """Cut off one part after the other, each by class."""
    label = cohort["label"].to_numpy()
    parts, rest = [], subjects
    try:
        for number in range(len(fractions) - 1):
            share = fractions[0] if number == 0 else fractions[number] / sum(fractions[number:])
            part, rest = train_test_split(rest, train_size=share, stratify=label[rest], random_state=seed)
            parts.append(part)
    except ValueError as fault:
        raise ValueError(f"{len(subjects)} labelled subjects are too few to divide by class: {fault}") from fault
    return [*parts, rest]


def _divide_groups(
    cohort: xr.Dataset, subjects: np.ndarray, fractions: tuple[float, ...], seed: int
) -> list[np.ndarray]:
    """Divide subjects of a cohort by whole groups."""
    label, group = cohort["label"].to_numpy()[subjects], cohort["group"].to_numpy()[subjects]
    return [subjects[part] for part in divide_groups(label, group, fractions, seed)]
