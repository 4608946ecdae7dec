"""Activation maps equal Captum's on a trained network, and closed forms where gradients can be written down."""

import copy
import warnings

import numpy as np
import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop, LayerAttribution, LayerGradCam
from small_networks import CLASSES, make_cohort, tiny_network, train_briefly, trained_network
from torch import nn

from gcamccl_core.maps.activation import (
    METHODS,
    class_contrast,
    compute_maps,
    deconvnet,
    grad_cam,
    guided_backprop,
    guided_grad_cam,
)
from gcamccl_core.maps.hooks import traced_pass
from gcamccl_core.model.networks import CollaborativeNet


@pytest.fixture(scope="module")
def cohort():
    return make_cohort()


@pytest.fixture
def net():
    return copy.deepcopy(trained_network())


@pytest.fixture
def inputs(net, cohort):
    return net.prepare(cohort, [0, 1, 2])


class OneView(nn.Module):
    """What Captum needs: the logits of one view as a function of that view's input."""

    def __init__(self, net, inputs, view):
        super().__init__()
        self.net, self.inputs, self.view = net, inputs, view

    def forward(self, x):
        return self.net({**self.inputs, self.view: x})[self.view]


def captum_grad_cam(net, inputs, view, target):
    layer = net.get_submodule(f"encoders.{view}.{net.default_layer(view)}")
    coarse = LayerGradCam(OneView(net, inputs, view), layer).attribute(inputs[view].clone(), target=target)
    size = tuple(inputs[view].shape[2:])
    mode = "bilinear" if len(size) == 2 else "linear"
    return LayerAttribution.interpolate(coarse, size, interpolate_mode=mode)[:, 0].detach().numpy()


def captum_guided(net, inputs, view, target, method=GuidedBackprop):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attribution = method(OneView(net, inputs, view)).attribute(inputs[view].clone(), target=target)
    return attribution[:, 0].detach().numpy()


def assert_close(ours, reference):
    assert np.abs(reference).max() > 0
    assert np.abs(ours - reference).max() <= 1e-5 * np.abs(reference).max()


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("view", ["fc", "snp"])
def test_equals_captum_on_a_trained_network(net, inputs, view, target):
    assert_close(grad_cam(net, inputs, view, target), captum_grad_cam(net, inputs, view, target))
    assert_close(guided_backprop(net, inputs, view, target), captum_guided(net, inputs, view, target))
    assert_close(deconvnet(net, inputs, view, target), captum_guided(net, inputs, view, target, Deconvolution))


def test_equals_captum_at_the_paper_sizes():
    cohort = make_cohort(n=6, side=264, n_snps=750)
    torch.manual_seed(2)
    net = CollaborativeNet({"fc": (264, 264), "snp": (750,)}, n_classes=3).fit_scaling(cohort, range(6))
    net = train_briefly(net, cohort, steps=3)
    inputs = net.prepare(cohort, [0, 1])
    with traced_pass(net, inputs, {"fc": "conv3", "snp": "conv2"}) as traced:
        assert {view: tuple(f.shape[1:]) for view, f in traced.features.items()} == {
            "fc": (32, 11, 11),
            "snp": (32, 15),
        }
    for view in ("fc", "snp"):
        assert_close(grad_cam(net, inputs, view, 1), captum_grad_cam(net, inputs, view, 1))
        assert_close(guided_backprop(net, inputs, view, 1), captum_guided(net, inputs, view, 1))
        assert_close(deconvnet(net, inputs, view, 1), captum_guided(net, inputs, view, 1, Deconvolution))


@pytest.fixture
def tiny():
    return tiny_network()


@pytest.mark.parametrize("relu", [False, True])
def test_grad_cam_equals_its_closed_form(tiny, relu):
    """dy^c/dF is the head's weight, so Eq. 7 averages it and Eq. 10 averages its positive part."""
    net, first, second, x, inputs = tiny
    features = np.maximum(first[None, :, None] * x[:, None], 0)
    gradient = np.maximum(second, 0) if relu else second
    for target in (0, 1):
        expected = np.einsum("k,nkl->nl", gradient[target].mean(axis=1), features)
        np.testing.assert_allclose(grad_cam(net, inputs, "snp", target, relu_gradients=relu), expected, rtol=1e-10)


def test_guided_backprop_equals_its_closed_form(tiny):
    net, first, second, x, inputs = tiny
    passed = (first[None, :, None] * x[:, None] > 0) * np.maximum(second[1], 0)
    expected = np.einsum("k,nkl->nl", first, passed)
    np.testing.assert_allclose(guided_backprop(net, inputs, "snp", 1), expected, rtol=1e-10)


def test_deconvnet_equals_its_closed_form(tiny):
    """The input's sign has no say: the same map for every subject."""
    net, first, second, _, inputs = tiny
    for target in (0, 1):
        expected = np.einsum("k,kl->l", first, np.maximum(second[target], 0))
        found = deconvnet(net, inputs, "snp", target)
        np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-10)


@pytest.mark.parametrize("view", ["fc", "snp"])
def test_guided_grad_cam_is_the_product_with_either_equation(net, inputs, view):
    guided = guided_backprop(net, inputs, view, 2)
    eq_10, eq_7 = (grad_cam(net, inputs, view, 2, relu_gradients=flag) for flag in (True, False))
    np.testing.assert_array_equal(guided_grad_cam(net, inputs, view, 2), guided * eq_10)
    np.testing.assert_array_equal(guided_grad_cam(net, inputs, view, 2, relu_gradients=False), guided * eq_7)
    assert not np.allclose(eq_7, eq_10)


def test_class_contrast_subtracts_the_mean_of_the_other_classes(net, inputs):
    low, middle, high = (guided_backprop(net, inputs, "fc", target) for target in range(3))
    found = class_contrast(net, inputs, "fc", 1)
    np.testing.assert_allclose(found, np.maximum(middle - (low + high) / 2, 0), atol=1e-9)
    assert (found > 0).any()


def test_unknown_methods_are_named_with_those_that_exist(net, cohort):
    with pytest.raises(ValueError, match=r"methods must list some of grad_cam, .*deconvnet, .*cam; got \['lime'\]"):
        compute_maps(net, cohort, ["lime"], progress=False)


def test_another_layer_gives_another_map(net, inputs):
    assert not np.allclose(grad_cam(net, inputs, "fc", 0, layer="conv1"), grad_cam(net, inputs, "fc", 0))
    np.testing.assert_array_equal(grad_cam(net, inputs, "fc", 0, layer="conv3"), grad_cam(net, inputs, "fc", 0))


def test_compute_maps_needs_one_forward_pass_per_batch(net, cohort):
    passes = []
    net.register_forward_hook(lambda *_: passes.append(1))
    compute_maps(net, cohort, subjects=range(5), batch_size=2, progress=False)
    assert len(passes) == 3


def test_compute_maps_collects_what_the_functions_give(net, cohort):
    maps = compute_maps(net, cohort, subjects=[4, 0, 9], batch_size=2, layers={"fc": "conv2"}, progress=False)
    inputs = net.prepare(cohort, [4, 0, 9])
    functions = {
        "grad_cam": grad_cam,
        "grad_cam_relu": lambda *args: grad_cam(*args, relu_gradients=True),
        "guided_backprop": guided_backprop,
        "guided_grad_cam": guided_grad_cam,
        "class_contrast": class_contrast,
    }
    assert tuple(functions) == METHODS == tuple(maps["map_method"].to_numpy())
    for view, layer in (("fc", "conv2"), ("snp", None)):
        for target, name in enumerate(CLASSES):
            for method, function in functions.items():
                stored = maps[view].sel({"target_class": name, "map_method": method}).to_numpy()
                single = function(net, inputs, view, target, layer)
                np.testing.assert_allclose(stored, single, rtol=1e-4, atol=1e-6 * np.abs(single).max())


def test_deconvnet_is_offered_beside_the_default_methods(net, cohort, inputs):
    maps = compute_maps(net, cohort, ["guided_backprop", "deconvnet"], subjects=[0, 1, 2], progress=False)
    for place, function in enumerate((guided_backprop, deconvnet)):
        expected = function(net, inputs, "fc", 2)
        np.testing.assert_allclose(maps["fc"][:, 2, place], expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_the_plain_product_is_offered_beside_the_default_methods(net, cohort, inputs):
    maps = compute_maps(net, cohort, methods=["guided_grad_cam_plain"], subjects=[0, 1, 2], progress=False)
    expected = guided_grad_cam(net, inputs, "fc", 2, relu_gradients=False)
    np.testing.assert_allclose(maps["fc"][:, 2, 0], expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
