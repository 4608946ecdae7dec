"""Over-representation: held against scipy's hypergeometric distribution and gseapy's own answer."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from gseapy.stats import calc_pvalues
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from gcamccl_core.maps.enrichment import carried_gene_sets, enrich, planted_gene_sets, read_gene_sets

BACKGROUND = [f"G{i}" for i in range(40)]
SETS = {
    "synapse": BACKGROUND[:8],
    "growth": BACKGROUND[5:20],
    "translation": BACKGROUND[30:36],
    "elsewhere": ["X1", "X2"],
    "partly elsewhere": [*BACKGROUND[:2], "X3"],
}
GENES = ["G0", "G1", "G2", "G6", "G25"]


def test_p_values_are_hypergeometric_for_every_testable_set():
    table = enrich(GENES, SETS, BACKGROUND).set_index("term")
    for term, genes in SETS.items():
        inside = set(genes) & set(BACKGROUND)
        overlap = sorted(inside & set(GENES))
        row = table.loc[term]
        assert (row["overlap"], row["set_size"], row["genes"]) == (len(overlap), len(inside), " ".join(overlap))
        if inside:
            expected = hypergeom.sf(len(overlap) - 1, len(BACKGROUND), len(inside), len(GENES))
            assert row["p_value"] == pytest.approx(expected, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sets(st.sampled_from(BACKGROUND), min_size=1), min_size=1, max_size=8), st.sets(st.sampled_from(GENES))
)
def test_q_values_are_benjamini_hochberg_over_all_testable_sets(sets, genes):
    """q of the i-th smallest of m p-values is the least m p_(j) / j over j >= i: also where gseapy drops terms."""
    table = enrich(genes, {f"set {i}": members for i, members in enumerate(sets)}, BACKGROUND)
    p = table["p_value"].to_numpy()
    assert (np.diff(p) >= 0).all()
    expected = [min(1.0, *(len(p) * p[j] / (j + 1) for j in range(i, len(p)))) for i in range(len(p))]
    np.testing.assert_allclose(table["q_value"], expected)


def test_sets_without_overlap_count_although_gseapy_leaves_them_out():
    members = {term: set(genes) for term, genes in SETS.items()}
    kept, *_ = calc_pvalues(set(GENES), members, set(BACKGROUND))
    assert "synapse" in kept
    assert "translation" not in kept
    with_it, without = (
        enrich(GENES, {term: SETS[term] for term in terms}, BACKGROUND).set_index("term")
        for terms in (["synapse", "translation"], ["synapse"])
    )
    assert with_it.loc["translation", "p_value"] == 1
    assert with_it.loc["synapse", "q_value"] == pytest.approx(2 * without.loc["synapse", "q_value"])


def test_odds_ratios_continue_gseapys_formula_to_sets_without_overlap():
    table = enrich(GENES, SETS, BACKGROUND).set_index("term")
    for term in ("synapse", "growth", "translation", "partly elsewhere"):
        x, m, k, n = table.loc[term, "overlap"], table.loc[term, "set_size"], len(GENES), len(BACKGROUND)
        expected = (x + 0.5) * (n - m - k + x + 0.5) / ((m - x + 0.5) * (k - x + 0.5))
        assert table.loc[term, "odds_ratio"] == pytest.approx(expected)


def test_sets_outside_the_background_are_reported_as_not_testable():
    table = enrich(GENES, SETS, BACKGROUND)
    assert table["term"].iloc[-1] == "elsewhere"
    assert table.loc[~table["testable"], "term"].tolist() == ["elsewhere"]
    assert table.iloc[-1][["p_value", "q_value", "odds_ratio"]].isna().all()
    assert table.iloc[:-1].notna().all(axis=None)


def test_ties_are_ordered_by_term():
    table = enrich(["G0"], {"b": ["G1"], "c": ["G2"], "a": ["G3"]}, BACKGROUND)
    assert table["term"].tolist() == ["a", "b", "c"]


def test_no_selected_gene_means_that_nothing_is_enriched():
    table = enrich([], SETS, BACKGROUND)
    assert (table.loc[table["testable"], ["p_value", "q_value"]] == 1).all(axis=None)


def test_repeated_genes_count_once_and_letter_case_is_left_alone():
    once = enrich(["G1"], {"s": ["G1", "g1"]}, [*BACKGROUND, "g1"])
    assert once.equals(enrich(["G1", "G1"], {"s": ["g1", "G1", "G1"]}, [*BACKGROUND, "g1", "G2"]))
    assert once.loc[0, "genes"] == "G1"


@pytest.mark.parametrize(
    ("genes", "sets", "background", "message"),
    [
        (["G1", "NOPE"], SETS, BACKGROUND, "not in the background: NOPE"),
        (["G1"], SETS, [], "background is empty"),
        (["G1"], {}, BACKGROUND, "no gene sets"),
        (["G1"], {"synapse": "G1"}, BACKGROUND, "'synapse' is one string"),
    ],
)
def test_bad_input_is_named(genes, sets, background, message):
    with pytest.raises(ValueError, match=message):
        enrich(genes, sets, background)


def test_the_answer_does_not_depend_on_the_hash_seed():
    code = f"from gcamccl_core.maps.enrichment import enrich;print(enrich({GENES}, {SETS}, {BACKGROUND}).to_csv())"
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1
    assert "G0 G1 G2 G6" in answers.pop()


def test_both_formats_are_read(tmp_path):
    expected = {"growth cone, distal (GO:1)": ["SNAP25", "CPLX2"], "midbrain (GO:2)": ["WNT3"]}
    gmt, variant = tmp_path / "sets.gmt", tmp_path / "sets.txt"
    gmt.write_text("growth cone, distal (GO:1)\t\tSNAP25\tCPLX2\t\n\nmidbrain (GO:2)\thttp://x\tWNT3\n")
    variant.write_text("growth cone, distal (GO:1),SNAP25\tCPLX2\t\nmidbrain (GO:2),WNT3\n")
    assert read_gene_sets(gmt) == read_gene_sets(variant) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\tG1\nc\td\n", "line 2: term 'c' has no genes"),
        ("a\tb\tG1\na\td\tG2\n", "line 2: the term 'a' occurs a second time"),
        ("\n", "holds no gene sets"),
    ],
)
def test_broken_files_are_errors_that_name_the_line(tmp_path, text, message):
    (tmp_path / "sets.gmt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_gene_sets(tmp_path / "sets.gmt")


@pytest.mark.shared_data
@pytest.mark.skipif("GCAMCCL_MIRROR" not in os.environ, reason="needs the mirrored public files")
@pytest.mark.parametrize(
    ("name", "count", "term", "gene"),
    [
        ("enrichr.GO_Biological_Process_2021.gmt", 6036, "2-oxoglutarate metabolic process (GO:0006103)", "IDH1"),
        ("ReactomePathways.gmt", 2504, "2-LTR-circle-formation", "BANF1"),
        ("WikiPathways_2019_Human.gmt", 472, "ACE Inhibitor Pathway WP554", "TGFB1"),
        ("GO_Cellular_Component_2018.txt", 446, "platelet dense granule (GO:0042827)", "ABCC4"),
    ],
)
def test_the_public_collections_are_read_whole(name, count, term, gene):
    sets = read_gene_sets(os.path.join(os.environ["GCAMCCL_MIRROR"], "gene_sets", name))
    assert len(sets) == count
    assert sets[term][0] == gene


def test_gene_sets_travel_with_a_cohort():
    sets = {"Simulated pathway 1": ["G1"]}
    cohort = xr.Dataset(attrs={"gene_sets": json.dumps(sets), "planted_gene_sets": json.dumps({"low": list(sets)})})
    assert carried_gene_sets(cohort) == sets
    assert planted_gene_sets(cohort) == {"low": ["Simulated pathway 1"]}
    with pytest.raises(ValueError, match=r"no attrs\['gene_sets'\]"):
        carried_gene_sets(xr.Dataset())
