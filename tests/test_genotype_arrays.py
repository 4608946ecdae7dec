"""People of several arrays: the same genotypes come back whichever strand and allele each array's file names."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_filesets import draw_genotypes, write_fileset

from gcamccl_core.data.filesets import FilesetError, open_fileset
from gcamccl_core.data.genome_builds import GenomeBuildError
from gcamccl_core.data.genotype_arrays import COMPLEMENT, merge_arrays

PAIRS = ["AG", "GA", "AC", "CA", "TG", "GT", "TC", "CT"]  # whose strand can be told


def write_array(prefix, values, pairs, people, **changes):
    return write_fileset(
        prefix,
        values,
        iid=people,
        allele_1=[pair[0] for pair in pairs],
        allele_2=[pair[1] for pair in pairs],
        **changes,
    )


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_strands_and_counted_alleles_are_brought_to_those_of_the_first_array(tmp_path_factory, data):
    folder, m = tmp_path_factory.mktemp("arrays"), 6
    values = draw_genotypes(7, np.full(m, 0.4), seed=data.draw(st.integers(0, 99)))
    values[2, 3] = np.nan
    pairs = data.draw(st.lists(st.sampled_from(PAIRS), min_size=m, max_size=m))
    flip, swap = (data.draw(st.lists(st.booleans(), min_size=m, max_size=m)) for _ in range(2))
    theirs, named = values[4:].copy(), []
    for number, pair in enumerate(pairs):
        pair = pair.translate(COMPLEMENT) if flip[number] else pair
        named.append(pair[::-1] if swap[number] else pair)
        theirs[:, number] = 2 - theirs[:, number] if swap[number] else theirs[:, number]
    order = data.draw(st.permutations(range(m)))
    one = write_array(folder / "one", values[:4], pairs, list("abcd"))
    sid, place = [f"rs{number}" for number in order], [1000 * (number + 1) for number in order]
    named = [named[number] for number in order]
    two = write_array(folder / "two", theirs[:, order], named, list("efg"), sid=sid, bp_position=place)
    removed, arrays = merge_arrays([one, two], folder / "both", "hg19")
    merged = open_fileset(folder / "both" / "genotypes")
    np.testing.assert_array_equal(merged.read(), values)
    assert merged.samples["subject"].tolist() == list("abcdefg")
    assert (merged.variants["counted_allele"] + merged.variants["other_allele"]).tolist() == pairs
    assert removed.iloc[-1]["snps"] == m
    assert arrays["flipped"].tolist() == [0, sum(flip)]
    assert arrays["swapped"].tolist() == [0, sum(swap)]


def test_every_snp_left_out_is_counted_under_its_reason(tmp_path):
    pairs = ["AG", "AT", "CG", "AG", "AG", "AG", "AG", "AG", "AG"]
    ids = [f"rs{number}" for number in range(8)] + ["rs7"]
    values = draw_genotypes(5, np.full(9, 0.4))
    one = write_array(tmp_path / "one", values, pairs, list("abcde"), sid=ids)
    other = ["AG", "AT", "GC", "AC", "AG", "0G"]
    place = [1000, 2000, 3000, 4000, 5001, 6000]
    two = write_array(
        tmp_path / "two", draw_genotypes(4, np.full(6, 0.4)), other, list("efgh"), sid=ids[:6], bp_position=place
    )
    removed, arrays = merge_arrays([one, two], tmp_path / "both", "hg19")
    assert dict(removed.to_numpy().tolist()) == {
        "on the first array": 9,
        "repeated ids": 2,
        "not on every array": 1,
        "other position": 1,
        "alleles are no two of A, C, G and T": 1,
        "A/T or C/G, whose strand cannot be told": 2,
        "other alleles": 1,
        "common to all arrays": 1,
    }
    assert removed["snps"].iloc[0] - removed["snps"].iloc[1:-1].sum() == removed["snps"].iloc[-1]
    assert arrays["samples_elsewhere"].tolist() == [0, 1]
    merged = open_fileset(tmp_path / "both" / "genotypes")
    assert merged.samples["subject"].tolist() == list("abcdefgh")
    np.testing.assert_array_equal(merged.read()[4], values[4, :1])  # e as on the first array
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "both" / "merged.csv"), removed)


@pytest.mark.parametrize(
    ("first", "second", "n_elsewhere"),
    [
        (["0"] * 3, ["a", "b", "x"], 2),  # the same as 0 and as the individual
        (["a", "b", "c"], ["0"] * 3, 2),
        (["f", "f", "f"], ["0"] * 3, 2),
        (["f", "f", "f"], ["f", "f", "f"], 2),
        (["f", "f", "f"], ["g", "g", "g"], 0),  # families of their own: others with the same name
    ],
)
def test_a_person_is_the_same_whatever_stands_for_no_family(tmp_path, first, second, n_elsewhere):
    values = draw_genotypes(3, [0.4, 0.3])
    one = write_array(tmp_path / "one", values, ["AG", "AC"], ["a", "b", "c"], fid=first)
    two = write_array(tmp_path / "two", values, ["AG", "AC"], ["a", "sub-b", "x"], fid=second)
    _, arrays = merge_arrays([one, two], tmp_path / "both", "hg19")
    assert arrays["samples_elsewhere"].tolist() == [0, n_elsewhere]
    people = open_fileset(tmp_path / "both" / "genotypes").samples["subject"].tolist()
    assert people == (["a", "b", "c", "x"] if n_elsewhere else ["f_a", "f_b", "c", "g_a", "g_b", "x"])


def test_a_person_whose_genotypes_are_anothers_on_the_second_array_is_counted(tmp_path):
    values = draw_genotypes(5, np.full(60, 0.4))
    one = write_array(tmp_path / "one", values, ["AG"] * 60, list("abcde"))
    swapped = 2 - values[[0, 2, 1]]  # b and c; the other allele is counted
    swapped[0, :20] = np.nan
    two = write_array(tmp_path / "two", swapped, ["GA"] * 60, list("abc"))
    _, arrays = merge_arrays([one, two], tmp_path / "both", "hg19")
    assert arrays["samples_elsewhere"].tolist() == [0, 3]
    assert arrays["samples_unlike"].tolist() == [0, 2]


def test_arrays_that_cannot_be_merged_are_refused_and_nothing_is_written(tmp_path):
    one = write_array(tmp_path / "in" / "one", draw_genotypes(3, [0.4]), ["AG"], list("abc"))
    two = write_array(tmp_path / "in" / "two", draw_genotypes(3, [0.4]), ["AC"], list("def"))
    with pytest.raises(FilesetError, match=r"no SNP is usable on all of .*: on the first array 1, .*other alleles 1"):
        merge_arrays([one, two], tmp_path / "both", "hg19")
    with pytest.raises(FilesetError, match="takes two filesets or more"):
        merge_arrays([one], tmp_path / "both", "hg19")
    (tmp_path / "in" / "one.build").write_text("GRCh36\n")
    (tmp_path / "in" / "two.build").write_text("GRCh37\n")
    with pytest.raises(GenomeBuildError, match=r"arrays are on different builds: .*one GRCh36, .*two GRCh37"):
        merge_arrays([one, two], tmp_path / "both")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
