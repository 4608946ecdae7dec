"""Simulated pathways: planted ones are enriched, decoys are not."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from gcamccl_core.data.simulated_genotypes import make_panel
from gcamccl_core.data.simulated_pathways import make_pathways


@pytest.fixture(scope="module")
def chances():
    """Chance of each term's overlap with the causal genes of each class, by Fisher's exact test."""
    panel = make_panel(2021)
    gene_sets, planted = make_pathways(panel, 2021)
    genes = set(panel.table["gene"])
    p = {}
    for name, sign in (("low", -1), ("high", 1)):
        causal = set(panel.table["gene"][np.sign(panel.weight) == sign])
        p[name] = {
            term: hypergeom.sf(len(causal & set(members)) - 1, len(genes), len(causal), len(members))
            for term, members in gene_sets.items()
        }
    return gene_sets, planted, p, genes


def test_pathways_hold_genes_of_the_panel_once_each_and_say_that_they_are_simulated(chances):
    gene_sets, planted, _, genes = chances
    for term, members in gene_sets.items():
        assert term.startswith("Simulated pathway")
        assert len(set(members)) == len(members) >= 8
        assert set(members) <= genes
    assert set(planted["low"]).isdisjoint(planted["high"])
    assert set(planted["low"]) | set(planted["high"]) < set(gene_sets)


@pytest.mark.parametrize("name", ["low", "high"])
def test_planted_pathways_are_enriched_in_their_own_class_and_decoys_are_not(chances, name):
    gene_sets, planted, p, _ = chances
    assert max(p[name][term] for term in planted[name]) < 0.01
    decoys = set(gene_sets) - set(planted["low"]) - set(planted["high"])
    assert np.mean([p[name][term] < 0.05 for term in decoys]) <= 0.1
    other = {"low": "high", "high": "low"}[name]
    assert min(p[other][term] for term in planted[name]) > 0.05
