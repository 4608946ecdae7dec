"""What returns: names of every level once per run, counted as a naive recount counts them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import example_connections

from gcamccl_core.maps.returning_features import COLUMNS, count_returns, selected_names

NAMED = ["view", "target_class", "level", "name"]


def run_of(names, target_class="high", level="SNP", view="snp"):
    table = pd.DataFrame({"name": list(names)}, dtype="str")
    return table.assign(view=view, target_class=target_class, level=level)[NAMED]


def snps(*rows):
    of_snp = {"view": "snp", "target_class": "high"}
    return pd.DataFrame([{**of_snp, "feature": name, "gene": gene, "block": block} for name, gene, block in rows])


def test_a_connection_has_its_regions_and_networks_each_once():
    """High: 0-3, 3-6 and 3-4, of cuneus, lingual, lingual and precuneus; visual but for the last."""
    named = selected_names(example_connections())
    assert set(named["view"]) == {"fc"}
    of_high = named[named["target_class"] == "high"]
    assert {level: rows["name"].tolist() for level, rows in of_high.groupby("level", sort=False)} == {
        "connection": ["roi_0 -- roi_3", "roi_3 -- roi_6", "roi_3 -- roi_4"],
        "region": ["Cuneus", "Lingual Gyrus", "Precuneus"],
        "network": ["Visual", "Default mode"],
    }
    assert named["level"].drop_duplicates().tolist() == ["connection", "region", "network"]
    assert not named.duplicated().any()


def test_what_is_not_known_is_left_out():
    table = snps(("rs1", "APP", "1"), ("rs2", "APP", None), ("rs3", None, "2"), ("rs4", "", ""), ("rs5", np.nan, None))
    named = selected_names(table)
    found = {level: rows["name"].tolist() for level, rows in named.groupby("level", sort=False)}
    assert found == {"SNP": ["rs1", "rs2", "rs3"], "gene": ["APP"], "feature": ["rs4", "rs5"]}
    plain = example_connections().drop(columns=["region_i", "region_j", "network_i", "network_j"])
    assert set(selected_names(plain)["level"]) == {"connection"}
    measure = pd.DataFrame({"view": ["thickness"], "target_class": ["low"], "feature": ["cuneus"]})
    assert selected_names(measure)[["level", "name"]].to_numpy().tolist() == [["feature", "cuneus"]]


def test_tables_of_several_views_are_told_apart():
    """As one selection holds them: a connection has no gene, and a SNP no ROI."""
    both = pd.concat([snps(("rs1", "APP", "1")), example_connections()], ignore_index=True)
    counted = selected_names(both).groupby(["view", "level"]).size().to_dict()
    expected = selected_names(example_connections()).groupby(["view", "level"]).size().to_dict()
    assert counted == {**expected, ("snp", "SNP"): 1, ("snp", "gene"): 1}
    assert "level" not in both


@pytest.mark.parametrize("table", [example_connections(()), snps(("rs1", "APP", "1")).head(0)])
def test_nothing_selected_has_no_names(table):
    named = selected_names(table.reindex(columns=["view", "target_class", "feature", *table.columns[2:]]))
    assert named.empty
    assert list(named.columns) == NAMED


RUNS = st.lists(
    st.lists(st.tuples(st.sampled_from(["low", "high"]), st.sampled_from(["SNP", "gene"]), st.sampled_from("abcd"))),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(RUNS)
def test_counts_are_those_of_a_naive_recount(runs):
    tables = [pd.DataFrame(run, columns=NAMED[1:], dtype="str").assign(view="snp") for run in runs]
    possible = {("snp", "SNP"): 10}
    counts = count_returns(tables, possible)
    assert list(counts.columns) == COLUMNS
    assert set(counts[NAMED[1:]].itertuples(index=False, name=None)) == {row for run in runs for row in run}
    assert not counts.duplicated(NAMED).any()
    for row in counts.itertuples():
        with_it = sum((row.target_class, row.level, row.name) in run for run in runs)
        assert (row.runs, row.n_runs, row.share) == (with_it, len(runs), with_it / len(runs))
        if row.level == "SNP":
            sizes = [len({each for each in run if each[:2] == (row.target_class, "SNP")}) for run in runs]
            assert row.expected == pytest.approx(np.mean(sizes) / 10)
        else:
            assert np.isnan(row.expected)


def test_runs_at_random_return_as_often_as_expected():
    rng, d = np.random.default_rng(0), 200
    sizes = rng.integers(5, 60, 50)
    runs = [run_of([f"rs{k}" for k in rng.choice(d, size, replace=False)]) for size in sizes]
    counts = count_returns(runs, {("snp", "SNP"): d})
    assert counts["expected"].to_numpy() == pytest.approx(sizes.mean() / d)
    assert counts["share"].sum() / d == pytest.approx(counts["expected"].iloc[0])  # exactly: both count every name


def test_empty_runs_are_runs():
    run = run_of(["rs1", "rs2"])
    counts = count_returns([run, run.head(0), run.head(1), run.head(0)], {("snp", "SNP"): 4})
    assert counts["share"].tolist() == [0.5, 0.25]
    assert counts["n_runs"].tolist() == [4, 4]
    assert counts["expected"].tolist() == [3 / 16] * 2
    nothing = count_returns([run.head(0)] * 3)
    assert nothing.empty
    assert list(nothing.columns) == COLUMNS


def test_a_name_counts_once_per_run_and_levels_and_views_apart():
    twice = pd.concat([run_of(["APP", "APP"]), run_of(["APP"], level="gene"), run_of(["APP"], view="other")])
    counts = count_returns([twice, run_of(["APP"])])
    assert counts.set_index(["view", "level"])["runs"].to_dict() == {
        ("snp", "SNP"): 2, ("snp", "gene"): 1, ("other", "SNP"): 1
    }  # fmt: skip
    assert counts["expected"].isna().all()


def test_order_is_by_view_level_class_count_and_name():
    """Classes come as they first come; levels from single features on, and those of other kinds of lists last."""
    levels = ["hub", "gene", "SNP", "region", "connection"]
    one = pd.concat([run_of("ba", name, level, "a view") for level in levels for name in ("low", "high")])
    two = pd.concat([run_of("b", "low", "hub", "a view"), run_of("z", "high", "gene", "the first view")])
    counts = count_returns([one, two])
    assert counts["view"].drop_duplicates().tolist() == ["a view", "the first view"]
    of_view = counts[counts["view"] == "a view"]
    assert of_view["level"].drop_duplicates().tolist() == ["connection", "region", "SNP", "gene", "hub"]
    assert of_view["target_class"].drop_duplicates().tolist() == ["low", "high"]
    hubs = of_view[of_view["level"] == "hub"][["target_class", "name", "runs"]].to_numpy().tolist()
    assert hubs == [["low", "b", 2], ["low", "a", 1], ["high", "a", 1], ["high", "b", 1]]


def test_the_order_of_runs_does_not_matter_and_their_tables_are_left_alone():
    runs = [run_of("abc"), run_of("bc"), run_of("c")]
    before = [run.copy() for run in runs]
    pd.testing.assert_frame_equal(count_returns(runs), count_returns(runs[::-1]))
    for run, as_it_was in zip(runs, before, strict=True):
        pd.testing.assert_frame_equal(run, as_it_was)


def test_no_run_is_refused():
    with pytest.raises(ValueError, match="there is no run to count in; pass one table per split or first weights"):
        count_returns([])
