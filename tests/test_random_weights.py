"""The untrained control: other weights, the same inputs, batch norm that fits them, and nothing else touched."""

import numpy as np
import torch
from small_networks import SMALL, make_cohort, train_briefly

from gcamccl_core.maps.random_weights import random_weights_like
from gcamccl_core.model.networks import CollaborativeNet


def trained():
    cohort = make_cohort()
    net = CollaborativeNet(SMALL, 3).fit_scaling(cohort, range(12))
    return train_briefly(net, cohort), cohort


def test_every_kernel_is_another_one_and_the_network_stays_as_it_was():
    net, _ = trained()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    control = random_weights_like(net, seed=1)
    for name, weight in control.named_parameters():
        if weight.ndim > 1:
            assert not torch.equal(weight, net.get_parameter(name)), name
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not control.training


def test_seeds_differ_and_repeat():
    net, _ = trained()
    one, again, other = (random_weights_like(net, seed).encoders["fc"].conv1.conv.weight for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_batch_norm_takes_mean_and_variance_from_the_inputs():
    net, cohort = trained()
    inputs = net.prepare(cohort)
    control = random_weights_like(net, seed=3, inputs=inputs)
    block = control.encoders["fc"].conv1
    with torch.no_grad():
        pooled = block.pool(block.conv(inputs["fc"]))
    np.testing.assert_allclose(block.norm.running_mean, pooled.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(block.norm.running_var, pooled.var(dim=(0, 2, 3)), rtol=1e-4)
    assert block.norm.momentum == net.encoders["fc"].conv1.norm.momentum
