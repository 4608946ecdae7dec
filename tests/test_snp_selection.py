"""From SNPs to the view: gene bodies, GTEx's files in their published format, and the table of what each step left."""

import gzip
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from gcamccl_core.data.brain_expression import (
    BRAIN_TISSUES,
    ExpressionError,
    file_name,
    most_expressed,
    name_variants,
    shared_eqtls,
)
from gcamccl_core.data.gene_bodies import find_genes, read_gene_bodies
from gcamccl_core.data.genome_builds import GenomeBuildError
from gcamccl_core.data.manifest import UnavailableError, fetch
from gcamccl_core.data.snp_selection import number_blocks, select_snps

TISSUES = BRAIN_TISSUES[:3]


@given(
    snps=st.lists(st.tuples(st.sampled_from("12"), st.integers(1, 40)), min_size=1, max_size=12),
    genes=st.lists(st.tuples(st.sampled_from("12"), st.integers(1, 30), st.integers(0, 20)), max_size=8),
)
def test_genes_are_those_that_a_look_at_every_pair_finds(snps, genes):
    bodies = pd.DataFrame(
        [(chromosome, start, start + length, f"G{n}") for n, (chromosome, start, length) in enumerate(genes)],
        columns=["chromosome", "start", "end", "gene"],
    )
    chromosome, position = np.array([c for c, _ in snps]), np.array([p for _, p in snps])
    found = find_genes(chromosome, position, "hg19", bodies)
    for (of, at), row in zip(snps, found.itertuples(), strict=True):
        holding = bodies[(bodies["chromosome"] == of) & (bodies["start"] <= at) & (at <= bodies["end"])]
        assert row.n_genes == len(holding)
        if len(holding):
            length = holding["end"] - holding["start"]
            assert row.gene in set(holding["gene"][length == length.min()])
        else:
            assert row.gene == ""


@pytest.fixture(scope="module")
def real():
    """The real fileset on the build of the real list of genes."""
    try:
        paths = [fetch(f"genotypes/1kg_eur_agt_lct_ttn.{end}") for end in ("bed", "bim", "fam")]
        bodies = fetch("gene_loc/glist-hg19")
    except UnavailableError as fault:
        pytest.skip(str(fault))
    return paths[0].with_suffix(""), bodies


@pytest.mark.skipif(shutil.which("plink1.9") is None, reason="plink1.9, to compare with, is not installed")
def test_real_snps_lie_in_the_genes_where_plink_1_9_finds_them(real, tmp_path):
    prefix, bodies = real
    command = ["plink1.9", "--bfile", prefix, "--make-set", bodies, "--write-set", "--out", tmp_path / "sets"]
    subprocess.run(command, check=True, capture_output=True)
    theirs = {}
    for block in (tmp_path / "sets.set").read_text().split("END"):
        gene, *snps = block.split() or [""]
        for snp in snps:
            theirs.setdefault(snp, set()).add(gene)
    table = pd.read_csv(f"{prefix}.bim", sep=r"\s+", header=None, dtype=str)
    ours = find_genes(table[0].to_numpy(), table[3].astype(float).to_numpy(), "hg19", read_gene_bodies(bodies))
    for snp, row in zip(table[1], ours.itertuples(), strict=True):
        assert row.n_genes == len(theirs.get(snp, ()))
        assert row.gene in theirs.get(snp, {""})
    assert {"AGT", "LCT", "TTN"} <= set(ours["gene"])


def test_positions_of_another_build_are_refused():
    bodies = pd.DataFrame({"chromosome": ["1"], "start": [1], "end": [9], "gene": ["G"]})
    with pytest.raises(
        GenomeBuildError, match=r"SNPs are on GRCh36, the gene bodies on GRCh37: positions do not compare"
    ):
        find_genes(np.array(["1"]), np.array([5]), "hg18", bodies)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 10 20", r"genes, line 2: expected chromosome, start, end and symbol, got '1 10 20'"),
        ("1 ten 20 B", r"line 2: expected chromosome"),
        ("1 30 20 B", r"line 2: B ends before it starts"),
    ],
)
def test_a_faulty_list_of_genes_is_named_by_its_line(tmp_path, line, message):
    (tmp_path / "genes").write_text(f"1 10 20 A\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_gene_bodies(tmp_path / "genes")


def write_tissue(folder, tissue, pairs, release="v8"):
    """A file of significant pairs as GTEx publishes it."""
    folder.mkdir(exist_ok=True)
    table = pd.DataFrame(pairs, columns=["variant_id", "gene_id", "pval_nominal"])
    table.insert(2, "tss_distance", 1000)
    table = table.assign(ma_samples=30, ma_count=31, maf=0.1, slope=0.4, slope_se=0.05, min_pval_nominal=1e-20)
    names = {
        "v8": f"{file_name(tissue)}.v8.signif_variant_gene_pairs.txt.gz",
        "v6p": f"{file_name(tissue)}_Analysis.v6p.signif_snpgene_pairs.txt.gz",
    }
    table.to_csv(folder / names[release], sep="\t", index=False)
    return folder / names[release]


@pytest.mark.parametrize("release", ["v8", "v6p"])
def test_eqtls_are_those_below_the_threshold_in_every_tissue(tmp_path, release):
    for number, tissue in enumerate(TISSUES):
        pairs = [
            ("chr1_100_A_G_b38", "ENSG1.1", 1e-10 * 10**number),
            ("chr1_100_A_G_b38", "ENSG2.1", 1e-5),
            ("chr1_200_A_G_b38", "ENSG1.1", 1e-10 if number else 6e-8),
            ("chr1_300_A_G_b38", f"ENSG{number}.1", 4e-8),  # another gene in every tissue
        ]
        pairs += [("chr9_1_C_T_b38", "ENSG9.1", 1e-9)] if number == 1 else []
        write_tissue(tmp_path / "eqtl", tissue, pairs, release)
    found = shared_eqtls(tmp_path / "eqtl", TISSUES, progress=False)
    assert found["variant_id"].tolist() == ["chr1_100_A_G_b38", "chr1_300_A_G_b38"]
    assert found["p_value"].tolist() == pytest.approx([1e-8, 4e-8])
    loose = shared_eqtls(tmp_path / "eqtl", TISSUES, threshold=5e-7, progress=False)
    assert len(loose) == 3


def test_names_of_tissues_do_not_take_one_another(tmp_path):
    """Brain_Cerebellum and Brain_Cerebellar_Hemisphere, Brain_Cortex and Brain_Frontal_Cortex_BA9."""
    for tissue in BRAIN_TISSUES:
        write_tissue(tmp_path / "eqtl", tissue, [("v", "g", 1e-9)])
    assert shared_eqtls(tmp_path / "eqtl", progress=False)["variant_id"].tolist() == ["v"]


def test_files_that_are_not_as_published_are_named(tmp_path):
    folder = tmp_path / "eqtl"
    path = write_tissue(folder, TISSUES[0], [("v", "g", 1e-9)])
    with pytest.raises(ExpressionError, match=r"eqtl has no file Brain_Anterior_cingulate_cortex_BA24\.\*"):
        shared_eqtls(folder, TISSUES, progress=False)
    write_tissue(folder, TISSUES[0], [("v", "g", 1e-9)], "v6p")
    with pytest.raises(
        ExpressionError, match=r"has several files of Brain - Amygdala: Brain_Amygdala.*, Brain_Amygdala"
    ):
        shared_eqtls(folder, TISSUES[:1], progress=False)
    (folder / f"{file_name(TISSUES[0])}_Analysis.v6p.signif_snpgene_pairs.txt.gz").unlink()
    whole = path.read_bytes()
    path.write_bytes(gzip.compress(b"variant_id\tgene_id\tpvalue\nv\tg\t1\n"))
    with pytest.raises(ExpressionError, match="has no column pval_nominal; it has variant_id, gene_id, pvalue"):
        shared_eqtls(folder, TISSUES[:1], progress=False)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ExpressionError, match=r"Brain_Amygdala.* cannot be read as GTEx's table"):
        shared_eqtls(folder, TISSUES[:1], progress=False)


def test_variants_get_their_rs_ids(tmp_path):
    path = tmp_path / "lookup_table.txt.gz"
    table = pd.DataFrame({"variant_id": ["a", "b", "c"], "ref": "A", "rs_id_dbSNP151_GRCh38p7": ["rs1", ".", "rs3"]})
    table.to_csv(path, sep="\t", index=False)
    assert name_variants(["b", "c"], path).to_dict() == {"c": "rs3"}
    table.drop(columns="rs_id_dbSNP151_GRCh38p7").to_csv(path, sep="\t", index=False)
    with pytest.raises(ExpressionError, match="has no column rs_id_dbSNP…; it has variant_id, ref"):
        name_variants(["b"], path)


def test_the_most_expressed_genes_are_by_the_mean_over_tissues(tmp_path):
    path = tmp_path / "gene_median_tpm.gct.gz"
    table = pd.DataFrame({"Name": ["E1", "E2", "E3"], "Description": ["MT-CO1", "LOW", "TOP"]})
    table[list(TISSUES)] = [[900, 900, 900], [1, 2, 3], [10, 0, 0]]
    with gzip.open(path, "wt") as file:
        file.write("#1.2\n3\t3\n")
        table.to_csv(file, sep="\t", index=False)
    assert most_expressed(path, 2, TISSUES) == ["MT-CO1", "TOP"]
    assert most_expressed(path, 2, TISSUES, among=["TOP", "LOW"]) == ["TOP", "LOW"]
    with pytest.raises(ExpressionError, match="has 2 such genes; 3 are asked for"):
        most_expressed(path, 3, TISSUES, among=["TOP", "LOW"])
    with pytest.raises(ExpressionError, match="has no column Brain - Cerebellar Hemisphere, Brain - Cerebellum"):
        most_expressed(path, 1, BRAIN_TISSUES[:5])


def test_every_step_of_the_selection_is_counted():
    bodies = pd.DataFrame({"chromosome": "1", "start": [10, 30], "end": [20, 40], "gene": ["ONE", "TWO"]})
    ids = [f"rs{number}" for number in range(6)]
    places = {
        "snp_chromosome": ("locus", ["1"] * 6),
        "snp_position": ("locus", [5, 10, 15, 30, 35, 99]),
        "locus": ids,
    }
    study = xr.Dataset({"snp": (("subject", "locus"), np.arange(12.0).reshape(2, 6) % 3)}, places)
    study.attrs["genome_build"] = "GRCh37"
    chosen, steps = select_snps(study, eqtls=["rs0", "rs1", "rs3"], genes=["TWO", "THREE"], bodies=bodies)
    assert chosen["locus"].to_numpy().tolist() == ["rs1", "rs3", "rs4"]
    assert chosen["snp_gene"].to_numpy().tolist() == ["ONE", "TWO", "TWO"]
    assert chosen["snp_eqtl"].to_numpy().tolist() == [True, True, False]
    np.testing.assert_array_equal(chosen["snp"], study["snp"].sel(locus=["rs1", "rs3", "rs4"]))
    assert steps.set_index("step")["snps"].tolist() == [6, 4, 2, 2, 3]
    assert steps.set_index("step")["genes"].tolist() == [2, 2, 2, 1, 2]
    assert chosen["snp_block"].to_numpy().tolist() == [0, 1, 2]  # nobody differs, so nothing is linked
    with pytest.raises(ValueError, match=r"no SNP is left: all 6, in gene bodies 4, .*chosen 0"):
        select_snps(study, eqtls=[], genes=[], bodies=bodies)
    del study.attrs["genome_build"]
    with pytest.raises(GenomeBuildError, match="no genome build ''"):
        select_snps(study, eqtls=[], genes=["ONE"], bodies=bodies)


def test_a_snp_of_a_wanted_gene_counts_also_where_a_shorter_gene_lies_within():
    bodies = pd.DataFrame({"chromosome": "1", "start": [10, 50], "end": [99, 60], "gene": ["LONG", "MIR1"]})
    places = {"snp_chromosome": ("locus", ["1", "1"]), "snp_position": ("locus", [20, 55]), "locus": ["rs1", "rs2"]}
    study = xr.Dataset({"snp": (("subject", "locus"), np.eye(2))}, places, {"genome_build": "GRCh37"})
    chosen, _ = select_snps(study, eqtls=[], genes=["LONG"], bodies=bodies)
    assert chosen["snp_gene"].to_numpy().tolist() == ["LONG", "LONG"]


def test_blocks_end_where_linkage_distance_or_the_chromosome_does():
    rng = np.random.default_rng(0)
    one, two, three = (rng.integers(0, 3, 400).astype(float) for _ in range(3))
    values = np.c_[one, rng.integers(0, 3, 400), one, two, two, two, three]
    values[0, 3] = np.nan
    chromosome, position = np.array(list("1111112")), np.array([1, 2, 3, 4, 5, 400_000, 400_001])
    # what lies between two linked SNPs is theirs; 400 kb away the same genotypes are another block
    assert number_blocks(values, chromosome, position).tolist() == [0, 0, 0, 1, 1, 2, 3]


def test_blocks_are_the_simulations_genes():
    from gcamccl_core.data.simulation import simulate_cohort

    cohort = simulate_cohort(400, seed=0, progress=False)
    found = number_blocks(*(cohort[name].to_numpy() for name in ("snp", "snp_chromosome", "snp_position")))
    truth = cohort["snp_block"].to_numpy()
    assert len(np.unique(truth)) <= len(np.unique(found)) < 2 * len(np.unique(truth))
    assert all(len(set(truth[found == block])) == 1 for block in np.unique(found))  # none spans two
