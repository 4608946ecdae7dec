"""Plain gradients and their integrals: Captum as the oracle, closed forms where there are some, and completeness."""

import copy
import json

import numpy as np
import pytest
import torch
import xarray as xr
from captum.attr import GradientShap, InputXGradient, IntegratedGradients, Saliency
from small_networks import CLASSES, make_cohort, tiny_network, trained_network
from test_activation import OneView, assert_close

from gcamccl_core.maps.activation import METHODS, compute_maps
from gcamccl_core.maps.gradient_rules import Background
from gcamccl_core.maps.hooks import traced_pass
from gcamccl_core.maps.map_rules import KNOWN, choose_rules
from gcamccl_core.model.networks import CollaborativeNet

SIGNED = ("gradient", "gradient_x_input", "integrated_gradients", "expected_gradients")
TRAINING = range(3, 12)


@pytest.fixture(scope="module")
def cohort():
    return make_cohort()


@pytest.fixture(scope="module")
def net():
    return copy.deepcopy(trained_network())


def map_tiny(method, background=None, target=1, linear=False):
    """Map of the network whose y is a sum over features: with ReLUs and, if linear, without."""
    net, first, second, x, inputs = tiny_network()
    if linear:
        net.encoders["snp"].conv1.relu = torch.nn.Identity()
    rule = choose_rules([method], background=background)[method]
    with traced_pass(net, inputs, {"snp": "conv1"}, guided=False) as traced:
        found = rule(traced, "snp", target).detach().numpy()

    def score_by_feature(values):
        features = first[:, None] * values[:, None]
        return np.einsum("kl,nkl->nl", second[target], features if linear else np.maximum(features, 0))

    return found, x, score_by_feature


def tiny_background(n=5, **kwargs):
    values = np.random.default_rng(8).normal(1, 1, (n, 6))
    return values, Background({"snp": torch.as_tensor(values)[:, None]}, **kwargs)


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("view", ["fc", "snp"])
def test_equals_captum_on_a_trained_network(net, cohort, view, target):
    maps = compute_maps(net, cohort, SIGNED[:3], subjects=[0, 1], background=TRAINING, steps=7, progress=False)
    inputs, mean = net.prepare(cohort, [0, 1]), Background(net.prepare(cohort, TRAINING)).mean()
    alone = OneView(net, inputs, view)
    oracles = {
        "gradient": lambda x: Saliency(alone).attribute(x, target=target, abs=False),
        "gradient_x_input": lambda x: InputXGradient(alone).attribute(x, target=target),
        "integrated_gradients": lambda x: IntegratedGradients(alone).attribute(
            x, mean[view], target=target, n_steps=7, method="riemann_middle"
        ),
    }
    for method, oracle in oracles.items():
        found = maps[view].sel({"map_method": method, "target_class": CLASSES[target]}).to_numpy()
        assert_close(found, oracle(inputs[view].clone().requires_grad_())[:, 0].detach().numpy())


def test_expected_gradients_are_the_mean_of_captums_integrated_ones_over_all_training_subjects(net, cohort):
    """Two routes to one integral: 40 draws per training subject, and Captum's 60 points from each of them."""
    snp = CollaborativeNet({"snp": (80,)}, n_classes=3)
    snp.load_state_dict({name: tensor for name, tensor in net.state_dict().items() if ".snp." in name})
    maps = compute_maps(snp, cohort, SIGNED[3:], subjects=[0], background=TRAINING, steps=9 * 40, progress=False)
    inputs, starts = snp.prepare(cohort, [0]), snp.prepare(cohort, TRAINING)["snp"]
    paths = IntegratedGradients(OneView(snp.eval(), inputs, "snp"))
    each = paths.attribute(inputs["snp"].expand_as(starts), starts, target=1, n_steps=60)
    expected, found = each.mean(dim=0)[0].numpy(), maps["snp"][0, 1, 0].to_numpy()
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


def test_expected_gradients_agree_with_captums_gradient_shap_in_expectation():
    net, *_, inputs = tiny_network()
    _, background = tiny_background(steps=500)
    found, *_ = map_tiny("expected_gradients", background)
    torch.manual_seed(0)
    shap = GradientShap(OneView(net, inputs, "snp"))
    drawn = [shap.attribute(inputs["snp"], background.inputs["snp"], n_samples=100, target=1)[:, 0] for _ in range(20)]
    reference = torch.stack(drawn)
    error = (reference.std(dim=0) / 20**0.5).detach().numpy()
    assert (np.abs(found - reference.mean(dim=0).detach().numpy()) <= 4 * error + 0.01).all()


def test_on_a_linear_network_all_have_a_closed_form():
    """y is a sum of w_f x_f, so the integrals are w_f (x_f - mean of the training subjects), however few the steps."""
    values, background = tiny_background(steps=5)
    for target in (0, 1):
        gradient, x, score_by_feature = map_tiny("gradient", target=target, linear=True)
        weight = score_by_feature(np.ones((1, 6)))[0]
        np.testing.assert_allclose(gradient, np.broadcast_to(weight, x.shape), rtol=1e-10)
        product, *_ = map_tiny("gradient_x_input", target=target, linear=True)
        np.testing.assert_allclose(product, weight * x, rtol=1e-10)
        for method in ("integrated_gradients", "expected_gradients"):
            found, *_ = map_tiny(method, background, target, linear=True)
            np.testing.assert_allclose(found, weight * (x - values.mean(axis=0)), rtol=1e-10)


def test_where_the_logit_is_a_sum_over_features_each_gets_its_own_difference():
    values, background = tiny_background(steps=500)
    found, x, score_by_feature = map_tiny("integrated_gradients", background)
    expected = score_by_feature(x) - score_by_feature(values.mean(axis=0)[None])
    np.testing.assert_allclose(found, expected, atol=0.01)
    found, *_ = map_tiny("expected_gradients", background)
    np.testing.assert_allclose(found, score_by_feature(x) - score_by_feature(values).mean(axis=0), atol=0.02)


@pytest.mark.parametrize("view", ["fc", "snp"])
def test_integrated_gradients_are_complete(net, cohort, view):
    """Their sum is y(x) - y(mean), the nearer the more steps are taken."""
    inputs, background = net.prepare(cohort, [0, 1]), net.prepare(cohort, TRAINING)
    with torch.no_grad():
        difference = (net(inputs)[view] - net(Background(background).mean())[view]).numpy()
    errors = []
    for steps in (2, 64):
        maps = compute_maps(net, cohort, SIGNED[2:3], None, [0, 1], background=TRAINING, steps=steps, progress=False)
        total = maps[view].sum(maps[view].dims[3:])[..., 0].to_numpy()
        errors.append(np.abs(total - difference).max() / np.abs(difference).max())
    assert errors[1] < 0.05
    assert errors[1] < errors[0]


def test_a_subjects_expected_gradients_depend_on_the_seed_alone(net, cohort):
    def draw(subjects, batch_size=16, seed=0):
        options = {"background": TRAINING, "steps": 4, "seed": seed, "progress": False}
        return compute_maps(net, cohort, SIGNED[3:], None, subjects, batch_size, **options)

    together, other_seed = draw([0, 1, 2]), draw([0, 1, 2], seed=1)
    apart = xr.concat([draw([2]), draw([1, 0], batch_size=1)], "subject").sel(subject=together["subject"])
    scale = float(np.abs(together["fc"]).max())
    np.testing.assert_allclose(apart["fc"], together["fc"], atol=1e-5 * scale)
    assert np.abs(other_seed["fc"] - together["fc"]).max() > 1e-2 * scale


def test_draws_cover_the_way_and_the_background_evenly_and_each_subject_by_itself():
    _, background = tiny_background(n=5, steps=12)
    draws = [background.draw(number) for number in range(400)]
    for rows, shares in draws:
        assert set(rows[:5]) == set(rows[5:10]) == set(range(5))
        np.testing.assert_array_equal(np.floor(shares * 12), np.arange(12))
    of_step = np.stack([rows for rows, _ in draws])
    counts = np.stack([np.bincount(of_step[:, step], minlength=5) for step in range(12)])
    assert np.abs(counts - 80).max() < 5 * np.sqrt(400 * 0.2 * 0.8)  # at any step, any training subject
    assert len({tuple(rows) for rows in of_step}) > 390


def test_one_sweep_over_the_steps_serves_all_views_and_classes(net, cohort):
    counted = copy.deepcopy(net)
    passes = []
    counted.register_forward_hook(lambda *_: passes.append(1))
    compute_maps(counted, cohort, SIGNED, None, range(4), 2, background=TRAINING, steps=3, progress=False)
    assert len(passes) == 2 * (1 + 3 + 3)


def test_other_maps_are_the_same_beside_them(net, cohort):
    """Forward passes at other inputs leave the feature maps of the pass that is held open alone."""
    mixed = compute_maps(net, cohort, [*SIGNED, *METHODS], None, [0, 1], background=TRAINING, steps=2, progress=False)
    xr.testing.assert_allclose(
        mixed.sel(map_method=list(METHODS)).drop_attrs(),
        compute_maps(net, cohort, subjects=[0, 1], progress=False).drop_attrs(),
    )


def test_the_background_is_told_with_the_maps_and_only_where_it_was_used(net, cohort):
    options = {"subjects": [0], "background": TRAINING, "steps": 2, "seed": 5, "progress": False}
    maps = compute_maps(net, cohort, ["integrated_gradients"], **options)
    assert json.loads(maps.attrs["background"]) == {"subjects": 9, "steps": 2, "seed": 5}
    assert "background" not in compute_maps(net, cohort, ["gradient"], **options).attrs
    assert set(SIGNED) < set(KNOWN)
    assert not set(SIGNED) & set(METHODS)


@pytest.mark.parametrize("method", ["integrated_gradients", "expected_gradients"])
def test_a_missing_background_is_asked_for(net, cohort, method):
    with pytest.raises(ValueError, match=rf"'{method}' compares .* as in background=split\.train"):
        compute_maps(net, cohort, ["gradient", method], progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"background": []}, "background must be a list of integer positions"),
        ({"background": np.ones(12, dtype=bool)}, "background must .* a boolean mask is none"),
        ({"background": [0, 12]}, "background must be positions from 0 to 11; got 0 to 12"),
        ({"background": [0], "steps": 0}, "steps must be at least 1, got 0"),
        ({"background": [0], "seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_an_impossible_background_is_refused(net, cohort, options, message):
    with pytest.raises(ValueError, match=message):
        compute_maps(net, cohort, ["expected_gradients"], progress=False, **options)
    with pytest.raises(ValueError, match="no subject"):
        Background({"snp": torch.empty(0, 1, 6)})


def test_functional_relus_do_not_matter_to_plain_gradients():
    net, *_, inputs = tiny_network(functional=True)
    with traced_pass(net, inputs, {"snp": "conv1"}, guided=False) as traced:
        assert torch.isfinite(choose_rules(["gradient"])["gradient"](traced, "snp", 0)).all()
