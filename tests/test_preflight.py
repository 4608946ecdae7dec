"""The page before a long run: every finding by a cohort that has it, and numbers against tables of power."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import save_cohort
from gcamccl_core.data.manifest import region_table
from gcamccl_core.model.smallest_effects import smallest_auc, smallest_difference
from gcamccl_core.report.preflight import main, preflight, print_page


@pytest.fixture
def cohort():
    return planted_cohort(n=120)


def verdict(cohort, check):
    page = preflight(cohort, timing=False)
    rows = page[page["check"] == check]
    return set(rows["verdict"]), " | ".join(rows["found"])


def test_a_good_cohort_has_no_fault(cohort):
    assert "fault" not in set(preflight(cohort, timing=False)["verdict"])
    assert verdict(cohort, "people twice") == ({"good"}, "no two people have the same data")


def test_time_is_measured_by_a_training(cohort):
    found = preflight(cohort).set_index("check").loc["time", "found"]
    assert "the recommended model took " in found
    assert "minutes for 20" in found
    peak, there = re.search(r"at most ([\d.]+) GiB of memory were used of (\d+)", found).groups()
    assert 0 < float(peak) < float(there)


def test_regions_are_counted_and_features_that_say_nothing_named(cohort):
    assert verdict(cohort, "coverage") == ({"good"}, "no feature is alike in everybody")
    cohort["snp"][:, 4] = 1
    said, found = verdict(cohort, "coverage")
    assert said == {"look"}
    assert f"1 of 60 features of snp are alike in everybody: {cohort['locus'].to_numpy()[4]}" in found
    regions = region_table()["roi"].to_numpy()[: cohort.sizes["roi_i"]]
    named = cohort.assign_coords(roi_i=regions, roi_j=regions)
    assert f"{len(regions)} of the 264 regions of Power's atlas" in verdict(named, "coverage")[1]


def test_what_breaks_the_schema_is_the_only_finding(cohort):
    cohort["snp"][3, 4] = 7
    page = preflight(cohort)
    assert page[["check", "verdict"]].to_numpy().tolist() == [["schema", "fault"]]
    assert "genotypes other than 0, 1, 2" in page["found"].item()


def test_one_person_under_two_ids_is_a_fault(cohort):
    cohort["fc"][7] = cohort["fc"][2]
    said, found = verdict(cohort, "people twice")
    first, second = cohort["subject"].to_numpy()[[2, 7]]
    assert said == {"fault"}
    assert f"fc is the same in {first} and {second}" in found


def test_one_person_under_two_ids_with_one_call_that_differs_is_said(cohort):
    cohort["snp"][7] = cohort["snp"][2]
    cohort["snp"][7, 0] = (cohort["snp"][2, 0].fillna(0) + 1) % 3
    said, found = verdict(cohort, "people twice")
    first, second = cohort["subject"].to_numpy()[[2, 7]]
    assert said == {"look"}
    assert found == f"snp is nearly the same in {first} and {second}: twins, or one person under two ids"


def test_a_class_that_nobody_is_in_is_a_fault(cohort):
    cohort["label"].attrs["classes"] = [*cohort["label"].attrs["classes"], "nobody"]
    said, found = verdict(cohort, "classes")
    assert said == {"fault"}
    assert "0 nobody; a class that nobody is in cannot be learnt" in found


def test_sites_are_groups_whether_named_by_words_or_numbers(cohort):
    label, rng = cohort["label"].to_numpy(), np.random.default_rng(0)
    site = np.where(label == 1, 2, np.where(rng.random(120) < 0.5, 1, 3))  # the middle number
    told = {}
    for name, values in {"numbers": site, "words": site.astype(str)}.items():
        said, found = verdict(cohort.assign(site=("subject", values, {"role": "covariate"})), "confounding")
        assert said == {"look"}
        told[name] = found.split(" (p")[0]
    assert told["numbers"] == told["words"]
    assert told["words"].startswith("site goes with the label, Cramér's V")
    said, found = verdict(cohort.assign(group=("subject", site)), "confounding")
    assert found.startswith("group goes with the label")


def test_missing_genotypes_are_counted_by_person_and_snp(cohort):
    cohort["snp"][5, ::2] = np.nan
    cohort["snp"][:30, 4] = np.nan
    said, found = verdict(cohort, "missing")
    assert said == {"look"}
    assert f"more than 5 % in {cohort['subject'].to_numpy()[5]}" in found
    assert f"more than 10 % of {cohort['locus'].to_numpy()[4]}" in found


def test_an_unknown_build_allele_or_gene_is_said(cohort):
    bare = cohort.drop_vars([name for name in cohort.coords if str(name).startswith("snp_")])
    bare.attrs.pop("genome_build", None)
    said, found = verdict(bare, "genome")
    assert said == {"look"}
    assert "not known: counted_allele, gene, block, genome_build" in found
    named = bare.assign_coords(snp_gene=("locus", ["A"] * 59 + [""])).assign_attrs(genome_build="hg19")
    assert "gene of 1 SNPs" in verdict(named, "genome")[1]


def test_few_or_unequal_classes_are_said(cohort):
    few = cohort.isel(subject=slice(30))
    assert verdict(few, "classes")[0] == {"look"}
    assert "few: one split says little" in verdict(few, "classes")[1]
    label = cohort["label"].to_numpy().copy()
    label[np.flatnonzero(label == 1)[12:]] = 0
    unequal = cohort.assign(label=("subject", label, cohort["label"].attrs))
    assert "unequal: look at sensitivity" in verdict(unequal, "classes")[1]
    two_sites = cohort.assign(group=("subject", np.where(np.arange(120) % 2, "a", "b")))
    said, found = verdict(two_sites, "classes")
    assert said == {"fault"}
    assert "2 groups are too few to divide in three" in found


def test_what_goes_with_the_label_is_named_strongest_first(cohort):
    label = cohort["label"].to_numpy()
    rng = np.random.default_rng(0)
    role = {"role": "covariate"}
    confounded = cohort.assign(
        motion=("subject", rng.normal(size=120) + 0.9 * label, role),
        site=("subject", np.where(rng.random(120) < 0.1 + 0.8 * (label == 1), "north", "south"), role),
        age=("subject", rng.normal(size=120), role),
        constant=("subject", np.ones(120), role),
    )
    page = preflight(confounded, timing=False)
    found = page.loc[page["check"] == "confounding", "found"].tolist()
    assert [text.split()[0] for text in found] == ["site", "motion", "nothing"]
    assert "Cramér's V" in found[0]
    assert "tells the classes apart with an AUC of 0.7" in found[1]
    unknown = confounded["age"].where(cohort["label"] == 1).assign_attrs(role)
    said, found = verdict(cohort.assign(age=unknown), "confounding")
    assert said == {"look"}
    assert "age is missing more in one class" in found
    assert verdict(cohort.assign(age=confounded["age"]), "confounding") == ({"good"}, "the label goes with none of age")


@pytest.mark.parametrize(("d", "n"), [(0.2, 394), (0.5, 64), (0.8, 26)])
def test_the_smallest_difference_is_that_of_cohens_tables(d, n):
    assert smallest_difference(n, n) == pytest.approx(d, abs=0.01)


def test_the_smallest_difference_is_found_as_often_as_promised():
    rng, d = np.random.default_rng(0), smallest_difference(20, 30)
    one, two = rng.normal(size=(4000, 20)), rng.normal(size=(4000, 30)) + d
    assert (ttest_ind(one, two, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(5, 2000), more=st.integers(1, 500), level=st.sampled_from([0.05, 1e-3, 1e-6]))
def test_more_people_find_smaller_effects_and_stricter_levels_larger_ones(n, more, level):
    assert smallest_difference(n + more, n, level) < smallest_difference(n, n, level)
    assert smallest_difference(n, n, level / 10) > smallest_difference(n, n, level)
    assert 0.5 < smallest_auc(n + more, n + more) <= smallest_auc(n, n) <= 1


def test_the_command_prints_the_page_faults_first_and_fails_on_them(cohort, tmp_path, capsys):
    path = save_cohort(cohort, tmp_path / "good.nc")
    assert main([str(path), "--no-timing"]) == 0
    assert capsys.readouterr().out.startswith("good.nc will work")
    cohort["fc"][7] = cohort["fc"][2]
    assert main([str(save_cohort(cohort, tmp_path / "twice.nc")), "--no-timing"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("twice.nc will not work as it is")
    assert lines[2].startswith("  fault people twice: ")
    assert main([str(tmp_path / "none.nc")]) == 1
    assert "there is no cohort file" in capsys.readouterr().out
    (tmp_path / "cut.nc").write_bytes(path.read_bytes()[:1000])
    assert main([str(tmp_path / "cut.nc")]) == 1
    assert "cannot be read as netCDF" in capsys.readouterr().out


def test_the_page_has_a_line_per_finding(cohort):
    page = preflight(cohort, timing=False)
    assert len(print_page(page, "mine.nc").splitlines()) == len(page) + 2
