"""Networks trained together, in processes or one by one are the same networks."""

import copy
import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cohorts import planted_cohort, same_weights
from torch import nn

from gcamccl_core.data.cohort import make_split, make_splits
from gcamccl_core.disk_faults import StorageError
from gcamccl_core.model import many_networks, stacked_training
from gcamccl_core.model import training as training_module
from gcamccl_core.model.devices import choose_device
from gcamccl_core.model.epochs import Training
from gcamccl_core.model.initial_network import initial_network
from gcamccl_core.model.losses import collaborative_loss
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.repeatable_dropout import RepeatableDropout, mix
from gcamccl_core.model.stacked import StackedNet
from gcamccl_core.model.stacked_training import StackedTraining
from gcamccl_core.model.training import fit, fit_many

QUICK = Recipe(epochs=4, learning_rate=1e-3, patience=None)
VIEWS = {"fc": (40, 40), "snp": (80,)}


@pytest.fixture(scope="module")
def cohort():
    return planted_cohort(n=50)


@pytest.fixture(scope="module")
def splits(cohort):
    return make_splits(cohort, 3, seed=1)


def in_double_precision(cohort, splits, seeds, recipe):
    """Train one by one and together, with little rounding, which a ReLU or a maximum that switches makes larger."""
    label = torch.from_numpy(cohort["label"].to_numpy().astype("int64"))
    nets, alone = [], []
    for split, seed in zip(splits, seeds, strict=True):
        torch.manual_seed(seed)
        nets.append(initial_network(cohort, split, recipe).double())
    inputs = {view: values.double() for view, values in nets[0].prepare(cohort).items()}
    parts = [torch.from_numpy(np.stack([getattr(each, name) for each in splits])) for name in ("train", "validation")]
    together = StackedTraining(nets, recipe, seeds, inputs, label, *parts, torch.device("cpu"))
    for net, split, seed in zip(nets, splits, seeds, strict=True):
        training = Training(copy.deepcopy(net), recipe, seed)
        pair = [
            ({view: x[part] for view, x in inputs.items()}, label[part]) for part in (split.train, split.validation)
        ]
        while not training.finished:
            training.run_epoch(*pair)
        alone.append(training)
    while any(together.going_on()):
        together.run_epoch()
    return alone, together


def murmur_finaliser(number):
    """The same, with numpy's unsigned numbers, which wrap around by themselves."""
    number = np.uint32(number)
    with np.errstate(over="ignore"):
        number = (number ^ (number >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        number = (number ^ (number >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return number ^ (number >> np.uint32(16))


@given(st.integers(-(2**31), 2**31 - 1))
def test_numbers_are_mixed_as_by_murmur(number):
    mixed = mix(torch.tensor(number, dtype=torch.int32)).item()
    assert mixed % 2**32 == int(murmur_finaliser(number % 2**32))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4), st.integers(0, 10**6), st.floats(0, 0.9))
def test_masks_of_a_network_do_not_depend_on_the_others(seeds, step, share):
    values = torch.rand(3, 5 * len(seeds), 4, 4, generator=torch.Generator().manual_seed(0))
    together = RepeatableDropout(share, seeds, layer=1)
    together.step.fill_(step)
    dropped = together(values)
    for k, seed in enumerate(seeds):
        alone = RepeatableDropout(share, [seed], layer=1)
        alone.step.fill_(step)
        mine = slice(5 * k, 5 * (k + 1))
        torch.testing.assert_close(dropped[:, mine], alone(values[:, mine]), rtol=0, atol=0)


def test_masks_drop_their_share_and_differ_from_step_to_step_and_layer_to_layer():
    values = torch.ones(8, 32, 33, 33)
    masks = []
    for layer, step in ((0, 0), (0, 1), (1, 0)):
        dropout = RepeatableDropout(0.2, [3], layer)
        dropout.step.fill_(step)
        dropped = dropout(values)
        kept = dropped > 0
        assert set(dropped.unique().tolist()) == {0.0, 1.25}
        assert kept.double().mean().item() == pytest.approx(0.8, abs=5 * np.sqrt(0.16 / kept.numel()))
        neighbours = np.corrcoef(kept[..., :-1].flatten().numpy(), kept[..., 1:].flatten().numpy())[0, 1]
        assert abs(neighbours) < 0.01
        masks.append(kept.flatten().numpy())
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(masks[one], masks[other])[0, 1]) < 0.01
    assert torch.equal(RepeatableDropout(0.2, [3], 0).eval()(values), values)


def test_a_stack_says_what_its_networks_say_and_learns_their_gradients():
    torch.manual_seed(0)
    nets = [CollaborativeNet(VIEWS, dropout=0.0) for _ in range(3)]
    stack = StackedNet(nets, seeds=[0, 1, 2])
    inputs = {view: torch.rand(3, 5, 1, *shape) for view, shape in VIEWS.items()}
    target = torch.tensor([0, 1, 0, 1, 1])
    logits = stack(inputs)
    losses = [collaborative_loss({view: logits[view][k] for view in VIEWS}, target) for k in range(3)]
    gradients = dict(
        zip(dict(stack.named_parameters()), torch.autograd.grad(sum(losses), stack.parameters()), strict=True)
    )
    for k, net in enumerate(nets):
        own = net({view: values[k] for view, values in inputs.items()})
        for view in VIEWS:
            torch.testing.assert_close(own[view], logits[view][k], rtol=1e-4, atol=1e-5)
        collaborative_loss(own, target).backward()
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(stack.divide(gradients[name])[k], parameter.grad, rtol=1e-3, atol=1e-5, msg=name)
        for name, statistic in net.named_buffers():
            if "norm" in name:
                torch.testing.assert_close(stack.shares()[name][k], statistic, rtol=1e-4, atol=1e-6, msg=name)


def test_unlike_networks_are_not_stacked():
    plain = CollaborativeNet({"snp": (80,)})
    with pytest.raises(ValueError, match="unlike views, classes or dropout"):
        StackedNet([plain, CollaborativeNet({"snp": (90,)})], [0, 1])
    with pytest.raises(ValueError, match="other pathways than the ConvNet"):
        StackedNet([CollaborativeNet({"snp": (80,)}, pathways={"snp": ["linear"]})], [0])


@pytest.mark.parametrize("changes", [{}, {"output": "sigmoid"}, {"batch_size": 5, "agreement": 0.5}, {"patience": 1}])
def test_without_dropout_a_stack_is_trained_as_networks_are_one_by_one(cohort, splits, changes):
    recipe = dataclasses.replace(QUICK, **{"dropout": 0.0, "epochs": 3, **changes})
    seeds = [3, 4, 5]
    alone, together = in_double_precision(cohort, splits, seeds, recipe)
    for k, training in enumerate(alone):
        assert training.selected == together.selected[k]
        expected, found = pd.DataFrame(training.history), pd.DataFrame(together.history[k])
        pd.testing.assert_frame_equal(expected, found, rtol=1e-5, atol=1e-5)
        for rule, weights in training.weights.items():
            for name, share in together.weights[rule].items():
                torch.testing.assert_close(share[k], weights[name], rtol=1e-3, atol=1e-5, msg=name)


def test_each_network_of_a_stack_stops_by_its_own_patience():
    cohort = planted_cohort(n=40, strength=0.0)
    recipe = Recipe(epochs=12, learning_rate=1e-2, patience=3, dropout=0.0)
    splits = make_splits(cohort, 3)
    alone, together = in_double_precision(cohort, splits, [0, 1, 2], recipe)
    assert [len(training.history) for training in alone] == [len(history) for history in together.history]
    assert [training.selected for training in alone] == together.selected
    assert len({len(history) for history in together.history}) > 1


def test_fit_many_hands_out_each_network_with_its_split_and_seed(cohort, splits):
    recipe = dataclasses.replace(QUICK, dropout=0.0, epochs=1)
    together = fit_many(cohort, splits, [3, 4, 5], recipe, progress=False, together=True, device="cpu")
    for split, seed, one in zip(splits, [3, 4, 5], together, strict=True):
        alone = fit(cohort, split, recipe, seed, progress=False, device="cpu")
        pd.testing.assert_frame_equal(alone.history, one.history, rtol=1e-3, atol=1e-3)
        assert (one.seed, one.split, one.classes) == (seed, split, ["low", "high"])


def test_a_network_of_a_stack_is_the_one_trained_by_itself(cohort, splits):
    recipe = dataclasses.replace(QUICK, epochs=1)
    together = fit_many(cohort, splits, [3, 4, 5], recipe, progress=False, together=True, device="cpu")
    alone = fit_many(cohort, splits[1:2], [4], recipe, progress=False, together=True, device="cpu")[0]
    pd.testing.assert_frame_equal(alone.history, together[1].history, rtol=1e-3, atol=1e-3)
    without = fit(cohort, splits[1], dataclasses.replace(recipe, dropout=0.0), 4, progress=False, device="cpu")
    assert abs(alone.history["loss"] - without.history["loss"]).max() > 1e-3  # dropout was at work


def test_a_stack_may_compute_in_bfloat16(cohort, splits):
    recipe = dataclasses.replace(QUICK, epochs=1, precision="bfloat16", dropout=0.0)
    stacked = fit_many(cohort, splits[:2], [3, 4], recipe, progress=False, together=True, device="cpu")
    for one, split in zip(stacked, splits, strict=False):
        exact = fit(
            cohort, split, dataclasses.replace(recipe, precision="float32"), one.seed, progress=False, device="cpu"
        )
        difference = abs(one.history["loss"] - exact.history["loss"]).max()
        assert 0 < difference < 0.05


def test_splits_of_unlike_sizes_and_missing_genotypes(cohort, splits):
    lacking = cohort.copy(deep=True)
    lacking["snp"][splits[0].train[:9], 3] = np.nan
    smaller = dataclasses.replace(splits[1], train=splits[1].train[:41])
    recipe = dataclasses.replace(QUICK, dropout=0.0, epochs=1)
    asked = [splits[0], smaller, splits[2]]
    together = fit_many(lacking, asked, [0, 1, 2], recipe, progress=False, together=True, device="cpu")
    for split, seed, one in zip(asked, range(3), together, strict=True):
        alone = fit(lacking, split, recipe, seed, progress=False, device="cpu")
        pd.testing.assert_frame_equal(alone.history, one.history, rtol=1e-3, atol=1e-3)


def test_a_killed_stack_goes_on_and_ends_where_it_would_have(cohort, splits, tmp_path, monkeypatch):
    way = {"progress": False, "together": True, "device": "cpu", "checkpoint_every": 1}
    undisturbed = fit_many(cohort, splits, [0, 1, 2], QUICK, **way)
    run_epoch = stacked_training.StackedTraining.run_epoch

    def killed(training):
        if training.epoch == 2:
            raise KeyboardInterrupt
        run_epoch(training)

    monkeypatch.setattr(stacked_training.StackedTraining, "run_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        fit_many(cohort, splits, [0, 1, 2], QUICK, tmp_path, **way)
    assert len(list(tmp_path.glob("stack_*.safetensors"))) == 1
    ran = []
    monkeypatch.setattr(
        stacked_training.StackedTraining, "run_epoch", lambda training: ran.append(1) or run_epoch(training)
    )
    resumed = fit_many(cohort, splits, [0, 1, 2], QUICK, tmp_path, **way)
    assert len(ran) == 2
    assert not list(tmp_path.rglob("stack_*"))
    for one, other in zip(undisturbed, resumed, strict=True):
        assert same_weights(one, other)
        pd.testing.assert_frame_equal(one.history, other.history)
    fit_many(cohort, splits[:1], [0], QUICK, tmp_path, **way)
    assert len(ran) == 2  # each is kept by itself


def test_what_a_stack_has_learnt_survives_a_disk_that_refuses_it(cohort, splits, tmp_path, monkeypatch):
    way = {"progress": False, "together": True, "device": "cpu", "checkpoint_every": 1}
    recipe = dataclasses.replace(QUICK, epochs=1)
    save, asked = training_module.save_fitted, []

    def refuse_the_second(fitted, folder, made):
        asked.append(folder)
        if len(asked) == 2:
            raise StorageError(28, "the disk is full")
        save(fitted, folder, made)

    monkeypatch.setattr(training_module, "save_fitted", refuse_the_second)
    with pytest.raises(StorageError):
        fit_many(cohort, splits, [0, 1, 2], recipe, tmp_path, **way)
    assert [(folder / "training.json").is_file() for folder in asked] == [True, False]
    assert len(list(tmp_path.glob("stack_*.safetensors"))) == 1  # with all that the others have learnt


def test_processes_give_the_same_bits_whatever_their_number(cohort, splits, tmp_path):
    recipe = dataclasses.replace(QUICK, epochs=2)
    threads = torch.get_num_threads()
    one, two = (fit_many(cohort, splits, [0, 1, 2], recipe, progress=False, jobs=jobs, device="cpu") for jobs in (1, 2))
    kept = fit_many(cohort, splits, [0, 1, 2], recipe, tmp_path, progress=False, jobs=2, device="cpu")
    assert torch.get_num_threads() == threads
    for first, *others in zip(one, two, kept, strict=True):
        for other in others:
            assert same_weights(first, other)
            pd.testing.assert_frame_equal(first.history, other.history)


def test_ways_that_exclude_each_other_are_refused(cohort, splits):
    for arguments, message in (
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
        ({"jobs": 2, "together": True}, "jobs are processes on the CPU"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_many(cohort, splits[:1], [0], QUICK, device="cpu", **arguments)
    for recipe, reason in ((Recipe.features("dcl"), "its loss is dcl"), (Recipe.recommended(), "other pathways")):
        with pytest.raises(ValueError, match=f"cannot be trained together: .*{reason}"):
            fit_many(cohort, splits[:1], [0], recipe, together=True, device="cpu")


def test_a_network_that_diverges_is_named_by_its_seed(cohort, splits):
    with pytest.raises(FloatingPointError, match=r"the network with seed 8 .* epoch 1; lower learning_rate"):
        fit_many(cohort, splits[:1], [8], dataclasses.replace(QUICK, learning_rate=1e30), together=True, device="cpu")


def test_device_is_what_the_variable_says(monkeypatch):
    monkeypatch.setenv("GCAMCCL_DEVICE", "cpu")
    assert choose_device() == torch.device("cpu")
    for name, message in (("abacus", "no device 'abacus'"), ("meta", "must be 'cpu' or 'cuda', got 'meta'")):
        monkeypatch.setenv("GCAMCCL_DEVICE", name)
        with pytest.raises(ValueError, match=message):
            choose_device()
    with pytest.raises(ValueError, match="choose among several GPUs by the variable CUDA_VISIBLE_DEVICES"):
        choose_device("cuda:1")


def test_stacks_are_no_larger_than_the_device_holds(cohort, monkeypatch):
    split = make_split(cohort)
    one = many_networks.bytes_per_network(CollaborativeNet(VIEWS), QUICK)
    assert many_networks.bytes_per_network(CollaborativeNet(VIEWS), dataclasses.replace(QUICK, batch_size=8)) > one
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (one * 2.6 / many_networks.SHARE_OF_MEMORY, 0))
    monkeypatch.setattr(many_networks, "bytes_per_network", lambda net, recipe: one)
    stacks = many_networks._stacks(cohort, [(split, seed) for seed in range(5)], QUICK, torch.device("cuda"))
    assert stacks == [[0, 1], [2, 3], [4]]


def test_what_cannot_be_stacked_says_so():
    net = CollaborativeNet({"snp": (80,)})
    net.encoders["snp"].conv1.relu = nn.GELU()
    with pytest.raises(ValueError, match="a GELU cannot be stacked"):
        StackedNet([net], [0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here: captured steps cannot be tried")
def test_captured_steps_are_the_steps(cohort, splits, monkeypatch):
    way = {"progress": False, "together": True, "device": "cuda"}
    captured = fit_many(cohort, splits, [0, 1, 2], QUICK, **way)
    monkeypatch.setattr(StackedTraining, "_launch", StackedTraining._step)
    for one, other in zip(captured, fit_many(cohort, splits, [0, 1, 2], QUICK, **way), strict=True):
        first = [fitted.history.query("epoch == 1") for fitted in (one, other)]
        pd.testing.assert_frame_equal(*first, rtol=1e-3, atol=1e-3)
