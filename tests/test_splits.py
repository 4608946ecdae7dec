from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from gcamccl_core.data.splits import make_split


def labelled(label: np.ndarray, group: np.ndarray | None = None) -> xr.Dataset:
    """The least that a split needs."""
    cohort = xr.Dataset({"label": ("subject", label, {"classes": ["low", "high"]})})
    return cohort if group is None else cohort.assign(group=("subject", group))


@settings(max_examples=60, deadline=None)
@given(low=st.integers(10, 60), high=st.integers(10, 60), rest=st.integers(0, 40), seed=st.integers(0, 2**31))
def test_split_is_a_partition_that_keeps_the_classes(low, high, rest, seed) -> None:
    label = np.random.default_rng(seed).permutation(np.repeat([0, 1, -1], [low, high, rest]))
    split = make_split(labelled(label), seed=seed)
    parts = [split.train, split.validation, split.test]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.flatnonzero(label >= 0))
    for part, share in zip(parts, (0.70, 0.15, 0.15), strict=True):
        assert (np.diff(part) > 0).all()
        for number, size in ((0, low), (1, high)):
            assert abs((label[part] == number).sum() - share * size) <= 2
    again = make_split(labelled(label), seed=seed)
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(again, name), getattr(split, name))


@settings(max_examples=25, deadline=None)
@given(n_groups=st.integers(6, 20), size=st.integers(4, 12), seed=st.integers(0, 1000))
def test_groups_are_never_divided(n_groups, size, seed) -> None:
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat([f"site{n}" for n in range(n_groups)], size))
    label = rng.integers(-1, 2, len(group))
    try:
        split = make_split(labelled(label, group), seed=seed)
    except ValueError as fault:  # chance may leave a small part without one class, which must be said
        assert "has no subject of class" in str(fault)  # noqa: PT017
        return
    parts = [split.train, split.validation, split.test]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.flatnonzero(label >= 0))
    sites = [set(group[part]) for part in parts]
    assert len(set.union(*sites)) == sum(map(len, sites))
    again = make_split(labelled(label, group), seed=seed)
    np.testing.assert_array_equal(again.test, split.test)


def test_groups_are_weighed_by_their_subjects() -> None:
    """One site has half of the people; a fixed share of the sites would miss 70 % by far."""
    group = np.repeat([f"site{n}" for n in range(11)], [100] + [10] * 10)
    label = np.tile([0, 1], 100)
    split = make_split(labelled(label, group), seed=0)
    assert (len(split.train), len(split.validation), len(split.test)) == (140, 30, 30)
    for part in (split.train, split.validation, split.test):
        assert label[part].mean() == 0.5


def test_another_seed_is_another_split() -> None:
    cohort = labelled(np.tile([0, 1], 30))
    assert make_split(cohort, seed=0).test.tolist() != make_split(cohort, seed=1).test.tolist()


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.2), (0.9, 0.1, 0.0), (1.2, -0.1, -0.1)])
def test_fractions_that_cannot_be_are_refused(fractions) -> None:
    with pytest.raises(ValueError, match="fractions must be positive and sum to 1"):
        make_split(labelled(np.tile([0, 1], 30)), fractions=fractions)


def test_too_few_subjects_or_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="2 labelled subjects are too few to divide by class"):
        make_split(labelled(np.array([0, 1, -1, -1])))
    with pytest.raises(ValueError, match="2 groups are too few to divide in three without breaking one"):
        make_split(labelled(np.tile([0, 1], 10), np.repeat(["NYU", "USM"], 10)))
    with pytest.raises(ValueError, match="part has no subject of class high"):
        make_split(labelled(np.repeat([0, 0, 0, 0, 0, 1], 10), np.repeat(list("abcdef"), 10)))
