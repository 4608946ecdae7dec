"""PLINK filesets: what is not whole is refused by name, and what is whole is read as it was written."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_filesets import draw_genotypes, write_fileset

from gcamccl_core.data.filesets import FilesetError, open_fileset
from gcamccl_core.data.genome_builds import GenomeBuildError, build_of, name_build, write_build


@settings(max_examples=25, deadline=None)
@given(
    values=arrays(float, st.tuples(st.integers(1, 9), st.integers(1, 7)), elements=st.sampled_from([0, 1, 2, np.nan]))
)
def test_genotypes_are_read_as_they_were_written(tmp_path_factory, values):
    files = open_fileset(write_fileset(tmp_path_factory.mktemp("bed") / "study", values))
    np.testing.assert_array_equal(files.read(), values)
    np.testing.assert_array_equal(files.read(np.array([values.shape[1] - 1])), values[:, [-1]])


def test_an_ending_is_taken_and_ids_are_those_of_the_individuals(tmp_path):
    prefix = write_fileset(tmp_path / "study", draw_genotypes(3, [0.5]), fid=["a", "a", "b"], iid=["1", "2", "3"])
    assert open_fileset(f"{prefix}.bed").samples["subject"].tolist() == ["1", "2", "3"]
    prefix = write_fileset(tmp_path / "again", draw_genotypes(3, [0.5]), fid=["a", "b", "c"], iid=["1", "1", "2"])
    assert open_fileset(prefix).samples["subject"].tolist() == ["a_1", "b_1", "2"]


def cut(end, to):
    def change(prefix):
        path = Path(f"{prefix}{end}")
        path.write_bytes(path.read_bytes()[:to])

    return change


def replace(end, old, new):
    def change(prefix):
        path = Path(f"{prefix}{end}")
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda prefix: Path(f"{prefix}.bim").unlink(), r"study is no PLINK fileset: there is no study\.bim"),
        (cut(".bed", -1), r"study\.bed is truncated.*: 10 bytes where 4 SNPs of 5 people take 11"),
        (cut(".bed", 0), r"study\.bed is no PLINK bed file"),
        (replace(".bed", b"\x6c\x1b\x01", b"\x6c\x1b\x00"), r"study\.bed is sorted by person.*--make-bed"),
        (replace(".bed", b"\x6c\x1b", b"PK"), r"study\.bed is no PLINK bed file"),
        (cut(".bim", 0), r"study\.bim is empty"),
        (cut(".fam", 0), r"study\.fam is empty"),
        (cut(".bim", 40), r"study\.bim, line 3: \d columns in place of 6"),
        (replace(".bim", b"2000", b"2e3x"), r"study\.bim, line 2: the position is '2e3x', no whole number"),
        (replace(".bim", b"2000", b"2000.5"), r"study\.bim, line 2: the position is '2000\.5', no whole number"),
        (replace(".fam", b"p1", b"p0"), r"study\.fam lists people twice: 0_p0"),
        (
            replace(".fam", b"p1", b"sub-p0"),
            r"study\.fam lists people whose ids are one without 'sub-': 0_p0, 0_sub-p0",
        ),
        (lambda prefix: Path(f"{prefix}.fam").write_text("0 p0 0 0 0 -9\n"), r"study\.bed is of another bim or fam"),
    ],
)
def test_a_fileset_that_is_not_whole_is_refused_by_name(tmp_path, change, message):
    prefix = write_fileset(tmp_path / "study", draw_genotypes(5, [0.2, 0.3, 0.4, 0.5]))
    change(prefix)
    with pytest.raises(FilesetError, match=message):
        open_fileset(prefix)


def test_the_genome_build_is_known_or_asked_for(tmp_path):
    prefix = tmp_path / "study"
    with pytest.raises(GenomeBuildError, match=r"which genome build .* study\.build beside it; positions alone"):
        build_of(prefix)
    assert build_of(prefix, "hg38") == "GRCh38"
    write_build(prefix, "hg18")
    assert build_of(prefix) == build_of(prefix, "b36") == "GRCh36"
    with pytest.raises(GenomeBuildError, match=r"said to be on GRCh37, but study\.build says GRCh36"):
        build_of(prefix, "hg19")
    with pytest.raises(GenomeBuildError, match=r"no genome build 'hg20'; known are GRCh36 \(NCBI36, hg18, b36\)"):
        name_build("hg20")
