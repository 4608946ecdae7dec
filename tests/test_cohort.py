from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.cohort import (
    CohortError,
    assemble_cohort,
    check_cohort,
    class_names,
    extreme_groups,
    load_cohort,
    save_cohort,
    view_names,
)

SUBJECTS = [f"s{n:02d}" for n in range(8)]


def make_views(subjects: list[str] = SUBJECTS) -> dict[str, xr.DataArray]:
    rng = np.random.default_rng(0)
    n = len(subjects)
    half = rng.uniform(-0.9, 0.9, (n, 4, 4)).astype(np.float32)
    images = (half + half.swapaxes(1, 2)) / 2
    images[:, range(4), range(4)] = 1
    genotypes = rng.integers(0, 3, (n, 5)).astype(np.float32)
    genotypes[1, 2] = np.nan
    coords = {"subject": subjects}
    return {
        "fc": xr.DataArray(images, dims=("subject", "roi_i", "roi_j"), coords=coords, attrs={"kind": "correlation"}),
        "snp": xr.DataArray(genotypes, dims=("subject", "locus"), coords=coords, attrs={"kind": "genotype"}),
        "thickness": xr.DataArray(rng.normal(2.5, 0.2, (n, 3)), dims=("subject", "measure"), coords=coords),
    }


def make_cohort(**changed: object) -> xr.Dataset:
    parts: dict = {"views": make_views(), "label": pd.Series([0, 1] * 4, index=SUBJECTS)}
    return assemble_cohort(**{**parts, **changed})


# ---- assembling


def test_a_cohort_is_assembled_in_the_order_of_its_first_view() -> None:
    views = make_views()
    views["snp"] = views["snp"][::-1]
    table = pd.DataFrame({"age": np.arange(8.0), "sex": ["f", None] * 4}, index=SUBJECTS).sample(frac=1, random_state=0)
    score = pd.Series(np.arange(8.0), index=SUBJECTS)[::-1]
    cohort = make_cohort(views=views, covariates=table, score=score, group=pd.Series(list("aabbccdd"), index=SUBJECTS))
    assert view_names(cohort) == ["fc", "snp", "thickness"]
    assert class_names(cohort) == ["low", "high"]
    assert cohort["subject"].to_numpy().tolist() == SUBJECTS
    np.testing.assert_array_equal(cohort["snp"], make_views()["snp"])
    np.testing.assert_array_equal(cohort["age"], np.arange(8.0))
    np.testing.assert_array_equal(cohort["score"], np.arange(8.0))
    assert cohort["sex"].to_numpy().tolist() == ["f", ""] * 4
    roles = {str(name): variable.attrs.get("role") for name, variable in cohort.items()}
    assert roles["age"] == roles["sex"] == "covariate"
    assert roles["score"] is roles["group"] is roles["label"] is None


@pytest.mark.parametrize("part", ["snp", "label", "covariates", "score", "group"])
def test_subjects_that_do_not_match_are_named(part) -> None:
    fewer = SUBJECTS[:-2]
    tables = {
        "label": pd.Series([0, 1, 0, 1, 0, 1], index=fewer),
        "covariates": pd.DataFrame({"age": np.ones(6)}, index=fewer),
        "score": pd.Series(np.ones(6), index=fewer),
        "group": pd.Series(list("aabbcc"), index=fewer),
    }
    views = make_views()
    changed = {"views": {**views, "snp": views["snp"][:-2]}} if part == "snp" else {part: tables[part]}
    name = "age" if part == "covariates" else part
    with pytest.raises(CohortError, match=f"'fc' and '{name}' do not match: '{name}' lacks s06, s07"):
        make_cohort(**changed)


def test_subjects_that_the_first_view_lacks_are_named() -> None:
    with pytest.raises(CohortError, match="'fc' lacks extra"):
        make_cohort(label={**dict.fromkeys(SUBJECTS[:4], 0), **dict.fromkeys(SUBJECTS[4:], 1), "extra": 1})


def test_subjects_listed_twice_are_named() -> None:
    twice = ["s00", *SUBJECTS[:-1]]
    with pytest.raises(CohortError, match="'snp' lists subjects more than once: s00"):
        make_cohort(views={**make_views(), "snp": make_views(twice)["snp"]})
    cohort = make_cohort().assign_coords(subject=twice)
    with pytest.raises(CohortError, match="subject ids occur more than once: s00"):
        check_cohort(cohort)


def test_parts_that_share_a_name_are_refused() -> None:
    table = pd.DataFrame({"fc": np.ones(8), "label": np.ones(8)}, index=SUBJECTS)
    with pytest.raises(CohortError, match=r"share a name: (fc, label|label, fc); rename"):
        make_cohort(covariates=table)


def test_a_missing_group_is_named() -> None:
    with pytest.raises(CohortError, match="'group' is missing for s02"):
        make_cohort(group=pd.Series(["a", "a", None, "b", "b", "b", "c", "c"], index=SUBJECTS))


def test_a_cohort_without_views_is_refused() -> None:
    with pytest.raises(CohortError, match="at least one view"):
        assemble_cohort({}, label={})
    with pytest.raises(CohortError, match=r"has no view: mark .*role"):
        check_cohort(make_cohort()[["label"]])
    with pytest.raises(CohortError, match="no coordinate 'subject'"):
        check_cohort(make_cohort().drop_vars("subject"))


def test_a_view_named_like_its_dimension_is_refused() -> None:
    """Xarray would make it a coordinate, and no check, training or map would ever see it."""
    clashing = make_views()["snp"].rename({"locus": "snp"})
    with pytest.raises(CohortError, match=r"view 'snp' has a dimension of the same name; .*'locus'"):
        make_cohort(views={"snp": clashing})
    cohort = make_cohort()
    cohort = cohort.assign_coords(dose=cohort["snp"])
    with pytest.raises(CohortError, match="view 'dose' is a coordinate"):
        check_cohort(cohort)


# ---- checking: each fault is one error that names the variable and the subjects


def spoil(name: str, subjects: list[int], place: tuple, value: float) -> xr.Dataset:
    cohort = make_cohort()
    values = cohort[name].to_numpy().copy()
    for subject in subjects:
        values[(subject, *place)] = value
    cohort[name].values = values
    return cohort


@pytest.mark.parametrize(
    ("cohort", "fault"),
    [
        (spoil("fc", [2, 5], (0, 1), np.nan), r"view 'fc' has missing \(NaN\).* in 2 of 8 subjects: s02, s05;"),
        (spoil("thickness", [3], (1,), np.inf), r"view 'thickness' has .*infinite values in 1 of 8 subjects: s03;"),
        (spoil("fc", [4], (0, 1), 0.95), "view 'fc' has asymmetric images in 1 of 8 subjects: s04;"),
        (spoil("fc", [1], (2, 2), 1.2), r"view 'fc' has correlations beyond \[-1, 1\] in 1 of 8 subjects: s01;"),
        (spoil("snp", [0, 7], (3,), 3), "view 'snp' has genotypes other than 0, 1, 2 .* in 2 of 8 subjects: s00, s07;"),
        (spoil("snp", [6], (3,), 0.5), "view 'snp' has genotypes other than 0, 1, 2 .*: s06;"),
        (spoil("snp", [6], (3,), np.inf), "view 'snp' has genotypes other than 0, 1, 2 .*: s06;"),
        (spoil("snp", list(range(8)), (...,), np.nan), "view 'snp' has no variance: all its 8 subjects are alike"),
        (spoil("thickness", list(range(8)), (...,), 2.0), "view 'thickness' has no variance"),
        (spoil("fc", list(range(8)), (...,), 0.5), "view 'fc' has no variance"),
        (spoil("label", [3], (), 2), r"'label' is missing or not a class number \(-1 to 1\) for s03"),
        (spoil("label", list(range(8)), (), 1), "'label' needs at least two classes.*; found: high"),
        (spoil("label", list(range(8)), (), -1), "'label' needs at least two classes.*; found: none"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_bad_values_are_named(cohort, fault) -> None:
    with pytest.raises(CohortError, match=fault):
        check_cohort(cohort)


@pytest.mark.parametrize(
    ("label", "fault"),
    [
        ([0, 1, np.nan, 1, 0, 1, 0, 1], "'label' is missing or not a class number .* for s02"),
        ([0, 1, None, 1, 0, 1, 0, 1], "'label' is missing or not a class number .* for s02"),
        ([0, 1, 0.5, 1, 0, 1, 0, 1], "not a class number .* for s02"),
    ],
)
def test_a_missing_label_is_named(label, fault) -> None:
    with pytest.raises(CohortError, match=fault):
        make_cohort(label=pd.Series(label, index=SUBJECTS))


def test_faults_of_shape_are_named() -> None:
    cohort = make_cohort()
    cut = cohort["fc"][:, :, :3].rename({"roi_j": "column"})
    with pytest.raises(CohortError, match="view 'fc' is not square: its images are 4 x 3"):
        check_cohort(cohort.drop_vars("fc").assign(fc=cut))
    with pytest.raises(CohortError, match=r"view 'fc' has dimensions .*'subject'.*; expected"):
        check_cohort(cohort.assign(fc=cohort["fc"].transpose("roi_i", "subject", "roi_j")))
    cohort["fc"].attrs["kind"] = "corelation"
    with pytest.raises(CohortError, match="view 'fc' is of kind 'corelation'; known kinds are correlation, genotype"):
        check_cohort(cohort)


def test_a_cohort_without_a_usable_label_is_refused() -> None:
    with pytest.raises(CohortError, match="no 'label'; make one from a score with extreme_groups"):
        check_cohort(make_cohort().drop_vars("label"))
    cohort = make_cohort()
    del cohort["label"].attrs["classes"]
    with pytest.raises(CohortError, match=r"name its classes in attrs\['classes'\]"):
        check_cohort(cohort)


def test_checking_changes_nothing_and_allows_missing_genotypes_and_rounding() -> None:
    cohort = make_cohort()
    cohort["fc"][0, 0, 1] += 5e-4
    before = cohort.copy(deep=True)
    assert check_cohort(cohort) is cohort
    xr.testing.assert_identical(cohort, before)


@given(st.lists(st.text("abc", min_size=1, max_size=3), max_size=12), st.integers(1, 6))
def test_naming_some_counts_all(names, limit) -> None:
    text = name_some(names, limit)
    listed, _, rest = text.partition(" and ")
    assert len([name for name in listed.split(", ") if name]) + int(rest.split(" ")[0] if rest else 0) == len(names)


# ---- storing


def test_a_cohort_survives_storage(tmp_path) -> None:
    cohort = make_cohort(covariates=pd.DataFrame({"sex": ["f", "m"] * 4}, index=SUBJECTS), attrs={"access": "open"})
    path = save_cohort(cohort, tmp_path / "new" / "cohort.nc")
    stored = load_cohort(path)
    xr.testing.assert_equal(stored, cohort)
    assert stored.attrs == cohort.attrs
    assert class_names(stored) == class_names(cohort)
    assert [file.name for file in path.parent.iterdir()] == ["cohort.nc"]


def test_a_file_is_replaced_only_when_asked(tmp_path) -> None:
    path = save_cohort(make_cohort(), tmp_path / "cohort.nc")
    with pytest.raises(FileExistsError, match=r"cohort\.nc exists; .*overwrite=True"):
        save_cohort(make_cohort(), path)
    other = make_cohort(classes=("young", "old"))
    assert class_names(load_cohort(save_cohort(other, path, overwrite=True))) == ["young", "old"]


def test_a_faulty_cohort_is_not_written(tmp_path) -> None:
    with pytest.raises(CohortError, match="'fc'"):
        save_cohort(spoil("fc", [2], (0, 1), np.nan), tmp_path / "cohort.nc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, share) -> None:
    path = save_cohort(make_cohort(), tmp_path / "cohort.nc")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CohortError, match=r"cohort\.nc cannot be read as netCDF; it may be truncated"):
        load_cohort(path)


def test_a_file_that_breaks_the_schema_is_refused_on_loading(tmp_path) -> None:
    spoil("snp", [3], (0,), 7).to_netcdf(tmp_path / "cohort.nc", engine="h5netcdf")
    with pytest.raises(CohortError, match=r"'snp' has genotypes other than .*: s03"):
        load_cohort(tmp_path / "cohort.nc")


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no cohort file .*nowhere\.nc"):
        load_cohort(tmp_path / "nowhere.nc")


# ---- labelling


@given(
    scores=st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(np.nan)), min_size=1, max_size=60),
    fraction=st.floats(0.01, 0.5),
)
def test_extreme_groups_are_the_extremes(scores, fraction) -> None:
    score = np.array(scores)
    known = np.isfinite(score)
    size = round(fraction * known.sum())
    ordered = np.sort(score[known])
    assume(size > 0 and ordered[size - 1] < ordered[-size])
    label = extreme_groups(score, fraction)
    assert (label == 0).sum() == (label == 1).sum() == size
    assert (label[~known] == -1).all()
    np.testing.assert_array_equal(np.sort(score[label == 0]), ordered[:size])
    np.testing.assert_array_equal(np.sort(score[label == 1]), ordered[-size:])


def test_ties_at_a_border_follow_the_order_of_listing() -> None:
    assert extreme_groups([1, 1, 1, 5, 9, 9, 9], fraction=2 / 7).tolist() == [0, 0, -1, -1, -1, 1, 1]


@pytest.mark.parametrize(
    ("score", "fraction", "fault"),
    [
        ([1, 2, 3], 0.6, "at most 0.5, got 0.6"),
        ([1, 2, 3], 0.0, "above 0 .* got 0.0"),
        ([1, 2, np.nan, np.nan], 0.2, "0.2 of 2 scored subjects leaves the groups empty"),
        ([np.nan, np.nan], 0.2, "0 scored subjects"),
        ([7, 7, 7, 7], 0.5, "a score of 7 would be both low and high; choose a smaller fraction"),
        ([1], 0.5, "groups empty"),
    ],
)
def test_groups_that_cannot_be_are_refused(score, fraction, fault) -> None:
    with pytest.raises(ValueError, match=fault):
        extreme_groups(score, fraction)
