"""Imputation against real haplotypes, and VCF files: what was called stays, what was missing is mostly right."""

import gzip
import shutil
import subprocess

import numpy as np
import pytest
from small_filesets import draw_genotypes, plink2, write_fileset

from gcamccl_core.data import imputation
from gcamccl_core.data.external_tools import MissingToolError
from gcamccl_core.data.filesets import FilesetError, open_fileset
from gcamccl_core.data.filesets import write_fileset as write_tables
from gcamccl_core.data.genome_builds import GenomeBuildError
from gcamccl_core.data.genotype_arrays import COMPLEMENT
from gcamccl_core.data.imputation import ABSENT, AGAINST, AMBIGUOUS, TOOLS, UNCLEAR, impute
from gcamccl_core.data.manifest import UnavailableError, fetch
from gcamccl_core.data.vcf_files import convert_vcf

tools = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason=f"not all of {', '.join(TOOLS)} are installed"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Genotypes around LCT of 103 real people with one in twenty taken out, and 400 others' haplotypes."""
    try:
        paths = [fetch(f"genotypes/1kg_eur_agt_lct_ttn.{end}") for end in ("bed", "bim", "fam")]
    except UnavailableError as fault:
        pytest.skip(str(fault))
    folder, files = tmp_path_factory.mktemp("study"), open_fileset(paths[0])
    chosen = np.flatnonzero((files.variants["chromosome"] == "2") & (files.variants["position"] < 150_000_000))
    values = files.read(chosen)
    complete = ~np.isnan(values).any(axis=0)
    values, variants = values[:, complete], files.variants.iloc[chosen[complete]]
    taken = np.random.default_rng(0).random(values[400:].shape) < 0.05
    write_tables(folder / "study", files.samples.iloc[400:], variants, [np.where(taken, np.nan, values[400:])])
    write_tables(folder / "others", files.samples.iloc[:400], variants.iloc[10:], [values[:400, 10:]])
    for command in (
        ["plink2", "--bfile", "others", "--export", "vcf", "bgz", "--out", "others"],
        ["bcftools", "index", "others.vcf.gz"],
        ["shapeit4", "--input", "others.vcf.gz", "--region", "2", "--output", "panel.bcf"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder, values[400:], taken


@pytest.fixture(scope="module")
def imputed(study):
    """The study filled in: the table and the fileset."""
    folder, *_ = study
    table = impute(folder / "study", {"2": folder / "panel.bcf"}, folder / "out", "GRCh37", "hg19")
    return table, open_fileset(folder / "out" / "genotypes")


def find_ambiguous(variants):
    return (variants["counted_allele"] + variants["other_allele"]).isin(["AT", "TA", "CG", "GC"]).to_numpy()


@tools
def test_missing_genotypes_are_mostly_right_and_called_ones_stay(study, imputed):
    folder, truth, taken = study
    table, files = imputed
    found, clear = files.read(), ~find_ambiguous(files.variants)
    np.testing.assert_array_equal(found[~taken], truth[~taken])
    filled = taken & ~np.isnan(found)
    assert not filled[:, :10].any()  # not on the panel
    assert filled[:, 10:].sum() > 0.95 * taken[:, 10:][:, clear[10:]].sum()
    likeliest = np.round(np.nanmean(np.where(taken, np.nan, truth), axis=0))[None].repeat(len(truth), axis=0)
    right, guessed = (found == truth)[filled].mean(), (likeliest == truth)[filled].mean()
    assert right > 0.95 > 0.9 > guessed
    assert table["filled"].sum() == filled.sum()
    assert table["missing"].sum() == taken.sum()
    assert (table["left"] == "").sum() == (table["filled"] == table["missing"]).sum()
    absent = table[table["left"] == ABSENT]
    assert len(absent) == taken[:, :10].any(axis=0).sum()
    before = open_fileset(folder / "study")
    assert files.variants.equals(before.variants)
    assert files.samples["subject"].equals(before.samples["subject"])


@tools
@pytest.mark.parametrize("share", [0.5, 1])
def test_neither_the_order_of_the_alleles_nor_the_strand_changes_what_is_filled_in(study, imputed, tmp_path, share):
    folder, *_ = study
    before, rng = open_fileset(folder / "study"), np.random.default_rng(1)
    swapped, flipped = (rng.random(len(before.variants)) < part for part in (share, 0.3))
    alleles = before.variants[["counted_allele", "other_allele"]].to_numpy()
    alleles[swapped] = alleles[swapped, ::-1]
    alleles[flipped] = [[allele.translate(COMPLEMENT).lower() for allele in pair] for pair in alleles[flipped]]
    variants = before.variants.assign(counted_allele=alleles[:, 0], other_allele=alleles[:, 1])
    write_tables(tmp_path / "study", before.samples, variants, [np.where(swapped, 2 - before.read(), before.read())])
    table = impute(tmp_path / "study", {"2": folder / "panel.bcf"}, tmp_path / "out", "hg19", "hg19")
    found = open_fileset(tmp_path / "out" / "genotypes").read()
    np.testing.assert_array_equal(np.where(swapped, 2 - found, found), imputed[1].read())
    assert table.equals(imputed[0])


@tools
def test_snps_whose_alleles_may_be_mixed_up_are_left_missing(study, imputed, tmp_path):
    folder, truth, taken = study
    before, plain = open_fileset(folder / "study"), imputed[0].set_index("snp")
    values, variants, ambiguous = before.read(), before.variants.copy(), find_ambiguous(before.variants)
    names = ["counted_allele", "other_allele"]
    variants.loc[ambiguous, names] = variants.loc[ambiguous, names].map(lambda allele: allele.translate(COMPLEMENT))
    rarer = np.minimum(truth.mean(axis=0), 2 - truth.mean(axis=0)) / 2
    inverted = np.flatnonzero((variants["snp"].map(plain["r2"]) > 0.9) & (rarer > 0.1) & (rarer < 0.25))[::10]
    values[:, inverted] = 2 - values[:, inverted]
    write_tables(tmp_path / "study", before.samples, variants, [values])
    table = impute(tmp_path / "study", {"2": folder / "panel.bcf"}, tmp_path / "out", "hg19", "hg19")
    table = table.set_index("snp").reindex(variants["snp"]).reset_index()
    assert (table["left"][inverted] == AGAINST).all()
    assert table["r2"][inverted].min() > 0.7  # which shows nothing
    assert set(table["left"][10:][ambiguous[10:]].dropna()) == {AMBIGUOUS}
    found = open_fileset(tmp_path / "out" / "genotypes").read()
    filled = taken & ~np.isnan(found)
    assert not filled[:, ambiguous].any()
    assert not filled[:, inverted].any()
    assert (found == truth)[filled].mean() > 0.95
    alike = variants["snp"].isin(plain.index[plain["left"] == UNCLEAR])
    assert alike.any()
    assert (np.nanmax(values[:, alike], axis=0) == np.nanmin(values[:, alike], axis=0)).all()


@tools
def test_a_study_with_nothing_in_common_with_the_panel_stays_as_it_is(study, tmp_path):
    folder, *_ = study
    before = open_fileset(folder / "study")
    variants = before.variants.assign(counted_allele="A", other_allele="T")
    write_tables(tmp_path / "study", before.samples, variants, [before.read()])
    table = impute(tmp_path / "study", {"2": folder / "panel.bcf"}, tmp_path / "out", "hg19", "hg19")
    assert set(table["left"]) == {ABSENT, AMBIGUOUS}
    np.testing.assert_array_equal(open_fileset(tmp_path / "out" / "genotypes").read(), before.read())


@tools
def test_what_cannot_be_imputed_is_refused_and_nothing_is_written(study, tmp_path, monkeypatch):
    folder, *_ = study
    panel, out = {"2": folder / "panel.bcf"}, tmp_path / "out"
    with pytest.raises(GenomeBuildError, match="study is on GRCh37, the panel on GRCh38: SNPs are matched by position"):
        impute(folder / "study", panel, out, "hg38", "hg19")
    with pytest.raises(FilesetError, match="the panel has no chromosome 2; it has 1"):
        impute(folder / "study", {"1": folder / "panel.bcf"}, out, "hg19", "hg19")
    with pytest.raises(FilesetError, match=r"the panel's file .*none\.bcf is not there"):
        impute(folder / "study", {"2": folder / "none.bcf"}, out, "hg19", "hg19")
    elsewhere = write_fileset(tmp_path / "elsewhere", [[0, 1], [np.nan, 2]])
    with pytest.raises(FilesetError, match=r"panel\.bcf has nothing at the positions of chromosome 1: is it another"):
        impute(elsewhere, {"1": folder / "panel.bcf"}, out, "hg19", "hg19")
    unsorted = write_fileset(tmp_path / "unsorted", draw_genotypes(4, [0.3, 0.4]), bp_position=[2000, 1000])
    with pytest.raises(FilesetError, match="unsorted is not in the order of the genome"):
        impute(unsorted, {"1": folder / "panel.bcf"}, out, "hg19", "hg19")
    monkeypatch.setattr(imputation, "find_tool", lambda tool: 1 / 0 if tool == "plink2" else None)
    with pytest.raises(ZeroDivisionError):  # the programs are looked for first
        impute(folder / "none", panel, out, "hg19", "hg19")
    assert not out.exists()


def test_a_missing_program_is_named_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="plink2 is not installed"):
        impute(tmp_path / "study", {}, tmp_path / "out", "hg19")


VCF = """##fileformat=VCFv4.2
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##contig=<ID=1>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tann\tbob
1\t100\trs1\tA\tG\t.\tPASS\t.\tGT\t0/1\t1|1
1\t200\t.\tC\tT\t.\tPASS\t.\tGT\t./.\t0/0
1\t300\trs3\tC\tT,G\t.\tPASS\t.\tGT\t0/1\t0/2
1\t400\trs4\tCA\tC\t.\tPASS\t.\tGT\t0/1\t0/0
"""


@plink2
@pytest.mark.parametrize("compressed", [True, False])
def test_a_vcf_becomes_a_fileset_of_its_snps(tmp_path, compressed):
    path = tmp_path / ("study.vcf.gz" if compressed else "study.vcf")
    path.write_bytes(gzip.compress(VCF.encode()) if compressed else VCF.encode())
    files = convert_vcf(path, tmp_path / "out", "b38")
    assert files.variants["snp"].tolist() == ["rs1", "1:200:C:T"]
    assert files.variants["counted_allele"].tolist() == ["G", "T"]
    assert files.samples["subject"].tolist() == ["ann", "bob"]
    np.testing.assert_array_equal(files.read(), [[1, np.nan], [2, 0]])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"genotypes.{end}" for end in ("bed", "bim", "build", "fam")
    ]


@plink2
def test_half_a_call_is_a_missing_one(tmp_path):
    (tmp_path / "study.vcf").write_text(VCF.replace("0/1\t1|1", "0/.\t.|1"))
    found = convert_vcf(tmp_path / "study.vcf", tmp_path / "out", "b38").read()
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [np.nan, 0]])


@plink2
def test_dosages_without_calls_are_rounded(tmp_path):
    text = VCF.replace("ID=GT,Number=1,Type=String", "ID=DS,Number=1,Type=Float").replace("\tGT\t", "\tDS\t")
    for call, dosage in {"0/1": "0.9", "1|1": "1.6", "./.": ".", "0/0": "0.4", "0/2": "0"}.items():
        text = text.replace(call, dosage)
    lines = [line for line in text.splitlines() if "T,G" not in line]  # plink2 reads no dosages of three alleles
    (tmp_path / "study.vcf").write_text("\n".join(lines) + "\n")
    found = convert_vcf(tmp_path / "study.vcf", tmp_path / "out", "b38").read()
    np.testing.assert_array_equal(found, [[1, np.nan], [2, 0]])
    (tmp_path / "none.vcf").write_text(VCF.replace("ID=GT", "ID=PL"))
    with pytest.raises(FilesetError, match=r"describes neither genotypes \(GT\) nor dosages"):
        convert_vcf(tmp_path / "none.vcf", tmp_path / "other", "b38")


@tools
def test_what_a_panel_cannot_tell_is_not_filled_in(tmp_path):
    """SNPs that no neighbour is linked with: the phasing guesses, and leaving people out shows it."""
    values = draw_genotypes(160, np.full(60, 0.4), seed=9)
    write_fileset(tmp_path / "panel", values[:100])
    taken = np.random.default_rng(1).random((60, 60)) < 0.1
    write_fileset(tmp_path / "study", np.where(taken, np.nan, values[100:]))
    for command in (
        ["plink2", "--bfile", "panel", "--export", "vcf", "bgz", "--out", "panel"],
        ["bcftools", "index", "panel.vcf.gz"],
        ["shapeit4", "--input", "panel.vcf.gz", "--region", "1", "--output", "panel.bcf"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    table = impute(tmp_path / "study", {"1": tmp_path / "panel.bcf"}, tmp_path / "out", "hg19", "hg19")
    assert (table["left"] == "r2 below 0.3").mean() > 0.9


@plink2
def test_a_vcf_that_is_not_whole_is_refused(tmp_path):
    path = tmp_path / "study.vcf.gz"
    with pytest.raises(FilesetError, match=r"there is no file .*study\.vcf\.gz"):
        convert_vcf(path, tmp_path / "out", "hg19")
    path.write_bytes(gzip.compress(VCF.encode())[:-20])
    with pytest.raises(FilesetError, match=r"study\.vcf\.gz is truncated or damaged"):
        convert_vcf(path, tmp_path / "out", "hg19")
    path.write_bytes(b"chromosome,position\n")
    with pytest.raises(FilesetError, match=r"is no VCF: its first line is b'chromosome,position"):
        convert_vcf(path, tmp_path / "out", "hg19")
    with pytest.raises(GenomeBuildError, match="no genome build 'hg99'"):
        convert_vcf(path, tmp_path / "out", "hg99")
    assert not (tmp_path / "out").exists()


@plink2
def test_a_vcf_cut_between_two_blocks_of_bgzip_is_refused(tmp_path):
    write_fileset(tmp_path / "study", draw_genotypes(5, [0.3, 0.4]))
    command = ["plink2", "--bfile", "study", "--export", "vcf", "bgz", "--out", "study"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    path = tmp_path / "study.vcf.gz"
    assert len(convert_vcf(path, tmp_path / "whole", "hg19").variants) == 2
    path.write_bytes(path.read_bytes()[:-28])
    with pytest.raises(FilesetError, match=r"study\.vcf\.gz is truncated: the empty block is missing"):
        convert_vcf(path, tmp_path / "out", "hg19")
    assert not (tmp_path / "out").exists()
