"""What small batches make of a loss: none of it for Eq. 12, much of it for correlations."""

import re
import warnings

import numpy as np
import pytest
import torch

from gcamccl_core.model.batch_dependence import batch_dependence, noise_floor
from gcamccl_core.model.losses import collaborative_loss, dcl_loss, fusion_terms, residual_sum_of_squares


def random_outputs(n=96, latent=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {view: torch.randn(n, latent, generator=generator) for view in ("fc", "snp")}, torch.arange(n) % 2


def test_the_collaborative_loss_of_batches_is_that_of_everyone():
    outputs, target = random_outputs()
    table = batch_dependence("collaborative", outputs, target, [2, 4, 32, 96], n_orders=5)
    assert table["gradient_bias"].abs().max() < 1e-9
    doubles = {view: each.double() for view, each in outputs.items()}
    fit, agreement = fusion_terms("collaborative", doubles, target)
    np.testing.assert_allclose(table["fit"], fit.item(), rtol=1e-12)
    np.testing.assert_allclose(table["agreement"], agreement.item(), rtol=1e-12)
    assert table["agreement_sd"].is_monotonic_decreasing
    assert (table["fit"] + table["agreement"])[0] == pytest.approx(collaborative_loss(doubles, target).item())


@pytest.mark.parametrize("fusion", ["dcl", "dcca"])
def test_correlations_depend_on_the_batch_ever_more_as_it_shrinks(fusion):
    outputs, target = random_outputs()
    table = batch_dependence(fusion, outputs, target, [96, 48, 24, 12, 4])
    assert table["gradient_bias"][0] == pytest.approx(0, abs=1e-9)
    assert table["gradient_bias"].is_monotonic_increasing
    assert table["gradient_bias"].iloc[-1] > 0.1
    assert table["agreement"].is_monotonic_decreasing  # minus the correlation: the fewer, the more noise correlates
    assert table["agreement_sd"][0] == 0
    doubles = {view: each.double() for view, each in outputs.items()}
    fit, agreement = fusion_terms(fusion, doubles, target.double())
    assert table["agreement"][0] == pytest.approx(agreement.item())
    assert table["fit"][0] == pytest.approx(fit.item() / 96)


def test_a_row_is_what_its_batches_say():
    """One order of one incomplete division, gone through by hand."""
    outputs, target = random_outputs(n=20)
    row = batch_dependence("dcl", outputs, target, [8], n_orders=1, seed=5).iloc[0]
    order = torch.randperm(20, generator=torch.Generator().manual_seed(5))
    views = [each.double().requires_grad_() for each in outputs.values()]
    fits, losses = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for batch in (order[:8], order[8:16]):
            y = target[batch].double()
            fits.append(sum(residual_sum_of_squares(view[batch], y).item() for view in views) / 8)
            losses.append(dcl_loss(*(view[batch] for view in views), y))
        of_batches = torch.cat([g.flatten() for g in torch.autograd.grad(sum(losses), views)])
        whole = torch.cat([g.flatten() for g in torch.autograd.grad(dcl_loss(*views, target.double()), views)])
    agreements = [loss.item() - 8 * fit for loss, fit in zip(losses, fits, strict=True)]
    assert (row["fusion"], row["batch_size"]) == ("dcl", 8)
    assert row["fit"] == pytest.approx(np.mean(fits))
    assert row["agreement"] == pytest.approx(np.mean(agreements))
    assert row["agreement_sd"] == pytest.approx(np.std(agreements))
    cosine = (whole @ of_batches / (whole.norm() * of_batches.norm())).item()
    assert row["gradient_bias"] == pytest.approx(1 - cosine)


def test_the_bias_of_a_term_is_that_of_the_loss_that_has_no_other():
    """Of DCL without its regression, and of the regression without the correlation."""
    outputs, target = random_outputs()
    dcl, dcca = (batch_dependence(fusion, outputs, target, [4, 16]) for fusion in ("dcl", "dcca"))
    np.testing.assert_allclose(dcl["agreement_bias"], dcca["gradient_bias"], atol=1e-12)
    np.testing.assert_allclose(dcca["agreement_bias"], dcca["gradient_bias"], atol=1e-12)
    assert dcca["fit_bias"].isna().all()
    assert (dcl["fit_bias"] > 0.05).all()
    views = [each.double().requires_grad_() for each in outputs.values()]
    row = batch_dependence("dcl", outputs, target, [8], n_orders=1, seed=5).iloc[0]
    order = torch.randperm(96, generator=torch.Generator().manual_seed(5)).split(8)

    def residuals(batch):
        return sum(residual_sum_of_squares(view[batch], target[batch].double()) for view in views)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        of_batches, whole = (
            torch.cat([g.flatten() for g in torch.autograd.grad(sum(map(residuals, batches)), views)])
            for batches in (order, [torch.arange(96)])
        )
    assert row["fit_bias"] == pytest.approx(1 - torch.cosine_similarity(whole, of_batches, dim=0).item())
    ours = batch_dependence("collaborative", outputs, target, [4])
    assert ours[["fit_bias", "agreement_bias"]].abs().to_numpy().max() < 1e-9


def test_the_seed_decides_and_nothing_else_is_touched():
    outputs, target = random_outputs()
    before, state = {view: each.clone() for view, each in outputs.items()}, torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, again, other = (batch_dependence("dcca", outputs, target, [8], 3, seed) for seed in (1, 1, 2))
        noise_floor([4, 8], n_draws=3)
    assert first.equals(again)
    assert not first.equals(other)
    assert torch.equal(torch.get_rng_state(), state)
    for view, each in outputs.items():
        assert torch.equal(each, before[view])
        assert not each.requires_grad


def test_batches_too_large_or_too_small_are_refused():
    outputs, target = random_outputs(n=20)
    with pytest.raises(ValueError, match=re.escape("a batch of 21 is larger than the 20 subjects")):
        batch_dependence("collaborative", outputs, target, [4, 21])
    with pytest.raises(ValueError, match="3 subjects are fewer than twice the latent size, 2"):
        batch_dependence("dcca", outputs, target, [3])
    with pytest.raises(ValueError, match="5 subjects are fewer than twice the latent size, 3"):
        noise_floor([5], latent=3)


def test_noise_correlates_as_the_angles_between_random_planes_do():
    """Of 4 subjects, two planes in space: they share a line, and the other cosine is uniform between 0 and 1."""
    row = noise_floor([4], n_draws=2000).iloc[0]
    assert row["correlation"] == pytest.approx(1.5, abs=4 * 12**-0.5 / 2000**0.5)
    assert (row["low"], row["high"]) == pytest.approx((1.025, 1.975), abs=0.02)


@pytest.mark.parametrize(("n", "latent"), [(8, 2), (32, 2), (16, 3)])
def test_noise_floor_agrees_with_random_bases_drawn_by_numpy(n, latent):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, 2000, n, latent))
    bases = np.linalg.qr(z - z.mean(axis=2, keepdims=True))[0]
    sums = np.linalg.svd(bases[0].swapaxes(1, 2) @ bases[1], compute_uv=False).sum(axis=1)
    row = noise_floor([n], latent, n_draws=1000).iloc[0]
    assert row["correlation"] == pytest.approx(sums.mean(), abs=4 * sums.std() * (1 / 2000 + 1 / 1000) ** 0.5)
    assert (row["low"], row["high"]) == pytest.approx(np.percentile(sums, [2.5, 97.5]), abs=0.08)


def test_one_latent_variable_of_noise_correlates_as_students_t_says():
    """The mean of |r| among n subjects, from the density of r, is 2 / ((n - 2) B(1/2, (n - 2) / 2))."""
    from scipy.special import beta

    for n in (4, 16, 64):
        expected = 2 / ((n - 2) * beta(0.5, (n - 2) / 2))
        assert noise_floor([n], 1, 2000)["correlation"].item() == pytest.approx(expected, rel=0.08)


def test_more_subjects_less_noise():
    table = noise_floor([4, 8, 16, 64, 256], n_draws=100)
    assert table["batch_size"].tolist() == [4, 8, 16, 64, 256]
    for column in ("correlation", "low", "high"):
        assert table[column].is_monotonic_decreasing
    assert (table["low"] < table["correlation"]).all()
    assert (table["correlation"] < table["high"]).all()
    assert table["correlation"].between(0, 2).all()
