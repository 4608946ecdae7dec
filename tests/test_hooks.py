"""The network is left exactly as it was found, and one that guided backpropagation cannot reach is refused."""

import copy

import numpy as np
import pytest
import torch
import xarray as xr
from small_networks import make_cohort, tiny_network, trained_network

from gcamccl_core.maps.activation import METHODS, compute_maps, deconvnet, grad_cam, guided_backprop, guided_grad_cam
from gcamccl_core.maps.hooks import traced_pass


@pytest.fixture(scope="module")
def cohort():
    return make_cohort()


@pytest.fixture
def net():
    return copy.deepcopy(trained_network())


@pytest.fixture
def inputs(net, cohort):
    return net.prepare(cohort, [0, 1, 2])


def snapshot(net):
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "full_backward": [module._is_full_backward_hook for module in net.modules()],
        "modes": [module.training for module in net.modules()],
        "hooks": [[list(getattr(module, kind)) for kind in hooks] for module in net.modules()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in net.parameters()],
        "requires_grad": [p.requires_grad for p in net.parameters()],
        "state": {name: tensor.clone() for name, tensor in net.state_dict().items()},
        "random": torch.get_rng_state(),
        "grad_mode": torch.is_grad_enabled(),
    }


def assert_untouched(before, after):
    for name in ("modes", "hooks", "full_backward", "requires_grad", "grad_mode"):
        assert before[name] == after[name], name
    for old, new in zip(before["gradients"], after["gradients"], strict=True):
        assert (old is None and new is None) or torch.equal(old, new)
    assert all(torch.equal(before["state"][name], after["state"][name]) for name in before["state"])
    assert torch.equal(before["random"], after["random"])


def disarrange(net):
    """A state that no careless restoration would come back to."""
    net.train()
    net.encoders["fc"].conv2.eval()
    first, second, *_ = net.parameters()
    first.grad = torch.ones_like(first)
    second.requires_grad_(False)
    net.encoders["snp"].conv1.register_forward_hook(lambda *_: None)
    net.encoders["fc"].conv1.relu.register_full_backward_hook(lambda *_: None)
    torch.manual_seed(7)
    return net


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_network_is_left_as_found(net, cohort, context):
    methods = [*METHODS, "deconvnet", "gradient", "integrated_gradients", "expected_gradients"]
    options = {"subjects": [0, 1], "background": [2, 3], "steps": 2, "progress": False}
    expected = compute_maps(net, cohort, methods, **options)
    disarrange(net)
    with context():
        before = snapshot(net)
        maps = compute_maps(net, cohort, methods, **options)
        assert_untouched(before, snapshot(net))
    xr.testing.assert_allclose(maps, expected)  # whatever the mode, maps are those of eval mode
    assert not maps["fc"].isnull().any()


@pytest.mark.parametrize("function", [guided_backprop, deconvnet])
@pytest.mark.parametrize("moment", ["forward", "backward"])
def test_the_network_is_left_as_found_after_an_error(net, inputs, moment, function):
    def fail(*_):
        raise RuntimeError("in the middle")

    disarrange(net)
    block = net.encoders["fc"].conv4
    block.register_forward_hook(fail) if moment == "forward" else block.register_full_backward_hook(fail)
    before = snapshot(net)
    with pytest.raises(RuntimeError, match="in the middle"):
        function(net, inputs, "fc", 0)
    assert_untouched(before, snapshot(net))


def test_inputs_are_left_as_found(net, inputs):
    before = {view: tensor.clone() for view, tensor in inputs.items()}
    guided_grad_cam(net, inputs, "fc", 0)
    for view, tensor in inputs.items():
        assert torch.equal(tensor, before[view])
        assert not tensor.requires_grad
        assert tensor.grad is None


def test_the_order_in_which_gradients_are_asked_for_does_not_matter(net, inputs):
    layers = {"fc": "conv3"}
    kinds = ("feature_gradient", "guided_gradient", "deconvnet_gradient")
    with traced_pass(net, inputs, layers) as traced:
        first = {kind: getattr(traced, kind)("fc", 1).clone() for kind in kinds}
    for order in (kinds[::-1], (kinds[1], kinds[2], kinds[0]), (kinds[2], kinds[0], kinds[1])):
        with traced_pass(net, inputs, layers) as traced:
            for kind in order:
                assert torch.equal(getattr(traced, kind)("fc", 1), first[kind]), (order, kind)
    assert not torch.allclose(first["guided_gradient"], first["deconvnet_gradient"])
    before = guided_backprop(net, inputs, "fc", 1)
    deconvnet(net, inputs, "fc", 1)
    np.testing.assert_array_equal(guided_backprop(net, inputs, "fc", 1), before)


def test_a_rule_is_forgotten_after_an_error(net, inputs):
    with traced_pass(net, inputs, {"fc": "conv3"}) as traced:
        expected = traced.feature_gradient("fc", 0)
        with pytest.raises(IndexError):
            traced.deconvnet_gradient("fc", 9)
        (again,) = torch.autograd.grad(traced.logits["fc"][:, 0].sum(), traced.features["fc"], retain_graph=True)
        assert torch.equal(again, expected)


def test_gradients_without_a_rule_are_those_of_an_untouched_network(net, inputs):
    x = {view: tensor.clone().requires_grad_() for view, tensor in inputs.items()}
    logits = net(x)["snp"]
    (expected,) = torch.autograd.grad(logits[:, 2].sum(), x["snp"])
    with traced_pass(net, inputs, {"snp": "conv2"}) as traced:
        (found,) = torch.autograd.grad(traced.logits["snp"][:, 2].sum(), traced.inputs["snp"])
        assert torch.equal(traced.logits["snp"], logits)
        assert torch.equal(found, expected)


def test_a_pass_opened_for_plain_gradients_refuses_the_other_rules(net, inputs):
    with traced_pass(net, inputs, {"fc": "conv3"}, guided=False) as traced:
        for kind in ("guided_gradient", "deconvnet_gradient"):
            with pytest.raises(RuntimeError, match="open the pass with guided=True"):
                getattr(traced, kind)("fc", 0)


def test_what_other_hooks_make_of_a_relus_output_counts(net, inputs):
    """An ablation by a hook of the reader's own is an ablation in the maps too."""
    net.encoders["snp"].conv2.relu.register_forward_hook(lambda module, args, output: output * 0)
    assert not deconvnet(net, inputs, "snp", 0).any()


def test_a_functional_relu_is_an_error_for_guided_maps_alone():
    net, *_, inputs = tiny_network(functional="only")
    with pytest.raises(ValueError, match=r"view 'snp' has no nn\.ReLU module"):
        guided_backprop(net, inputs, "snp", 0)
    mixed, *_ = tiny_network(functional=True)
    with pytest.raises(ValueError, match="1 of the network's 2 ReLUs are functional"):
        guided_grad_cam(mixed, inputs, "snp", 0)
    with pytest.raises(ValueError, match="that guided backpropagation and deconvnets cannot reach"):
        deconvnet(mixed, inputs, "snp", 0)
    assert np.isfinite(grad_cam(mixed, inputs, "snp", 0)).all()


def test_an_in_place_relu_is_an_error(net, inputs):
    net.encoders["snp"].conv2.relu.inplace = True
    with pytest.raises(ValueError, match=r"in-place ReLUs: encoders\.snp\.conv2\.relu"):
        guided_backprop(net, inputs, "snp", 0)


def test_what_does_not_exist_is_named(net, inputs):
    with pytest.raises(ValueError, match="no layer 'conv9'; its layers are conv1, conv2, conv3, conv4"):
        grad_cam(net, inputs, "fc", 0, layer="conv9")
    with pytest.raises(ValueError, match="no view 'eeg'; it has fc, snp"):
        grad_cam(net, inputs, "eeg", 0)
    with pytest.raises(ValueError, match="from 0 to 2, got 3"):
        guided_backprop(net, inputs, "fc", 3)
    with pytest.raises(ValueError, match="layer 'conv4' of view 'fc' has a single position"):
        grad_cam(net, inputs, "fc", 0, layer="conv4")
