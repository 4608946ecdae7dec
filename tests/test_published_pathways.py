"""The paper's own enrichment: counts of its tables, bounds that hold for every panel, and what the gene sets say."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, false_discovery_control, hypergeom

from gcamccl_core.data.manifest import UnavailableError
from gcamccl_core.maps import published_pathways as module
from gcamccl_core.maps.enrichment import enrich
from gcamccl_core.maps.panel_bounds import (
    LARGEST,
    break_even_sizes,
    implied_backgrounds,
    mean_p,
    most_unknown_members,
    panel_bounds,
    panel_outcome,
)
from gcamccl_core.maps.published_pathways import (
    COLLECTIONS,
    compare_with_published,
    enrich_published,
    find_symbols,
    published_collections,
    published_genes,
    published_pathways,
    symbol_table,
)

REACTOME = "gene_sets/ReactomePathways.gmt"
LISTED = sorted(set().union(*published_genes().values()))
SMALL = {
    REACTOME: {
        "Neuronal-System": ["SNAP25", "RAB3A", "CAMK2A", "GNG7", "A1", "A2"],
        "Translation": ["RPL3", "RPL17", "EEF1A1", "A3"],
        "alone": ["A1", "A2", "A3", "A4"],
    }
}


@pytest.fixture(scope="module")
def collections(mirror):
    for name in COLLECTIONS:
        mirror(name)
    return published_collections()


def test_tables_are_the_papers():
    genes, table = published_genes(), published_pathways()
    assert {name: len(listed) for name, listed in genes.items()} == {"low": 32, "high": 31}
    assert len(LISTED) == 58
    assert sorted(set(genes["low"]) & set(genes["high"])) == ["ATP1B2", "CALM3", "FBXW2", "PSMD13", "YWHAE"]
    assert table["class"].value_counts().to_dict() == {"low": 11, "high": 19}
    assert (table["q_value"] >= table["p_value"]).all()
    testable = table["term"] != ""
    assert set(table["source"][testable]) == {"Reactome", "Wikipathways"}
    assert (testable.sum(), (table["other_term"] != "").sum()) == (10, 20)
    assert not (testable & (table["other_term"] != "")).any()


@pytest.mark.shared_data
def test_printed_tables_are_typed_without_a_slip(mirror):
    folder = mirror("sources.csv").parents[1] / "paper"
    if not folder.is_dir():
        pytest.skip("the paper's tables do not lie beside the mirror")
    typed = published_pathways()
    for name, file in {"low": "table7_pathways_low_wrat", "high": "table8_pathways_high_wrat"}.items():
        source = pd.read_csv(folder / f"{file}.csv")
        rows = typed[typed["class"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows[source.columns], source)


def test_other_symbols_are_tried_after_the_papers_own():
    assert find_symbols(["ATPIF1"], {"ATPIF1", "ATP5IF1"}) == {"ATPIF1": "ATPIF1"}
    assert find_symbols(["ATPIF1", "CALM3", "LINS"], {"ATP5IF1", "CALM1"}) == {
        "ATPIF1": "ATP5IF1", "CALM3": "CALM1", "LINS": "",
    }  # fmt: skip
    table = symbol_table(SMALL)
    assert len(table) == 58
    assert set(table[REACTOME]) == {"", "SNAP25", "RAB3A", "CAMK2A", "GNG7", "RPL3", "RPL17", "EEF1A1"}


def test_rows_are_laid_beside_what_enrich_finds():
    table = compare_with_published(SMALL).set_index("pathway")
    annotated = set().union(*SMALL[REACTOME].values())
    expected = enrich({"SNAP25", "RAB3A", "CAMK2A"}, SMALL[REACTOME], annotated).set_index("term")
    row = table.loc["Neuronal System"]
    assert (row["overlap"], row["our_size"], row["genes"]) == (3, 6, "CAMK2A RAB3A SNAP25")
    assert row["our_p"] == pytest.approx(hypergeom.sf(2, len(annotated), 6, 3))
    assert row["our_q"] == pytest.approx(expected.loc["Neuronal-System", "q_value"])
    assert table["verdict"].value_counts().to_dict() == {"not testable here": 28, "not found": 2}
    assert len(table) == 30


def test_backgrounds_differ_by_which_genes_could_have_been_selected():
    sizes = {
        background: set(enrich_published(SMALL, background)["background_size"])
        for background in ("annotated", "all selected", "listed")
    }
    assert sizes == {"annotated": {11}, "all selected": {11 + 28}, "listed": {7}}
    panel = enrich_published(SMALL, [*LISTED, "A1", "elsewhere"])
    assert set(panel["background_size"]) == {8}  # the genes that no set has are left out


def test_a_collection_to_be_had_by_hand_makes_its_rows_testable():
    kegg = {"Gastric acid secretion": ["CALM3", "CAMK2A", "B"], "Insulin secretion": ["SNAP25", "B", "C"]}
    table = compare_with_published({"gene_sets/KEGG_2019_Human.gmt": kegg}).set_index("pathway")
    assert table.loc["Gastric acid secretion - Homo sapiens (human)", "overlap"] == 2
    assert (table["verdict"] != "not testable here").sum() == 2


def test_messages_say_what_to_do(monkeypatch):
    with pytest.raises(ValueError, match="'listed' or a list of genes, not 'brain'"):
        enrich_published(SMALL, "brain")
    with pytest.raises(ValueError, match="not in the background: APP"):
        enrich_published(SMALL, [gene for gene in LISTED if gene != "APP"])
    with pytest.raises(ValueError, match="no collection has a gene of Tables V and VI"):
        enrich_published({"mine": {"a": ["G1"]}})
    with pytest.raises(ValueError, match="a panel of 57 genes cannot hold the 58 genes"):
        panel_bounds(SMALL, 57)
    with pytest.raises(ValueError, match="'none', 'genome' or 'alike', not 'half'"):
        panel_bounds(SMALL, unknown="half")

    def never(name):
        raise UnavailableError(f"no {name}")

    monkeypatch.setattr(module, "fetch", never)
    with pytest.raises(UnavailableError, match="none of the 6 gene-set collections"):
        published_collections()


@settings(max_examples=60, deadline=None)
@given(st.integers(58, 400), st.integers(1, 32), st.integers(0, 50), st.integers(1, 20))
def test_p_rises_with_members_and_selected_and_falls_with_the_panel(size, selected, members, overlap):
    def p(n, m, k):
        return hypergeom.sf(overlap - 1, n, m, k)

    slack = 1e-12
    assert p(size, members + 1, selected) >= p(size, members, selected) - slack
    assert p(size, members, selected + 1) >= p(size, members, selected) - slack
    assert p(size + 1, members, selected) <= p(size, members, selected) + slack


@settings(max_examples=25, deadline=None)
@given(st.integers(58, 208), st.randoms(use_true_random=False), st.booleans())
def test_no_panel_gives_less_than_the_bound(size, random, annotated_only):
    """Panels drawn at random around the known genes, counted whole or by annotated genes alone."""
    unknown = [f"U{i}" for i in range(size - len(LISTED))]
    sets = {
        term: [*random.sample(LISTED, random.randint(0, 9)), *random.sample(unknown, random.randint(0, len(unknown)))]
        for term in ("a", "b", "c", "d")
    }
    sets["kept"] = ["APP", "GFAP"]
    bounds = panel_bounds({"mine": sets}).set_index(["class", "term"])
    annotated = set().union(*sets.values())
    panel = annotated if annotated_only else {*LISTED, *unknown}
    for name, genes in published_genes().items():
        table = enrich(set(genes) & panel, sets, panel).set_index("term")
        for term, bound in bounds.loc[name].iterrows():
            assert table.loc[term, "p_value"] >= bound["p_panel"] - 1e-12
            assert table.loc[term, "q_value"] >= bound["q_panel"] - 1e-12


def test_bound_is_the_closed_form():
    bounds = panel_bounds(SMALL).set_index(["class", "term"])
    row = bounds.loc[("high", "Neuronal-System")]
    assert row[["overlap", "known", "selected"]].tolist() == [3, 4, 3]
    assert row["p_panel"] == pytest.approx(hypergeom.sf(2, 208, 4, 3))
    high = bounds.loc["high"]
    np.testing.assert_allclose(high["q_panel"], false_discovery_control(high["p_panel"]))
    assert "alone" not in high.index  # no known gene: p is 1, in which panel ever


def test_mean_over_unknown_members():
    row = pd.DataFrame({"overlap": [2], "known": [3], "share": [0.2]})
    expected = sum(binom.pmf(j, 30, 0.2) * hypergeom.sf(1, 50, 3 + j, 8) for j in range(31))
    assert mean_p(row, 8, 50, 30)[0] == pytest.approx(expected)
    assert mean_p(row, 8, 50, 30)[0] > mean_p(row.assign(share=0.0), 8, 50, 30)[0]


def test_printed_p_values_imply_one_background_per_kind_of_source():
    table, printed = implied_backgrounds(), published_pathways()
    ontology = printed["source"] == "Gene Ontology"
    for (_, kind), rows in table.groupby(["class", ontology]):
        assert len(set(rows["selected"])) == 1
        assert rows["implied_background"].max() / rows["implied_background"].min() < (1.03 if kind else 1.015)
    p = hypergeom.sf(printed["contained"] - 1, table["implied_background"], printed["set_size"], table["selected"])
    np.testing.assert_allclose(p, printed["p_value"], rtol=2e-3)


def test_printed_corrections_count_14_and_31_pathways():
    """Ranks among the three pathway databases: q times rank over p is one number, the tests corrected over."""
    printed = published_pathways()
    pathways = printed[printed["source"] != "Gene Ontology"]
    for name, tests in (("low", 14), ("high", 31)):
        rows = pathways[pathways["class"] == name]
        expected = false_discovery_control([*rows["p_value"], *[1.0] * (tests - len(rows))])[: len(rows)]
        np.testing.assert_allclose(rows["q_value"], expected, rtol=0.01)


def test_outcome_of_a_panel_has_the_printed_rows_in_order():
    table = panel_outcome(SMALL)
    assert table["pathway"].tolist() == published_pathways()["pathway"].tolist()
    assert table["basis"].value_counts().to_dict() == {"printed numbers": 28, "gene sets": 2}
    row = table.set_index("pathway").loc["Exocytosis"]
    assert row["p_panel"] == pytest.approx(hypergeom.sf(9, 208, 10, 28))
    for unknown in ("genome", "alike"):
        assert (panel_outcome(SMALL, unknown=unknown)["p_panel"] >= table["p_panel"] - 1e-12).all()


def test_break_even_is_the_least_size_that_leaves_the_row():
    sizes = break_even_sizes(SMALL)
    assert sizes.dropna().between(58, LARGEST).all()
    for place, size in sizes[sizes > 58].items():
        assert bool(panel_outcome(SMALL, size)["left"][place])
        assert not panel_outcome(SMALL, size - 1)["left"][place]


def test_most_unknown_members_is_where_p_crosses_the_level():
    table, most = panel_outcome(SMALL), most_unknown_members(SMALL)
    for place, number in most.dropna().items():
        x, known, selected = table.loc[place, ["overlap", "known", "selected"]]
        assert hypergeom.sf(x - 1, 208, known + number, selected) < 0.05
        assert hypergeom.sf(x - 1, 208, known + number + 1, selected) >= 0.05


@pytest.mark.shared_data
def test_real_collections_know_most_genes(collections):
    table = symbol_table(collections)
    nowhere = table.index[(table == "").all(axis=1)]
    assert nowhere.tolist() == ["FAM118A", "FAM69B", "LOC101928134", "LOC441242", "MRFAP1", "TMEM161B-AS1"]
    assert table.loc["LINS"].tolist() == ["LINS1", "", "", ""]


@pytest.mark.shared_data
def test_verdicts_with_each_background(collections):
    found = {}
    for background in ("annotated", "all selected", "listed"):
        table = compare_with_published(collections, background)
        assert (table["verdict"] == "not testable here").sum() == 20
        ours = (table["our_p"] * implied_backgrounds()["printed_correction"]).dropna()
        assert background == "listed" or (ours < 0.05).all()  # with as few tests as printed, all ten would be found
        found[background] = table.loc[table["verdict"] == "found again", "class"].value_counts().to_dict()
    assert found == {"annotated": {"high": 4, "low": 2}, "all selected": {"high": 3, "low": 1}, "listed": {}}


@pytest.mark.shared_data
def test_what_a_panel_leaves_depends_on_the_genes_that_are_not_known(collections):
    left = {unknown: int(panel_outcome(collections, unknown=unknown)["left"].sum()) for unknown in ("none", "genome")}
    assert left == {"none": 29, "genome": 22}
    assert not panel_outcome(collections, unknown="alike")["left"].any()


@pytest.mark.shared_data
def test_what_the_book_says_of_the_printed_tables(collections, monkeypatch):
    """Numbers in the prose of chapter 14 and of the ledger of departures."""
    table, implied = compare_with_published(collections), implied_backgrounds()
    rows = table[table["our_p"].notna()]
    apart = np.maximum(rows["our_p"] / rows["p_value"], rows["p_value"] / rows["our_p"])
    assert (len(rows), int((apart > 4).sum())) == (10, 6)
    printed_correction = implied["printed_correction"][rows.index]
    assert (rows["our_p"] * printed_correction < 0.05).all()  # so the correction decides most
    pathways = implied[implied["source"] != "Gene Ontology"]
    assert pathways.groupby("class")["printed_correction"].max().round().to_dict() == {"low": 14, "high": 31}
    assert implied["implied_background"].between(12_000, 20_500).all()
    left = panel_outcome(collections, unknown="genome")["left"].sum()
    monkeypatch.delitem(module.OTHER_SYMBOLS, "CALM3")
    pd.testing.assert_series_equal(compare_with_published(collections)["verdict"], table["verdict"])
    assert left - panel_outcome(collections, unknown="genome")["left"].sum() == 3
