"""How alike two maps are: closed forms, independent implementations, and the trap of group differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from small_cohorts import planted_cohort

from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.dataset import flatten_features, label_maps
from gcamccl_core.maps.map_comparison import MEASURES, compare_maps, group_difference, structural_similarity
from gcamccl_core.maps.random_weights import random_weights_like
from gcamccl_core.model.networks import CollaborativeNet

SIDE, LENGTH, SUBJECTS = 8, 12, 6
MAPS = arrays.arrays(np.float64, (3, 14), elements=st.floats(-9, 9, width=16), unique=True)


@pytest.fixture(scope="module")
def cohort():
    return planted_cohort(n=SUBJECTS, side=SIDE, length=LENGTH)


def random_values(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    shape = (SUBJECTS, 2, 1)
    return {"fc": scale * rng.normal(size=(*shape, SIDE, SIDE)), "snp": scale * rng.normal(size=(*shape, LENGTH))}


def make_maps(cohort, values):
    return label_maps(values, cohort, ["grad_cam"], {})


def by_view(maps, other):
    return compare_maps(maps, other).query("target_class == 'high'").set_index("view")


def test_maps_compared_with_themselves_are_the_same(cohort):
    table = compare_maps(*[make_maps(cohort, random_values(0))] * 2)
    assert table.columns.tolist() == ["view", "target_class", "method", *MEASURES, "subjects"]
    assert len(table) == 4
    np.testing.assert_allclose(table[MEASURES], 1)
    assert (table["subjects"] == SUBJECTS).all()


def test_rank_correlations_are_the_mean_of_spearmans_of_each_subject(cohort):
    first, second = random_values(1), random_values(2)
    upper = np.triu_indices(SIDE, k=1)
    flat = {"snp": [values["snp"][:, 1, 0] for values in (first, second)]}
    flat["fc"] = [(v["fc"] + v["fc"].swapaxes(-1, -2))[:, 1, 0][:, *upper] for v in (first, second)]
    found = by_view(make_maps(cohort, first), make_maps(cohort, second))
    for view, (one, other) in flat.items():
        signed = np.mean([spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)])
        absolute = np.mean([spearmanr(abs(a), abs(b)).statistic for a, b in zip(one, other, strict=True)])
        assert found.loc[view, "rank_correlation"] == pytest.approx(signed)
        assert found.loc[view, "absolute_rank_correlation"] == pytest.approx(absolute)


def test_a_map_of_opposite_sign_is_opposite_but_for_its_absolute_values(cohort):
    values = random_values(3)
    found = by_view(make_maps(cohort, values), make_maps(cohort, {view: -array for view, array in values.items()}))
    np.testing.assert_allclose(found["rank_correlation"], -1)
    np.testing.assert_allclose(found["absolute_rank_correlation"], 1)
    assert (found["ssim"] < -0.5).all()


@settings(max_examples=10, deadline=None)
@given(MAPS, st.floats(0.01, 100))
def test_no_measure_depends_on_the_unit_of_a_map_nor_ranks_on_its_scale(values, factor):
    few = planted_cohort(n=3, side=SIDE, length=14)[["snp", "label"]]
    whole = make_maps(few, {"snp": np.tile(values[:, None, None], (1, 2, 1, 1))})
    scaled = whole.assign(snp=whole["snp"].copy(data=factor * whole["snp"].to_numpy()))
    bent = whole.assign(snp=whole["snp"].copy(data=np.arctan(whole["snp"].to_numpy())))
    np.testing.assert_allclose(compare_maps(whole, scaled)[MEASURES], 1)
    np.testing.assert_allclose(compare_maps(whole, bent)["rank_correlation"], 1)


def test_constant_maps_are_left_out_counted_and_if_all_are_the_answer_is_nan(cohort):
    first, second = random_values(4), random_values(5)
    first["snp"][1:] = 0.5
    second["fc"][:] = 0
    found = by_view(make_maps(cohort, first), make_maps(cohort, second))
    alone = spearmanr(first["snp"][0, 1, 0], second["snp"][0, 1, 0]).statistic
    assert found.loc["snp", "rank_correlation"] == pytest.approx(alone)
    assert found["subjects"].to_dict() == {"fc": 0, "snp": 1}
    assert found.loc["fc", MEASURES].isna().all()


def test_absolute_values_that_do_not_vary_have_no_ranks(cohort):
    first = random_values(6)
    first["snp"] = np.sign(first["snp"])
    found = by_view(make_maps(cohort, first), make_maps(cohort, random_values(7))).loc["snp"]
    assert np.isnan(found["absolute_rank_correlation"])
    assert np.isfinite([found["rank_correlation"], found["ssim"]]).all()


@pytest.mark.parametrize("shape", [(2, 30), (2, 9, 9)])
def test_structural_similarity_equals_sums_over_windows_written_out(shape):
    rng = np.random.default_rng(8)
    one, other = rng.uniform(size=(2, *shape))
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = line if len(shape) == 2 else np.outer(line, line)
    padding = [(0, 0), *[(5, 5)] * (len(shape) - 1)]
    wide, other_wide = (np.pad(values, padding, mode="symmetric") for values in (one, other))
    found = structural_similarity(one, other)
    for subject in range(2):
        terms = []
        for position in np.ndindex(*shape[1:]):
            part = tuple(slice(p, p + 11) for p in position)
            x, y = wide[subject][part].ravel(), other_wide[subject][part].ravel()
            (xx, xy), (_, yy) = np.cov(x, y, aweights=window.ravel(), ddof=0)
            mx, my = np.average([x, y], axis=1, weights=window.ravel())
            top, bottom = (2 * mx * my + 1e-4) * (2 * xy + 9e-4), (mx**2 + my**2 + 1e-4) * (xx + yy + 9e-4)
            terms.append(top / bottom)
        assert found[subject] == pytest.approx(np.mean(terms))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.floats(0, 1), st.floats(0, 1))
def test_structural_similarity_is_symmetric_at_most_one_and_of_grey_areas_a_matter_of_their_means(seed, a, b):
    one, other = np.random.default_rng(seed).uniform(size=(2, 1, 7, 7))
    found = structural_similarity(one, other)
    assert found == pytest.approx(structural_similarity(other, one))
    assert found < 1
    assert structural_similarity(one, one) == pytest.approx(1)
    grey = structural_similarity(np.full((1, 20), a), np.full((1, 20), b))
    assert grey == pytest.approx((2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4), rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda maps: maps.isel(subject=slice(1, None)), "the subjects .* differ: only the first has s000. Compare"),
        (lambda maps: maps.isel(subject=slice(None, None, -1)), "subjects .* in another order, or some occur twice"),
        (lambda maps: maps.drop_vars(["fc"]), "the views .* differ: only the first has fc"),
        (lambda maps: maps.assign_coords(target_class=["low", "top"]), "classes .* first has high; only .* has top"),
        (lambda maps: maps.assign_coords(map_method=["cam"]), "methods .* differ: only the first has grad_cam"),
        (
            lambda maps: maps.isel(locus=slice(4)),
            "features of view 'snp' along 'locus' .* first has 4, 5, 6, 7, 8 and 3",
        ),
        (lambda maps: maps.rename(locus="measure"), "dimensions of view 'snp' .* second has measure"),
    ],
)
def test_maps_of_other_things_are_refused_by_name(cohort, change, message):
    maps = make_maps(cohort, random_values(9))
    with pytest.raises(ValueError, match=message):
        compare_maps(maps, change(maps))


def test_what_is_no_dataset_of_maps_is_refused(cohort):
    with pytest.raises(ValueError, match="the first dataset holds no maps; pass two that compute_maps made"):
        compare_maps(cohort, cohort)


def test_a_group_difference_is_that_of_the_groups_mean_maps(cohort):
    values = random_values(10)
    maps = make_maps(cohort, values)
    label = cohort["label"].to_numpy()
    by_hand = values["snp"][label == 1].mean(axis=0) - values["snp"][label == 0].mean(axis=0)
    difference = group_difference(maps)
    np.testing.assert_allclose(difference["snp"], by_hand)
    np.testing.assert_allclose(group_difference(maps, "low", minus="high")["snp"], -by_hand)
    assert {variable.attrs["role"] for variable in difference.values()} == {"group difference"}
    with pytest.raises(ValueError, match="no class 'middle'; they have low, high"):
        group_difference(maps, "middle")
    with pytest.raises(ValueError, match="no subject of class 'low' is among the maps' 1"):
        group_difference(maps.isel(subject=np.flatnonzero(label == 1)))


def test_the_trap_a_group_difference_finds_what_was_planted_with_random_weights():
    """So what it shows is not what a network has learnt."""
    cohort = planted_cohort(n=100)[["fc", "label"]]
    planted = np.zeros((20, 20), dtype=bool)
    planted[:6, 8:16] = planted[8:16, :6] = True
    truth = flatten_features(planted, image=True)
    net = CollaborativeNet({"fc": (20, 20)}).fit_scaling(cohort, range(50))
    for seed in range(3):
        control = random_weights_like(net, seed, net.prepare(cohort, range(50)))
        maps = compute_maps(control, cohort, ["guided_backprop"], progress=False)
        difference = group_difference(maps)["fc_symmetric"].sel(target_class="high", map_method="guided_backprop")
        assert roc_auc_score(truth, flatten_features(difference.to_numpy(), image=True)) > 0.9
