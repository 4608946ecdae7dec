"""Maps of networks with other pathways than a ConvNet: exact where they are linear, refused where there is no layer."""

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop, Saliency
from small_networks import SMALL, make_cohort

from gcamccl_core.data.cohort import Split
from gcamccl_core.maps.activation import class_contrast, compute_maps, grad_cam, guided_backprop
from gcamccl_core.maps.cam_head import retrain_cam_head
from gcamccl_core.maps.hooks import traced_pass
from gcamccl_core.maps.random_weights import cascade, cascade_layers, random_weights_like
from gcamccl_core.maps.replaced_features import ReplacedFeatures
from gcamccl_core.maps.sanity_checks import randomisation
from gcamccl_core.model.networks import CollaborativeNet

LINEAR = {"fc": ["linear"], "snp": ["linear"]}
MIXED = {"fc": ["rows", "linear"], "snp": ["convolution", "blocks", "linear"]}


@pytest.fixture(scope="module")
def cohort():
    return make_cohort()


def make_net(pathways, cohort, combine="mean"):
    torch.manual_seed(0)
    net = CollaborativeNet(SMALL, 3, pathways=pathways, combine=combine).fit_scaling(cohort, range(12)).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    net.fit_standardisations(net.prepare(cohort))
    return net


def test_the_gradient_of_a_linear_pathway_is_its_weight(cohort):
    net = make_net(LINEAR, cohort)
    maps = compute_maps(net, cohort, ["gradient", "guided_backprop", "class_contrast"], progress=False)
    path = net.pathways["fc"]["linear"]
    weight = (path.weight * path.gate / path.standardise.spread).detach().numpy()
    for subject in range(2):
        np.testing.assert_allclose(maps["fc"].sel(map_method="gradient")[subject], weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(maps["fc"].sel(map_method="gradient"), maps["fc"].sel(map_method="guided_backprop"))
    contrast = np.maximum(weight[1] - (weight[0] + weight[2]) / 2, 0)
    found = maps["fc"].sel(map_method="class_contrast", target_class="middle")[0]
    np.testing.assert_allclose(found, contrast, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("view", ["fc", "snp"])
def test_maps_of_mixed_pathways_equal_captum(cohort, view):
    net = make_net(MIXED, cohort)
    inputs = net.prepare(cohort, range(3))

    class OneView(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net.logits_of(view, x)

    guided = GuidedBackprop(OneView()).attribute(inputs[view].clone().requires_grad_(), target=1)[:, 0]
    np.testing.assert_allclose(guided_backprop(net, inputs, view, 1), guided.detach(), atol=1e-5)
    plain = Saliency(OneView()).attribute(inputs[view].clone().requires_grad_(), target=1, abs=False)[:, 0]
    with traced_pass(net, inputs, {view: None}, guided=False) as traced:
        np.testing.assert_allclose(traced.input_gradient(view, 1), plain, atol=1e-5)
    assert class_contrast(net, inputs, view, 2).min() >= 0


def test_feature_maps_are_asked_of_views_that_have_them(cohort):
    net = make_net(MIXED, cohort)
    inputs = net.prepare(cohort, range(3))
    assert grad_cam(net, inputs, "snp", 0).shape == (3, 80)
    with pytest.raises(ValueError, match="view 'fc' has no convolution, so it has no feature maps"):
        grad_cam(net, inputs, "fc", 0)
    with pytest.raises(ValueError, match="its layers are none, since it has no convolution"):
        grad_cam(net, inputs, "fc", 0, layer="conv1")


@pytest.mark.parametrize("pathways", [LINEAR, MIXED], ids=["linear", "mixed"])
def test_everything_learnt_is_drawn_anew(cohort, pathways):
    net = make_net(pathways, cohort, combine="confidence")
    net.confidence.copy_(torch.tensor([0.0, 3.0]))
    net.offset.fill_(2)
    for view in SMALL:
        net.pathways[view]["linear"].gate.uniform_(0.5, 2)
    control = random_weights_like(net, 1, net.prepare(cohort))
    assert control.confidence.tolist() == [1, 1]  # learnt from labels, too
    assert control.offset.tolist() == [0, 0, 0]
    assert random_weights_like(net, 1, depth=0).confidence.tolist() == [0, 3]
    for name, parameter in control.named_parameters():
        learnt = dict(net.named_parameters())[name]
        assert not torch.equal(parameter, learnt) or "bias" in name or "norm" in name, name
    for view in SMALL:
        assert (control.pathways[view]["linear"].gate == 1).all()  # gates are learnt from labels, too
        spread = control.pathways[view]["linear"].standardise.spread
        assert torch.equal(spread, net.pathways[view]["linear"].standardise.spread)


def test_a_cascade_passes_through_pathways(cohort):
    net = make_net(MIXED, cohort)
    layers = cascade_layers(net)
    assert layers["fc"] == ["rows", "linear"]
    assert layers["snp"][:3] == ["blocks", "linear", "head"]
    steps = list(cascade(net, 0))
    stays = [torch.equal(each.pathways["fc"]["linear"].weight, net.pathways["fc"]["linear"].weight) for each in steps]
    assert stays[:3] == [True, True, False]


def test_the_first_sanity_check_runs_on_linear_pathways(cohort):
    table = randomisation(make_net(LINEAR, cohort), cohort, methods=["gradient"], train=range(12), progress=False)
    assert set(table["view"]) == {"fc", "snp"}


def test_a_class_activation_head_is_not_retrained_on_what_has_no_feature_maps(cohort):
    two = cohort.isel(subject=cohort["label"].to_numpy() >= 0)
    positions = np.arange(two.sizes["subject"])
    with pytest.raises(ValueError, match="view 'fc' has no convolution"):
        retrain_cam_head(make_net(LINEAR, cohort), two, Split(positions[:6], positions[6:], positions[:0]))


def test_features_are_replaced_in_all_pathways(cohort):
    net = make_net(MIXED, cohort)
    x = net.prepare(cohort, range(4))["fc"]
    people = ReplacedFeatures(net, "fc", 1, x, torch.tensor(0.0), batch_size=3)
    expected = net.logits_of("fc", x).softmax(dim=1)[:, 1].mean().item()
    assert people.probability(np.zeros(40 * 39 // 2, dtype=bool)) == pytest.approx(expected, abs=1e-6)
