"""The cascade: which layers each stage draws anew, which stay, and batch norm that fits what reaches it."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from small_cohorts import planted_cohort
from small_networks import train_briefly

from gcamccl_core.maps.random_weights import cascade, cascade_layers, random_weights_like
from gcamccl_core.model.networks import CollaborativeNet

VIEWS = {"fc": (20, 20), "snp": (60,)}


def make(dropout):
    cohort = planted_cohort(n=40)
    torch.manual_seed(0)
    net = CollaborativeNet(VIEWS, dropout=dropout).fit_scaling(cohort, range(40))
    return train_briefly(net, cohort, steps=5), net.prepare(cohort)


@pytest.fixture(scope="module")
def trained():
    return make(dropout=0.2)


def entries(net, stage):
    """Names in the state of the layers that a stage has drawn."""
    drawn = {
        f"heads.{view}." if layer == "head" else f"encoders.{view}.{layer}."
        for view, layers in cascade_layers(net).items()
        for layer in layers[:stage]
    }
    return {name for name in net.state_dict() if name.startswith(tuple(drawn))}


def test_every_stage_draws_one_more_layer_of_every_view_and_nothing_else(trained):
    net, inputs = trained
    before = net.state_dict()
    stages = list(cascade(net, 1, inputs))
    assert len(stages) == 6
    for stage, control in enumerate(stages):
        state = control.state_dict()
        assert {name for name, value in before.items() if not torch.equal(state[name], value)} == entries(net, stage)
        assert not any(module.training for module in control.modules())


def test_a_layer_once_drawn_keeps_its_weights_to_the_end(trained):
    net, inputs = trained
    for stage, (earlier, later) in enumerate(pairwise(cascade(net, 1, inputs))):
        weights = {name for name, _ in net.named_parameters()} & entries(net, stage)
        assert all(torch.equal(earlier.get_parameter(name), later.get_parameter(name)) for name in weights)


def test_the_last_stage_of_a_view_is_the_untrained_control_batch_norm_and_all(trained):
    net, inputs = trained
    whole = random_weights_like(net, 1, inputs).state_dict()
    *_, before_last, last = (control.state_dict() for control in cascade(net, 1, inputs))
    assert all(torch.equal(value, last[name]) for name, value in whole.items())
    used_up = [name for name in whole if ".snp." in name]
    assert used_up
    assert all(torch.equal(before_last[name], whole[name]) for name in used_up)


@pytest.mark.parametrize("given", [True, False])
def test_batch_norm_of_new_layers_fits_what_reaches_them_where_inputs_are_given(given):
    """Dropout is 0 here, so that both passes see the same; the rest is the two definitions of a variance."""
    net, inputs = make(dropout=0)
    for stage, control in enumerate(cascade(net, 2, inputs if given else None)):
        for view, layers in cascade_layers(net).items():
            values = inputs[view]
            for name, block in control.encoders[view].named_children():
                with torch.no_grad():
                    reached = block.conv(values)
                    reached = block.pool(reached) if hasattr(block, "pool") else reached
                    values, normal = block(values), block.norm(reached).movedim(1, 0).flatten(1)
                assert block.norm.momentum == net.get_submodule(f"encoders.{view}.{name}").norm.momentum
                if name in layers[:stage] and given:
                    assert normal.mean(dim=1).abs().max() < 0.05
                    live = reached.movedim(1, 0).flatten(1).var(dim=1) > 1e-3  # batch norm adds 1e-5 to the variance
                    np.testing.assert_allclose(normal.var(dim=1)[live], 1, atol=0.1)
                elif name in layers[:stage]:
                    torch.testing.assert_close(normal, reached.movedim(1, 0).flatten(1) / (1 + 1e-5) ** 0.5)


@pytest.mark.parametrize("views", [VIEWS, {"snp": (60,)}])
def test_no_draw_is_what_a_training_with_the_same_seed_began_from(views):
    torch.manual_seed(3)
    begun = CollaborativeNet(views)
    drawn = random_weights_like(begun, seed=3).state_dict()
    weights = [name for name in drawn if name.endswith("weight") and "norm" not in name]
    assert len(weights) > 3
    assert not any(torch.equal(drawn[name], begun.state_dict()[name]) for name in weights)
