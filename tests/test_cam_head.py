"""The head of CAM is the softmax layer of Eq. 5, its map that of Eq. 6, and the test part has no say in either."""

import copy
import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_networks import CLASSES, SMALL, make_cohort, tiny_network, train_briefly
from torch.nn.functional import interpolate

from gcamccl_core.data.cohort import Split
from gcamccl_core.maps.activation import cam, compute_maps, grad_cam
from gcamccl_core.maps.cam_head import CamHead, retrain_cam_head
from gcamccl_core.maps.hooks import traced_pass
from gcamccl_core.maps.map_rules import coarse_cam
from gcamccl_core.model.comparators import score_predictions
from gcamccl_core.model.networks import CollaborativeNet

N = 48


def parts_of(cohort):
    """Three parts of every class; unlabelled subjects belong to none."""
    labelled = np.flatnonzero(cohort["label"].to_numpy() >= 0)
    return Split(*(np.sort(part) for part in np.split(labelled, [len(labelled) // 2, 3 * len(labelled) // 4])))


@pytest.fixture(scope="module", params=[2, 3], ids=["two classes", "three classes"])
def case(request):
    cohort = make_cohort(n=N)
    label = np.resize([*range(request.param), -1], N)
    cohort["label"] = ("subject", label, {"classes": CLASSES[: request.param]})
    for c in range(request.param):  # something to learn
        cohort["snp"][label == c, 10 * c : 10 * c + 10] = 2
    split = parts_of(cohort)
    torch.manual_seed(1)
    net = train_briefly(CollaborativeNet(SMALL, n_classes=request.param).fit_scaling(cohort, split.train), cohort, 5)
    return net, cohort, split


@pytest.fixture(scope="module")
def head(case):
    return retrain_cam_head(*case)


def pooled_by_hook(net, cohort, subjects, view, layer):
    kept = []
    handle = net.get_submodule(f"encoders.{view}.{layer}").register_forward_hook(lambda *args: kept.append(args[2]))
    with torch.no_grad():
        net(net.prepare(cohort, subjects))
    handle.remove()
    return kept[0].flatten(2).mean(dim=2).double().numpy()


@pytest.mark.parametrize("view", ["fc", "snp"])
def test_the_head_is_scikit_learns_softmax_on_pooled_features(case, head, view):
    net, cohort, split = case
    label = cohort["label"].to_numpy()
    train, test = (pooled_by_hook(net, cohort, part, view, head.layers[view]) for part in (split.train, split.test))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=head.penalties[view], max_iter=10_000))
    expected = model.fit(train, label[split.train]).predict_proba(test)
    np.testing.assert_allclose(head.predict_proba(net, cohort, split.test, [view]), expected, atol=1e-4)
    np.testing.assert_allclose(head.weights[view].sum(axis=0), 0, atol=1e-4 * np.abs(head.weights[view]).max())


def test_the_penalty_has_the_least_cross_entropy_on_the_validation_part(case, head):
    net, cohort, split = case
    label = cohort["label"].to_numpy()
    for view, layer in head.layers.items():
        train, held_out = (pooled_by_hook(net, cohort, part, view, layer) for part in (split.train, split.validation))
        loss = {}
        for penalty in (0.001, 0.01, 0.1, 1.0, 10.0):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=10_000))
            proba = model.fit(train, label[split.train]).predict_proba(held_out)
            loss[penalty] = -np.log(proba[range(len(held_out)), label[split.validation]]).mean()
        assert loss[head.penalties[view]] <= min(loss.values()) + 1e-6


@pytest.mark.parametrize("view", ["fc", "snp"])
def test_the_mean_of_the_map_plus_the_intercept_is_the_heads_logit(case, head, view):
    """Eq. 5: pooling and weighing commute."""
    net, cohort, split = case
    inputs = net.prepare(cohort, split.test)
    logits = head.logits(net, inputs)[view]
    with traced_pass(net, inputs, head.layers, guided=False) as traced:
        for target in range(net.n_classes):
            coarse = coarse_cam(traced, view, target, head).detach()
            score = coarse.flatten(1).mean(dim=1).numpy() + head.intercepts[view][target]
            np.testing.assert_allclose(score, logits[:, target], rtol=1e-4, atol=1e-5 * np.abs(logits).max())
            mode = "bilinear" if view == "fc" else "linear"
            expected = interpolate(coarse[:, None], size=SMALL[view], mode=mode, align_corners=False)[:, 0]
            np.testing.assert_array_equal(cam(net, inputs, view, target, head=head), expected)


def test_cam_equals_its_closed_form_on_a_network_without_pooling():
    net, first, _, x, inputs = tiny_network()
    weights = np.random.default_rng(0).normal(size=(2, 3))
    head = CamHead({"snp": weights}, {"snp": np.array([0.5, -0.5])}, {"snp": "conv1"}, ["low", "high"], {"snp": 1.0})
    features = np.maximum(first[None, :, None] * x[:, None], 0)
    for target in (0, 1):
        found = cam(net, inputs, "snp", target, head=head)
        np.testing.assert_allclose(found, np.einsum("k,nkl->nl", weights[target], features), rtol=1e-10)
        score = found.mean(axis=1) + head.intercepts["snp"][target]
        np.testing.assert_allclose(score, head.logits(net, inputs)["snp"][:, target], rtol=1e-10)


def test_cam_is_grad_cam_where_the_networks_own_head_pools_and_is_linear():
    """With S^c as the network's own logit, g_k^c of Eq. 7 is w_k^c over the number of positions."""
    net, _, second, _, inputs = tiny_network()
    weights = second[:, :, 0]
    net.heads["snp"].weight.data = torch.as_tensor(np.repeat(weights[:, :, None], 6, axis=2) / 6).flatten(1)
    head = CamHead({"snp": weights}, {"snp": np.zeros(2)}, {"snp": "conv1"}, ["low", "high"], {"snp": 1.0})
    for target in (0, 1):
        expected = 6 * grad_cam(net, inputs, "snp", target)
        np.testing.assert_allclose(cam(net, inputs, "snp", target, head=head), expected, rtol=1e-10)


def test_the_test_part_is_never_read(case, head):
    net, cohort, split = case
    changed = cohort.copy(deep=True)
    for view in ("fc", "snp"):
        changed[view][split.test] = np.inf
    changed["label"][split.test] = 0
    again = retrain_cam_head(net, changed, split)
    for view in ("fc", "snp"):
        np.testing.assert_array_equal(again.weights[view], head.weights[view])
        np.testing.assert_array_equal(again.intercepts[view], head.intercepts[view])


def test_probabilities_are_the_mean_over_the_views(case, head):
    net, cohort, split = case
    proba = head.predict_proba(net, cohort, split.test)
    assert proba.columns.tolist() == cohort["label"].attrs["classes"]
    assert proba.index.tolist() == cohort["subject"].to_numpy()[split.test].tolist()
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    alone = [head.predict_proba(net, cohort, split.test, [view]).to_numpy() for view in ("fc", "snp")]
    np.testing.assert_allclose(proba, np.mean(alone, axis=0))
    everyone = head.predict_proba(net, cohort)
    assert len(everyone) == N
    np.testing.assert_allclose(everyone.to_numpy()[split.test], proba, atol=1e-6)


def test_the_cost_in_accuracy_can_be_scored(case, head):
    net, cohort, split = case
    proba = head.predict_proba(net, cohort, split.test).to_numpy()
    if net.n_classes == 2:
        label = cohort["label"].to_numpy()[split.test]
        found = score_predictions(label, proba.argmax(axis=1), proba[:, 1])
        assert found["accuracy"] == np.mean(proba.argmax(axis=1) == label)


def test_training_and_prediction_leave_the_network_as_found(case):
    net, cohort, split = case
    net = copy.deepcopy(net).train()
    net.encoders["fc"].conv2.eval()
    modes = [module.training for module in net.modules()]
    state = copy.deepcopy(net.state_dict())
    head = retrain_cam_head(net, cohort, split)
    head.predict_proba(net, cohort, split.test)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_compute_maps_takes_cam_beside_the_others(case):
    net, cohort, split = case
    layers = {"fc": "conv2", "snp": "conv1"}
    head = retrain_cam_head(net, cohort, split, layers)
    assert head.layers == layers
    maps = compute_maps(
        net, cohort, ["grad_cam", "cam", "deconvnet"], layers, split.test, cam_head=head, batch_size=5, progress=False
    )
    assert maps["map_method"].to_numpy().tolist() == ["grad_cam", "cam", "deconvnet"]
    inputs = net.prepare(cohort, split.test)
    for view in layers:
        for target in range(net.n_classes):
            expected = cam(net, inputs, view, target, head=head)
            stored = maps[view].sel(map_method="cam")[:, target]
            np.testing.assert_allclose(stored, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    if net.n_classes == 2:
        low, high = (maps["snp"].sel(map_method="cam")[:, target].to_numpy() for target in (0, 1))
        np.testing.assert_allclose(low, -high, rtol=1e-5)


def test_cam_without_a_head_or_with_one_of_another_layer_is_refused(case, head):
    net, cohort, split = case
    with pytest.raises(ValueError, match=r"call retrain_cam_head\(net, cohort, split\) and pass what it gives"):
        compute_maps(net, cohort, ["cam"], subjects=split.test, progress=False)
    message = "view 'fc' was retrained on layer 'conv3', not 'conv1'; map that layer, or call retrain_cam_head"
    with pytest.raises(ValueError, match=message):
        compute_maps(net, cohort, ["cam"], {"fc": "conv1"}, split.test, cam_head=head, progress=False)
    inputs = net.prepare(cohort, split.test)
    with pytest.raises(ValueError, match=message):
        cam(net, inputs, "fc", 0, layer="conv1", head=head)
    np.testing.assert_array_equal(
        cam(net, inputs, "fc", 0, layer="conv3", head=head), cam(net, inputs, "fc", 0, head=head)
    )


def test_a_head_of_another_network_is_refused(case, head):
    net, cohort, split = case
    other = CollaborativeNet(SMALL, n_classes=4).fit_scaling(cohort, split.train)
    with pytest.raises(ValueError, match=f"the head has {net.n_classes} classes and the network 4"):
        head.predict_proba(other, cohort, split.test)
    inputs = net.prepare(cohort, split.test)
    one_view = CamHead({"snp": np.ones((net.n_classes, 5))}, {"snp": np.zeros(2)}, {"snp": "conv2"}, [], {})
    with pytest.raises(ValueError, match="weighs 5 feature maps of view 'snp' and the network has 32"):
        cam(net, inputs, "snp", 0, head=one_view)
    with pytest.raises(ValueError, match="the head has no view 'fc'; it has snp"):
        cam(net, inputs, "fc", 0, head=one_view)
    with pytest.raises(ValueError, match="the head has no view eeg; it has fc, snp"):
        head.predict_proba(net, cohort, views=["eeg"])


def test_parts_that_cannot_be_learnt_from_are_refused(case):
    net, cohort, split = case
    label = cohort["label"].to_numpy()
    unlabelled = np.flatnonzero(label < 0)[:1]
    with pytest.raises(ValueError, match="the validation part has subjects without a class: s"):
        retrain_cam_head(net, cohort, Split(split.train, unlabelled, split.test))
    with pytest.raises(ValueError, match="the training part has no subject of class low"):
        retrain_cam_head(net, cohort, Split(split.train[label[split.train] > 0], split.validation, split.test))
    with pytest.raises(ValueError, match="the validation part has no subjects"):
        retrain_cam_head(net, cohort, Split(split.train, split.validation[:0], split.test))
    with pytest.raises(ValueError, match="no layer 'conv9'"):
        retrain_cam_head(net, cohort, split, {"fc": "conv9"})
    fewer = cohort.assign(label=cohort["label"].assign_attrs(classes=["only"]))
    with pytest.raises(ValueError, match=f"the network has {net.n_classes} classes, the cohort 1"):
        retrain_cam_head(net, fewer, split)


def test_retraining_is_quiet_and_the_same_every_time(case, head):
    net, cohort, split = case
    before = cohort.copy(deep=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = retrain_cam_head(net, cohort, split)
    for view in again.weights:
        np.testing.assert_array_equal(again.weights[view], head.weights[view])
    xr.testing.assert_identical(cohort, before)
