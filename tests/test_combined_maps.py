"""Maps made from maps: contrasts are gradients of differences, and no network dominates a mean over networks."""

import copy

import numpy as np
import pytest
import torch
import xarray as xr
from small_cohorts import planted_cohort
from small_networks import make_cohort, trained_network

from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.combined_maps import average_runs, contrast_classes
from gcamccl_core.maps.dataset import class_values, label_maps, map_views
from gcamccl_core.maps.evidence import scorecard

METHODS = ["gradient", "grad_cam"]


def make_maps(seed=0, n_classes=2, scale=1.0):
    cohort = planted_cohort(n=12, n_classes=n_classes)
    rng = np.random.default_rng(seed)
    shape = (12, n_classes, len(METHODS))
    values = {"fc": rng.normal(0.3, scale, (*shape, 20, 20)), "snp": rng.normal(0.3, 2 * scale, (*shape, 60))}
    return label_maps(
        {view: array.astype("float32") for view, array in values.items()}, cohort, METHODS, {"fc": "conv3"}
    )


def test_a_contrast_subtracts_the_mean_of_the_other_classes():
    maps = make_maps(n_classes=3)
    found = contrast_classes(maps)
    assert found["map_method"].to_numpy().tolist() == ["gradient_contrast", "grad_cam_contrast"]
    for name in ("fc", "fc_symmetric", "snp"):
        assert (found[name].dims, found[name].dtype, found[name].attrs) == (
            maps[name].dims,
            np.float32,
            maps[name].attrs,
        )
        low, middle, high = (maps[name].sel(target_class=c).to_numpy() for c in ("low", "middle", "high"))
        np.testing.assert_allclose(found[name].sel(target_class="middle"), middle - (low + high) / 2, atol=1e-5)
    assert found.attrs == maps.attrs
    xr.testing.assert_identical(found["label"].drop_vars("map_method", errors="ignore"), maps["label"])


def test_the_symmetrised_contrast_is_the_contrast_symmetrised():
    found = contrast_classes(make_maps(n_classes=3))
    image = found["fc"].to_numpy()
    np.testing.assert_allclose(found["fc_symmetric"], (image + image.swapaxes(-1, -2)) / 2, atol=1e-6)
    assert map_views(found) == ["fc", "snp"]


def test_of_two_classes_one_contrast_is_the_other_negated_and_what_both_share_is_gone():
    maps = make_maps()
    found = contrast_classes(maps)
    np.testing.assert_array_equal(found["snp"].sel(target_class="low"), -found["snp"].sel(target_class="high"))
    shared = maps.copy()
    shared["snp"] = maps["snp"] + maps["snp"].sel(target_class="low", map_method="gradient")
    shared["snp"].attrs = maps["snp"].attrs
    shared["snp"] = shared["snp"].transpose(*maps["snp"].dims)
    np.testing.assert_allclose(contrast_classes(shared)["snp"], found["snp"], atol=1e-5)


def test_a_contrast_of_gradients_is_the_gradient_of_the_logit_difference():
    cohort, net = make_cohort(), copy.deepcopy(trained_network())
    maps = compute_maps(net, cohort, ["gradient"], subjects=[0, 1], progress=False)
    x = {view: tensor.requires_grad_() for view, tensor in net.prepare(cohort, [0, 1]).items()}
    logits = net(x)["snp"]
    difference = logits[:, 2] - (logits[:, 0] + logits[:, 1]) / 2
    (expected,) = torch.autograd.grad(difference.sum(), x["snp"])
    found = contrast_classes(maps)["snp"].sel(target_class="high", map_method="gradient_contrast")
    np.testing.assert_allclose(found, expected[:, 0], atol=1e-5 * float(expected.abs().max()))


def test_a_contrast_needs_two_classes_and_maps():
    with pytest.raises(ValueError, match="at least two classes, the maps have high alone"):
        contrast_classes(make_maps().sel(target_class=["high"]))
    with pytest.raises(ValueError, match="holds no maps; make some with compute_maps"):
        contrast_classes(planted_cohort(n=12))


def test_runs_are_scaled_by_view_and_method_before_they_are_averaged():
    runs = [make_maps(seed=1), make_maps(seed=2, scale=50.0)]
    found = average_runs(runs)
    for view in ("fc", "snp"):
        for method in METHODS:
            own = [run[view].sel(map_method=method).to_numpy().astype(float) for run in runs]
            expected = sum(values / values.std() for values in own) / 2
            np.testing.assert_allclose(found[view].sel(map_method=method), expected, atol=1e-5)
    image = found["fc"].to_numpy()
    np.testing.assert_allclose(found["fc_symmetric"], (image + image.swapaxes(-1, -2)) / 2, atol=1e-6)
    assert (found["fc"].dims, found["fc"].dtype, found["fc"].attrs) == (
        runs[0]["fc"].dims,
        np.float32,
        runs[0]["fc"].attrs,
    )
    assert found.attrs == {**runs[0].attrs, "runs": 2}


def test_the_size_of_a_networks_logits_does_not_matter():
    one, two = make_maps(seed=1), make_maps(seed=2)
    larger = two.copy()
    for name in ("fc", "fc_symmetric", "snp"):
        larger[name] = two[name].copy(data=1000 * two[name].to_numpy())
    expected = average_runs([one, two])
    for runs in ([one, larger], [larger, one]):
        for name in ("fc", "fc_symmetric", "snp"):
            np.testing.assert_allclose(average_runs(runs)[name], expected[name], atol=1e-5)


def test_a_constant_map_adds_nothing():
    one, constant = make_maps(seed=1), make_maps(seed=2)
    constant["snp"][:] = 0.1
    alone, found = average_runs([one]), average_runs([one, constant])
    np.testing.assert_allclose(found["snp"], alone["snp"] / 2, atol=1e-6)
    assert not average_runs([constant, constant])["snp"].any()


def test_a_mean_finds_what_each_network_shows_through_its_noise():
    cohort = planted_cohort(n=12)
    cohort = cohort.assign(
        {
            f"{depth}_snp": (("target_class", "locus"), np.stack([np.zeros(60), np.arange(60) < 15]))
            for depth in ("truth", "population_truth")
        }
    ).assign_coords(target_class=["low", "high"])
    runs = [make_maps(seed)[["snp"]] for seed in range(8)]
    for run in runs:
        run["snp"][:, 1, :, :15] += 0.8
    single, mean = (
        scorecard(maps, cohort).query("source == 'model' and target_class == 'high'")["average_precision"].mean()
        for maps in (runs[0], average_runs(runs))
    )
    assert mean > single
    assert class_values(average_runs(runs), "snp", "high", "gradient").min() >= 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run.drop_vars(["fc", "fc_symmetric"]), "run 2 has the maps snp, run 1 has fc, fc_symmetric, snp"),
        (lambda run: run.isel(subject=slice(1, None)), "along 'subject': only one of them has s000"),
        (lambda run: run.isel(subject=slice(None, None, -1)), "along 'subject': their order differs"),
        (lambda run: run.sel(map_method=["gradient"]), "along 'map_method': only one of them has grad_cam"),
        (lambda run: run.assign_coords(target_class=["low", "top"]), "along 'target_class': only .* has high, top"),
        (lambda run: run.isel(locus=slice(59)), "along 'locus'"),
        (lambda run: run.assign_coords(label=run["label"].copy(data=1 - run["label"])), "in 'label'"),
        (lambda run: run.drop_vars("label"), "in 'label'"),
        (lambda run: run.assign_attrs(layers='{"fc": "conv1"}'), "run 2 maps the layers .*conv1.*, run 1 .*conv3"),
    ],
)
def test_runs_that_differ_are_refused_by_what_differs(change, message):
    with pytest.raises(ValueError, match=message):
        average_runs([make_maps(), change(make_maps())])


@pytest.mark.parametrize("runs", [[], make_maps()])
def test_runs_must_be_a_list(runs):
    with pytest.raises(ValueError, match="needs a list of datasets of maps"):
        average_runs(runs)


def test_patterns_over_other_people_are_not_averaged():
    runs = [make_maps(seed).assign_attrs(correlated_over='["s0", "s1"]') for seed in range(2)]
    assert average_runs(runs).attrs["correlated_over"] == '["s0", "s1"]'
    runs[1].attrs["correlated_over"] = '["s0", "s2"]'
    with pytest.raises(ValueError, match="run 2 is a pattern over other people than run 1"):
        average_runs(runs)
