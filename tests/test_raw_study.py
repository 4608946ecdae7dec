"""The way from files back to what they were made from; a study of one's own in the same layout."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from small_cohorts import planted_cohort
from small_filesets import plink2

from gcamccl_core.data.brain_expression import most_expressed, name_variants, shared_eqtls
from gcamccl_core.data.gene_bodies import read_gene_bodies
from gcamccl_core.data.genotype_arrays import merge_arrays
from gcamccl_core.data.genotypes import quality_control
from gcamccl_core.data.raw_genotypes import AMBIGUOUS, DUPLICATED, EXTRA, INCOMPLETE, RARE, UNBALANCED
from gcamccl_core.data.raw_study import join_study, read_people, read_raw_study, write_raw_study
from gcamccl_core.data.snp_selection import select_snps


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_raw_study(tmp_path_factory.mktemp("raw") / "study", 12, 200, progress=False)


@plink2
def test_genotypes_come_back_as_they_were_and_every_fault_is_counted(study, tmp_path):
    removed, _ = merge_arrays(study.arrays, tmp_path / "merged")
    merged = dict(removed.to_numpy().tolist())
    assert merged["not on every array"] == EXTRA["array_1"]
    assert merged["A/T or C/G, whose strand cannot be told"] == AMBIGUOUS
    found = quality_control(tmp_path / "merged" / "genotypes", tmp_path / "clean")
    steps = pd.DataFrame(json.loads(found.attrs["quality_control"])).set_index("step")
    gone = steps["snps_removed"].tolist()
    assert gone[:3] == [0, 0, 0]
    assert gone[3] == UNBALANCED
    assert RARE <= gone[4] <= RARE + 20  # rare ones of the panel, too
    assert DUPLICATED <= gone[5] <= DUPLICATED + 5
    assert gone[6] == INCOMPLETE
    assert steps["samples_removed"].tolist() == [0] * 7 + [1]
    eqtls = name_variants(shared_eqtls(study.eqtls, progress=False)["variant_id"], study.lookup)
    bodies = read_gene_bodies(study.genes)
    genes = most_expressed(study.expression, among=bodies["gene"])
    chosen, _ = select_snps(found, eqtls, genes, bodies, "simulated")
    both = chosen["locus"].to_numpy()[np.isin(chosen["locus"], study.cohort["locus"])]
    assert len(both) > 0.93 * study.cohort.sizes["locus"]
    mine, truth = chosen.sel(locus=both), study.cohort.sel(locus=both, subject=chosen["subject"])
    assert mine["snp_counted_allele"].to_numpy().tolist() == truth["snp_counted_allele"].to_numpy().tolist()
    assert mine["snp_gene"].to_numpy().tolist() == truth["snp_gene"].to_numpy().tolist()
    known = ~np.isnan(mine["snp"].to_numpy())
    assert known.mean() > 0.98
    np.testing.assert_array_equal(mine["snp"].to_numpy()[known], truth["snp"].to_numpy()[known])


def test_a_study_in_the_same_layout_is_found(study, tmp_path):
    folder = study.people.parent
    found = read_raw_study(folder)
    assert found.arrays == study.arrays
    assert (found.genes, found.eqtls, found.lookup, found.expression) == (
        study.genes, study.eqtls, study.lookup, study.expression
    )  # fmt: skip
    assert found.cohort is None
    own = tmp_path / "own"
    (own / "genotypes").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"no .*derivatives, no .*people\.csv, no .*genotypes/\*\.bed"):
        read_raw_study(own)
    shutil.copy(study.people, own / "people.csv")
    (own / "derivatives").mkdir()
    (own / "genotypes" / "array.bed").touch()
    assert read_raw_study(own).genes is None


def test_a_study_is_written_whole_and_never_over_another(study):
    with pytest.raises(FileExistsError, match="study exists"):
        write_raw_study(study.people.parent, 12, 40, progress=False)
    with pytest.raises(ValueError, match="n_scans must be at least 12 and at most n_genotyped, got 8"):
        write_raw_study(study.people.parent / "new", 8, 40, progress=False)
    assert set(study.faults) < set(study.cohort["subject"].to_numpy())
    assert study.series.shape == (12, 231, 264)


@pytest.fixture
def parts():
    """What is to be joined: 30 scanned people, 29 in the table, 28 genotyped, two of them siblings."""
    ids = [f"p{number:02d}" for number in range(30)]
    rng = np.random.default_rng(0)
    cohort = planted_cohort(n=30).assign_coords(subject=ids)
    scans = pd.DataFrame({"subject": ids, "translation": rng.random(30), "sfnr": 300 + rng.random(30)})
    people = pd.DataFrame({"score": rng.normal(size=29), "age": 9.0}, index=pd.Index(ids[1:], name="subject"))
    genotypes = cohort[["snp"]].isel(subject=slice(28)).assign_attrs(genome_build="GRCh37")
    related = pd.DataFrame({"subject_1": ["p03", "x"], "subject_2": ["p07", "p09"], "kinship": 0.25})
    return cohort["fc"], scans, people, genotypes, related


def test_a_study_is_joined_of_those_who_have_everything(parts):
    cohort, counts = join_study(*parts, attrs={"source": "own"})
    assert counts.to_dict() == {
        "with a scan": 30, "without row in the table of people": 1, "without genotypes": 2, "in the cohort": 27
    }  # fmt: skip
    scans = parts[1].set_index("subject").loc[cohort["subject"].to_numpy()]
    np.testing.assert_array_equal(cohort["head_translation"], scans["translation"])
    np.testing.assert_array_equal(cohort["sfnr"], scans["sfnr"])
    family = cohort["group"].to_series()
    assert family["p03"] == family["p07"]
    assert family.nunique() == 26
    assert cohort.attrs["genome_build"] == "GRCh37"
    alone, _ = join_study(*parts[:3])
    assert "group" not in alone
    assert "snp" not in alone


def test_people_of_whom_nobody_has_everything_are_shown_by_an_id_each(parts):
    view, scans, people, *_ = parts
    with pytest.raises(
        ValueError, match=r"nobody has scan and row.*are the ids the same\? The first: scan p00 and 29 more; row.* P01"
    ):
        join_study(view, scans, people.rename(index=str.upper))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("people.csv", "subject,age\na,9\n", r"people\.csv has no column score; it has subject, age"),
        ("people.csv", "subject,score\na,9\na,8\n", r"people\.csv lists people twice: a"),
        ("people.csv", "subject,score\n,9\n", r"people\.csv, line 2: the subject has no name"),
        ("participants.tsv", "participant_id\tage\nsub-a\t9\n", r"participants\.tsv has no column score"),
    ],
)
def test_a_faulty_table_of_people_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_people(tmp_path / name)


def test_people_are_read_by_subject_also_from_bids(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\tscore\nsub-01\t99\n")
    assert read_people(tmp_path / "participants.tsv")["score"].to_dict() == {"01": 99}
