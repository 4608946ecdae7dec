"""What maps agree with: closed forms on maps made by hand."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr, ttest_ind
from small_cohorts import planted_cohort

from gcamccl_core.maps.agreement import class_similarity, univariate_agreement
from gcamccl_core.maps.dataset import flatten_features, label_maps


def maps_of(cohort, values):
    """Wrap maps of the views fc and snp, made by hand, with one method."""
    return label_maps(values, cohort, ["grad_cam"], {})


@pytest.fixture
def cohort():
    full = planted_cohort(n=60, seed=2)
    return full.isel(subject=np.flatnonzero(full["label"] >= 0))


def random_maps(cohort, rng):
    n = cohort.sizes["subject"]
    return {"fc": rng.normal(size=(n, 2, 1, 20, 20)), "snp": rng.normal(size=(n, 2, 1, 60))}


def test_a_map_and_its_multiple_are_the_same_picture_and_its_negative_the_opposite(cohort):
    values = random_maps(cohort, np.random.default_rng(0))
    values["fc"][:, 1] = 3 * values["fc"][:, 0] + 2
    values["snp"][:, 1] = -values["snp"][:, 0]
    found = class_similarity(maps_of(cohort, values)).set_index("view")["correlation"]
    assert found["fc"] == pytest.approx(1)
    assert found["snp"] == pytest.approx(-1)


def test_the_correlation_is_the_mean_of_the_subjects_own(cohort):
    values = random_maps(cohort, np.random.default_rng(1))
    symmetric = (values["fc"] + values["fc"].swapaxes(-1, -2)) / 2
    flat = flatten_features(symmetric[:, :, 0], image=True)
    by_hand = np.mean([np.corrcoef(low, high)[0, 1] for low, high in flat])
    found = class_similarity(maps_of(cohort, values)).set_index("view")["correlation"]
    assert found["fc"] == pytest.approx(by_hand)


def test_constant_maps_are_left_out_and_if_all_are_the_answer_is_nan(cohort):
    values = random_maps(cohort, np.random.default_rng(2))
    values["snp"][1:] = 0.5
    values["fc"][:] = 0
    found = class_similarity(maps_of(cohort, values)).set_index("view")["correlation"]
    assert found["snp"] == pytest.approx(np.corrcoef(values["snp"][0, 0, 0], values["snp"][0, 1, 0])[0, 1])
    assert np.isnan(found["fc"])


def test_a_map_that_is_the_t_statistic_agrees_with_the_t_test_alone(cohort):
    values = random_maps(cohort, np.random.default_rng(3))
    label, genotypes = cohort["label"].to_numpy(), cohort["snp"].to_numpy()
    t = ttest_ind(genotypes[label == 1], genotypes[label == 0], equal_var=False, nan_policy="omit").statistic
    values["snp"][:, 1, 0] = t
    table = univariate_agreement(maps_of(cohort, values), cohort, range(len(label)))
    of_high = table.query("view == 'snp' and target_class == 'high'").set_index("statistic")["correlation"]
    assert of_high["t_test"] == pytest.approx(1)
    mean = np.maximum(np.nanmean(genotypes, axis=0), 0)
    assert of_high["mean_value"] == pytest.approx(spearmanr(np.maximum(t, 0), mean).statistic)


def test_only_the_training_subjects_are_looked_at(cohort):
    values = random_maps(cohort, np.random.default_rng(4))
    maps, train = maps_of(cohort, values), np.arange(30)
    changed = cohort.copy(deep=True)
    changed["snp"][30:] = 0
    xr.testing.assert_equal(
        univariate_agreement(maps, cohort, train).to_xarray(), univariate_agreement(maps, changed, train).to_xarray()
    )
