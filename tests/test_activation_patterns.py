"""Activation patterns: numpy's correlations, whatever the batches, and what they are worth where weights mislead."""

import json

import numpy as np
import pytest
import torch
from small_networks import SMALL, make_cohort

from gcamccl_core.maps.activation_patterns import activation_patterns
from gcamccl_core.model.networks import CollaborativeNet


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(n=30)


@pytest.fixture(scope="module")
def net(cohort):
    torch.manual_seed(0)
    return CollaborativeNet(SMALL, 3).fit_scaling(cohort, range(30)).eval()


@pytest.mark.parametrize("score", ["fused", "view", "others"])
@pytest.mark.parametrize("view", ["fc", "snp"])
def test_patterns_are_correlations(cohort, net, view, score):
    found = activation_patterns(net, cohort, range(2, 28), score, batch_size=7, progress=False)
    inputs = net.prepare(cohort, range(2, 28))
    with torch.no_grad():
        logits = net(inputs)
    other = {"fc": "snp", "snp": "fc"}[view]
    alone = {"view": view, "others": other}
    log_proba = (net.fuse(logits) if score == "fused" else logits[alone[score]].log_softmax(dim=1)).double().numpy()
    contrast = log_proba[:, 1] - (log_proba[:, 0] + log_proba[:, 2]) / 2
    x = inputs[view][:, 0].double().numpy().reshape(26, -1)
    oracle = np.array([np.corrcoef(feature, contrast)[0, 1] if feature.std() else 0.0 for feature in x.T])
    values = found[view].sel(target_class="middle", map_method="activation_pattern").to_numpy()
    np.testing.assert_allclose(values.reshape(3, -1), np.stack([oracle] * 3), atol=1e-4)
    assert found["label"].to_numpy().tolist() == [0, 1, 2]
    assert json.loads(found.attrs["correlated_over"]) == [f"s{number}" for number in range(2, 28)]


def test_labels_have_no_say(cohort, net):
    other = cohort.assign(label=cohort["label"].copy(data=np.roll(cohort["label"].to_numpy(), 1)))
    one, two = (activation_patterns(net, each, range(30), progress=False)["fc"] for each in (cohort, other))
    np.testing.assert_array_equal(one, two)


def test_a_feature_that_only_removes_noise_has_a_weight_and_no_pattern():
    """The example of Haufe et al.: x1 = signal + noise, x2 = noise; the best weights are 1 and -1."""
    random = np.random.default_rng(0)
    signal, noise = random.standard_normal((2, 400))
    cohort = make_cohort(n=400)
    snp = np.zeros((400, 80), dtype=np.float32)
    snp[:, 0], snp[:, 1] = signal + noise, noise
    cohort["snp"] = cohort["snp"].copy(data=snp)
    cohort = cohort[["snp", "label"]]
    net = CollaborativeNet({"snp": (80,)}, 3, pathways={"snp": ["linear"]}).eval()
    net.fit_scaling(cohort, range(400))
    net.pathways["snp"]["linear"].weight.data[2, :2] = torch.tensor([1.0, -1.0])
    pattern = activation_patterns(net, cohort, range(400), progress=False)["snp"].sel(target_class="high")[0, 0]
    assert pattern[0] > 0.6
    assert abs(pattern[1]) < 0.15
    assert (pattern[2:] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subjects": [0, 1]}, "a correlation needs at least three subjects, each once"),
        ({"subjects": [0, 1, 1, 2]}, "a correlation needs at least three subjects, each once"),
        ({"subjects": range(9), "score": "logits"}, "score must be fused or view or others"),
        ({"subjects": range(9), "score": {"fc": "fused"}}, "or one of these for every view"),
    ],
)
def test_what_cannot_be_correlated_is_refused(cohort, net, arguments, message):
    with pytest.raises(ValueError, match=message):
        activation_patterns(net, cohort, progress=False, **arguments)


def test_a_network_that_says_nothing_has_a_pattern_of_zeros(cohort):
    silent = CollaborativeNet(SMALL, 3, pathways={view: ["linear"] for view in SMALL}).fit_scaling(cohort, range(30))
    maps = activation_patterns(silent, cohort, range(30), progress=False)
    assert not maps["fc"].any()
    assert not maps["snp"].any()


def test_other_views_are_asked_only_if_there_are_any(cohort):
    net = CollaborativeNet({"snp": (80,)}, 3).fit_scaling(cohort, range(30))
    with pytest.raises(ValueError, match="the network has one view alone"):
        activation_patterns(net, cohort, range(30), "others", progress=False)


def test_every_view_can_be_held_against_a_score_of_its_own(cohort, net):
    mixed = activation_patterns(net, cohort, range(30), {"fc": "fused", "snp": "others"}, progress=False)
    for view, score in {"fc": "fused", "snp": "others"}.items():
        np.testing.assert_array_equal(
            mixed[view], activation_patterns(net, cohort, range(30), score, progress=False)[view]
        )
