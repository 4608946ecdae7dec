"""Quality control by plink2, held against plink 1.9 on real genotypes; people as their genotypes describe them."""

import json
import os
import stat
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_filesets import draw_genotypes, plink1, plink2, write_fileset

from gcamccl_core.data.checks import check_cohort
from gcamccl_core.data.cohort import assemble_cohort
from gcamccl_core.data.external_tools import MissingToolError, ToolError, find_tool, run_tool
from gcamccl_core.data.filesets import FilesetError, open_fileset
from gcamccl_core.data.genome_builds import GenomeBuildError
from gcamccl_core.data.genotypes import filter_in_steps, quality_control, read_genotypes
from gcamccl_core.data.manifest import UnavailableError, fetch
from gcamccl_core.data.sample_checks import check_samples, find_relatives, read_sex

REAL = {"1kg_eur_agt_lct_ttn": "hg19", "HM3_thinned_autosomal_overlap": "hg18"}


@pytest.fixture(params=REAL)
def real(request):
    """One of the real filesets."""
    try:
        paths = [fetch(f"genotypes/{request.param}.{end}") for end in ("bed", "bim", "fam")]
    except UnavailableError as fault:
        pytest.skip(str(fault))
    return paths[0].with_suffix(""), REAL[request.param]


@plink1
@plink2
@pytest.mark.parametrize(
    "rule",
    [
        ["--hwe", "1e-5"],
        ["--maf", "0.05"],
        ["--geno", "0.1"],
        ["--geno", "0.001"],
        ["--mind", "0.05"],
        ["--mind", "0.001"],
        ["--indep-pairwise", "50", "5", "0.9"],
        ["--indep-pairwise", "50", "5", "0.2"],
    ],
    ids=" ".join,
)
def test_every_filter_keeps_what_plink_1_9_keeps(real, rule, tmp_path):
    prefix, _ = real
    (tmp_path / "ours").mkdir()
    filter_in_steps(open_fileset(prefix), {"the step": rule}, tmp_path / "ours")
    ours = open_fileset(tmp_path / "ours" / "genotypes")
    command = ["plink1.9", "--bfile", prefix, "--out", tmp_path / "theirs"]
    subprocess.run([*command, *rule, "--make-bed"], check=True, capture_output=True)
    if rule[0] == "--indep-pairwise":
        listed = ["--extract", tmp_path / "theirs.prune.in", "--make-bed"]
        subprocess.run([*command, *listed], check=True, capture_output=True)
    theirs = open_fileset(tmp_path / "theirs")
    assert ours.variants["snp"].tolist() == theirs.variants["snp"].tolist()
    assert ours.samples["individual"].tolist() == theirs.samples["individual"].tolist()
    np.testing.assert_array_equal(ours.read(slice(0, 200)), _counting_alike(ours, theirs)[:, :200])


@plink1
@plink2
def test_one_after_the_other_they_remove_what_plink_1_9_removes(real, tmp_path):
    prefix, build = real
    steps = json.loads(quality_control(prefix, tmp_path / "clean", build).attrs["quality_control"])
    rules = [
        ["--autosome"],
        ["--hwe", "1e-5"],
        ["--maf", "0.05"],
        ["--indep-pairwise", "50", "5", "0.9"],
        ["--geno", "0.1"],
        ["--mind", "0.05"],
    ]
    before, theirs = prefix, []
    for number, rule in enumerate(rules):
        command = ["plink1.9", "--bfile", before, "--nonfounders", "--out", tmp_path / f"step_{number}"]
        if rule[0] == "--indep-pairwise":
            subprocess.run([*command, *rule], check=True, capture_output=True)
            rule = ["--extract", tmp_path / f"step_{number}.prune.in"]
        subprocess.run([*command, *rule, "--make-bed"], check=True, capture_output=True)
        before = tmp_path / f"step_{number}"
        files = open_fileset(before)
        theirs.append((len(files.variants), len(files.samples)))
    assert [(row["snps"], row["samples"]) for row in steps[2:]] == theirs


def _counting_alike(ours, theirs):
    """plink 1.9 counts the rarer allele, ours the one that was counted before."""
    values = theirs.read()
    swapped = (ours.variants["counted_allele"] != theirs.variants["counted_allele"]).to_numpy()
    values[:, swapped] = 2 - values[:, swapped]
    return values


@plink2
def test_the_whole_of_quality_control_on_real_genotypes(real, tmp_path):
    prefix, build = real
    found = quality_control(prefix, tmp_path / "clean", build)
    steps = pd.read_csv(tmp_path / "clean" / "steps.csv")
    assert steps.to_dict("records") == json.loads(found.attrs["quality_control"])
    assert steps["snps"].iloc[0] - steps["snps_removed"].sum() == steps["snps"].iloc[-1] == found.sizes["locus"]
    assert steps["samples"].iloc[0] - steps["samples_removed"].sum() == found.sizes["subject"]
    before = open_fileset(prefix)
    again = read_genotypes(prefix, build, snps=found["locus"].to_numpy())
    np.testing.assert_array_equal(found["snp"], again["snp"].sel(subject=found["subject"]))
    for name in ("snp_counted_allele", "snp_other_allele", "snp_position"):
        assert found[name].to_numpy().tolist() == again[name].to_numpy().tolist()
    assert len(before.variants) > found.sizes["locus"]
    frequency = found["snp"].mean("subject") / 2
    assert float(np.minimum(frequency, 1 - frequency).min()) >= 0.05
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == [
        "genotypes.bed",
        "genotypes.bim",
        "genotypes.build",
        "genotypes.fam",
        *(["related.csv"] if found.sizes["locus"] >= 1000 else []),
        "samples.csv",
        "steps.csv",
    ]


@plink2
def test_each_step_removes_what_it_is_for(tmp_path):
    values = draw_genotypes(100, np.full(12, 0.4), seed=1)
    values[:, 0] = np.where(np.arange(100) < 50, 0, 2)  # nobody has one of each
    values[:, 1] = (np.arange(100) < 5).astype(float)  # frequency .025
    values[:, 3] = values[:, 2]  # linked
    values[:30, 4] = np.nan
    values[99, 5:11] = np.nan
    ids = [f"rs{number}" for number in range(11)] + ["rs10"]
    values[:, 11] = values[:, 10]
    chromosome = ["1"] * 12
    chromosome[5] = "23"
    place = 1000 * np.minimum(np.arange(12), 10)
    prefix = write_fileset(tmp_path / "study", values, sid=ids, chromosome=chromosome, bp_position=place)
    found = quality_control(prefix, tmp_path / "clean", "hg19", window=(5, 1))
    steps = pd.read_csv(tmp_path / "clean" / "steps.csv").set_index("step")
    assert steps["snps_removed"].tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    assert steps["samples_removed"].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    assert "p99" not in found["subject"].to_numpy()
    assert found["locus"].to_numpy().tolist() == ["rs2", "rs6", "rs7", "rs8", "rs9", "rs10"]
    samples = pd.read_csv(tmp_path / "clean" / "samples.csv").set_index("subject")
    assert not samples.loc["p99", "kept"]
    assert samples.loc["p99", "missing"] == pytest.approx(7 / 12)


@plink2
def test_what_is_left_is_a_view_of_a_cohort(tmp_path):
    prefix = write_fileset(tmp_path / "study", draw_genotypes(20, np.full(5, 0.4)))
    found = read_genotypes(prefix, "hg19")
    label = pd.Series([0, 1] * 10, index=found["subject"].to_numpy())
    check_cohort(assemble_cohort({"snp": found["snp"]}, label))


@plink2
def test_relatives_are_found_on_real_genotypes():
    """HapMap 3 has cryptic relatives: parents and children, and siblings, among people recorded as founders."""
    try:
        prefix = [fetch(f"genotypes/HM3_thinned_autosomal_overlap.{end}") for end in ("fam", "bim", "bed")][-1]
        table = fetch("genotypes/relationships_w_pops_121708.txt")
    except UnavailableError as fault:
        pytest.skip(str(fault))
    pairs = find_relatives(open_fileset(prefix))
    population = pd.read_csv(table, sep=r"\s+").set_index("IID")["population"]
    close = pairs[pairs["kinship"] > 0.177]  # first degree
    assert len(close) > 5
    assert (close["subject_1"].map(population) == close["subject_2"].map(population)).all()


@plink2
def test_twins_siblings_and_strangers_are_told_apart(tmp_path):
    rng = np.random.default_rng(3)
    frequency = rng.uniform(0.2, 0.5, 3000)
    strangers = draw_genotypes(30, frequency, seed=4)
    chromosomes = rng.binomial(1, frequency, (2, 2, 3000))  # of two parents

    def child():
        return sum(np.where(rng.integers(0, 2, 3000), parent[0], parent[1]) for parent in chromosomes)

    values = np.vstack([strangers, strangers[0], child(), child()])
    pairs = find_relatives(open_fileset(write_fileset(tmp_path / "study", values)))
    found = {frozenset((row.subject_1, row.subject_2)): row.kinship for row in pairs.itertuples()}
    assert set(found) == {frozenset(("p0", "p30")), frozenset(("p31", "p32"))}
    assert found[frozenset(("p0", "p30"))] == pytest.approx(0.5, abs=0.01)
    assert found[frozenset(("p31", "p32"))] == pytest.approx(0.25, abs=0.05)


@plink2
def test_sex_is_read_from_x_and_a_mismatch_named(tmp_path):
    rng = np.random.default_rng(5)
    frequency = rng.uniform(0.2, 0.5, 300)
    women, men = draw_genotypes(20, frequency, seed=6), 2.0 * rng.binomial(1, frequency, (20, 300))
    of_x = np.vstack([women, men])
    autosomes = draw_genotypes(40, np.full(50, 0.4), seed=7)
    sex = [2] * 20 + [1] * 20
    sex[0], sex[39] = 1, 0
    prefix = write_fileset(
        tmp_path / "study", np.hstack([autosomes, of_x]), chromosome=["1"] * 50 + ["23"] * 300, sex=sex
    )
    files = open_fileset(prefix)
    assert read_sex(files).tolist() == ["female"] * 20 + ["male"] * 20
    samples, _ = check_samples(files, open_fileset(write_fileset(tmp_path / "clean", autosomes)))
    assert samples.loc[samples["sex_mismatch"], "subject"].tolist() == ["p0"]


@plink2
def test_a_person_with_two_much_like_parents_stands_out(tmp_path):
    values = draw_genotypes(60, np.full(2000, 0.4), seed=8)
    values[7] = np.where(values[7] == 1, 2, values[7])
    files = open_fileset(write_fileset(tmp_path / "study", values))
    samples, _ = check_samples(files, files)
    assert samples.loc[samples["inbreeding_outlying"], "subject"].tolist() == ["p7"]


def test_a_snp_twice_or_unknown_is_refused(tmp_path):
    prefix = write_fileset(tmp_path / "study", draw_genotypes(4, [0.3, 0.4]), sid=["rs1", "rs1"])
    with pytest.raises(FilesetError, match=r"study\.bim lists SNPs twice: rs1"):
        read_genotypes(prefix, "hg19")
    prefix = write_fileset(tmp_path / "other", draw_genotypes(4, [0.3, 0.4]))
    with pytest.raises(FilesetError, match="has no SNP rs7"):
        read_genotypes(prefix, "hg19", snps=["rs1", "rs7"])
    assert read_genotypes(prefix, "hg19", snps=["rs1"])["locus"].to_numpy().tolist() == ["rs1"]
    with pytest.raises(GenomeBuildError, match="which genome build"):
        read_genotypes(prefix)


@plink2
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"linkage": 1.5}, ValueError, "linkage must lie between 0 and 1, got 1.5"),
        ({"genome_build": None}, GenomeBuildError, "which genome build"),
        (
            {"minor_allele_frequency": 0.5},
            FilesetError,
            r"the step 'minor allele frequency >= 0\.5' leaves no SNP or nobody of .*study",
        ),
    ],
)
def test_a_run_that_fails_leaves_nothing_behind(tmp_path, changes, error, message):
    prefix = write_fileset(tmp_path / "in" / "study", draw_genotypes(30, np.full(6, 0.3)))
    with pytest.raises(error, match=message):
        quality_control(prefix, tmp_path / "out" / "clean", **{"genome_build": "hg19", **changes})
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_what_is_there_is_not_overwritten(tmp_path):
    prefix = write_fileset(tmp_path / "study", draw_genotypes(30, np.full(6, 0.3)))
    (tmp_path / "clean").mkdir()
    with pytest.raises(FileExistsError, match="clean exists; remove it or choose another folder"):
        quality_control(prefix, tmp_path / "clean", "hg19")


def test_a_missing_program_is_named_with_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("GCAMCCL_PLINK2", raising=False)
    with pytest.raises(MissingToolError, match=r"plink2 is not installed .*apt install plink2.*GCAMCCL_PLINK2"):
        find_tool("plink2")
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\necho 'Error: no such file,'\necho 'or directory.'\nexit 3\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("GCAMCCL_PLINK2", str(program))
    monkeypatch.setenv("PATH", os.defpath)
    with pytest.raises(ToolError, match=r"stopped with status 3: Error: no such file, or directory\. \(arguments: --x"):
        run_tool("plink2", ["--x"])
    monkeypatch.setenv("GCAMCCL_PLINK2", str(Path(tmp_path) / "none"))
    with pytest.raises(MissingToolError, match=r"GCAMCCL_PLINK2 names .*none, which is no file"):
        find_tool("plink2")


@plink2
def test_children_count_like_everyone_else_and_parents_stay_in_the_file(tmp_path):
    values = draw_genotypes(60, np.full(6, 0.4), seed=2)
    values[:, 3] = np.where(np.arange(60) < 2, 2, 0)  # of people with parents in the file
    values[:, 4] = np.where(np.arange(60) < 30, 0, 2)
    father = ["p59"] * 55 + ["0"] * 5
    prefix = write_fileset(tmp_path / "study", values, father=father, mother=["p58"] * 55 + ["0"] * 5)
    found = quality_control(prefix, tmp_path / "clean", "hg19")
    assert found["locus"].to_numpy().tolist() == ["rs0", "rs1", "rs2", "rs5"]
    kept = open_fileset(tmp_path / "clean" / "genotypes").samples
    assert kept["father"].tolist() == father


@plink2
def test_people_with_parents_are_as_inbred_as_without(tmp_path):
    values = draw_genotypes(60, np.full(300, 0.4), seed=8)
    found = []
    for name, father in (("founders", ["0"] * 60), ("children", ["x"] * 60)):
        files = open_fileset(write_fileset(tmp_path / name, values, father=father, mother=father))
        found.append(check_samples(files, files)[0]["inbreeding"])
    np.testing.assert_allclose(found[0], found[1])
    assert abs(found[0].mean()) < 0.05


@plink2
@pytest.mark.parametrize("place", [[1000, -5, 3000], [-5, 1000, 3000]])
def test_long_alleles_without_an_id_and_negative_positions_are_no_obstacle(tmp_path, place):
    changes = {"sid": [".", "rs1", "rs2"], "allele_1": ["A" * 40, "A", "A"], "bp_position": place}
    prefix = write_fileset(tmp_path / "study", draw_genotypes(60, np.full(3, 0.4)), **changes)
    found = quality_control(prefix, tmp_path / "clean", "hg19")
    assert found.sizes["locus"] == 2
    steps = json.loads(found.attrs["quality_control"])
    assert {row["step"]: row["snps_removed"] for row in steps}["repeated ids, negative positions"] == 1


@plink2
def test_snps_without_an_id_are_named_by_their_place(tmp_path):
    prefix = write_fileset(tmp_path / "study", draw_genotypes(60, np.full(3, 0.4)), sid=[".", ".", "rs2"])
    found = quality_control(prefix, tmp_path / "clean", "hg19")
    assert found["locus"].to_numpy().tolist() == ["1:1000:G:A", "1:2000:G:A", "rs2"]


@plink2
def test_an_id_like_NA_is_an_id(tmp_path):  # noqa: N802
    values = draw_genotypes(4, np.full(30, 0.4))
    files = open_fileset(write_fileset(tmp_path / "study", values, iid=["NA", "b", "c", "d"]))
    samples, _ = check_samples(files, files)
    assert samples.set_index("subject").loc["NA", "missing"] == 0


def test_a_few_snps_of_x_tell_nothing(tmp_path):
    values = draw_genotypes(40, np.full(5, 0.4))
    assert set(read_sex(open_fileset(write_fileset(tmp_path / "study", values, chromosome=["23"] * 5)))) == {""}


def test_ids_are_those_of_bids_without_its_prefix(tmp_path):
    prefix = write_fileset(tmp_path / "study", draw_genotypes(2, [0.4]), iid=["sub-01", "sub-02"])
    assert open_fileset(prefix).samples["subject"].tolist() == ["01", "02"]
