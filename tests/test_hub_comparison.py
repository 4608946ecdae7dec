"""Hubs of several lists side by side: both kinds of draws as `find_hubs` gives them, one below the other."""

import pandas as pd
import pytest
from test_hubs import edge_list, scattered_cohort

from gcamccl_core.maps.hub_comparison import COLUMNS, compare_hubs, name_hubs
from gcamccl_core.maps.hubs import find_hubs

ROW = edge_list([(0, k) for k in range(1, 14)])  # r0 is in the cuneus
PAIR = edge_list([(0, 1), (2, 3)], "low")
SNP = pd.DataFrame({"target_class": ["high"], "roi_i": [None], "roi_j": [None], "gene": ["APP"]})


@pytest.fixture(scope="module")
def compared():
    lists = {"both": pd.concat([PAIR, ROW, SNP]), "nothing": ROW.head(0), "genes": SNP, "one": PAIR}
    return lists, compare_hubs(lists, scattered_cohort(), n_draws=199, seed=7)


def test_every_list_has_what_find_hubs_says_of_it(compared):
    lists, table = compared
    assert list(table.columns) == COLUMNS
    assert list(dict.fromkeys(table["list"])) == ["both", "one"]  # a list without a connection has no row
    for name, rows in table.groupby("list"):
        lengths, graph = (find_hubs(lists[name], scattered_cohort(), keeps, 199, 7) for keeps in ("lengths", "graph"))
        shared = [column for column in COLUMNS if column in lengths]
        pd.testing.assert_frame_equal(rows[shared].reset_index(drop=True), lengths[shared], check_dtype=False)
        expected = graph.set_index(["target_class", "region"])["p_adjusted"]
        found = rows.set_index(["target_class", "region"])["p_graph"]
        assert found.to_dict() == expected.to_dict()
    assert not table["p_graph"].equals(table["p_adjusted"])


def test_a_lists_neighbours_do_not_matter(compared):
    lists, table = compared
    alone = compare_hubs({"one": lists["one"]}, scattered_cohort(), n_draws=199, seed=7)
    pd.testing.assert_frame_equal(table[table["list"] == "one"].reset_index(drop=True), alone, check_dtype=False)


@pytest.mark.parametrize("lists", [{}, {"nothing": ROW.head(0), "genes": SNP}])
def test_nothing_to_compare_is_an_empty_table(lists):
    table = compare_hubs(lists, scattered_cohort(), n_draws=99)
    assert table.empty
    assert list(table.columns) == COLUMNS
    assert name_hubs(table, "nothing") == {}


def test_hubs_are_named_by_class_where_lengths_are_kept(compared):
    _, table = compared
    assert name_hubs(table, "both") == {"high": ["Cuneus"]}
    assert name_hubs(table, "one") == {}
    rows = [
        ("mine", "high", "Insula", 0.049, 0.9),
        ("mine", "high", "Cuneus", 0.01, 0.9),
        ("mine", "low", "Uvula", 0.05, 0),
        ("mine", "low", "Insula", 0.03, 1),
        ("other", "low", "Cuneus", 0.001, 0),
    ]
    rows = pd.DataFrame(rows, columns=["list", "target_class", "region", "p_adjusted", "p_graph"])
    assert name_hubs(rows, "mine") == {"high": ["Insula", "Cuneus"], "low": ["Insula"]}
    assert name_hubs(rows, "mine", level=0.02) == {"high": ["Cuneus"]}
    assert name_hubs(rows, "no such list") == {}
