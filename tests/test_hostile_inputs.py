"""Hostile scans, genotypes, tables and cohorts: each is refused by name, and leaves no file behind and none changed."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from small_cohorts import planted_cohort
from small_filesets import draw_genotypes, write_fileset

from gcamccl_core.data.brain_expression import ExpressionError, most_expressed, name_variants, shared_eqtls
from gcamccl_core.data.cohort import CohortError, load_cohort, save_cohort
from gcamccl_core.data.external_tools import MissingToolError
from gcamccl_core.data.filesets import FilesetError, open_fileset
from gcamccl_core.data.gene_bodies import find_genes, read_gene_bodies
from gcamccl_core.data.genome_builds import GenomeBuildError
from gcamccl_core.data.genotype_arrays import merge_arrays
from gcamccl_core.data.genotypes import quality_control, read_genotypes
from gcamccl_core.data.raw_study import read_people, read_raw_study
from gcamccl_core.data.regions import AtlasError, power_spheres, read_labels, read_spheres
from gcamccl_core.data.scan_processing import ScanSettings, process_scans
from gcamccl_core.data.scan_quality import Limits
from gcamccl_core.data.scans import ScanTableError, find_scans, read_scan_table
from gcamccl_core.data.time_series import ScanError
from gcamccl_core.data.vcf_files import convert_vcf

MNI = np.diag([4.0, 4, 4, 1])
MNI[:3, 3] = [-35, -108, -20]


@dataclass(frozen=True)
class Hostile:
    """What is done to good files, who reads them then, and what is said."""

    name: str
    damage: Callable[[Path], object]
    read: Callable[[Path], object]
    error: type[Exception]
    message: str


def cut(name, to):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:to])


def write(name, content):
    def damage(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def replace(name, old, new):
    def damage(folder):
        content = (folder / name).read_bytes()
        assert old in content
        (folder / name).write_bytes(content.replace(old, new, 1))

    return damage


def write_fileset_as(name, **changes):
    people = [f"{name if name != 'one' else 'p'}{number}" for number in range(5)]
    return lambda folder: write_fileset(folder / name, GENOTYPES, iid=people, **changes)


def remove(name):
    return lambda folder: (folder / name).unlink()


def nothing(_):
    """Leave the files as they are: what is asked of them is hostile."""


def fileset(folder):
    return open_fileset(folder / "one")


def both(folder):
    return merge_arrays([folder / "one", folder / "two"], folder.parent / "both", "hg19")


def one_scan(**changes):
    """Process one scan whose files or repetition time are others, and raise what is listed as the reason."""

    def read(folder):
        scan = {"subject": "a", "session": "", "run": "", "bold": "good.nii", "mask": "mask.nii"}
        scan |= {"confounds": "motion.csv", "repetition_time": 2.0} | changes
        scan |= {name: str(folder / scan[name]) if scan[name] else "" for name in ("bold", "mask", "confounds")}
        settings = ScanSettings(limits=Limits(sfnr=None), least_coverage=0.1, band=(0.02, 0.1))
        out = folder.parent / "series"
        table = process_scans(pd.DataFrame([scan]), power_spheres(), out, settings, progress=False)
        if table["status"].item() != "used":
            assert [path.name for path in out.iterdir()] == ["scans.csv"]  # the list of who failed, and why
            raise ScanError(table["reason"].item())

    return read


def image(name, values, affine=MNI):
    def damage(folder):
        made = nib.Nifti1Image(values, affine)
        if values.ndim == 4:
            made.header.set_xyzt_units("mm", "sec")
            made.header.set_zooms((4, 4, 4, 2))
        nib.save(made, folder / name)

    return damage


def motion(change):
    return lambda folder: change(pd.read_csv(folder / "motion.csv")).to_csv(folder / "motion.csv", index=False)


def empty_scan(task):
    return write(f"scans/sub-a/func/sub-a_task-{task}_space-MNI152_desc-preproc_bold.nii.gz", b"")


VCF = """##fileformat=VCFv4.2
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##contig=<ID=1>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tann
1\t100\trs1\tA\tG\t.\tPASS\t.\tGT\t0/1
"""
GENOTYPES = draw_genotypes(5, [0.2, 0.3, 0.4, 0.5])
VALUES = 1000 + np.random.default_rng(0).standard_normal((6, 6, 6, 40)).astype("float32")
HOLES = np.where(np.random.default_rng(1).random(VALUES.shape) < 0.5, np.nan, VALUES).astype("float32")
FAR = np.diag([4.0, 4, 4, 1]) + np.array([[0, 0, 0, 900]] * 3 + [[0] * 4])
TISSUE = "Brain - Amygdala"
EQTLS = "eqtls/Brain_Amygdala.v8.signif_variant_gene_pairs.txt.gz"


def eqtls(folder):
    return shared_eqtls(folder / "eqtls", [TISSUE], progress=False)


def vcf(folder):
    return convert_vcf(folder / "good.vcf", folder.parent / "converted", "hg19")


def bodies(folder):
    return read_gene_bodies(folder / "genes")


def people(folder):
    return read_people(folder / "people.csv")


def scan_table(folder):
    return read_scan_table(folder / "scans.csv")


def cohort(folder):
    return load_cohort(folder / "cohort.nc")


def change_cohort(change):
    def damage(folder):
        import xarray as xr

        with xr.open_dataset(folder / "cohort.nc") as file:
            changed = change(file.load())
        (folder / "cohort.nc").unlink()
        changed.to_netcdf(folder / "cohort.nc")

    return damage


def labels(values, table=None):
    return lambda _: read_labels(nib.Nifti1Image(values, MNI), table)


REGIONS = pd.DataFrame({"roi": ["a", "b"], "x": [0.0, 9], "y": [0.0, 9], "z": [0.0, 9]})

HOSTILE = [
    # filesets
    Hostile("no bim", remove("one.bim"), fileset, FilesetError, r"one is no PLINK fileset: there is no one\.bim"),
    Hostile("a bed cut short", cut("one.bed", -1), fileset, FilesetError, r"one\.bed is truncated.* take 11"),
    Hostile(
        "a bed too long", write("one.bed", b"l\x1b\x01" + b"\0" * 60), fileset, FilesetError, r"one\.bed is of another"
    ),
    Hostile("an empty bed", cut("one.bed", 0), fileset, FilesetError, r"one\.bed is no PLINK bed file"),
    Hostile("a zip for a bed", replace("one.bed", b"\x6c\x1b", b"PK"), fileset, FilesetError, "is no PLINK bed file"),
    Hostile("a bed by person", replace("one.bed", b"\x1b\x01", b"\x1b\x00"), fileset, FilesetError, "sorted by person"),
    Hostile("an empty bim", cut("one.bim", 0), fileset, FilesetError, r"one\.bim is empty"),
    Hostile("an empty fam", cut("one.fam", 0), fileset, FilesetError, r"one\.fam is empty"),
    Hostile("a bim cut in a line", cut("one.bim", 40), fileset, FilesetError, r"one\.bim, line 3: \d columns"),
    Hostile(
        "no number for a place", replace("one.bim", b"2000", b"2e3x"), fileset, FilesetError, "is '2e3x', no whole"
    ),
    Hostile("half a place", replace("one.bim", b"2000", b"2000.5"), fileset, FilesetError, r"line 2: the position is"),
    Hostile("a person twice", replace("one.fam", b"p1", b"p0"), fileset, FilesetError, r"one\.fam lists people twice"),
    Hostile("the fam of another", write("one.fam", "0 p0 0 0 0 -9\n"), fileset, FilesetError, "of another bim or fam"),
    Hostile(
        "a SNP twice",
        replace("one.bim", b"rs1", b"rs0"),
        lambda f: read_genotypes(f / "one", "hg19"),
        FilesetError,
        r"one\.bim lists SNPs twice: rs0",
    ),
    Hostile(
        "a SNP that is not there",
        nothing,
        lambda f: read_genotypes(f / "one", "hg19", snps=["rs77"]),
        FilesetError,
        "has no SNP rs77",
    ),
    Hostile("no genome build", nothing, lambda f: read_genotypes(f / "one"), GenomeBuildError, "which genome build"),
    Hostile(
        "a build of fantasy",
        nothing,
        lambda f: read_genotypes(f / "one", "hg20"),
        GenomeBuildError,
        "no genome build 'hg20'; known are",
    ),
    Hostile(
        "a build that the file denies",
        write("one.build", "GRCh36\n"),
        lambda f: read_genotypes(f / "one", "hg19"),
        GenomeBuildError,
        r"said to be on GRCh37, but one\.build says GRCh36",
    ),
    # several arrays
    Hostile(
        "arrays without a common SNP",
        write_fileset_as("two", sid=["a", "b", "c", "d"]),
        both,
        FilesetError,
        "no SNP is usable on all of",
    ),
    Hostile(
        "arrays whose alleles disagree",
        write_fileset_as("two", allele_2=["C"] * 4),
        both,
        FilesetError,
        "other alleles 4",
    ),
    Hostile("arrays of A/T alone", write_fileset_as("one", allele_2=["T"] * 4), both, FilesetError, "whose strand"),
    Hostile(
        "arrays on two builds",
        write("four.build", "GRCh36\n"),
        lambda folder: merge_arrays([folder / "three", folder / "four"], folder.parent / "both"),
        GenomeBuildError,
        "arrays are on different builds: .*three GRCh37, .*four GRCh36",
    ),
    Hostile(
        "one array",
        nothing,
        lambda f: merge_arrays([f / "one"], f / "out", "hg19"),
        FilesetError,
        "two filesets or more",
    ),
    Hostile("a VCF cut short", cut("good.vcf", 20), vcf, FilesetError, "describes neither genotypes"),
    Hostile(
        "a VCF of text", write("good.vcf", "chromosome,position\n"), vcf, FilesetError, "is no VCF: its first line"
    ),
    Hostile(
        "a quality control with a limit of fantasy",
        nothing,
        lambda f: quality_control(f / "one", f.parent / "clean", "hg19", linkage=1.5),
        ValueError,
        "linkage must lie between 0 and 1, got 1.5",
    ),
    Hostile(
        "a folder that is there",
        nothing,
        lambda f: merge_arrays([f / "one", f / "two"], f / "eqtls", "hg19"),
        FileExistsError,
        "eqtls exists",
    ),
    # genes and GTEx
    Hostile(
        "a gene without an end", write("genes", "1 10 20 A\n1 10 20\n"), bodies, ValueError, r"genes, line 2: expected"
    ),
    Hostile("a gene at ten", write("genes", "1 ten 20 A\n"), bodies, ValueError, "line 1: expected chromosome"),
    Hostile("a gene backwards", write("genes", "1 30 20 B\n"), bodies, ValueError, "line 1: B ends before it starts"),
    Hostile(
        "genes of another build",
        nothing,
        lambda f: find_genes(np.array(["1"]), np.array([5]), "hg18", bodies(f)),
        GenomeBuildError,
        "SNPs are on GRCh36, the gene bodies on GRCh37",
    ),
    Hostile("a tissue that is not there", remove(EQTLS), eqtls, ExpressionError, r"has no file Brain_Amygdala\.\*"),
    Hostile("eQTLs cut short", cut(EQTLS, 40), eqtls, ExpressionError, "cannot be read as GTEx's table"),
    Hostile(
        "eQTLs without p-values",
        write(EQTLS, gzip.compress(b"variant_id\tgene_id\nv\tg\n")),
        eqtls,
        ExpressionError,
        "has no column pval_nominal; it has variant_id, gene_id",
    ),
    Hostile(
        "a table of rs ids without any",
        write("lookup.gz", gzip.compress(b"variant_id\tref\nv\tA\n")),
        lambda f: name_variants(["v"], f / "lookup.gz"),
        ExpressionError,
        "has no column rs_id_dbSNP",
    ),
    Hostile(
        "more genes than there are",
        nothing,
        lambda f: most_expressed(f / "tpm.gct", 9, [TISSUE]),
        ExpressionError,
        "has 1 such genes; 9 are asked for",
    ),
    # people
    Hostile(
        "people without a score",
        write("people.csv", "subject,age\na,9\n"),
        people,
        ValueError,
        "no column score; it has",
    ),
    Hostile(
        "people twice", write("people.csv", "subject,score\na,9\na,8\n"), people, ValueError, "lists people twice: a"
    ),
    Hostile(
        "people without a name", write("people.csv", "subject,score\n,9\n"), people, ValueError, "line 2: the subject"
    ),
    Hostile(
        "a score in words",
        write("people.csv", "subject,score\na,9\nb,high\n"),
        people,
        ValueError,
        "line 3: the score is 'high', no number",
    ),
    Hostile("no people", write("people.csv", "subject,score\n"), people, ValueError, r"people\.csv lists nobody"),
    Hostile(
        "a study without scans",
        nothing,
        lambda f: read_raw_study(f),
        FileNotFoundError,
        "the study has no .*derivatives",
    ),
    # lists of scans
    Hostile("no folder of scans", nothing, lambda f: find_scans(f / "none"), ScanTableError, "there is no folder"),
    Hostile(
        "a folder of something else", nothing, lambda f: find_scans(f / "eqtls"), ScanTableError, "has no folder sub-"
    ),
    Hostile(
        "two scans of one",
        empty_scan("nback"),
        lambda f: find_scans(f / "scans"),
        ScanTableError,
        "of every subject, and so of sub-a, there are 2 scans",
    ),
    Hostile(
        "a list without scans", write("scans.csv", "subject,image\n"), scan_table, ScanTableError, "has no column bold"
    ),
    Hostile(
        "a scan of nobody",
        write("scans.csv", "subject,bold,repetition_time\n,a.nii,2\n"),
        scan_table,
        ScanTableError,
        "line 2: the subject has no name",
    ),
    Hostile("a name that climbs", nothing, one_scan(subject="../evil"), ScanError, r"not so: \.\./evil"),
    # scans: the reason is listed, and the others go on
    Hostile("a scan that is not there", remove("good.nii"), one_scan(), ScanError, r"there is no file .*good\.nii"),
    Hostile(
        "a scan of text", write("good.nii", "no image"), one_scan(), ScanError, r"good\.nii is truncated or damaged"
    ),
    Hostile("a scan cut short", cut("good.nii", 4000), one_scan(), ScanError, r"good\.nii is truncated or damaged"),
    Hostile(
        "a scan that stands still", image("good.nii", VALUES[..., 0]), one_scan(), ScanError, "it takes 30 volumes"
    ),
    Hostile("a scan of holes", image("good.nii", HOLES), one_scan(), ScanError, "values that are no number"),
    Hostile(
        "a scan from elsewhere", image("good.nii", VALUES, FAR), one_scan(mask=""), ScanError, "no region of the atlas"
    ),
    Hostile(
        "an empty mask",
        image("mask.nii", np.zeros((6, 6, 6), "uint8")),
        one_scan(),
        ScanError,
        "no region of the atlas",
    ),
    Hostile("no repetition time", nothing, one_scan(repetition_time=np.nan), ScanError, "says the repetition time"),
    Hostile(
        "two repetition times", nothing, one_scan(repetition_time=3.0), ScanError, "is 3 s in the sidecar or table, 2 s"
    ),
    Hostile("no confounds", nothing, one_scan(confounds=""), ScanError, "there is no table of confounds"),
    Hostile("confounds cut short", motion(lambda table: table[:2]), one_scan(), ScanError, "has 2 rows, the scan 40"),
    Hostile(
        "other confounds",
        motion(lambda table: table.rename(columns=str.upper)),
        one_scan(),
        ScanError,
        "has no column trans_x",
    ),
    Hostile(
        "confounds with holes",
        motion(lambda table: table.assign(rot_z=np.nan)),
        one_scan(),
        ScanError,
        "missing values in rot_z",
    ),
    # atlases
    Hostile(
        "an atlas of text",
        write("atlas.nii", "no image"),
        lambda f: read_labels(f / "atlas.nii"),
        AtlasError,
        r"atlas\.nii cannot be read as an image",
    ),
    Hostile("an empty atlas", nothing, labels(np.zeros((3, 3, 3))), AtlasError, "has no label but 0"),
    Hostile("an atlas of halves", nothing, labels(np.full((3, 3, 3), 0.5)), AtlasError, "no image of labels"),
    Hostile(
        "a region that is nowhere",
        nothing,
        labels(np.ones((3, 3, 3)), pd.DataFrame({"value": [2], "roi": ["x"]})),
        AtlasError,
        "has no voxel of x",
    ),
    Hostile(
        "a region twice", nothing, lambda _: read_spheres(REGIONS.assign(roi="a"), 5.0), AtlasError, "regions twice: a"
    ),
    Hostile(
        "a flat atlas", nothing, lambda _: read_spheres(REGIONS.drop(columns="z"), 5.0), AtlasError, "has no column z"
    ),
    # cohorts
    Hostile("a cohort cut short", cut("cohort.nc", 1000), cohort, CohortError, "cannot be read as netCDF"),
    Hostile(
        "genotypes of seven",
        change_cohort(lambda c: c.assign(snp=c["snp"].where(c["snp"] != 2, 7))),
        cohort,
        CohortError,
        "genotypes other than 0, 1, 2",
    ),
    Hostile(
        "connectivity that is lopsided",
        change_cohort(lambda c: c.assign(fc=c["fc"] * (c["roi_i"] != c["roi_i"][0]))),
        cohort,
        CohortError,
        "view 'fc' has asymmetric images",
    ),
    Hostile(
        "subjects twice",
        change_cohort(lambda c: c.assign_coords(subject=["x"] * c.sizes["subject"])),
        cohort,
        CohortError,
        "subject ids occur more than once: x",
    ),
]


@pytest.fixture
def good(tmp_path):
    """Good files of every kind."""
    folder = tmp_path / "study"
    write_fileset_as("one")(folder)
    for name in ("two", "three", "four"):
        write_fileset_as(name)(folder)
    for name in ("three", "four"):
        write(f"{name}.build", "GRCh37\n")(folder)
    image("good.nii", VALUES)(folder)
    image("mask.nii", np.ones((6, 6, 6), dtype="uint8"))(folder)
    table = 0.01 * np.random.default_rng(0).standard_normal((40, 6))
    pd.DataFrame(table, columns=list(ScanSettings().confounds)).to_csv(folder / "motion.csv", index=False)
    empty_scan("rest")(folder)
    write("scans.csv", "subject,bold,repetition_time\na,good.nii,2\n")(folder)
    write("people.csv", "subject,score\na,9\nb,8\n")(folder)
    write("genes", "1 10 20 A\n")(folder)
    write(EQTLS, gzip.compress(b"variant_id\tgene_id\tpval_nominal\nv\tg\t1e-9\n"))(folder)
    write("lookup.gz", gzip.compress(b"variant_id\trs_id_dbSNP151_GRCh38p7\nv\trs1\n"))(folder)
    write("tpm.gct", f"#1.2\n1\t1\nName\tDescription\t{TISSUE}\nE1\tTOP\t5\n")(folder)
    write("good.vcf", VCF)(folder)
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3), dtype="int16"), MNI), folder / "atlas.nii")
    save_cohort(planted_cohort(n=40), folder / "cohort.nc")
    return folder


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_hostile_input_is_refused_by_name_and_nothing_is_left_or_changed(good, hostile):
    hostile.damage(good)
    before = {path: path.read_bytes() for path in good.parent.rglob("*") if path.is_file()}
    with pytest.raises(hostile.error, match=hostile.message):
        hostile.read(good)
    (good.parent / "series" / "scans.csv").unlink(missing_ok=True)  # the list of who failed, and why
    assert {path: path.read_bytes() for path in good.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("read", {each.read: each.read for each in HOSTILE if each.damage is not nothing}.values())
def test_the_same_files_undamaged_are_taken(good, read):
    try:
        read(good)
    except MissingToolError as fault:
        pytest.skip(str(fault))
