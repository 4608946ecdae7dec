"""Linear pathways: scikit-learn's solution where it applies, no look at those left out, confidence where due."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from gcamccl_core.model import additive, setting_choice
from gcamccl_core.model.additive import fit_additive
from gcamccl_core.model.losses import collaborative_loss
from gcamccl_core.model.networks import CollaborativeNet

SIDE, LENGTH = 8, 12
SHAPES = {"fc": (SIDE, SIDE), "snp": (LENGTH,)}


def make_net(n_classes=2):
    return CollaborativeNet(SHAPES, n_classes, pathways={view: ["linear"] for view in SHAPES}, combine="confidence")


def draw(n=90, n_classes=2, effect=1.0, seed=0):
    """A few features of both views rise with the class."""
    random = torch.Generator().manual_seed(seed)
    target = torch.arange(n) % n_classes
    inputs = {view: torch.randn(n, 1, *shape, generator=random) for view, shape in SHAPES.items()}
    inputs["fc"][:, 0, 0, :4] += effect * target[:, None]
    inputs["snp"][:, 0, :3] += effect * target[:, None]
    return inputs, target


@pytest.fixture
def one_setting(monkeypatch):
    monkeypatch.setattr(additive, "EXPONENTS", (0.0,))
    monkeypatch.setattr(setting_choice, "PENALTIES", (0.5,))


def test_without_agreement_and_gates_each_view_is_a_penalised_logistic_regression(one_setting):
    inputs, target = draw()
    net = make_net()
    fit_additive(net, inputs, target, agreement=0.0)
    for view, x in inputs.items():
        features = StandardScaler().fit_transform(x.flatten(1).double().numpy())
        features /= np.sqrt(np.mean(np.sum(features**2, axis=1)))
        oracle = LogisticRegression(C=2 * 0.5, tol=1e-10, max_iter=10_000).fit(features, target.numpy())
        logits = net.logits_of(view, x).detach().numpy()
        np.testing.assert_allclose(logits[:, 1] - logits[:, 0], oracle.decision_function(features), atol=1e-3)


def test_three_classes_are_a_multinomial_regression(one_setting):
    inputs, target = draw(n_classes=3)
    net = make_net(3)
    fit_additive(net, inputs, target, agreement=0.0)
    features = StandardScaler().fit_transform(inputs["snp"][:, 0].double().numpy())
    features /= np.sqrt(np.mean(np.sum(features**2, axis=1)))
    oracle = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000).fit(features, target.numpy())
    found = net.logits_of("snp", inputs["snp"]).detach().softmax(dim=1).numpy()
    np.testing.assert_allclose(found, oracle.predict_proba(features), atol=1e-3)


@pytest.mark.parametrize("agreement", [0.0, 1.0, 2.0])
def test_the_weights_minimise_eq_12_with_its_penalty(one_setting, monkeypatch, agreement):
    monkeypatch.setattr(additive, "likeliest", max)
    inputs, target = draw()
    net = make_net().double()
    assert fit_additive(net, inputs, target, agreement).agreement == agreement
    inputs = {view: x.double() for view, x in inputs.items()}
    loss = collaborative_loss(net(inputs), target, agreement)
    for view, x in inputs.items():
        path = net.pathways[view]["linear"]
        norm = path.standardise(x).flatten(1).square().sum(dim=1).mean()
        loss = loss + norm * path.weight.square().sum() / (2 * 2 * len(target) * 0.5)
    loss.backward()
    for view in SHAPES:
        path = net.pathways[view]["linear"]
        assert path.bias.grad.abs().max() < 1e-5
        norm = path.standardise(inputs[view]).flatten(1).square().sum(dim=1).mean().sqrt()
        assert path.weight.grad.abs().max() < 1e-5 * norm  # in features of unit norm


def test_a_fit_that_did_not_converge_says_so(one_setting, monkeypatch):
    monkeypatch.setattr(additive, "CONVERGED", 1e-30)
    with pytest.warns(UserWarning, match="the linear pathways' loss still falls"):
        fit_additive(make_net(), *draw())


def test_gates_follow_the_correlation_with_the_class(monkeypatch):
    monkeypatch.setattr(additive, "EXPONENTS", (1.0,))
    inputs, target = draw()
    net = make_net()
    found = fit_additive(net, inputs, target)
    gate, x = net.pathways["snp"]["linear"].gate, inputs["snp"][:, 0].double().numpy()
    r = np.array([abs(np.corrcoef(feature, target)[0, 1]) for feature in x.T])
    np.testing.assert_allclose(gate, r / np.sqrt(np.mean(r**2)), rtol=1e-4, atol=1e-5)
    assert found.settings["snp"].exponent == 1
    assert gate[:3].min() > gate[3:].max()


def test_few_strong_features_among_many_open_the_gates_unless_told_not_to():
    inputs, target = draw(effect=1.5)
    assert fit_additive(make_net(), inputs, target).settings["fc"].exponent > 0
    net = make_net()
    assert fit_additive(net, inputs, target, gates=False).settings["fc"].exponent == 0
    torch.testing.assert_close(net.pathways["fc"]["linear"].gate, torch.ones(SIDE, SIDE))


def test_labels_and_features_of_those_left_out_do_not_reach_their_logits(monkeypatch):
    """Gates included: what a fold says of the people it leaves out is the same whatever they are called."""
    monkeypatch.setattr(additive, "EXPONENTS", (1.0,))
    monkeypatch.setattr(setting_choice, "PENALTIES", (0.5,))
    monkeypatch.setattr(additive, "likeliest", max)  # agreement always
    inputs, target = draw()
    folds = setting_choice.divide(target.numpy(), 2, 0, None)
    monkeypatch.setattr(additive, "divide", lambda *_: folds)
    first = fit_additive(make_net(), inputs, target).held_out
    train, test = folds[2]
    renamed, changed = target.clone(), {view: x.clone() for view, x in inputs.items()}
    renamed[test] = 1 - renamed[test]
    changed["snp"][test[0]] = 50.0
    of_names, of_features = fit_additive(make_net(), inputs, renamed), fit_additive(make_net(), changed, target)
    for view in SHAPES:
        torch.testing.assert_close(of_names.held_out[view][test], first[view][test])
        torch.testing.assert_close(of_features.held_out[view][test[1:]], first[view][test[1:]])
        assert not torch.allclose(of_names.held_out[view][train], first[view][train], atol=1e-2)


def test_settings_are_chosen_by_people_left_out():
    """Of pure noise, many features can be learnt by heart and none predicts: the strongest penalty must win."""
    random = torch.Generator().manual_seed(3)
    inputs = {view: torch.randn(90, 1, *shape, generator=random) for view, shape in SHAPES.items()}
    found = fit_additive(make_net(), inputs, torch.arange(90) % 2)
    assert max(setting.penalty for setting in found.settings.values()) <= 0.1


@pytest.mark.parametrize(("effect", "seed", "chosen"), [(1.0, 0, 0.0), (0.3, 2, 1.0)])
def test_the_agreement_term_stays_if_it_makes_those_left_out_likelier(monkeypatch, effect, seed, chosen):
    inputs, target = draw(effect=effect, seed=seed)
    found, loss = fit_additive(make_net(), inputs, target), {}
    for always in (min, max):  # never, and always
        monkeypatch.setattr(additive, "likeliest", always)
        forced = fit_additive(make_net(), inputs, target)
        fused = sum(forced.confidence[view] * forced.held_out[view] for view in SHAPES) + torch.tensor(forced.offset)
        loss[forced.agreement] = float(torch.nn.functional.cross_entropy(fused, target))
    assert set(loss) == {0.0, 1.0}
    assert found.agreement == chosen == min(loss, key=loss.get)


def test_a_view_at_chance_gets_little_confidence_and_does_not_drag_the_other_down():
    inputs, target = draw(n=200, effect=2.0)
    inputs["fc"] = torch.randn(inputs["fc"].shape, generator=torch.Generator().manual_seed(5))
    net = make_net()
    found = fit_additive(net, inputs, target)
    assert min(found.confidence.values()) >= 0
    spoken = {view: found.confidence[view] * found.held_out[view][:, 1].std() for view in SHAPES}
    assert spoken["fc"] < 0.2 * spoken["snp"]
    assert net.confidence.tolist() == pytest.approx(list(found.confidence.values()))
    fused, alone = (net.fuse(logits)[:, 1] for logits in (found.held_out, {"snp": found.held_out["snp"]}))
    assert roc_auc_score(target, fused) > roc_auc_score(target, alone) - 0.02


def test_an_unequal_number_of_people_in_the_classes_gives_no_view_confidence():
    random = torch.Generator().manual_seed(0)
    target = (torch.arange(200) % 5 == 0).long()
    inputs = {view: torch.randn(200, 1, *shape, generator=random) for view, shape in SHAPES.items()}
    net = make_net()
    found = fit_additive(net, inputs, target)
    spoken = {view: found.confidence[view] * found.held_out[view][:, 1].std().item() for view in SHAPES}
    assert max(spoken.values()) < 0.2  # of a logit
    proba = net.predict_proba(inputs)[:, 1]
    assert proba.mean().item() == pytest.approx(0.2, abs=0.05)  # the offset holds the shares of the classes


def test_classes_that_nobody_mistakes_do_not_make_confidence_endless():
    inputs, target = draw(effect=30.0)
    net = make_net()
    found = fit_additive(net, inputs, target)
    assert max(found.confidence.values()) < 5
    assert torch.isfinite(net.predict_proba(inputs)).all()


def test_the_confidence_of_a_single_view_counts():
    inputs, target = draw()
    net = CollaborativeNet({"snp": (LENGTH,)}, pathways={"snp": ["linear"]}, combine="confidence")
    found = fit_additive(net, {"snp": inputs["snp"]}, target)
    logits = net.logits_of("snp", inputs["snp"])
    expected = (found.confidence["snp"] * logits + torch.tensor(found.offset)).softmax(dim=1)
    torch.testing.assert_close(net.predict_proba({"snp": inputs["snp"]}), expected)
    assert found.confidence["snp"] != 1


def test_a_view_without_any_variation_says_nothing_and_breaks_nothing():
    inputs, target = draw()
    inputs["fc"] = torch.ones_like(inputs["fc"])
    net = make_net()
    fit_additive(net, inputs, target)
    assert not net.pathways["fc"]["linear"].weight.any()
    assert roc_auc_score(target, net.predict_proba(inputs)[:, 1].detach()) > 0.8


def test_a_feature_that_never_varies_has_no_weight_and_breaks_nothing():
    inputs, target = draw()
    inputs["fc"][:, 0, range(SIDE), range(SIDE)] = 1.0
    net = make_net()
    fit_additive(net, inputs, target)
    effective = net.pathways["fc"]["linear"].weight * net.pathways["fc"]["linear"].gate
    assert (effective[:, range(SIDE), range(SIDE)] == 0).all()
    assert all(torch.isfinite(each).all() for each in net(inputs).values())


def test_the_same_seed_gives_the_same_fit_and_the_order_of_features_does_not_matter():
    inputs, target = draw()
    one, again, other = make_net(), make_net(), make_net()
    fit_additive(one, inputs, target)
    fit_additive(again, inputs, target)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    order = torch.randperm(LENGTH, generator=torch.Generator().manual_seed(0))
    fit_additive(other, {**inputs, "snp": inputs["snp"][..., order]}, target)
    torch.testing.assert_close(
        other.pathways["snp"]["linear"].weight, one.pathways["snp"]["linear"].weight[:, order], atol=1e-3, rtol=1e-2
    )


def test_copies_in_the_other_triangle_change_nothing():
    """A symmetric image is fitted by one triangle; the same with each connection's two copies told apart by a hair."""
    inputs, target = draw()
    fc = inputs["fc"] + inputs["fc"].mT
    symmetric, both = {**inputs, "fc": fc}, {**inputs, "fc": fc + 1e-5 * torch.arange(SIDE) / SIDE}
    assert not torch.equal(both["fc"], both["fc"].mT)
    one, other = make_net(), make_net()
    fit_additive(one, symmetric, target)
    fit_additive(other, both, target)
    torch.testing.assert_close(one(symmetric)["fc"], other(both)["fc"], atol=0.01, rtol=0.01)
    weight = one.pathways["fc"]["linear"].weight
    assert torch.equal(weight, weight.mT)


def test_groups_are_kept_whole():
    target = np.arange(60) % 2
    groups = np.repeat(np.arange(10), 6)
    for train, test in setting_choice.divide(target, 2, 0, groups):
        assert not set(groups[train]) & set(groups[test])


@pytest.mark.parametrize(
    ("target", "groups", "message"),
    [
        ([0] * 20 + [1], None, "every class needs at least 2 training subjects"),
        ([0] * 21, None, "every class needs at least 2 training subjects"),
        ([0, 1] * 12, ["a"] * 24, "training subjects of a single group cannot be divided"),
    ],
)
def test_what_cannot_be_divided_is_refused(target, groups, message):
    inputs, _ = draw(len(target))
    with pytest.raises(ValueError, match=message):
        fit_additive(make_net(), inputs, torch.tensor(target), groups=groups)


def test_a_view_without_a_linear_pathway_is_named():
    inputs, target = draw()
    net = CollaborativeNet({"snp": (80,)})
    with pytest.raises(ValueError, match="view 'snp' has no linear pathway"):
        fit_additive(net, inputs, target)


def test_only_softmax_outputs_are_fitted_by_eq_12():
    inputs, target = draw()
    net = CollaborativeNet(SHAPES, output="sigmoid", pathways={view: ["linear"] for view in SHAPES})
    with pytest.raises(ValueError, match=r"fitted by the softmax loss of Eq\. 12; the network has 'sigmoid'"):
        fit_additive(net, inputs, target)


def test_a_class_that_nobody_has_is_named():
    with pytest.raises(ValueError, match=r"left out; middle has 0\. A class that nobody has does not belong"):
        setting_choice.divide(np.array([0, 2] * 10), 3, 0, None, ["low", "middle", "high"])
