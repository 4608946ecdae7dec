from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.svm import LinearSVC

from gcamccl_core.data.abide import load_abide
from gcamccl_core.data.cohort import (
    CohortError,
    assemble_cohort,
    check_cohort,
    load_cohort,
    make_split,
    save_cohort,
    view_names,
)
from gcamccl_core.data.confounds import ConfoundRemoval, clean_for_splits, known_confounds, remove_confounds
from gcamccl_core.model.scaling import Scaling

N, SIDE = 90, 6
ALL = ["age", "motion", "sex", "group"]
TRAIN = np.arange(0, N, 3)


def confounded_cohort(seed: int = 0, sites: int = 4, missing_genotypes: int = 0) -> xr.Dataset:
    """Three views, every feature of which depends on age, motion, sex and site; the sites differ in age."""
    rng = np.random.default_rng(seed)
    ids = [f"s{number:02d}" for number in range(N)]
    site = np.append(np.arange(sites).repeat(2), rng.integers(0, sites, N - 2 * sites))
    site = site[np.argsort(np.arange(N) % 3, kind="stable").argsort()]  # every site is among those to train on
    people = pd.DataFrame(
        {
            "age": rng.uniform(8, 18, N) + site,
            "motion": rng.lognormal(-2, 0.5, N),
            "sex": rng.choice(["female", "male"], N),
        },
        index=ids,
    )
    shift = np.column_stack([people["age"] - 14, people["motion"] * 3, people["sex"] == "male", *np.eye(sites)[site].T])

    def confound(features: np.ndarray) -> np.ndarray:
        effect = shift @ rng.normal(0, 0.05, (shift.shape[1], features[0].size))
        return features + effect.reshape(features.shape)

    image = np.triu(confound(rng.normal(0, 0.1, (N, SIDE, SIDE))), 1).clip(-1, 1)
    image = (image + image.swapaxes(1, 2) + np.eye(SIDE)).astype(np.float32)
    dose = confound(rng.normal(1, 0.7, (N, 7))).round().clip(0, 2).astype(np.float32)
    dose[rng.integers(0, N, missing_genotypes), rng.integers(0, 7, missing_genotypes)] = np.nan
    coords = {"subject": ids}
    views = {
        "fc": xr.DataArray(image, dims=("subject", "roi_i", "roi_j"), coords=coords, attrs={"kind": "correlation"}),
        "snp": xr.DataArray(dose, dims=("subject", "locus"), coords=coords, attrs={"kind": "genotype"}),
        "thickness": xr.DataArray(confound(rng.normal(2.5, 0.2, (N, 5))), dims=("subject", "measure"), coords=coords),
    }
    label = pd.Series(np.arange(N) % 2, index=ids)
    group = pd.Series([f"site {number}" for number in site], index=ids)
    return assemble_cohort(views, label, covariates=people, group=group)


def features(cohort: xr.Dataset, view: str, subjects: np.ndarray) -> np.ndarray:
    values = cohort[view].to_numpy()[subjects].astype(np.float64)
    return values[:, *np.triu_indices(values.shape[1], 1)] if values.ndim == 3 else values


def indicators(cohort: xr.Dataset) -> np.ndarray:
    """Confounds in numbers, made without the module under test."""
    return (
        cohort[ALL]
        .to_dataframe()
        .pipe(pd.get_dummies, columns=["sex", "group"])[
            lambda table: [name for name in table if name.startswith(("age", "motion", "sex_", "group_"))]
        ]
        .to_numpy(float)
    )


# ---- what is removed


def test_nothing_of_the_confounds_is_left_in_the_training_subjects() -> None:
    cohort = confounded_cohort()
    cleaned = remove_confounds(cohort, TRAIN, ALL)
    design = indicators(cohort)[TRAIN]
    for view in view_names(cohort):
        before, after = features(cohort, view, TRAIN), features(cleaned, view, TRAIN)
        assert LinearRegression().fit(design, before).score(design, before) > 0.2
        assert abs(LinearRegression().fit(design, after).score(design, after)) < 1e-5
        correlations = np.corrcoef(design.T, after.T)[: design.shape[1], design.shape[1] :]
        assert np.abs(correlations).max() < 1e-5
        np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), atol=1e-6)


def test_the_fit_is_that_of_indicators_and_least_squares() -> None:
    """For training and all other subjects alike, against numpy alone."""
    cohort = confounded_cohort()
    cleaned = remove_confounds(cohort, TRAIN, ALL)
    design = indicators(cohort)
    design -= design[TRAIN].mean(axis=0)
    everyone = np.arange(N)
    for view in view_names(cohort):
        before = features(cohort, view, everyone)
        solution = np.linalg.lstsq(np.column_stack([np.ones(len(TRAIN)), design[TRAIN]]), before[TRAIN], rcond=1e-10)[0]
        np.testing.assert_allclose(features(cleaned, view, everyone), before - design @ solution[1:], atol=1e-5)


def test_the_test_subjects_do_not_enter_the_fit() -> None:
    cohort = confounded_cohort(missing_genotypes=9)
    others = np.setdiff1d(np.arange(N), TRAIN)
    changed = cohort.copy(deep=True)
    rng = np.random.default_rng(1)
    for view in view_names(cohort):
        values = changed[view].to_numpy()
        values[others] = values[rng.permutation(others)][:, ::-1]
        if values.ndim == 3:
            values[others] = values[others].swapaxes(1, 2)[:, ::-1].swapaxes(1, 2)
    for name in ("age", "motion"):
        changed[name].to_numpy()[others] *= 10
    changed["group"] = changed["group"].astype("U20")
    changed["group"].to_numpy()[others] = "somewhere new"
    one, two = (remove_confounds(each, TRAIN, ALL) for each in (cohort, check_cohort(changed)))
    for view in view_names(cohort):
        np.testing.assert_array_equal(one[view][TRAIN], two[view][TRAIN])
    first, second = (ConfoundRemoval(ALL).fit(each.isel(subject=TRAIN)) for each in (cohort, changed))
    xr.testing.assert_identical(first.apply(cohort), second.apply(cohort))
    assert not np.array_equal(one["thickness"][others], two["thickness"][others])


def test_an_unseen_site_counts_as_the_mean_of_the_known() -> None:
    """Whoever comes from elsewhere keeps what is peculiar to the place: nothing is known of it."""
    cohort = confounded_cohort()
    away = np.flatnonzero(cohort["group"] == "site 3")
    train = np.setdiff1d(TRAIN, away)
    cleaned = remove_confounds(cohort, train, ["group"])
    for view in view_names(cohort):
        np.testing.assert_allclose(cleaned[view][away], cohort[view][away], atol=1e-6)
        assert np.abs(cleaned[view][train] - cohort[view][train]).max() > 0.01


def test_missing_covariates_take_the_mean_or_the_most_frequent_of_training() -> None:
    cohort = confounded_cohort()
    here = TRAIN[2:]
    words, counts = np.unique(cohort["sex"].to_numpy()[here], return_counts=True)
    missing, filled = cohort.copy(deep=True), cohort.copy(deep=True)
    for n in (*TRAIN[:2], 1):  # in training and outside it
        missing["age"][n], missing["sex"][n] = np.nan, ""
        filled["age"][n], filled["sex"][n] = cohort["age"][here].mean(), words[counts.argmax()]
    one, two = (remove_confounds(each, TRAIN, ["age", "sex"]) for each in (missing, filled))
    for view in view_names(cohort):
        np.testing.assert_allclose(one[view], two[view], atol=1e-6)


def test_missing_genotypes_stay_missing() -> None:
    cohort = confounded_cohort(missing_genotypes=20)
    cleaned = remove_confounds(cohort, TRAIN, ALL)
    np.testing.assert_array_equal(np.isnan(cleaned["snp"]), np.isnan(cohort["snp"]))
    scaled = Scaling((7,)).fit(cleaned["snp"][TRAIN])(cleaned["snp"])
    known = ~np.isnan(cleaned["snp"].to_numpy())
    np.testing.assert_array_equal(scaled.numpy()[:, 0][known], cleaned["snp"].to_numpy()[known])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), confounds=st.sets(st.sampled_from(ALL), min_size=1), sites=st.integers(2, 8))
def test_invariants(seed, confounds, sites) -> None:
    cohort = confounded_cohort(seed, sites)
    before = cohort.copy(deep=True)
    names = sorted(confounds)
    once = remove_confounds(cohort, TRAIN, names)
    xr.testing.assert_identical(cohort, before)
    assert list(once) == list(cohort)
    twice = remove_confounds(once, TRAIN, [*names[::-1], names[0]])
    for view in view_names(cohort):
        np.testing.assert_allclose(twice[view], once[view], atol=2e-6)
        assert once[view].dtype == cohort[view].dtype
        assert once[view].attrs == {**cohort[view].attrs, "confounds_removed": names}
        assert twice[view].attrs["confounds_removed"] == names
    image = once["fc"].to_numpy()
    np.testing.assert_array_equal(image, image.swapaxes(1, 2))
    diagonal = np.arange(SIDE)
    np.testing.assert_array_equal(image[:, diagonal, diagonal], cohort["fc"].to_numpy()[:, diagonal, diagonal])
    order = np.random.default_rng(seed).permutation(TRAIN)
    again = remove_confounds(cohort, order, names)
    np.testing.assert_allclose(again["thickness"], once["thickness"], atol=1e-6)


def test_whole_numbers_and_any_memory_layout_are_taken() -> None:
    cohort = confounded_cohort()
    counts = cohort.copy()
    counts["thickness"] = (cohort["thickness"] * 1000).round().astype(np.int16)
    counts["fc"] = cohort["fc"].copy(data=np.asfortranarray(cohort["fc"].to_numpy()))
    cleaned, expected = remove_confounds(counts, TRAIN, ALL), remove_confounds(cohort, TRAIN, ALL)
    np.testing.assert_allclose(cleaned["thickness"] / 1000, expected["thickness"], atol=2e-3)
    assert cleaned["thickness"].dtype == np.float32
    np.testing.assert_array_equal(cleaned["fc"], expected["fc"])


def test_a_numbered_group_is_as_many_categories() -> None:
    cohort = confounded_cohort()
    numbered = cohort.assign(group=cohort["group"].str.replace("site ", "").astype(int))
    xr.testing.assert_equal(
        remove_confounds(numbered, TRAIN, ["group"])["fc"], remove_confounds(cohort, TRAIN, ["group"])["fc"]
    )


# ---- the schema of cleaned cohorts


def test_only_cleaned_views_may_leave_the_range_of_their_kind(tmp_path) -> None:
    cleaned = remove_confounds(confounded_cohort(missing_genotypes=3), TRAIN, ["age"])
    cleaned["fc"][1, 0, 1] = cleaned["fc"][1, 1, 0] = 1.2
    stored = load_cohort(save_cohort(cleaned, tmp_path / "cleaned.nc"))
    xr.testing.assert_equal(stored, cleaned)
    assert "confounds_removed" in stored["snp"].attrs
    again = remove_confounds(stored, TRAIN, ["age", "sex"])
    assert again["fc"].attrs["confounds_removed"] == ["age", "sex"]
    for view, fault in (("fc", "correlations beyond"), ("snp", "genotypes other than 0, 1, 2")):
        unmarked = cleaned.copy(deep=True)
        del unmarked[view].attrs["confounds_removed"]
        with pytest.raises(CohortError, match=fault):
            check_cohort(unmarked)
    for view, place, fault in (("snp", (3, 2), "infinite values"), ("fc", (3, 2, 2), "missing .* or infinite values")):
        broken = cleaned.copy(deep=True)
        broken[view].to_numpy()[place] = np.inf
        with pytest.raises(CohortError, match=f"view '{view}' has {fault} in 1 of 90 subjects: s03"):
            check_cohort(broken)


def test_known_confounds_are_the_covariates_and_the_group() -> None:
    cohort = confounded_cohort()
    assert known_confounds(cohort) == ["age", "motion", "sex", "group"]
    assert known_confounds(cohort.drop_vars(["group", "sex"])) == ["age", "motion"]


def test_a_single_new_person_can_be_cleaned() -> None:
    cohort = confounded_cohort()
    removal = ConfoundRemoval(ALL).fit(cohort.isel(subject=TRAIN))
    person = removal.apply(cohort.isel(subject=[7]))
    np.testing.assert_allclose(person["fc"][0], removal.apply(cohort)["fc"][7], atol=1e-6)


# ---- what is refused


@pytest.mark.parametrize(
    ("confounds", "fault"),
    [
        (["age", "moton"], "no confound 'moton'; did you mean 'motion'? (known: age, motion, sex, group)"),
        (["label"], "no confound 'label'; known: age, motion, sex, group"),
        (["fc"], "no confound 'fc'; known"),
        ("age", "got the one word 'age'; write ['age']"),
        ([], "there are no confounds to remove"),
    ],
)
def test_confounds_that_are_not_there_are_refused(confounds, fault) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        remove_confounds(confounded_cohort(), TRAIN, confounds)


@pytest.mark.parametrize(
    ("train", "fault"),
    [
        ([], "train must list positions"),
        ([True] * N, "train must list positions"),
        ([0.0, 1.0], "train must list positions"),
        ([0, N], "positions from 0 to 90, the cohort has 90 subjects; make the split from this cohort"),
        ([-1, 4], "positions from -1 to 4"),
    ],
)
def test_training_positions_that_cannot_be_are_refused(train, fault) -> None:
    with pytest.raises(ValueError, match=fault):
        remove_confounds(confounded_cohort(), train, ["age"])


def test_values_that_cannot_be_fitted_are_named() -> None:
    cohort = confounded_cohort()
    infinite = cohort.copy(deep=True)
    infinite["age"][[3, 6]] = np.inf
    with pytest.raises(ValueError, match="confound 'age' is infinite for s03, s06; correct it or use NaN"):
        remove_confounds(infinite, TRAIN, ["age"])
    unknown = cohort.copy(deep=True)
    unknown["age"][TRAIN], unknown["sex"][TRAIN] = np.nan, ""
    with pytest.raises(ValueError, match="no training subject has a value of age, sex; leave"):
        remove_confounds(unknown, TRAIN, ALL)
    ungenotyped = cohort.assign_coords(locus=[f"rs{n}" for n in range(7)]).copy(deep=True)
    ungenotyped["snp"][TRAIN, 4] = np.nan
    with pytest.raises(ValueError, match="view 'snp': no training subject has a value of rs4; leave these out"):
        remove_confounds(ungenotyped, TRAIN, ["age"])
    families = cohort.assign(group=("subject", [f"family {n}" for n in range(N)]))
    with pytest.raises(ValueError, match=r"group tell all 30 training subjects apart, .* would leave nothing; remove"):
        remove_confounds(families, TRAIN, ["group"])


def test_a_removal_fits_the_cohort_it_was_fitted_on() -> None:
    cohort = confounded_cohort()
    with pytest.raises(RuntimeError, match="is not fitted; call fit with the training subjects"):
        ConfoundRemoval(["age"]).apply(cohort)
    removal = ConfoundRemoval(["age"]).fit(cohort.isel(subject=TRAIN))
    with pytest.raises(ValueError, match="view 'snp' is not in both"):
        removal.apply(cohort.drop_vars("snp"))
    with pytest.raises(ValueError, match="view 'snp' has 6 features, the removal was fitted on 7"):
        removal.apply(cohort.isel(locus=slice(6)))
    with pytest.raises(ValueError, match="no confound 'age'"):
        removal.apply(cohort.drop_vars("age"))


# ---- ABIDE


@pytest.mark.shared_data
def test_the_site_of_abide_is_harder_to_tell_after_removal(mirror) -> None:
    for name in ("abide_cc200_fc.npz", "phenotypes.csv", "aseg_table.tsv"):
        mirror(f"abide/{name}")
    mirror("cc200/CC200_ROI_labels.csv")
    cohort = load_abide("diagnosis")
    split = make_split(cohort, seed=0, keep_groups=False)
    cleaned = remove_confounds(cohort, split.train, ["group"])
    site = cohort["group"].to_numpy()
    edges = np.random.default_rng(0).choice(200 * 199 // 2, 1000, replace=False)

    def accuracy(data: xr.Dataset) -> float:
        train, test = (features(data, "fc", part)[:, edges] for part in (split.train, split.test))
        model = LinearSVC(C=0.01, random_state=0).fit(train, site[split.train])
        return float(model.score(test, site[split.test]))

    before, after = accuracy(cohort), accuracy(cleaned)
    most_frequent = np.unique(site[split.test], return_counts=True)[1].max() / len(split.test)
    assert before > 0.4
    assert after < most_frequent + 0.1
    assert after < before / 2


def test_every_split_is_cleaned_by_its_own_training_part_alone() -> None:
    cohort = confounded_cohort()
    splits = [make_split(cohort, seed=seed, keep_groups=False) for seed in (0, 1)]
    cleaned = clean_for_splits(cohort, splits, " age,motion , group ")
    for one, split in zip(cleaned, splits, strict=True):
        xr.testing.assert_identical(one, remove_confounds(cohort, split.train, ["age", "motion", "group"]))
    assert not np.array_equal(cleaned[0]["fc"], cleaned[1]["fc"])
    others = cohort.copy(deep=True)
    others["fc"][splits[0].test] = np.eye(SIDE)
    again = clean_for_splits(others, splits[:1], ["age", "motion", "group"])[0]
    np.testing.assert_array_equal(again["fc"][splits[0].train], cleaned[0]["fc"][splits[0].train])


def test_nothing_to_remove_leaves_the_cohort_itself() -> None:
    cohort = confounded_cohort()
    splits = [make_split(cohort, seed=seed) for seed in (0, 1)]
    assert all(one is cohort for nothing in ("", " , ", []) for one in clean_for_splits(cohort, splits, nothing))
    with pytest.raises(ValueError, match="no confound 'agge'; did you mean 'age'"):
        clean_for_splits(cohort, splits, "agge")
