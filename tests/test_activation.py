"""Activation maps: equal to Captum's and to closed forms, and no trace left in the network."""

import copy
import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from captum.attr import GuidedBackprop, LayerAttribution, LayerGradCam
from torch import nn

from gcamccl_core.maps.activation import (
    METHODS,
    class_contrast,
    compute_maps,
    grad_cam,
    guided_backprop,
    guided_grad_cam,
)
from gcamccl_core.maps.hooks import traced_pass
from gcamccl_core.model.networks import CollaborativeNet

CLASSES = ["low", "middle", "high"]
SMALL = {"fc": (40, 40), "snp": (80,)}


def make_cohort(n=12, side=40, n_snps=80, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-0.9, 0.9, (n, side, side)).astype("float32")
    genotypes = rng.integers(0, 3, (n, n_snps)).astype("float32")
    genotypes[1, 3] = np.nan
    regions = [f"region {i}" for i in range(side)]
    label = np.resize([0, 1, 2, -1], n)
    return xr.Dataset(
        {
            "fc": (("subject", "roi_i", "roi_j"), (images + images.swapaxes(1, 2)) / 2),
            "snp": (("subject", "locus"), genotypes),
            "label": ("subject", label, {"classes": CLASSES}),
            "roi_network": ("roi", ["visual", "motor"] * (side // 2)),
        },
        coords={
            "subject": [f"s{i}" for i in range(n)],
            "roi_i": regions,
            "roi_j": regions,
            "roi": regions,
            "locus": [f"rs{i}" for i in range(n_snps)],
            "snp_gene": ("locus", [f"G{i // 4}" for i in range(n_snps)]),
        },
    ).pipe(mark_views)


def mark_views(cohort):
    cohort["fc"].attrs = {"role": "view", "kind": "correlation"}
    cohort["snp"].attrs = {"role": "view", "kind": "genotype"}
    return cohort


def train_briefly(net, cohort, steps=20):
    """Enough steps that weights, biases and batch statistics have left their initial values."""
    inputs = net.prepare(cohort)
    target = torch.as_tensor(cohort["label"].to_numpy().astype("int64").clip(0))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    net.train()
    for _ in range(steps):
        loss = sum(nn.functional.cross_entropy(logits, target) for logits in net(inputs).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.zero_grad(set_to_none=True)
    return net.eval()


@pytest.fixture(scope="module")
def cohort():
    return make_cohort()


@pytest.fixture(scope="module")
def trained(cohort):
    torch.manual_seed(1)
    return train_briefly(CollaborativeNet(SMALL, n_classes=3).fit_scaling(cohort, range(12)), cohort)


@pytest.fixture
def net(trained):
    return copy.deepcopy(trained)


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


def captum_guided(net, inputs, view, target):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attribution = GuidedBackprop(OneView(net, inputs, view)).attribute(inputs[view].clone(), target=target)
    return attribution[:, 0].detach().numpy()


def assert_close(ours, reference):
    assert np.abs(reference).max() > 0
    assert np.abs(ours - reference).max() <= 1e-5 * np.abs(reference).max()


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("view", ["fc", "snp"])
def test_equals_captum_on_a_trained_network(net, inputs, view, target):
    assert_close(grad_cam(net, inputs, view, target), captum_grad_cam(net, inputs, view, target))
    assert_close(guided_backprop(net, inputs, view, target), captum_guided(net, inputs, view, target))


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


class TinyNet(nn.Module):
    """y = W2 ReLU(W1 x) position by position, so that every gradient can be written down."""

    def __init__(self, first, second, functional=False):
        super().__init__()
        channels, length = second.shape[1:]
        conv = nn.Conv1d(1, channels, 1, bias=False)
        head = nn.Linear(channels * length, len(second), bias=False)
        conv.weight.data = torch.as_tensor(first).reshape(channels, 1, 1)
        head.weight.data = torch.as_tensor(second).flatten(1)
        parts = {"conv": conv} if functional == "only" else {"conv": conv, "relu": nn.ReLU()}
        self.encoders = nn.ModuleDict({"snp": nn.Sequential()})
        self.encoders["snp"].add_module("conv1", nn.Sequential())
        for name, part in parts.items():
            self.encoders["snp"].conv1.add_module(name, part)
        self.heads = nn.ModuleDict({"snp": head})
        self.views, self.n_classes, self.functional = {"snp": (length,)}, len(second), functional

    def layer_names(self, view):
        return ["conv1"]

    def default_layer(self, view):
        return "conv1"

    def forward(self, inputs):
        features = self.encoders["snp"](inputs["snp"])
        features = nn.functional.relu(features + 0.1) if self.functional else features
        return {"snp": self.heads["snp"](features.flatten(1))}


@pytest.fixture
def tiny():
    rng = np.random.default_rng(5)
    first = np.array([1.0, -2.0, 0.5])
    second = rng.normal(size=(2, 3, 6))
    x = rng.normal(size=(4, 6))
    net = TinyNet(first, second)
    return net, first, second, x, {"snp": torch.as_tensor(x)[:, None]}


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
    assert tuple(functions) == METHODS == tuple(maps["method"].to_numpy())
    for view, layer in (("fc", "conv2"), ("snp", None)):
        for target, name in enumerate(CLASSES):
            for method, function in functions.items():
                stored = maps[view].sel({"target_class": name, "method": method}).to_numpy()
                single = function(net, inputs, view, target, layer)
                np.testing.assert_allclose(stored, single, rtol=1e-4, atol=1e-6 * np.abs(single).max())


def test_maps_carry_their_labels(net, cohort):
    maps = compute_maps(net, cohort, methods=["grad_cam"], progress=False)
    labelled = cohort.isel(subject=cohort["label"].to_numpy() >= 0)
    assert maps["fc"].dims == ("subject", "target_class", "method", "roi_i", "roi_j")
    assert maps["fc"].dtype == maps["snp"].dtype == np.float32
    for name in ("subject", "label", "roi_i", "locus", "snp_gene", "roi_network"):
        np.testing.assert_array_equal(maps[name], labelled[name])
    np.testing.assert_allclose(
        maps["fc_symmetric"], (maps["fc"].to_numpy() + maps["fc"].to_numpy().swapaxes(-1, -2)) / 2
    )


def snapshot(net):
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "modes": [module.training for module in net.modules()],
        "hooks": [[list(getattr(module, kind)) for kind in hooks] for module in net.modules()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in net.parameters()],
        "requires_grad": [p.requires_grad for p in net.parameters()],
        "state": {name: tensor.clone() for name, tensor in net.state_dict().items()},
        "random": torch.get_rng_state(),
        "grad_mode": torch.is_grad_enabled(),
    }


def assert_untouched(before, after):
    for name in ("modes", "hooks", "requires_grad", "grad_mode"):
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
    expected = compute_maps(net, cohort, subjects=[0, 1], progress=False)
    disarrange(net)
    with context():
        before = snapshot(net)
        maps = compute_maps(net, cohort, subjects=[0, 1], progress=False)
        assert_untouched(before, snapshot(net))
    xr.testing.assert_allclose(maps, expected)  # whatever the mode, maps are those of eval mode
    assert not maps["fc"].isnull().any()


@pytest.mark.parametrize("moment", ["forward", "backward"])
def test_the_network_is_left_as_found_after_an_error(net, inputs, moment):
    def fail(*_):
        raise RuntimeError("in the middle")

    disarrange(net)
    block = net.encoders["fc"].conv4
    block.register_forward_hook(fail) if moment == "forward" else block.register_full_backward_hook(fail)
    before = snapshot(net)
    with pytest.raises(RuntimeError, match="in the middle"):
        guided_backprop(net, inputs, "fc", 0)
    assert_untouched(before, snapshot(net))


def test_inputs_are_left_as_found(net, inputs):
    before = {view: tensor.clone() for view, tensor in inputs.items()}
    guided_grad_cam(net, inputs, "fc", 0)
    for view, tensor in inputs.items():
        assert torch.equal(tensor, before[view])
        assert not tensor.requires_grad
        assert tensor.grad is None


def test_a_functional_relu_is_an_error_for_guided_maps_alone(tiny):
    _, first, second, _, inputs = tiny
    with pytest.raises(ValueError, match=r"view 'snp' has no nn\.ReLU module"):
        guided_backprop(TinyNet(first, second, functional="only"), inputs, "snp", 0)
    mixed = TinyNet(first, second, functional=True)
    with pytest.raises(ValueError, match="1 of the network's 2 ReLUs are functional"):
        guided_grad_cam(mixed, inputs, "snp", 0)
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": ["gradcam"]}, "grad_cam_relu.*gradcam"),
        ({"methods": "grad_cam"}, "must list"),
        ({"methods": []}, "must list"),
        ({"layers": {"eeg": "conv1"}}, "no view 'eeg'"),
        ({"layers": {"snp": "conv7"}}, "its layers are conv1, conv2, conv3"),
        ({"subjects": [0, 12]}, "from 0 to 11; got 0 to 12"),
        ({"subjects": np.ones(12, dtype=bool)}, "boolean mask"),
        ({"subjects": []}, "at least one"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_impossible_requests_are_refused(net, cohort, arguments, message):
    with pytest.raises(ValueError, match=message):
        compute_maps(net, cohort, progress=False, **arguments)


def test_another_number_of_classes_is_refused(net, cohort):
    two = cohort.copy()
    two["label"].attrs = {"classes": ["low", "high"]}
    with pytest.raises(ValueError, match="network has 3 classes, the cohort 2"):
        compute_maps(net, two, progress=False)


def test_a_diverged_network_is_an_error_that_names_subjects(net, cohort):
    with torch.no_grad():
        net.heads["fc"].weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="'fc' are not finite in 2 of 2 subjects: s0, s4"):
        compute_maps(net, cohort, subjects=[0, 4], methods=["grad_cam"], progress=False)


def test_maps_are_written_whole_or_not_at_all(net, cohort, tmp_path, monkeypatch):
    out = tmp_path / "maps" / "maps.nc"
    maps = compute_maps(net, cohort, subjects=[0, 1], out=out, progress=False)
    xr.testing.assert_identical(xr.load_dataset(out, engine="h5netcdf"), maps)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        compute_maps(net, cohort, out=out, progress=False)

    def cut_off(dataset, path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", cut_off)
    before = out.read_bytes()
    with pytest.raises(OSError, match="disk full"):
        compute_maps(net, cohort, subjects=[0], out=out, overwrite=True, progress=False)
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def test_the_plain_product_is_offered_beside_the_default_methods(net, cohort, inputs):
    maps = compute_maps(net, cohort, methods=["guided_grad_cam_plain"], subjects=[0, 1, 2], progress=False)
    expected = guided_grad_cam(net, inputs, "fc", 2, relu_gradients=False)
    np.testing.assert_allclose(maps["fc"][:, 2, 0], expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
