"""Selection with a promised rate: kept where nothing differs, finding what does, blind to what it must not see."""

from math import comb

import numpy as np
import pytest
import xarray as xr
from scipy.stats import false_discovery_control, ttest_ind
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import make_split
from gcamccl_core.maps.activation_patterns import activation_patterns
from gcamccl_core.maps.confirmed_selection import confirm_biomarkers
from gcamccl_core.maps.exact_tests import exact_trend
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit

N, LENGTH = 60, 400


def make(effect=0.0, planted=20, seed=0, map_seed=1, good_map=True, blocks=False, shared=0.0):
    """A vector view whose first features rise with the class, and a map of both classes, that knows or guesses."""
    random = np.random.default_rng(seed)
    label = np.arange(N) % 2
    values = random.standard_normal((N, LENGTH)) + shared * random.standard_normal((N, 1))
    values[:, :planted] += effect * label[:, None]
    score = np.random.default_rng(map_seed).normal(0, 0.1, LENGTH)
    if good_map:
        score[:planted] += 1
    coords = {"locus": [f"rs{i:03d}" for i in range(LENGTH)]}
    if blocks:
        coords["snp_block"] = ("locus", np.repeat(np.arange(LENGTH // 4), 4).astype(str))
    truth = np.stack([np.zeros(LENGTH), np.arange(LENGTH) < planted]) > 0
    cohort = xr.Dataset(
        {
            "snp": (("subject", "locus"), values, {"kind": "genotype"}),
            "label": ("subject", label, {"classes": ["low", "high"]}),
            "truth_snp": (("target_class", "locus"), truth),
            "population_truth_snp": (("target_class", "locus"), truth),
        },
        coords={"subject": [f"s{i}" for i in range(N)], "target_class": ["low", "high"], **coords},
    )
    dims = ("subject", "target_class", "map_method", "locus")
    maps = xr.Dataset(
        {"snp": (dims, np.stack([np.stack([-score, score])[:, None]] * 2), {"role": "map"})},
        coords={
            "subject": ["group of low", "group of high"],
            "target_class": ["low", "high"],
            "map_method": ["activation_pattern"],
            "label": ("subject", [0, 1]),
            **coords,
        },
    )
    return maps, cohort


def test_q_values_are_those_of_benjamini_and_hochberg_in_each_list_times_the_lists():
    maps, cohort = make(effect=1.0)
    found = confirm_biomarkers(maps, cohort, range(N), rate=0.999)
    values, label = cohort["snp"].to_numpy(), cohort["label"].to_numpy()
    for number, name in enumerate(["low", "high"]):
        best = np.argsort(-maps["snp"].to_numpy()[0, number, 0], kind="stable")[:20]
        of, rest = values[label == number][:, best], values[label != number][:, best]
        _, p = ttest_ind(of, rest, equal_var=False, alternative="greater")
        expected = dict(zip(cohort["locus"].to_numpy()[best], 2 * false_discovery_control(p), strict=True))
        rows = found[found["target_class"] == name]
        assert rows["q_value"].tolist() == pytest.approx([expected[feature] for feature in rows["feature"]])
        assert set(rows["feature"]) == {feature for feature, q in expected.items() if q <= 0.999}
    assert found.attrs["tested"] == {"snp": 40}


def test_what_was_planted_is_found_and_little_else():
    found = confirm_biomarkers(*make(effect=1.5), range(N), truth=True)
    assert found.query("target_class == 'high'")["planted"].sum() >= 18
    assert (~found["planted"]).sum() <= 3
    of_high = found[found["target_class"] == "high"]
    assert of_high["rank"].tolist() == list(range(1, len(of_high) + 1))


def test_a_good_map_finds_more_than_a_bad_one():
    good, bad = (confirm_biomarkers(*make(0.8, good_map=each), range(N), truth=True) for each in (True, False))
    assert good["planted"].sum() > bad["planted"].sum()


@pytest.mark.parametrize("shared", [0.0, 1.0], ids=["independent features", "features that share a signal"])
def test_where_nothing_differs_anything_is_selected_as_rarely_as_promised(shared):
    rate, n = 0.2, 150
    anything = [
        len(confirm_biomarkers(*make(seed=seed, map_seed=seed, shared=shared), range(N), rate=rate))
        for seed in range(n)
    ]
    assert np.mean(np.array(anything) > 0) < rate + 2.5 * np.sqrt(rate * (1 - rate) / n)
    assert np.mean(np.array(anything) > 0) > 0.02  # and not by never selecting


def test_with_a_fitted_model_and_labels_that_mean_nothing_little_is_selected():
    """The whole way, on cohorts without a difference; a model that is sure of nothing selects nothing."""
    anything = 0
    for seed in range(6):
        cohort = planted_cohort(n=100, strength=0.0, seed=seed)
        split = make_split(cohort, seed=seed)
        net = fit(cohort, split, Recipe.recommended(), seed, progress=False).net
        judges = np.concatenate([split.validation, split.test])
        others = np.setdiff1d(np.arange(100), judges)
        maps = activation_patterns(net, cohort, others, progress=False)
        anything += len(confirm_biomarkers(maps, cohort, judges, rate=0.1)) > 0
    assert anything <= 3


def test_people_with_a_part_in_the_map_are_refused_by_name():
    cohort = planted_cohort(n=100, seed=0)
    split = make_split(cohort, seed=0)
    net = fit(cohort, split, Recipe.recommended(), progress=False).net
    maps = activation_patterns(net, cohort, range(100), progress=False)  # labels are not looked at, but features are
    first = min(cohort["subject"].to_numpy()[split.test].tolist())
    with pytest.raises(ValueError, match=f"had a part in the map, which breaks the promised rate: {first}"):
        confirm_biomarkers(maps, cohort, split.test)


def test_blocks_are_tested_as_one_and_a_single_good_snp_is_enough():
    maps, cohort = make(effect=2.5, planted=1, blocks=True, map_seed=3)
    found = confirm_biomarkers(maps, cohort, range(N), truth=True)
    first = found[found["target_class"] == "high"].iloc[0]
    assert first["feature"] == "rs000"
    assert first["planted"]
    assert found.groupby("target_class")["block"].apply(lambda of: of.is_unique).all()
    score = maps["snp"].to_numpy()[0, 1, 0, :4]
    plain = confirm_biomarkers(*make(effect=2.5, planted=1, map_seed=3), range(N)).set_index("feature")
    assert first["p_value"] == pytest.approx((score > 0).sum() * plain.loc["rs000", "p_value"])
    assert found.attrs["tested"] == {"snp": 10}


def test_other_subjects_labels_have_no_say():
    maps, cohort = make(effect=1.5)
    changed = cohort.copy(deep=True)
    changed["label"][40:] = 1 - changed["label"][40:]
    one, two = (confirm_biomarkers(maps, each, range(40)) for each in (cohort, changed))
    assert one["feature"].tolist() == two["feature"].tolist()


def test_two_values_that_separate_the_classes_are_tested_exactly():
    """Nothing varies within a class then, so that Welch's t is no number."""
    maps, cohort = make()
    cohort["snp"].attrs["kind"] = "measure"
    cohort["snp"][:, 0] = 7.5 * cohort["label"].astype(float)
    found = confirm_biomarkers(maps, cohort, range(N)).set_index("feature")
    assert found.loc["rs000", "p_value"] == pytest.approx(1 / comb(N, N // 2))  # one division of all there are
    cohort["snp"][:, 0] = 7.5 * (1 - cohort["label"].astype(float))
    assert "rs000" not in set(confirm_biomarkers(maps, cohort, range(N))["feature"])  # the map says the other way


def test_a_cohort_of_other_features_or_classes_is_refused():
    maps, cohort = make(effect=2.0)
    with pytest.raises(ValueError, match="maps and cohort differ along 'locus' of view 'snp'"):
        confirm_biomarkers(maps, cohort.isel(locus=slice(None, None, -1)), range(N))
    renamed = cohort.copy(deep=True)
    renamed["label"].attrs["classes"] = ["high", "low"]
    with pytest.raises(ValueError, match="the maps' classes are low, high, the cohort's high, low"):
        confirm_biomarkers(maps, renamed, range(N))


def test_one_class_of_two_is_that_class():
    maps, cohort = make(effect=2.0)
    maps.attrs["classes"] = ["low", "high"]
    whole = confirm_biomarkers(maps, cohort, range(N), rate=0.2).query("target_class == 'high'")
    alone = confirm_biomarkers(maps.sel(target_class=["high"]), cohort, range(N), rate=0.1)
    assert len(alone) > 10
    assert alone["feature"].tolist() == whole["feature"].tolist()


@pytest.mark.parametrize("nothing", ["", None])
def test_features_without_a_block_are_tested_one_by_one(nothing):
    maps, cohort = make(effect=2.0)
    without = ("locus", np.array([nothing] * LENGTH, dtype=object))
    found = confirm_biomarkers(*(each.assign_coords(snp_block=without) for each in (maps, cohort)), range(N))
    plain = confirm_biomarkers(maps, cohort, range(N))
    assert len(plain) > 10
    assert found["feature"].tolist() == plain["feature"].tolist()
    assert found["block"].isna().all()


def test_columns_are_the_same_whatever_the_views():
    cohort = planted_cohort(n=60)
    for views in (["fc"], ["snp"]):
        small = cohort[[*views, "label"]]
        split = make_split(small, seed=0)
        net = fit(small, split, Recipe.recommended(), progress=False).net
        maps = activation_patterns(net, small, split.train, progress=False)
        found = confirm_biomarkers(maps, small, split.test, rate=0.5)
        assert found.columns.tolist()[:8] == [
            "view", "target_class", "rank", "feature", "map_value", "t", "p_value", "q_value"
        ]  # fmt: skip
        assert {"roi_i", "roi_j", "gene", "block"} <= set(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"candidates": 0.0}, "candidates must be above 0 and at most 1"),
        ({"rate": 1.0}, "rate must be above 0 and below 1"),
        ({"method": "gradient"}, "the maps have no method 'gradient'"),
        ({"subjects": [0, 2, 4, 1]}, "too few of high"),
    ],
)
def test_what_cannot_be_is_named(arguments, message):
    maps, cohort = make()
    with pytest.raises(ValueError, match=message):
        confirm_biomarkers(**{"maps": maps, "cohort": cohort, "subjects": range(N), **arguments})


def test_subjects_outside_the_contrast_are_refused_by_name():
    maps, cohort = make()
    cohort["label"][7] = -1
    with pytest.raises(ValueError, match=r"outside the contrast \(label -1\) cannot confirm anything: s7"):
        confirm_biomarkers(maps, cohort, range(N))


def test_the_rate_is_kept_for_rare_alleles_in_unequal_classes():
    """Nothing differs; three quarters are of the class that the map speaks for. Welch's t would find something."""
    maps, cohort = make()
    found = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        people = cohort.copy(deep=True)
        people["snp"].values[:] = random.binomial(2, random.uniform(0.05, 0.2, LENGTH), (N, LENGTH))
        people["label"].values[:] = np.arange(N) % 4 > 0
        found += len(confirm_biomarkers(maps, people, range(N), candidates=0.5, rate=0.1)) > 0
    assert found <= 6 + 3 * np.sqrt(60 * 0.1 * 0.9)


def test_genotypes_are_tested_exactly_and_dosages_by_welch():
    maps, cohort = make()
    cohort["snp"].values[:] = np.random.default_rng(0).binomial(2, 0.3, (N, LENGTH))
    label = cohort["label"].to_numpy()
    cohort["snp"].values[:, 0] = label  # one copy in all of the class, none elsewhere
    cohort["snp"].values[:, 1] = 0.5 * label + 0.1 * (np.arange(N) % 3 == 0)  # imputed
    found = confirm_biomarkers(maps, cohort, range(N)).set_index("feature")
    assert found.loc["rs000", "p_value"] == pytest.approx(exact_trend(np.ones(30), np.zeros(30)))
    dosage = cohort["snp"].to_numpy()[:, 1]
    welch = ttest_ind(dosage[label == 1], dosage[label == 0], equal_var=False, alternative="greater").pvalue
    assert found.loc["rs001", "p_value"] == pytest.approx(welch)


@pytest.mark.parametrize(
    ("subjects", "trained_on", "message"),
    [
        ([*range(N), 3], None, "given once; more often: s3"),
        (range(N), [4, 5], "2 of the 60 subjects had a part in the network"),
    ],
)
def test_judges_are_refused_who_count_twice_or_trained(subjects, trained_on, message):
    with pytest.raises(ValueError, match=message):
        confirm_biomarkers(*make(), subjects, trained_on=trained_on)
