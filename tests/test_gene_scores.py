"""From SNPs to genes: by hand, by block as the scorecard pools, and with the selection's own values."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.maps.dataset import class_values, label_maps
from gcamccl_core.maps.gene_scores import COLUMNS, pool_to_genes
from gcamccl_core.maps.selection import select_biomarkers

GENE = ["APP", "APP", "CLU", "CLU", "", "BIN1"]
BLOCK = [1, 1, 1, 2, 3, 3]


def make_maps(high, block=BLOCK, gene=GENE):
    """Maps for the high class in two subjects of it, and of zeros for the low class in its one."""
    values = np.zeros((3, 2, 1, 6))
    values[1:, 1, 0] = high
    coords = {
        "subject": ["s1", "s2", "s3"],
        "target_class": ["low", "high"],
        "map_method": ["gradient"],
        "locus": [f"rs{i}" for i in range(1, 7)],
        "label": ("subject", [0, 1, 1]),
    }
    coords |= {"snp_gene": ("locus", gene)} if gene is not None else {}
    coords |= {"snp_block": ("locus", block)} if block is not None else {}
    dims = ("subject", "target_class", "map_method", "locus")
    return xr.Dataset({"snp": (dims, values, {"role": "map"})}, coords=coords)


HIGH = [[2, 0, 6, 1, 4, 0], [0, -8, 2, 3, 4, 1]]  # mean positive part: 1, 0, 4, 2, 4, 0.5


def test_a_gene_takes_the_largest_of_its_blocks_and_its_neighbours_value_where_they_are_linked():
    found = pool_to_genes(make_maps(HIGH), "snp")
    assert found.columns.tolist() == COLUMNS
    rows = found[found["target_class"] == "high"].drop(columns=["target_class", "method"])
    assert rows.to_numpy().tolist() == [
        ["APP", 4.0, "rs3", 2, 1],
        ["BIN1", 4.0, "rs5", 1, 1],  # rs5 lies in no gene and is linked with BIN1's only SNP
        ["CLU", 4.0, "rs3", 2, 2],
    ]
    assert (found.loc[found["target_class"] == "low", "score"] == 0).all()


def test_without_blocks_a_gene_has_its_own_snps_alone():
    found = pool_to_genes(make_maps(HIGH, block=None), "snp").query("target_class == 'high'")
    assert found[["gene", "score", "feature", "blocks"]].to_numpy().tolist() == [
        ["CLU", 4.0, "rs3", 2],
        ["APP", 1.0, "rs1", 2],
        ["BIN1", 0.5, "rs6", 1],
    ]


def test_in_a_simulation_a_gene_is_a_block_and_its_score_that_of_its_best_snp():
    cohort = simulate_cohort(n_subjects=40, seed=0).isel(subject=slice(20))
    shape = (20, 2, 2, cohort.sizes["locus"])
    values = np.random.default_rng(1).normal(size=shape)
    maps = label_maps({"snp": values}, cohort, ["gradient", "guided_grad_cam"], {})
    found = pool_to_genes(maps, "snp")
    assert found.groupby(["target_class", "method"]).size().tolist() == [cohort["snp_gene"].to_series().nunique()] * 4
    assert (found["blocks"] == 1).all()
    for (target_class, method), rows in found.groupby(["target_class", "method"]):
        mean = class_values(maps, "snp", target_class, method).mean(axis=0)
        expected = pd.Series(mean).groupby(cohort["snp_gene"].to_numpy()).max()
        assert rows["score"].is_monotonic_decreasing
        np.testing.assert_allclose(rows.set_index("gene")["score"].loc[expected.index], expected)
    selected = select_biomarkers(maps, 0.0, 0.0).query("target_class == 'high'").set_index("gene")["mean_value"]
    scores = found.query("target_class == 'high' and method == 'guided_grad_cam'").set_index("gene")["score"]
    largest = selected.groupby("gene").max()
    np.testing.assert_allclose(scores[largest.index], largest)


@pytest.mark.parametrize(
    ("maps", "view", "message"),
    [
        (make_maps(HIGH, gene=None), "snp", "no coordinate 'snp_gene'"),
        (make_maps(HIGH, gene=[""] * 6), "snp", "no SNP of view 'snp' lies in a gene"),
        (make_maps(HIGH), "eeg", "no view 'eeg'"),
        (make_maps(HIGH).isel(subject=[0]), "snp", "no subject of class 'high'"),
    ],
)
def test_what_has_no_genes_is_refused(maps, view, message):
    with pytest.raises(ValueError, match=message):
        pool_to_genes(maps, view)


def test_an_image_has_no_genes():
    maps = make_maps(HIGH)
    maps["fc"] = (("subject", "target_class", "map_method", "i", "j"), np.zeros((3, 2, 1, 4, 4)), {"role": "map"})
    with pytest.raises(ValueError, match="holds images, and connections have no genes"):
        pool_to_genes(maps, "fc")
