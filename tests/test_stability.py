"""The stability index: closed forms, its variance by hand, the coverage of its interval, and maps of several runs."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm
from small_cohorts import planted_cohort

from gcamccl_core.maps.dataset import class_values, label_maps
from gcamccl_core.maps.stability import Stability, map_stability, selection_stability

SELECTIONS = arrays(bool, st.tuples(st.integers(2, 6), st.integers(1, 9)))


def values_of(stability):
    return [stability.index, stability.low, stability.high]


def draw(rng, frequency, n_runs):
    return rng.random((n_runs, len(frequency))) < frequency


def test_the_same_selection_every_time_is_perfectly_stable():
    assert selection_stability(np.tile(np.arange(10) < 3, (4, 1))) == Stability(1, 1, 1, 4)


@pytest.mark.parametrize("n_runs", [2, 3, 5])
def test_disjoint_selections_have_the_index_of_kuncheva(n_runs):
    """Every pair shares nothing, so that the index is -(k / d) / (1 - k / d)."""
    k, d = 2, 12
    selected = np.repeat(np.eye(n_runs, 6, dtype=bool), k, axis=1)
    assert selection_stability(selected).index == pytest.approx(-k / (d - k))


def test_with_equal_sizes_it_is_the_mean_of_kunchevas_index_over_all_pairs():
    rng = np.random.default_rng(0)
    k, d = 4, 15
    selected = np.stack([rng.permutation(d) < k for _ in range(5)])
    pairs = [(selected[i] & selected[j]).sum() for i in range(5) for j in range(i)]
    kuncheva = np.mean([(shared - k**2 / d) / (k - k**2 / d) for shared in pairs])
    assert selection_stability(selected).index == pytest.approx(kuncheva)


def test_index_and_variance_of_a_small_case_by_hand():
    """Sizes 2, 1, 3 of 5: m (1 - m) = 6/25, mean of p (1 - p) = 4/45, phi = 65/54, 55/54, 60/54."""
    selected = np.array([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]], dtype=bool)
    index, deviation = 4 / 9, np.sqrt(50 / 6561)
    for confidence in (0.95, 0.5):
        reach = norm.ppf(0.5 + confidence / 2) * deviation
        expected = [index, index - reach, index + reach]
        assert values_of(selection_stability(selected, confidence)) == pytest.approx(expected)


def test_random_selections_have_no_stability():
    rng = np.random.default_rng(1)
    found = selection_stability(draw(rng, np.full(2000, 0.1), 20))
    assert abs(found.index) < 0.01
    assert found.low < 0 < found.high


@pytest.mark.parametrize(("n_runs", "covered"), [(50, 0.95), (5, 0.7)])
def test_the_interval_covers_the_true_stability_if_there_are_many_runs(n_runs, covered):
    """The truth follows from the frequencies that selections are drawn with; the intervals are nominally of 95 %."""
    rng = np.random.default_rng(2)
    frequency = np.repeat([0.95, 0.6, 0.1, 0.02], [5, 5, 10, 40])
    share = frequency.mean()
    truth = 1 - (frequency * (1 - frequency)).mean() / (share * (1 - share))
    found = [selection_stability(draw(rng, frequency, n_runs)) for _ in range(600)]
    assert np.mean([one.low <= truth <= one.high for one in found]) == pytest.approx(covered, abs=0.04)
    assert np.mean([one.index for one in found]) == pytest.approx(truth, abs=0.01)


@settings(max_examples=60, deadline=None)
@given(SELECTIONS, st.randoms(use_true_random=False))
def test_neither_the_order_of_features_nor_that_of_runs_matters(selected, random):
    runs, features = (random.sample(range(n), n) for n in selected.shape)
    expected = values_of(selection_stability(selected))
    assert values_of(selection_stability(selected[runs][:, features])) == pytest.approx(expected, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(SELECTIONS)
def test_the_index_keeps_its_bounds_and_does_not_care_what_is_called_selected(selected):
    found = selection_stability(selected)
    assert np.isnan(found.index) == (selected.all() or not selected.any())
    if not np.isnan(found.index):
        assert -1 / (len(selected) - 1) - 1e-9 <= found.index <= 1
        assert values_of(selection_stability(~selected)) == pytest.approx(values_of(found), nan_ok=True, abs=1e-9)


@pytest.mark.parametrize("value", [True, False])
def test_all_or_nothing_selected_is_undefined(value):
    assert np.isnan(values_of(selection_stability(np.full((3, 4), value)))).all()


def test_two_runs_have_an_index_and_no_interval():
    found = selection_stability(np.array([[1, 0, 0], [1, 1, 0]], dtype=bool))
    assert found.index == pytest.approx(1 - 2 * (1 / 12) / (1 / 4))
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize(
    ("selected", "confidence", "message"),
    [
        (np.ones((3, 4)), 0.95, "boolean array.*float64"),
        (np.ones(4, dtype=bool), 0.95, r"\(runs, features\).*\(4,\)"),
        (np.ones((1, 4), dtype=bool), 0.95, r"at least two runs.*\(1, 4\)"),
        (np.ones((2, 0), dtype=bool), 0.95, "and a feature"),
        (np.ones((2, 4), dtype=bool), 95, "confidence must be between 0 and 1, got 95"),
    ],
)
def test_other_selections_are_refused(selected, confidence, message):
    with pytest.raises(ValueError, match=message):
        selection_stability(selected, confidence)


def maps_of(rng, subjects, methods=("grad_cam", "guided_grad_cam")):
    """Random maps of some labelled subjects of one cohort."""
    cohort = planted_cohort(n=40, seed=3).isel(subject=subjects)
    shape = (cohort.sizes["subject"], 2, len(methods))
    values = {"fc": rng.normal(size=(*shape, 20, 20)), "snp": rng.normal(size=(*shape, 60))}
    return label_maps(values, cohort, list(methods), {})


@pytest.fixture
def runs():
    rng = np.random.default_rng(4)
    labelled = np.flatnonzero(planted_cohort(n=40, seed=3)["label"] >= 0)
    return [maps_of(rng, np.sort(rng.permutation(labelled)[:20])) for _ in range(4)]


def test_maps_are_compared_by_the_largest_features_of_their_class_mean(runs):
    table = map_stability(runs, share=0.1, confidence=0.9).set_index(["view", "target_class", "method"])
    assert len(table) == 8
    for view, n_features in (("fc", 190), ("snp", 60)):
        k = n_features // 10
        scores = [class_values(run, view, "high", "guided_grad_cam").mean(axis=0) for run in runs]
        selected = np.stack([np.isin(np.arange(n_features), np.argsort(score)[-k:]) for score in scores])
        row = table.loc[(view, "high", "guided_grad_cam")]
        expected = values_of(selection_stability(selected, 0.9))
        assert row[["stability", "low", "high"]].tolist() == pytest.approx(expected)
        assert row[["n_runs", "n_selected"]].tolist() == [4, k]


def test_trainings_that_find_the_same_are_stable_and_only_their_own_class_counts(runs):
    for run in runs:
        run["snp"][:, 1, 0, :6] += 50  # of the map for the high class
        run["snp"][(run["label"] == 0).to_numpy(), 1, 0, 30:] += 90  # in subjects of the other: no matter
    found = map_stability(runs, share=0.1).set_index(["view", "target_class", "method"])["stability"]
    assert found[("snp", "high", "grad_cam")] == 1
    assert found.drop(("snp", "high", "grad_cam")).max() < 0.5


def test_ties_across_the_border_are_left_out_and_a_constant_map_selects_nothing(runs):
    for run in runs:
        run["snp"][:, :, 0] = 0
        run["snp"][:, 1, 0, :4] = 2  # four clear ones, and the next two of six tie with all others
        run["fc_symmetric"][:, :, 0] = 7
    table = map_stability(runs, share=0.1).query("method == 'grad_cam'").set_index(["view", "target_class"])
    assert table["n_selected"].to_dict() == {
        ("fc", "low"): 0,
        ("fc", "high"): 0,
        ("snp", "low"): 0,
        ("snp", "high"): 4,
    }
    assert table["stability"].dropna().to_dict() == {("snp", "high"): 1}


def test_runs_that_cannot_be_compared_are_refused_by_number(runs):
    other = runs[3]
    renamed = other.assign_coords(locus=[f"rs{i}" for i in range(60)])
    for wrong, message in (
        (other.drop_vars("fc"), "run 3 has the views snp, run 0 fc, snp"),
        (other.isel(target_class=[0]), "run 3 has the classes low, run 0 low, high"),
        (other.isel(map_method=[1]), "run 3 has the map methods guided_grad_cam, run 0"),
        (other.isel(locus=slice(50)), "run 3 has other features of view 'snp'"),
        (renamed, "run 3 has other features of view 'snp'"),
        (other.isel(subject=other["label"] == 0), "run 3: no subject of class 'high'"),
    ):
        with pytest.raises(ValueError, match=message):
            map_stability([*runs[:3], wrong])


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_share_of_nothing_or_all_is_refused(runs, share):
    with pytest.raises(ValueError, match="share must be above 0 and below 1"):
        map_stability(runs, share=share)


def test_one_run_is_no_comparison(runs):
    for alone in (runs[:1], [], runs[0]):
        with pytest.raises(ValueError, match="at least two runs: a list of datasets"):
            map_stability(alone)


def test_the_order_of_classes_and_methods_does_not_matter(runs):
    expected = map_stability(runs, share=0.1)
    runs[2] = runs[2].isel(map_method=[1, 0])
    runs[1] = runs[1].isel(target_class=[1, 0])
    xr.testing.assert_equal(map_stability(runs, share=0.1).to_xarray(), expected.to_xarray())
