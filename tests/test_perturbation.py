"""Deletion and insertion: closed forms on a linear network, an oracle's ranking that wins, and nothing left behind."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from small_cohorts import planted_cohort
from torch import nn

from gcamccl_core.maps.cohort_maps import compute_maps
from gcamccl_core.maps.dataset import flatten_features, label_maps
from gcamccl_core.maps.perturbation import perturbation_areas, perturbation_curves
from gcamccl_core.maps.replaced_features import training_means
from gcamccl_core.model.networks import CollaborativeNet

TRAIN = np.arange(40)
UPPER = np.triu_indices(20, k=1)


@pytest.fixture(scope="module")
def cohort():
    return planted_cohort(n=80, seed=5, extra_view=True)


def mapped(cohort):
    return cohort.isel(subject=np.flatnonzero((cohort["label"] >= 0) & (np.arange(80) >= 40)))


def linear_net(cohort, output="softmax"):
    """No more than a linear head on each view's values."""
    sizes = {view: cohort[view].shape[1:] for view in ("fc", "snp", "thickness")}
    torch.manual_seed(0)
    net = CollaborativeNet(sizes, output=output)
    for view, shape in sizes.items():
        net.encoders[view], net.heads[view] = nn.Identity(), nn.Linear(int(np.prod(shape)), 2)
        nn.init.normal_(net.heads[view].weight, std=0.3)
    return net.fit_scaling(cohort, TRAIN)


def random_maps(people, views=("fc", "snp", "thickness"), methods=("grad_cam",), seed=0):
    rng = np.random.default_rng(seed)
    n = people.sizes["subject"]
    values = {view: rng.normal(size=(n, 2, len(methods), *people[view].shape[1:])) for view in views}
    return label_maps(values, people, list(methods), {})


def curves_of(net, cohort, maps, **arguments):
    return perturbation_curves(net, cohort, maps, **{"n_random": 0, "progress": False} | arguments)


def conv_net(cohort, views=("fc", "snp"), output="softmax"):
    torch.manual_seed(1)
    return CollaborativeNet({view: cohort[view].shape[1:] for view in views}, output=output).fit_scaling(cohort, TRAIN)


@pytest.mark.parametrize("given_train", [True, False])
@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_curves_of_a_linear_network_equal_those_computed_by_hand(cohort, output, given_train):
    net, people = linear_net(cohort, output), mapped(cohort)
    maps = random_maps(people)
    table = curves_of(net, cohort, maps, shares=(0.1, 0.5), train=TRAIN if given_train else None)
    members = people["label"].to_numpy() == 1
    training = cohort.isel(subject=TRAIN)
    for view in ("fc", "snp", "thickness"):
        values = people[view].to_numpy()[members].astype(float)
        mean = np.nanmean(training[view].to_numpy().astype(float), axis=0)
        spread = training[view].to_numpy().std(axis=0) if view == "thickness" else 1
        center = mean if view == "thickness" else 0
        baseline = mean if given_train or view != "fc" else np.full((20, 20), training["fc"].to_numpy().mean())
        image = view == "fc"
        seen = maps["fc_symmetric" if image else view].to_numpy()[members, 1, 0]
        score = np.maximum(flatten_features(seen, image), 0).mean(axis=0)
        for share in (0.1, 0.5):
            best = np.argsort(-score)[: round(share * len(score))]
            for direction in ("deletion", "insertion"):
                replaced = np.isin(np.arange(len(score)), best) == (direction == "deletion")
                if image:  # the diagonal stays either way
                    mask = np.zeros((20, 20), dtype=bool)
                    mask[UPPER] = replaced
                    replaced = mask | mask.T
                x = (np.where(replaced, baseline, values) - center) / spread
                weight, bias = (p.detach().double().numpy() for p in (net.heads[view].weight, net.heads[view].bias))
                y = x.reshape(len(x), -1) @ weight.T + bias
                h = 1 / (1 + np.exp(-(y[:, 1] - y[:, 0] if output == "softmax" else y[:, 1])))
                row = table.query("view == @view and target_class == 'high'")
                row = row.query("direction == @direction and share == @share")
                assert row["probability"].item() == pytest.approx(h.mean(), abs=1e-5)


def test_an_oracle_beats_random_rankings_and_these_its_reverse(cohort):
    """The oracle ranks by what a feature adds to the logit's difference above the training mean."""
    net, people = linear_net(cohort), mapped(cohort)
    values = {}
    for view, x in net.prepare(people).items():
        away = (x - training_means(net, cohort, TRAIN)[view])[:, 0]
        weight = net.heads[view].weight.detach()
        gain = (away * (weight[1] - weight[0]).reshape(away.shape[1:])).numpy()
        if view == "fc":
            gain = gain + gain.swapaxes(1, 2)
        low, high = (gain[people["label"].to_numpy() == c].mean(axis=0) for c in (0, 1))
        one = np.stack([-low, high])  # what speaks for either class in its own people
        values[view] = np.tile(
            np.stack([one - one.min(), one.max() - one], axis=1), (len(x), 1, 1, *[1] * (x.ndim - 2))
        )
    maps = label_maps(values, people, ["oracle", "reverse"], {})
    areas = perturbation_areas(curves_of(net, cohort, maps, n_random=10, train=TRAIN))
    areas = areas.set_index(["view", "target_class", "method"])
    for view in ("fc", "snp", "thickness"):
        for name in ("low", "high"):
            oracle, chance, reverse = (areas.loc[(view, name, method)] for method in ("oracle", "random", "reverse"))
            assert oracle["deletion"] < chance["deletion"] < reverse["deletion"]
            assert oracle["insertion"] > chance["insertion"] > reverse["insertion"]


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_curves_begin_and_end_at_the_whole_and_the_blank_view(cohort, output):
    net, people = conv_net(cohort, output=output), mapped(cohort)
    maps = compute_maps(net, people, methods=["grad_cam", "guided_grad_cam"], progress=False)
    table = curves_of(net, cohort, maps, n_random=2, controls={"other": random_maps(people, ("fc", "snp"))})
    assert table["source"].unique().tolist() == ["model", "other", "random"]
    assert len(table) == 2 * 2 * (2 + 1 + 1) * 2 * 8
    with torch.no_grad():
        logits = net.eval()(net.prepare(people))
    for (view, name, _, _), curve in table.groupby(["view", "target_class", "source", "method"]):
        h = logits[view].softmax(1) if output == "softmax" else logits[view].sigmoid()
        members = people["label"].to_numpy() == ["low", "high"].index(name)
        ends = curve.set_index(["direction", "share"])["probability"]
        assert ends["deletion", 0] == ends["insertion", 1]
        assert ends["deletion", 0] == pytest.approx(h[members, ["low", "high"].index(name)].mean().item(), abs=1e-5)
        assert ends["deletion", 1] == ends["insertion", 0]


def test_the_random_source_is_the_mean_of_its_rankings(cohort):
    net, maps = linear_net(cohort), random_maps(mapped(cohort), ("snp",))
    one, two = (curves_of(net, cohort, maps, n_random=n, shares=(0.2,)).query("source == 'random'") for n in (1, 2))
    first, both = one["probability"].to_numpy(), two["probability"].to_numpy()
    assert len(first) == len(both) == 4
    members = mapped(cohort)["label"].to_numpy() == 0
    rng = np.random.default_rng(0)
    _ties, _first, second = (rng.permutation(60) for _ in range(3))
    x = net.prepare(mapped(cohort))["snp"][members].clone()
    x[:, 0, second[:12]] = training_means(net, cohort)["snp"][second[:12]]
    alone = net.heads["snp"](x[:, 0]).softmax(1)[:, 0].mean().item()
    assert 2 * both[0] - first[0] == pytest.approx(alone, abs=1e-5)


def test_only_the_encoder_and_head_of_a_mapped_view_are_called(cohort):
    class Broken(nn.Module):
        def forward(self, x):
            raise AssertionError("this view was not asked for")

    net = linear_net(cohort)
    net.encoders["fc"] = Broken()
    maps = random_maps(mapped(cohort), ("snp",))
    assert curves_of(net, cohort, maps)["view"].unique().tolist() == ["snp"]


def test_subjects_are_found_by_their_ids_and_batches_do_not_matter(cohort):
    net, people = linear_net(cohort), mapped(cohort)
    maps = random_maps(people)
    expected = curves_of(net, cohort, maps)
    backwards = maps.isel(subject=slice(None, None, -1))
    found = curves_of(net, cohort.isel(subject=slice(None, None, -1)), backwards, batch_size=3)
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-6)


def test_ties_are_broken_by_the_seed_and_by_nothing_else(cohort):
    """Otherwise a map that says nothing would delete the first features, where something may be planted."""
    net, people = linear_net(cohort), mapped(cohort)
    flat = label_maps({"snp": np.zeros((people.sizes["subject"], 2, 1, 60))}, people, ["grad_cam"], {})
    one, again, other = (curves_of(net, cohort, flat, n_random=2, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    inner = one["share"].between(0.05, 0.5)
    assert (one["probability"] != other["probability"])[inner].all()
    control = curves_of(net, cohort, flat, controls={"as flat": flat.copy()}, seed=1)
    halves = [control.query("source == @source")["probability"].to_numpy() for source in ("model", "as flat")]
    np.testing.assert_array_equal(*halves)


def test_the_network_and_the_generators_are_left_as_they_were(cohort):
    net = conv_net(cohort).train()
    net.encoders["snp"].conv2.eval()
    maps = random_maps(mapped(cohort), ("fc", "snp"))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    curves_of(net, cohort, maps, n_random=1)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    net.heads["snp"].weight.data = torch.zeros(2, 3)
    with pytest.raises(RuntimeError, match="shape"):  # an error in the middle leaves it alone too
        curves_of(net, cohort, maps, n_random=1)
    assert [module.training for module in net.modules()] == modes
    assert torch.is_grad_enabled()
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shares": (0, 0.5, 0.2)}, "shares must increase and lie from 0 to 1; got 0, 0.5, 0.2"),
        ({"shares": (0, 1.5)}, "shares must increase"),
        ({"shares": ()}, "shares must increase"),
        ({"n_random": -1}, "n_random must be at least 0, got -1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"train": []}, "train must name at least one"),
    ],
)
def test_impossible_requests_are_refused(cohort, arguments, message):
    with pytest.raises(ValueError, match=message):
        curves_of(linear_net(cohort), cohort, random_maps(mapped(cohort)), **arguments)


def test_maps_of_others_are_refused(cohort):
    net, people = linear_net(cohort), mapped(cohort)
    maps = random_maps(people)
    renamed = cohort.assign_coords(locus=[f"rs{i}" for i in range(60)])
    some = cohort.isel(subject=slice(78))
    lost = people["subject"].to_numpy()[people["subject"].to_numpy() >= "s078"]
    assert len(lost)
    for case, message in (
        ((net, some, maps), f"lacks {len(lost)} of the {len(people['subject'])} subjects of the maps: {lost[0]}"),
        ((net, renamed, maps), "maps of 'model' and cohort differ along 'locus' of view 'snp'"),
        ((net, cohort, maps.isel(target_class=[1])), "and 1 classes.*the network fc, snp, thickness and 2"),
        ((conv_net(cohort), cohort, maps), "have view fc, snp, thickness and 2 classes, the network fc, snp and 2"),
        ((net, cohort, maps.isel(subject=maps["label"] == 0)), "no subject of class 'high'"),
    ):
        with pytest.raises(ValueError, match=message):
            curves_of(*case)
    for name, control, message in (
        ("random", maps, "no control may be called 'random'"),
        ("model", maps, "no control may be called 'model'"),
        ("other", random_maps(people, ("fc",)), "maps of 'other' have no view 'snp'"),
        ("other", maps.isel(locus=slice(9)), "maps of 'other' and cohort differ along 'locus'"),
    ):
        with pytest.raises(ValueError, match=message):
            curves_of(net, cohort, maps, controls={name: control})


def test_a_network_without_scaling_is_refused(cohort):
    net = CollaborativeNet({"snp": (60,)})
    with pytest.raises(RuntimeError, match="'snp' is not fitted"):
        training_means(net, cohort)
    with pytest.raises(RuntimeError, match="'snp' is not fitted"):
        curves_of(net, cohort, random_maps(mapped(cohort), ("snp",)))


def make_curve(shares, deletion, insertion, **key):
    key = {"view": "snp", "target_class": "high", "source": "model", "method": "cam"} | key
    sides = {"deletion": deletion, "insertion": insertion}
    return pd.concat(
        pd.DataFrame({"direction": side, "share": shares, "probability": p}).assign(**key) for side, p in sides.items()
    )


def test_areas_follow_the_trapezoidal_rule_whatever_the_order_of_the_rows():
    curves = pd.concat(
        [
            make_curve([0, 0.2, 1], [1, 0.5, 0.25], [0.25, 0.5, 1], view="snp"),
            make_curve([0, 1], [0.8, 0.4], [0.4, 0.8], view="fc"),
        ]
    )
    areas = perturbation_areas(curves)
    assert areas["view"].tolist() == ["snp", "fc"]
    assert areas["deletion"].tolist() == pytest.approx([0.2 * 0.75 + 0.8 * 0.375, 0.6])
    assert areas["insertion"].tolist() == pytest.approx([0.2 * 0.375 + 0.8 * 0.75, 0.6])
    shuffled = perturbation_areas(curves.sample(frac=1, random_state=1)).set_index("view")
    pd.testing.assert_frame_equal(shuffled.loc[["snp", "fc"]].reset_index()[areas.columns], areas)


def test_areas_of_incomplete_curves_are_refused():
    curve = make_curve([0, 1], [1, 0], [0, 1])
    with pytest.raises(ValueError, match="no column share"):
        perturbation_areas(curve.drop(columns="share"))
    with pytest.raises(ValueError, match="insertion curve of snp, high, model, cam has fewer than two shares"):
        perturbation_areas(curve.query("direction == 'deletion' or share == 0"))


def test_controls_of_other_subjects_are_refused(cohort):
    maps = random_maps(mapped(cohort))
    message = re.escape("maps of 'late' are of other subjects than the model's; take .sel(subject=maps['subject'])")
    with pytest.raises(ValueError, match=message):
        curves_of(linear_net(cohort), cohort, maps, controls={"late": maps.isel(subject=slice(1, None))})
