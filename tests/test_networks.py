"""The network: Table IV to the letter, every other size, scaling, storage and description."""

import copy

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from gcamccl_core.model.fusion import fused_log_proba
from gcamccl_core.model.layer_table import describe
from gcamccl_core.model.network_files import load_net, save_net
from gcamccl_core.model.networks import CollaborativeNet

PAPER = {"fc": (264, 264), "snp": (750,)}
TABLE_IV = [  # view, layer, input shape, operation, output shape, as printed (f_conv4's and s_conv3's outputs: flatten)
    ("fc", "conv1", ("b", 1, 264, 264), "K, P, MP = 7, 3, 2", ("b", 16, 132, 132)),
    ("fc", "conv2", ("b", 16, 132, 132), "K, P, MP = 5, 2, 4", ("b", 32, 33, 33)),
    ("fc", "conv3", ("b", 32, 33, 33), "K, P, MP = 3, 1, 3", ("b", 32, 11, 11)),
    ("fc", "conv4", ("b", 32, 11, 11), "K = 11", ("b", 64, 1, 1)),
    ("fc", "head", ("b", 64), "linear", ("b", 2)),
    ("snp", "conv1", ("b", 1, 750), "K, MP = 31, 6", ("b", 16, 120)),
    ("snp", "conv2", ("b", 16, 120), "K, MP = 31, 6", ("b", 32, 15)),
    ("snp", "conv3", ("b", 32, 15), "K = 15", ("b", 64, 1)),
    ("snp", "head", ("b", 64), "linear", ("b", 2)),
]


@pytest.fixture(scope="module")
def paper_net():
    torch.manual_seed(0)
    return CollaborativeNet(PAPER)


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(0)
    images = rng.uniform(-0.9, 0.9, (8, 12, 12))
    snp = rng.integers(0, 3, (8, 30)).astype("float32")
    snp[:, 4] = 2
    snp[0, 7] = np.nan
    ids = [f"s{i}" for i in range(8)]
    return xr.Dataset(
        {
            "fc": (("subject", "i", "j"), (images + images.swapaxes(1, 2)) / 2, {"kind": "correlation"}),
            "snp": (("subject", "locus"), snp, {"kind": "genotype"}),
            "streamlines": (("subject", "i", "j"), 100 + 20 * images, {"kind": "measure"}),
        },
        coords={"subject": ids, "locus": [f"rs{i}" for i in range(30)]},
    )


def random_inputs(views, n=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {view: torch.randn(n, 1, *shape, generator=generator) for view, shape in views.items()}


def test_table_iv_parameters_and_shapes(paper_net):
    table = describe(paper_net)
    columns = ["view", "layer", "input_shape", "operation", "output_shape"]
    assert list(table[columns].itertuples(index=False, name=None)) == TABLE_IV
    assert sum(p.numel() for p in paper_net.parameters()) == table["parameters"].sum() == 318_724
    assert (paper_net.default_layer("fc"), paper_net.default_layer("snp")) == ("conv3", "conv2")
    assert paper_net.layer_names("fc") == ["conv1", "conv2", "conv3", "conv4"]


def test_block_order_dropout_and_relus(paper_net):
    blocks = {
        f"{view}.{name}": list(dict(block.named_children()))
        for view in PAPER
        for name, block in paper_net.encoders[view].named_children()
    }
    full = ["conv", "pool", "norm", "relu", "dropout"]
    assert {name for name, parts in blocks.items() if parts == full} == {"fc.conv2", "fc.conv3", "snp.conv2"}
    assert blocks["fc.conv1"] == blocks["snp.conv1"] == full[:4]
    assert blocks["fc.conv4"] == blocks["snp.conv3"] == ["conv", "norm", "relu"]
    relus = [module for module in paper_net.modules() if isinstance(module, torch.nn.ReLU)]
    assert len(relus) == len(blocks)  # modules() yields each object once, so none is shared
    assert not any(relu.inplace for relu in relus)
    assert {m.p for m in paper_net.modules() if isinstance(m, torch.nn.Dropout)} == {0.2}


@pytest.mark.parametrize("view", ["image", "vector"])
def test_smaller_than_smallest_names_view_and_size(view):
    with pytest.raises(ValueError, match=rf"view '{view}' of size 1 is too small; the smallest possible size is 2"):
        CollaborativeNet({view: (1, 1) if view == "image" else (1,)})


@settings(max_examples=40, deadline=None)
@given(side=st.integers(2, 90), length=st.integers(2, 900), n_classes=st.integers(2, 5), n_views=st.integers(1, 3))
def test_every_size_from_the_smallest_on_works(side, length, n_classes, n_views):
    torch.manual_seed(side)
    views = dict(list({"image": (side, side), "vector": (length,), "second": (side + 1,)}.items())[:n_views])
    net = CollaborativeNet(views, n_classes)
    logits = net(random_inputs(views))
    torch.stack(list(logits.values())).square().sum().backward()
    for view in views:
        assert logits[view].shape == (4, n_classes)
        assert torch.isfinite(logits[view]).all()
        assert all(block.conv.weight.grad.abs().sum() > 0 for block in net.encoders[view])
    shapes = describe(net).set_index(["view", "layer"])["output_shape"]
    assert all(min(shapes[view, net.default_layer(view)][2:]) >= 2 for view in views)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"views": {}}, "at least one view"),
        ({"views": {"fc": (10, 12)}}, r"view 'fc' has shape \(10, 12\)"),
        ({"views": {"fc": (3, 3, 3)}}, "view 'fc' has shape"),
        ({"views": {"a b": (30,)}}, "view 'a b' needs a name"),
        ({"views": {"items": (30,)}}, "view 'items' needs a name"),
        ({"views": PAPER, "n_classes": 1}, "n_classes"),
        ({"views": PAPER, "dropout": 1.0}, "dropout"),
        ({"views": PAPER, "output": "tanh"}, "output must be one of softmax, sigmoid"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CollaborativeNet(**arguments)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_fused_prediction_is_the_mean_of_the_views(output):
    net = CollaborativeNet({"a": (20,), "b": (9, 9)}, n_classes=3, output=output).eval()
    inputs = random_inputs(net.views)
    each = [logits.softmax(1) if output == "softmax" else logits.sigmoid() for logits in net(inputs).values()]
    expected = torch.stack([proba / proba.sum(1, keepdim=True) for proba in each]).mean(0)
    torch.testing.assert_close(net.predict_proba(inputs), expected)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_fused_log_probability_survives_extreme_logits(output):
    extreme = {"a": torch.tensor([[1e4, -1e4]]), "b": torch.tensor([[1e4, -1e4]])}
    assert torch.isfinite(fused_log_proba(extreme, output)).all()


def test_correlations_and_genotypes_enter_as_they_are_and_missing_calls_take_the_training_mean(cohort):
    net = CollaborativeNet({"fc": (12, 12), "snp": (30,)}).fit_scaling(cohort, [0, 1, 2, 3, 4])
    inputs, genotypes = net.prepare(cohort), cohort["snp"].to_numpy()
    np.testing.assert_array_equal(inputs["fc"][:, 0].numpy(), cohort["fc"].to_numpy().astype("float32"))
    called = ~np.isnan(genotypes)
    np.testing.assert_array_equal(inputs["snp"][:, 0].numpy()[called], genotypes[called])
    expected = np.broadcast_to(np.nanmean(genotypes[:5], axis=0), genotypes.shape)[~called]
    np.testing.assert_allclose(inputs["snp"][:, 0].numpy()[~called], expected, rtol=1e-6)
    assert inputs["snp"].shape == (8, 1, 30)


def test_measures_are_standardised_by_the_training_subjects_alone(cohort):
    cohort = cohort.assign(measure=cohort["snp"].fillna(1).assign_attrs(kind="measure"))
    net = CollaborativeNet({"measure": (30,), "streamlines": (12, 12)}).fit_scaling(cohort, [0, 1, 2, 3, 4])
    train = net.prepare(cohort, [0, 1, 2, 3, 4])
    changing = cohort["measure"].to_numpy()[:5].std(axis=0) > 0
    np.testing.assert_allclose(train["measure"][:, 0].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train["measure"][:, 0].std(0, unbiased=False)[changing], 1, rtol=1e-5)
    assert (train["measure"][:, 0, ~changing] == 0).all()  # a constant measure says nothing
    assert abs(train["streamlines"].mean()) < 1e-5
    assert train["streamlines"].std(unbiased=False).item() == pytest.approx(1, rel=1e-5)
    assert net.scalings["streamlines"].center.shape == ()  # one number, so that edges keep their proportions


def test_scaling_faults_are_named(cohort):
    net = CollaborativeNet({"snp": (30,)})
    with pytest.raises(RuntimeError, match="scaling of view 'snp' is not fitted"):
        net.prepare(cohort)
    with pytest.raises(ValueError, match="view 'snp': no training subject has a value of rs7"):
        net.fit_scaling(cohort, [0])
    with pytest.raises(ValueError, match=r"expects view 'snp' of shape \(29,\); the cohort has \(30,\)"):
        CollaborativeNet({"snp": (29,)}).prepare(cohort)
    with pytest.raises(ValueError, match=r"expects view 'eeg'.*the cohort has none"):
        CollaborativeNet({"eeg": (29,)}).fit_scaling(cohort, [0])
    with pytest.raises(KeyError, match="no view 'eeg'; the network has snp"):
        net.default_layer("eeg")


def test_stored_network_is_the_same(cohort, tmp_path):
    net = CollaborativeNet({"fc": (12, 12), "snp": (30,)}, n_classes=3, dropout=0.1, output="sigmoid")
    net.fit_scaling(cohort, range(8))
    net(net.prepare(cohort))  # moves the batch-norm statistics
    loaded = load_net(save_net(net.eval(), tmp_path / "models" / "net.safetensors"))
    assert not loaded.training
    assert (loaded.views, loaded.n_classes, loaded.dropout, loaded.output) == (net.views, 3, 0.1, "sigmoid")
    assert torch.equal(loaded.predict_proba(loaded.prepare(cohort)), net.predict_proba(net.prepare(cohort)))
    assert [file.name for file in (tmp_path / "models").iterdir()] == ["net.safetensors"]


def test_unreadable_network_files_are_named(tmp_path):
    path = save_net(CollaborativeNet({"snp": (30,)}), tmp_path / "net.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"net\.safetensors is truncated"):
        load_net(path)
    with pytest.raises(FileNotFoundError, match=r"other\.safetensors"):
        load_net(tmp_path / "other.safetensors")


def test_describe_leaves_the_network_alone(paper_net):
    net = copy.deepcopy(paper_net).train()
    before = copy.deepcopy(net.state_dict())
    describe(net)
    assert net.training
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0, equal_nan=True)
    assert not any(module._forward_hooks for module in net.modules())


def test_names_of_the_classes_travel_with_the_network(tmp_path):
    net = CollaborativeNet({"snp": (80,)}, 3, classes=["low", "middle", "high"])
    assert load_net(save_net(net, tmp_path / "net.safetensors")).classes == ["low", "middle", "high"]
    with pytest.raises(ValueError, match="2 classes have 3 names: low, middle, high"):
        CollaborativeNet({"snp": (80,)}, 2, classes=["low", "middle", "high"])


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("fc.rest", (60,), "view 'fc.rest' needs a name of letters"),
        ("values", (60,), "view 'values' needs a name .* that torch does not use itself"),
        ("fc", (10, 12), r"view 'fc' has shape \(10, 12\); expected \(side, side\) or \(length,\)"),
    ],
)
@pytest.mark.parametrize("pathways", ["convolution", "linear"])
def test_views_that_no_network_can_have_are_refused_with_any_pathway(name, shape, message, pathways):
    with pytest.raises(ValueError, match=message):
        CollaborativeNet({name: shape}, pathways={name: [pathways]})


@pytest.mark.parametrize("constant", [0.1, 5.0])
def test_a_measure_that_did_not_vary_in_training_says_nothing_of_a_new_subject(constant):
    values = np.c_[np.random.default_rng(0).normal(size=101), np.full(101, constant)]
    values[100, 1] = constant + 0.1
    cohort = xr.Dataset({"thickness": (("subject", "measure"), values, {"role": "view", "kind": "measure"})})
    net = CollaborativeNet({"thickness": (2,)}, pathways={"thickness": ["linear"]}).fit_scaling(cohort, range(100))
    assert net.prepare(cohort)["thickness"][:, 0, 1].tolist() == [0.0] * 101
    assert net.prepare(cohort)["thickness"][:100, 0, 0].std().item() == pytest.approx(1, abs=0.01)
