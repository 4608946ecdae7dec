from __future__ import annotations

import logging
import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from gcamccl_core.data.splits import SCHEMES, leave_one_group_out, make_split, make_splits


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


# ---- groups on both sides, one group left out, several splits


def parts_of(split) -> list[list[int]]:
    return [split.train.tolist(), split.validation.tolist(), split.test.tolist()]


def sites_of(rng: np.random.Generator, n_groups: int, largest: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Labels with some outside the contrast, and sites of very different size; two sites have enough of everyone."""
    sizes = np.append([30, 30], rng.integers(1, largest, n_groups - 2))
    group = np.repeat([f"site{n}" for n in range(n_groups)], sizes)
    label = np.append(np.tile([0, 1, -1], 20), rng.integers(-1, 2, len(group) - 60))
    order = rng.permutation(len(group))
    return label[order], group[order]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_groups_that_may_be_divided_change_nothing(seed) -> None:
    """As if the cohort had no group: the same subjects in the same parts, and sites on both sides."""
    label, group = sites_of(np.random.default_rng(seed), 6)
    split = make_split(labelled(label, group), seed=seed, keep_groups=False)
    assert parts_of(split) == parts_of(make_split(labelled(label), seed=seed))
    assert set(group[split.train]) & set(group[split.test])


@settings(max_examples=40, deadline=None)
@given(n_groups=st.integers(2, 12), least=st.integers(1, 9), seed=st.integers(0, 1000))
def test_every_group_with_enough_subjects_is_left_out_once(n_groups, least, seed) -> None:
    label, group = sites_of(np.random.default_rng(seed), n_groups)
    splits = leave_one_group_out(labelled(label, group), seed=seed, min_per_class=least)
    enough = [name for name in np.unique(group) if min(((group == name) & (label == c)).sum() for c in (0, 1)) >= least]
    assert list(splits) == enough
    for name, split in splits.items():
        parts = [split.train, split.validation, split.test]
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.flatnonzero(label >= 0))
        np.testing.assert_array_equal(split.test, np.flatnonzero((group == name) & (label >= 0)))
        assert name not in {*group[split.train], *group[split.validation]}
        assert all(set(label[part]) == {0, 1} for part in parts)
        if n_groups > 6:
            assert not set(group[split.train]) & set(group[split.validation])
    again = leave_one_group_out(labelled(label, group), seed=seed, min_per_class=least)
    assert all(parts_of(again[name]) == parts_of(split) for name, split in splits.items())


def test_what_is_not_left_out_is_divided_in_proportion() -> None:
    group = np.repeat([f"site{n:02d}" for n in range(18)], 20)
    label = np.tile([0, 1], 180)
    for split in leave_one_group_out(labelled(label, group)).values():
        assert [len(part) for part in parts_of(split)] == [280, 60, 20]
        assert label[split.validation].mean() == 0.5
    halves = leave_one_group_out(labelled(label, group), validation=0.5)["site03"]
    assert abs(len(halves.train) - len(halves.validation)) <= 20


def test_one_other_group_is_divided_by_subject_and_said(caplog) -> None:
    label, group = np.tile([0, 1], 40), np.repeat(["NYU", "USM"], 40)
    with caplog.at_level(logging.WARNING, logger="gcamccl_core"):
        splits = leave_one_group_out(labelled(label, group))
    assert list(splits) == ["NYU", "USM"]
    assert [len(part) for part in parts_of(splits["NYU"])] == [32, 8, 40]
    assert "NYU left out: the other groups cannot stay whole" in caplog.text


def test_a_site_of_one_class_does_not_stop_the_others(caplog) -> None:
    """Of the two that remain one has controls only; whole, it would leave training or validation without a class."""
    label = np.concatenate([np.tile([0, 1], 40), np.zeros(20, int)])
    group = np.repeat(["NYU", "USM", "Leuven"], [40, 40, 20])
    splits = leave_one_group_out(labelled(label, group))
    assert list(splits) == ["NYU", "USM"]
    assert {*group[splits["USM"].train]} == {"NYU", "Leuven"}
    assert caplog.text.count("divided by subject") == 2


def test_a_division_with_every_class_is_preferred_to_a_nearer_one() -> None:
    """Three sites alone have class high, two of them little of it: the nearest cut often puts two in one part."""
    high, low = [40, 2, 2, 0, 0, 0], [20, 5, 5, 20, 20, 20]
    group = np.repeat(list("abcdef"), np.add(high, low))
    label = np.concatenate([np.repeat([1, 0], numbers) for numbers in zip(high, low, strict=True)])
    for seed in range(20):
        split = make_split(labelled(label, group), seed=seed)
        assert all(set(label[part]) == {0, 1} for part in parts_of(split))


def test_several_splits_follow_the_seeds_of_the_notebooks() -> None:
    label, group = sites_of(np.random.default_rng(0), 9)
    cohort = labelled(label, group)
    assert [parts_of(split) for split in make_splits(cohort, 3, seed=5)] == [
        parts_of(make_split(cohort, seed=seed)) for seed in (5, 6, 7)
    ]
    assert [parts_of(split) for split in make_splits(cohort, 2, scheme="subjects")] == [
        parts_of(make_split(labelled(label), seed=seed)) for seed in (0, 1)
    ]
    left_out = leave_one_group_out(cohort, seed=4)
    assert [parts_of(split) for split in make_splits(cohort, 1, "leave one group out", seed=4)] == [
        parts_of(split) for split in left_out.values()
    ]
    alone = labelled(label)
    assert parts_of(make_splits(alone, 1)[0]) == parts_of(make_splits(alone, 1, "subjects")[0])


def test_schemes_and_numbers_that_cannot_be_are_refused() -> None:
    cohort = labelled(np.tile([0, 1], 30))
    known = re.escape("(known: " + ", ".join(SCHEMES) + ")")
    with pytest.raises(ValueError, match=f"unknown scheme 'group' of splits; did you mean 'groups'.*{known}"):
        make_splits(cohort, 2, "group")
    with pytest.raises(ValueError, match="n_splits must be at least 1, got 0"):
        make_splits(cohort, 0)
    with pytest.raises(ValueError, match="validation must be above 0 and below 1, got 1"):
        leave_one_group_out(cohort, validation=1)
    with pytest.raises(ValueError, match="min_per_class must be at least 1, got 0"):
        leave_one_group_out(cohort, min_per_class=0)


def test_groups_that_cannot_be_left_out_are_refused() -> None:
    label = np.array([0, 1] * 6 + [0] * 8)
    with pytest.raises(ValueError, match="the cohort has no 'group' to leave out; give assemble_cohort"):
        leave_one_group_out(labelled(label))
    with pytest.raises(ValueError, match="all labelled subjects are of one group, NYU; nobody is left"):
        leave_one_group_out(labelled(label, np.repeat(["NYU"], 20)))
    counted = r"no group has 7 labelled subjects of every class: NYU \(6 low, 6 high\), USM \(8 low, 0 high\); lower"
    with pytest.raises(ValueError, match=counted):
        leave_one_group_out(labelled(label, np.repeat(["NYU", "USM"], [12, 8])), min_per_class=7)
    with pytest.raises(
        ValueError, match="with group NYU left out, the train part has no subject of class high; change"
    ):
        leave_one_group_out(labelled(label, np.repeat(["NYU", "USM"], [12, 8])))


def test_a_class_that_one_small_group_alone_has_counts_for_all() -> None:
    """A third class that only one site has: no site can be tested for all classes, which must be said."""
    cohort = labelled(np.array([0, 1] * 20 + [2] * 5), np.repeat(["NYU", "USM", "Yale"], [20, 20, 5]))
    cohort["label"].attrs["classes"] = ["low", "high", "middle"]
    with pytest.raises(ValueError, match=r"NYU \(10 low, 10 high, 0 middle\)"):
        leave_one_group_out(cohort)
