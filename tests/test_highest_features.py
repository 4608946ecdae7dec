"""The highest features of a map: as many as were asked for, but for ties and for what is nowhere above zero."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import example_cohort

from gcamccl_core.maps.dataset import label_maps
from gcamccl_core.maps.highest_features import select_highest
from gcamccl_core.maps.selection import select_biomarkers

METHOD = "activation_pattern"


def vector_maps(low, high=None):
    """Maps of measures f00, f01, … in one row, or in several; of both classes the same unless told."""
    values = np.stack([np.atleast_2d(low), np.atleast_2d(low if high is None else high)], axis=1)[:, :, None]
    maps = xr.Dataset(
        {"thickness": (("subject", "target_class", "map_method", "measure"), values.astype(float), {"role": "map"})}
    )
    names = {"target_class": ["low", "high"], "map_method": [METHOD]}
    names |= {"measure": [f"f{number:02d}" for number in range(values.shape[-1])]}
    return maps.assign_coords(names).assign_coords(label=("subject", np.arange(len(values)) % 2))


def of_class(table, name="low"):
    return table[table["target_class"] == name]


def example_patterns():
    cohort, rng = example_cohort(), np.random.default_rng(0)
    values = {"fc": rng.normal(size=(24, 2, 1, 8, 8)), "snp": rng.normal(size=(24, 2, 1, 12))}
    return cohort, label_maps(values, cohort, [METHOD], {})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 40), st.floats(0.01, 0.99))
def test_without_ties_the_share_of_the_features_is_taken(seed, length, share):
    values = np.random.default_rng(seed).permutation(length) + 1.0
    found = of_class(select_highest(vector_maps(values), share))
    count = max(1, round(share * length))
    assert found["feature"].tolist() == [f"f{number:02d}" for number in np.argsort(-values)[:count]]
    assert found["mean_value"].tolist() == sorted(values, reverse=True)[:count]
    assert found["rank"].tolist() == list(range(1, count + 1))


def test_features_that_tie_with_the_first_one_left_out_are_left_out():
    values = [5, 3, 3, 3, 1, 0, 0, 0]
    found = {share: of_class(select_highest(vector_maps(values), share)) for share in (0.125, 0.25, 0.5, 0.625)}
    assert [table["feature"].tolist() for table in found.values()] == [
        ["f00"], ["f00"], ["f00", "f01", "f02", "f03"], ["f00", "f01", "f02", "f03", "f04"]
    ]  # fmt: skip
    assert found[0.5]["rank"].tolist() == [1, 2, 3, 4]  # ties that are taken stand by name
    assert of_class(select_highest(vector_maps([2, 2, 2, 2]), 0.5)).empty


def test_what_is_nowhere_above_zero_is_left_out():
    found = select_highest(vector_maps([-5, -3, 0, 2, 1, -1], [-1, -2, -3, 0, 0, 0]), 0.9)
    assert of_class(found)["feature"].tolist() == ["f03", "f04"]
    assert of_class(found, "high").empty
    assert of_class(select_highest(vector_maps([0, 1]), 0.9))["feature"].tolist() == [
        "f01"
    ]  # though both were asked for


def test_the_mean_of_the_positive_part_over_all_rows_ranks():
    """Of f00 the mean is 2, and of its positive part 3; label and number of rows do not matter."""
    maps = vector_maps([[6, 2.5, 1], [-2, 2.5, 1], [6, 2.5, 1], [-2, 2.5, 1]])
    found = of_class(select_highest(maps, 0.7))
    assert found[["feature", "mean_value", "frequency"]].to_numpy().tolist() == [["f00", 3, 0.5], ["f01", 2.5, 1]]
    relabelled = maps.assign_coords(label=("subject", [-1, -1, 1, 1]))
    pd.testing.assert_frame_equal(select_highest(relabelled, 0.7), select_highest(maps, 0.7))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.05, 0.5))
def test_a_larger_share_keeps_what_a_smaller_one_took(seed, share):
    maps = vector_maps(np.random.default_rng(seed).integers(-2, 6, 30))
    small, large = (of_class(select_highest(maps, each))["feature"].tolist() for each in (share, 1.9 * share))
    assert large[: len(small)] == small


def test_connections_come_from_the_symmetrised_upper_triangle():
    cohort, maps = example_patterns()
    table = select_highest(maps, 0.2)
    symmetric = maps["fc"].to_numpy()[:, 0, 0]
    symmetric = np.maximum((symmetric + symmetric.swapaxes(-1, -2)) / 2, 0).mean(axis=0)
    rows, columns = np.triu_indices(8, k=1)
    order = np.argsort(-symmetric[rows, columns])[:6]  # of 28
    found = table[(table["view"] == "fc") & (table["target_class"] == "low")]
    rois, regions = cohort["roi"].to_numpy(), cohort["roi_region"].to_numpy()
    assert found["roi_i"].tolist() == rois[rows[order]].tolist()
    assert found["roi_j"].tolist() == rois[columns[order]].tolist()
    assert found["region_j"].tolist() == regions[columns[order]].tolist()
    np.testing.assert_allclose(found["mean_value"], symmetric[rows, columns][order])


def test_the_table_is_laid_out_as_that_of_the_papers_rule():
    _, maps = example_patterns()
    ours, papers = select_highest(maps, 0.2), select_biomarkers(maps, frequency=0.4, method=METHOD)
    assert ours.columns.tolist() == papers.columns.tolist()
    assert len(ours) > 0
    assert len(papers) > 0
    pd.testing.assert_series_equal(ours.dtypes, papers.dtypes)
    assert ours.groupby(["view", "target_class"], sort=False).size().to_dict() == {
        ("fc", "low"): 6, ("fc", "high"): 6, ("snp", "low"): 2, ("snp", "high"): 2
    }  # fmt: skip
    nothing = select_highest(vector_maps([0, 0, -1]))
    assert nothing.empty
    assert nothing.columns.tolist() == papers.columns.tolist()


def test_maps_are_left_alone():
    _, maps = example_patterns()
    before = maps.copy(deep=True)
    select_highest(maps)
    xr.testing.assert_identical(maps, before)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(ValueError, match=f"share must be above 0 and below 1, got {share}"):
        select_highest(vector_maps([1, 2, 3]), share)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="no method 'lime'; they have activation_pattern"):
        select_highest(vector_maps([1, 2, 3]), method="lime")
