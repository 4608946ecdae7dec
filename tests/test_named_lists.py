"""A selection by name: hubs and gene sets as their own tests find them, and the same of what was planted."""

import json

import numpy as np
import pandas as pd
import pytest

from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.maps.dataset import flatten_features
from gcamccl_core.maps.enrichment import carried_gene_sets, enrich, planted_gene_sets
from gcamccl_core.maps.hubs import find_hubs
from gcamccl_core.maps.named_lists import COLUMNS, name_planted, name_selection, planted_features
from gcamccl_core.maps.returning_features import selected_names

DRAWS = 999  # with fewer no region of 36 could be a hub
FEW = 99  # where hubs do not matter
HUB, STRICT = "hub", "hub, degrees kept"


@pytest.fixture(scope="module")
def simulated():
    return simulate_cohort(n_subjects=40, progress=False)


@pytest.fixture(scope="module")
def selected(simulated):
    """Two thirds of what was planted."""
    planted = planted_features(simulated)
    rng = np.random.default_rng(0)
    return planted[rng.random(len(planted)) < 2 / 3].reset_index(drop=True)


@pytest.fixture(scope="module")
def named(simulated, selected):
    return name_selection(selected, simulated, n_draws=DRAWS)


def names_of(table, level, target_class):
    return table.loc[(table["level"] == level) & (table["target_class"] == target_class), "name"].tolist()


def test_planted_features_are_those_of_the_truth(simulated):
    planted = planted_features(simulated)
    for view, feature in (("fc", "connection"), ("snp", "SNP")):
        for name in ("low", "high"):
            found = planted[(planted["view"] == view) & (planted["target_class"] == name)]
            truth = simulated[f"truth_{view}"].sel(target_class=name).to_numpy()
            assert len(found) == flatten_features(truth, image=truth.ndim == 2).sum() > 0
            assert found["feature"].is_unique
            for row in found.to_dict("records"):
                if feature == "SNP":
                    assert truth[simulated.indexes["locus"].get_loc(row["feature"])]
                else:
                    i, j = (simulated.indexes["roi"].get_loc(row[f"roi_{end}"]) for end in "ij")
                    assert truth[i, j]
                    assert row["region_i"] == simulated["roi_region"].to_numpy()[i]
    of_snp = planted[planted["view"] == "snp"]
    gene = dict(zip(simulated["locus"].to_numpy(), simulated["snp_gene"].to_numpy(), strict=True))
    assert of_snp["gene"].fillna("").tolist() == [gene[name] for name in of_snp["feature"]]
    assert of_snp["roi_i"].isna().all()


@pytest.mark.parametrize(("keeps", "kind"), [("lengths", HUB), ("graph", STRICT)])
def test_hubs_are_those_of_find_hubs(simulated, selected, named, keeps, kind):
    hubs = find_hubs(selected, simulated, keeps, DRAWS)
    at_a_fifth = name_selection(selected, simulated, level=0.2, n_draws=DRAWS)
    for name in ("low", "high"):
        of_class = hubs[hubs["target_class"] == name]
        assert names_of(named, kind, name) == of_class.loc[of_class["p_adjusted"] < 0.05, "region"].tolist() != []
        assert names_of(at_a_fifth, kind, name) == of_class.loc[of_class["p_adjusted"] < 0.2, "region"].tolist()
    assert set(named.loc[named["level"] == kind, "view"]) == {"fc"}


def test_the_two_levels_of_hubs_are_two_tests(named):
    assert all(names_of(named, HUB, name) != names_of(named, STRICT, name) for name in ("low", "high"))


def test_gene_sets_are_those_of_enrich_with_the_panel_as_background(simulated, selected, named):
    panel = {gene for gene in simulated["snp_gene"].to_numpy().astype(str) if gene}
    for name in ("low", "high"):
        genes = set(selected.loc[selected["target_class"] == name, "gene"].dropna())
        tested = enrich(genes, carried_gene_sets(simulated), panel)
        expected = tested.loc[tested["q_value"] < 0.05, "term"].tolist()
        assert names_of(named, "gene set", name) == expected
        everything = name_selection(selected, simulated, level=1.1, n_draws=FEW)
        assert len(names_of(everything, "gene set", name)) == tested["testable"].sum() > len(expected)
    assert any(names_of(named, "gene set", name) for name in ("low", "high"))


def test_other_levels_are_those_of_selected_names(selected, named):
    assert list(named.columns) == COLUMNS
    plain = named[~named["level"].isin([HUB, STRICT, "gene set"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(plain, selected_names(selected), check_dtype=False)
    assert set(plain["level"]) == {"connection", "region", "network", "SNP", "gene"}


def test_what_a_cohort_does_not_know_is_no_level(simulated, selected, named):
    nowhere = simulated.drop_vars(["roi_x", "roi_y", "roi_z"])
    nobodys = simulated.assign_coords(roi_region=("roi", [""] * simulated.sizes["roi"]))
    for poorer in (nowhere, nobodys):
        kept = name_selection(selected, poorer, n_draws=FEW)
        assert set(named["level"]) - set(kept["level"]) == {HUB, STRICT}
    without_sets = simulated.assign_attrs({})
    del without_sets.attrs["gene_sets"]
    for poorer in (without_sets, simulated.drop_vars("snp_gene")):
        kept = name_selection(selected, poorer, n_draws=DRAWS)
        assert set(named["level"]) - set(kept["level"]) == {"gene set"}
    bare = name_selection(selected, nowhere.drop_vars("snp_gene"), n_draws=FEW)
    pd.testing.assert_frame_equal(bare, selected_names(selected), check_dtype=False)


def test_nothing_selected_has_no_names(simulated, selected):
    named = name_selection(selected.head(0), simulated, n_draws=FEW)
    assert named.empty
    assert list(named.columns) == COLUMNS


def test_one_view_alone_is_named(simulated, selected, named):
    alone = name_selection(selected[selected["view"] == "fc"], simulated, n_draws=DRAWS)
    expected = named[named["view"] == "fc"].sort_values(COLUMNS, ignore_index=True)
    pd.testing.assert_frame_equal(alone.sort_values(COLUMNS, ignore_index=True), expected, check_dtype=False)


def test_what_was_planted_has_names_at_the_same_levels(simulated):
    named, planted = name_planted(simulated, n_draws=DRAWS), planted_features(simulated)
    assert not named.duplicated().any()
    assert set(named["level"]) == {"connection", "region", HUB, STRICT, "SNP", "gene", "gene set"}
    hubs = find_hubs(planted, simulated, n_draws=DRAWS)
    for name in ("low", "high"):
        of_class = planted[planted["target_class"] == name]
        assert set(names_of(named, "connection", name)) == set(of_class.loc[of_class["view"] == "fc", "feature"])
        assert set(names_of(named, "SNP", name)) == set(of_class.loc[of_class["view"] == "snp", "feature"])
        assert set(names_of(named, "gene", name)) == set(of_class["gene"].dropna())
        assert names_of(named, "gene set", name) == planted_gene_sets(simulated)[name] != []
        dense = hubs[(hubs["target_class"] == name) & (hubs["p_adjusted"] < 0.05)]["region"].tolist()
        assert dense != []
        for level in (HUB, STRICT, "region"):  # what is planted is known, so that it need not pass a second test
            assert names_of(named, level, name) == dense


def test_a_perfect_list_is_right_in_all_its_names_of_these_levels(simulated):
    """But for regions at the end of a single connection, which are no hubs, and gene sets that overlap by chance.

    It does not have all hubs where degrees are kept, since that asks for more, but none that is not one.
    """
    planted = planted_features(simulated)
    tables = [name_selection(planted, simulated, n_draws=DRAWS), name_planted(simulated, n_draws=DRAWS)]
    found, known = (
        set(table[table["level"].isin(["connection", HUB, "SNP", "gene"])].itertuples(index=False, name=None))
        for table in tables
    )
    assert found == known
    found, known = (set(table[table["level"] == STRICT].itertuples(index=False, name=None)) for table in tables)
    assert set() != found < known


def test_planted_names_without_coordinates_or_gene_sets(simulated):
    nowhere = simulated.drop_vars(["roi_x", "roi_y", "roi_z"])
    del nowhere.attrs["planted_gene_sets"]
    assert set(name_planted(nowhere, n_draws=FEW)["level"]) == {"connection", "SNP", "gene"}
    of_low = nowhere.assign_attrs(planted_gene_sets=json.dumps({"low": ["Simulated pathway 1"]}))
    named = name_planted(of_low, n_draws=FEW)
    assert names_of(named, "gene set", "low") == ["Simulated pathway 1"]
    assert names_of(named, "gene set", "high") == []


def test_without_a_truth_nothing_is_known(simulated):
    for lost in (["truth_fc", "truth_snp"], ["truth_snp"]):
        assert name_planted(simulated.drop_vars(lost)) is None
    with pytest.raises(ValueError, match="the cohort has no truth_snp"):
        planted_features(simulated.drop_vars("truth_snp"))
