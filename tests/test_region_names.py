"""Connections in words, counts by region, and the abbreviations of the paper's Table IX."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from report_examples import LOBES, NETWORKS, REGIONS, example_cohort, example_connections

from gcamccl_core.data.manifest import region_abbreviations, region_table
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.maps.hubs import find_hubs
from gcamccl_core.maps.named_lists import planted_features
from gcamccl_core.maps.region_names import count_by_region, describe_rois, name_connections


def cohort_with_hemispheres():
    return example_cohort().assign(roi_hemisphere=("roi", [*"LRMLRLR", ""]))


def pairs(*ends, target_class="high"):
    table = pd.DataFrame([(f"roi_{i}", f"roi_{j}") for i, j in ends], columns=["roi_i", "roi_j"], dtype="str")
    return table.assign(target_class=target_class)


def counts_of(table, name="high"):
    return table.set_index("region")[name].to_dict()


def test_abbreviations_of_the_papers_table_9_are_of_regions_of_the_region_table():
    known = region_abbreviations()
    assert len(known) == len(set(known.values())) == 15
    assert set(known) - set(region_table()["region"]) == {"Sub-Gyral"}
    assert known["Parahippocampal Gyrus"] == "Parahippo"  # where the paper's name lacks a letter


def test_rois_are_described_by_what_the_cohort_knows():
    table = describe_rois(cohort_with_hemispheres())
    assert table.columns.tolist() == ["region", "hemisphere", "lobe", "network"]
    assert table["region"].tolist() == REGIONS
    assert table["lobe"].tolist() == LOBES
    assert table["network"].tolist() == NETWORKS
    assert table["hemisphere"].tolist() == [*"LRMLRLR", ""]
    assert table.index.tolist() == [f"roi_{number}" for number in range(8)]


def test_what_a_cohort_does_not_know_is_empty_and_a_region_is_called_by_its_roi():
    bare = describe_rois(example_cohort().drop_vars(["roi_region", "roi_lobe", "roi_network"]))
    assert bare["region"].tolist() == bare.index.tolist()
    assert bare[["hemisphere", "lobe", "network"]].eq("").all(axis=None)
    unnamed = example_cohort()
    unnamed["roi_region"] = ("roi", np.array(["Cuneus", "", None, np.nan, "nan", *REGIONS[5:]], dtype=object))
    assert describe_rois(unnamed)["region"].tolist() == ["Cuneus", *(f"roi_{k}" for k in range(1, 5)), *REGIONS[5:]]
    along_rows = xr.Dataset(coords={"roi_i": ["a", "b"], "roi_j": ["a", "b"]})
    assert describe_rois(along_rows)["region"].to_dict() == {"a": "a", "b": "b"}


def test_connections_are_named_by_regions_hemispheres_lobes_and_networks():
    cohort = cohort_with_hemispheres()
    named = name_connections(pairs((0, 3), (0, 4), (1, 7), (1, 5)), cohort)
    assert named[["connection", "lobes", "networks"]].to_numpy().tolist() == [
        ["Cuneus L – Lingual Gyrus L", "Occipital", "Visual"],
        ["Cuneus L – Precuneus R", "Occipital – Parietal", "Visual – Default mode"],
        ["Insula R – Middle Frontal Gyrus", "Insula – Frontal", "Auditory – Default mode"],
        ["Insula L – Insula R", "Insula", "Auditory"],
    ]


def test_rows_columns_and_index_are_kept():
    selected = example_connections().set_index(pd.Index([7, 7, 3, 0]))
    before = selected.copy()
    named = name_connections(selected, example_cohort())
    pd.testing.assert_frame_equal(named[selected.columns.tolist()], before)
    pd.testing.assert_frame_equal(selected, before)
    assert named["connection"].iloc[0] == "Cuneus – Insula"
    empty = name_connections(selected.head(0), example_cohort())
    assert empty.empty
    assert {"connection", "lobes", "networks"} <= set(empty)


def test_lobes_and_networks_are_named_only_if_both_are_known():
    cohort = example_cohort().drop_vars("roi_network")
    cohort["roi_lobe"] = ("roi", ["", *LOBES[1:]])
    named = name_connections(pairs((0, 3), (3, 0), (3, 4)), cohort)
    assert named["lobes"].tolist() == ["", "", "Occipital – Parietal"]
    assert named["networks"].tolist() == ["", "", ""]


def by_class(selected, cohort):
    """Columns of classes by the class alone."""
    return count_by_region(selected, cohort).rename(columns=lambda name: name.removeprefix("connections "))


def test_columns_of_counts_say_what_they_count():
    assert count_by_region(pairs((0, 3)), example_cohort()).columns[-1].startswith("connections ")


def test_connections_are_counted_by_hand():
    """ROIs 1 and 5 are both in the insula, 3 and 6 in the lingual gyrus."""
    selected = pd.concat([pairs((0, 3), (0, 3), (1, 5), (3, 6), (1, 3)), pairs((1, 2), (0, 3), target_class="low")])
    table = by_class(selected, example_cohort())
    assert table.columns.tolist() == ["region", "abbreviation", "lobe", "rois", "high", "low"]
    assert counts_of(table) == {"Lingual Gyrus": 3, "Insula": 2, "Cuneus": 1, "Uvula": 0}
    assert counts_of(table, "low") == {"Lingual Gyrus": 1, "Insula": 1, "Cuneus": 1, "Uvula": 1}
    assert table["region"].tolist() == ["Lingual Gyrus", "Insula", "Cuneus", "Uvula"]
    assert table.set_index("region")["rois"].to_dict() == {"Lingual Gyrus": 2, "Insula": 2, "Cuneus": 1, "Uvula": 1}
    assert table.set_index("region")["lobe"]["Cuneus"] == "Occipital"
    assert table["abbreviation"].eq("").all()  # Table IX has none of these


def test_a_class_without_a_connection_and_rows_of_snps_count_nothing():
    snp = pd.DataFrame({"roi_i": [None], "roi_j": [None], "target_class": ["middle"]})
    table = by_class(pd.concat([snp, pairs((4, 7))], ignore_index=True), example_cohort())
    assert table[["region", "abbreviation", "middle", "high"]].to_numpy().tolist() == [
        ["Middle Frontal Gyrus", "Mid_Fron", 0, 1], ["Precuneus", "Precun", 0, 1]
    ]  # fmt: skip
    empty = by_class(pairs(), example_cohort())
    assert empty.empty
    assert empty.columns.tolist() == ["region", "abbreviation", "lobe", "rois"]


def test_cohorts_without_lobes_or_regions_are_counted():
    selected = pairs((0, 3), (3, 6))
    no_lobes = by_class(selected, example_cohort().drop_vars("roi_lobe"))
    assert no_lobes["lobe"].eq("").all()
    assert counts_of(no_lobes) == {"Lingual Gyrus": 2, "Cuneus": 1}
    no_regions = by_class(selected, example_cohort().drop_vars(["roi_region", "roi_lobe"]))
    assert counts_of(no_regions) == {"roi_3": 2, "roi_0": 1, "roi_6": 1}
    assert no_regions["rois"].eq(1).all()


@pytest.fixture(scope="module")
def simulated():
    return simulate_cohort(n_subjects=40, progress=False)


def test_counts_are_those_of_the_test_for_hubs(simulated):
    planted = planted_features(simulated)
    table, hubs = by_class(planted, simulated), find_hubs(planted, simulated, n_draws=99)
    for name in ("low", "high"):
        of_class = hubs[hubs["target_class"] == name].set_index("region")
        counted = of_class.loc[table["region"], ["connections", "rois"]].to_numpy().tolist()
        assert table[[name, "rois"]].to_numpy().tolist() == counted
        assert set(of_class.index[of_class["connections"] > 0]) <= set(table["region"])
    total = table["low"] + table["high"]
    assert total.is_monotonic_decreasing


def test_abbreviations_stand_beside_the_regions_that_have_one(simulated):
    table = by_class(planted_features(simulated), simulated)
    short = region_abbreviations()
    assert table["abbreviation"].tolist() == [short.get(name, "") for name in table["region"]]
    assert table["abbreviation"].ne("").sum() >= 5
