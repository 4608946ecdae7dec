"""Pathways beside the ConvNet: each computes its equation, sees what it says it sees, and is silent until taught."""

import pytest
import torch

from gcamccl_core.model.layer_table import describe
from gcamccl_core.model.network_files import load_net, save_net
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.pathways import BlockPathway, LinearPathway, RowPathway, Standardisation

VIEWS = {"fc": (40, 40), "snp": (80,)}
ALL = {"fc": ["convolution", "rows", "linear"], "snp": ["convolution", "blocks", "linear"]}


@pytest.fixture
def random():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def inputs(random):
    return {view: torch.randn(6, 1, *shape, generator=random) for view, shape in VIEWS.items()}


def draw_all(module, random):
    for each in module.parameters():
        each.data = torch.randn(each.shape, generator=random)
    return module.eval()


def test_features_are_standardised_by_the_training_subjects_and_constant_ones_become_zero(random):
    train = torch.randn(50, 1, 3, generator=random) * torch.tensor([1.0, 5.0, 0.0]) + 7
    standardise = Standardisation([3]).fit(train)
    found = standardise(train)[:, 0]
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(dim=0, correction=0), torch.tensor([1.0, 1.0, 0.0]))
    assert (standardise(torch.full((1, 1, 3), 9.0))[..., 2] == 0).all()


def test_a_linear_pathway_is_its_equation(random):
    path = draw_all(LinearPathway((4, 4), n_classes=3), random)
    path.gate.copy_(torch.rand(4, 4, generator=random))
    train, x = (torch.randn(n, 1, 4, 4, generator=random) for n in (30, 5))
    path.standardise.fit(train)
    center, spread = train[:, 0].mean(dim=0), train[:, 0].std(dim=0, correction=0)
    by_hand = path.bias + torch.einsum("cij,ij,nij->nc", path.weight, path.gate, (x[:, 0] - center) / spread)
    torch.testing.assert_close(path(x), by_hand)


def test_a_kernel_of_rows_sees_all_connections_of_one_region_and_no_others(random):
    path = draw_all(RowPathway((5, 5), n_classes=2, dropout=0.5), random)
    x = torch.randn(2, 1, 5, 5, generator=random)
    found = path.conv(x)[..., 0]  # (n, kernels, region)
    by_hand = torch.einsum("kj,nij->nki", path.conv.weight[:, 0, 0], x[:, 0]) + path.conv.bias[:, None]
    torch.testing.assert_close(found, by_hand)
    other = x.clone()
    other[:, :, 3] += 1
    changed = (path.conv(other) != path.conv(x)).any(dim=1)[..., 0]
    assert changed.tolist() == [[False, False, False, True, False]] * 2


def test_a_kernel_of_blocks_sees_one_gene(random):
    path = draw_all(BlockPathway([2, 1, 3], n_classes=2, dropout=0.0), random)
    seen = []
    path.norm.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    x = torch.randn(4, 1, 6, generator=random)
    path(x)
    by_hand = torch.stack([(x * path.weight)[..., block].sum(dim=2) for block in ([0, 1], [2], [3, 4, 5])], dim=2)
    torch.testing.assert_close(seen[0], by_hand)


def test_pathways_add_up_and_are_silent_until_taught(inputs, random):
    torch.manual_seed(0)
    beside = CollaborativeNet(VIEWS, pathways={"fc": ["convolution", "rows"], "snp": ["convolution", "blocks"]}).eval()
    torch.manual_seed(0)
    published = CollaborativeNet(VIEWS).eval()
    logits = beside(inputs)
    for view, expected in published(inputs).items():
        torch.testing.assert_close(logits[view], expected)
    net = CollaborativeNet(VIEWS, pathways=ALL).eval()
    assert all(not each.any() for each in net(inputs).values())  # the ConvNet, too, where a linear pathway speaks first
    draw_all(net, random)
    for view, name in {"fc": "rows", "snp": "blocks"}.items():
        x = inputs[view]
        parts = [net.heads[view](net.encoders[view](x).flatten(1)), *(path(x) for path in net.pathways[view].values())]
        torch.testing.assert_close(net(inputs)[view], sum(parts))
        assert name in net.pathways[view]


def test_what_a_linear_pathway_would_say_can_be_replaced(inputs, random):
    net = draw_all(CollaborativeNet(VIEWS, pathways={"fc": ["rows", "linear"]}), random)
    instead = torch.randn(6, 2, generator=random)
    expected = net.pathways["fc"]["rows"](inputs["fc"]) + instead
    found = net(inputs, {"fc": instead})
    torch.testing.assert_close(found["fc"], expected)
    assert torch.equal(found["snp"], net(inputs)["snp"])


def test_confidence_weighs_the_views_logits(inputs, random):
    net = draw_all(
        CollaborativeNet(VIEWS, 3, pathways={view: ["linear"] for view in VIEWS}, combine="confidence"), random
    )
    net.confidence.copy_(torch.tensor([0.5, 2.0]))
    logits = net(inputs)
    by_hand = (0.5 * logits["fc"] + 2 * logits["snp"]).softmax(dim=1)
    torch.testing.assert_close(net.predict_proba(inputs), by_hand)
    torch.testing.assert_close(net.fuse({"snp": logits["snp"]}).exp(), logits["snp"].softmax(dim=1))
    net.confidence.copy_(torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(net.predict_proba(inputs), logits["fc"].softmax(dim=1))


def test_a_network_with_every_option_is_kept_whole(inputs, random, tmp_path):
    net = CollaborativeNet(VIEWS, 2, 0.1, pathways=ALL, combine="confidence", blocks={"snp": [30, 50]})
    draw_all(net, random).confidence.copy_(torch.tensor([0.3, 0.7]))
    for view, paths in net.pathways.items():
        for path in paths.values():
            path.standardise.fit(inputs[view])
    back = load_net(save_net(net, tmp_path / "net.safetensors"))
    assert back.pathway_names == net.pathway_names
    assert back.blocks == {"snp": [30, 50]}
    assert torch.equal(back.predict_proba(inputs), net.predict_proba(inputs))


def test_a_network_is_published_unless_told_otherwise(inputs):
    net = CollaborativeNet(VIEWS)
    assert net.pathway_names == {"fc": ["convolution"], "snp": ["convolution"]}
    assert not any("pathways" in name or "confidence" in name for name in net.state_dict())


def test_the_table_of_layers_lists_pathways():
    table = describe(CollaborativeNet(VIEWS, pathways={"fc": ["rows", "linear"], "snp": ["linear"]})).set_index(
        ["view", "layer"]
    )
    assert table.index.tolist() == [("fc", "rows"), ("fc", "linear"), ("snp", "linear")]
    assert table.loc[("fc", "linear"), "parameters"] == 2 * 40 * 40 + 2
    assert table.loc[("fc", "rows"), "input_shape"] == ("b", 1, 40, 40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pathways": {"fc": ["blocks"]}}, "pathways of view 'fc' must list some of convolution, rows, linear"),
        ({"pathways": {"snp": "linear"}}, "pathways of view 'snp' must list some of convolution, blocks, linear"),
        ({"pathways": {"snp": []}}, "pathways of view 'snp'"),
        ({"pathways": {"eeg": ["linear"]}}, "there is no view eeg"),
        ({"blocks": {"snp": [3, 4]}}, "the blocks of view 'snp' hold 7 features"),
        ({"blocks": {"fc": [40]}}, "the blocks of view 'fc'"),
        ({"combine": "best"}, "combine must be mean or confidence"),
        ({"combine": "confidence", "output": "sigmoid"}, "combine must be mean with output='sigmoid'"),
    ],
)
def test_options_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        CollaborativeNet(VIEWS, **arguments)


def test_features_need_a_convnet(inputs):
    net = CollaborativeNet(VIEWS, pathways={"fc": ["linear"]})
    with pytest.raises(ValueError, match="view 'fc' has no convolution, but linear"):
        net.features(inputs)
