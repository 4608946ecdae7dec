"""DCCA and DCL: against scikit-learn's CCA and regression, invariance, small batches, and degenerate views."""

import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import LinearRegression

from gcamccl_core.model.losses import (
    agreement_term,
    canonical_correlations,
    dcca_loss,
    dcl_loss,
    fit_term,
    fusion_terms,
    residual_sum_of_squares,
)

SEEDS = st.integers(0, 2**31)


def related_views(n=500, p=6, q=5, shared=3, seed=0):
    """Two views that share some sources, mixed, shifted and noisy, and a phenotype of the first source."""
    rng = np.random.default_rng(seed)
    sources = rng.normal(size=(n, shared)) * [1.5, 1.0, 0.5][:shared]
    views = [sources @ rng.normal(size=(shared, k)) + rng.normal(size=(n, k)) + rng.normal(size=k) for k in (p, q)]
    return [torch.from_numpy(view) for view in (*views, sources[:, 0] + 0.3 * rng.normal(size=n))]


def by_sklearn(z1, z2, k):
    first, second = CCA(k, scale=False, max_iter=20_000, tol=1e-12).fit_transform(z1.numpy(), z2.numpy())
    return [np.corrcoef(first[:, i], second[:, i])[0, 1] for i in range(k)]


def by_bases(z1, z2):
    """Cosines of the angles between the spaces that the views span: no covariance, no ridge."""
    bases = [np.linalg.svd(z.numpy() - z.numpy().mean(0), full_matrices=False)[0] for z in (z1, z2)]
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)


def by_regression(z, target):
    z, target = z.numpy(), target.numpy().reshape(len(target), -1)
    return float(((target - LinearRegression().fit(z, target).predict(z)) ** 2).sum())


def invertible(size, rng):
    """Stretch by 0.3 to 3 along random directions."""
    left, right = (np.linalg.qr(rng.normal(size=(size, size)))[0] for _ in range(2))
    return torch.from_numpy(left * rng.uniform(0.3, 3, size) @ right)


@pytest.mark.parametrize(("p", "q"), [(4, 4), (6, 5), (2, 5), (3, 1)])
def test_canonical_correlations_are_those_of_sklearn_and_of_the_spanned_spaces(p, q):
    z1, z2, _ = related_views(p=p, q=q)
    found = canonical_correlations(z1, z2)
    assert found.shape == (min(p, q),)
    np.testing.assert_allclose(found, by_sklearn(z1, z2, min(p, q)), atol=1e-4)
    np.testing.assert_allclose(found, by_bases(z1, z2), atol=1e-4)
    torch.testing.assert_close(canonical_correlations(z2, z1), found, rtol=0, atol=1e-9)
    assert dcca_loss(z1, z2).item() == pytest.approx(-found.sum().item())


def test_trained_linear_encoders_reach_the_canonical_correlations_of_sklearn():
    x1, x2, _ = related_views(n=500, p=6, q=5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoders = [torch.nn.Linear(x.shape[1], 2).double() for x in (x1, x2)]
    parameters = [parameter for encoder in encoders for parameter in encoder.parameters()]
    descent = torch.optim.LBFGS(parameters, max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def step():
        descent.zero_grad()
        loss = dcca_loss(encoders[0](x1), encoders[1](x2))
        loss.backward()
        return loss

    start = -step().item()
    descent.step(step)
    reached = canonical_correlations(encoders[0](x1), encoders[1](x2)).detach()
    np.testing.assert_allclose(reached, by_sklearn(x1, x2, 2), atol=1e-4)
    assert start < reached.sum() - 0.1


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, p=st.integers(1, 4), q=st.integers(1, 4))
def test_linear_maps_and_shifts_of_a_view_change_nothing(seed, p, q):
    z1, z2, target = related_views(n=80, p=p, q=q, seed=seed)
    rng = np.random.default_rng(seed)
    mapped = [z @ invertible(z.shape[1], rng) + 10 * torch.from_numpy(rng.normal(size=z.shape[1])) for z in (z1, z2)]
    torch.testing.assert_close(
        canonical_correlations(*mapped), canonical_correlations(z1, z2), rtol=0, atol=1e-4, check_stride=False
    )
    for before, after in zip((z1, z2), mapped, strict=True):
        expected = residual_sum_of_squares(before, target).item()
        assert residual_sum_of_squares(after, target + 7).item() == pytest.approx(expected, rel=1e-3)
        assert residual_sum_of_squares(after, -3 * target).item() == pytest.approx(9 * expected, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_correlations_are_between_0_and_1_largest_first_and_the_order_of_subjects_is_nothing(seed):
    z1, z2, _ = related_views(n=40, p=4, q=3, seed=seed)
    found = canonical_correlations(z1, z2)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found.diff() <= 0).all()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(canonical_correlations(z1[order], z2[order]), found, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n_columns", [1, 3])
def test_dcl_is_dcca_and_what_regressions_leave(n_columns):
    z1, z2, phenotype = related_views(n=300, p=3, q=4)
    rng = np.random.default_rng(1)
    target = phenotype if n_columns == 1 else torch.eye(3, dtype=torch.float64)[rng.integers(0, 3, 300)]
    residuals = [by_regression(z, target) for z in (z1, z2)]
    expected = dcca_loss(z1, z2).item() + sum(residuals)
    assert dcl_loss(z1, z2, target).item() == pytest.approx(expected, abs=1e-4, rel=1e-6)
    for z, left in zip((z1, z2), residuals, strict=True):
        assert residual_sum_of_squares(z, target).item() == pytest.approx(left, abs=1e-4, rel=1e-6)


def test_eq_4_as_printed_is_met_on_centred_views():
    z1, z2, y = (each - each.mean(dim=0) for each in related_views(n=200, p=2, q=3))
    whitened = []
    for z in (z1, z2):
        values, vectors = np.linalg.eigh((z.T @ z).numpy())
        whitened.append(z.numpy() @ vectors / np.sqrt(values) @ vectors.T)
    printed = -np.linalg.svd(whitened[0].T @ whitened[1], compute_uv=False).sum()
    for z in (z1.numpy(), z2.numpy()):
        printed += np.linalg.norm(y.numpy() - z @ np.linalg.inv(z.T @ z) @ z.T @ y.numpy()) ** 2
    assert dcl_loss(z1, z2, y).item() == pytest.approx(printed, abs=1e-4, rel=1e-6)


@pytest.mark.parametrize("fusion", ["collaborative", "dcl", "dcca"])
def test_both_terms_are_the_named_losses(fusion):
    z1, z2, phenotype = related_views(n=60, p=3, q=3)
    target, outputs = (phenotype > 0).long(), {"fc": z1, "snp": z2}
    fit, agreement = fusion_terms(fusion, outputs, target if fusion == "collaborative" else target.double())
    if fusion == "collaborative":
        expected = fit_term(outputs, target), agreement_term(outputs)
        sigmoid = fusion_terms(fusion, outputs, target, "sigmoid")
        torch.testing.assert_close(sigmoid, (fit_term(outputs, target, "sigmoid"), agreement_term(outputs, "sigmoid")))
    elif fusion == "dcca":
        expected = torch.zeros((), dtype=torch.float64), dcca_loss(z1, z2)
    else:
        residuals = sum(residual_sum_of_squares(z, target) for z in (z1, z2))
        expected = residuals, dcca_loss(z1, z2)
        assert (fit + agreement).item() == pytest.approx(dcl_loss(z1, z2, target.double()).item())
    torch.testing.assert_close((fit, agreement), expected)


def test_gradients_match_finite_differences():
    z1, z2, target = (each.requires_grad_() for each in related_views(n=24, p=3, q=2))
    assert torch.autograd.gradcheck(canonical_correlations, (z1, z2))
    assert torch.autograd.gradcheck(dcca_loss, (z1, z2))
    assert torch.autograd.gradcheck(residual_sum_of_squares, (z1, target))
    assert torch.autograd.gradcheck(dcl_loss, (z1, z2, target))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", ["a constant view", "two constant views", "equal columns", "equal views", "one class"])
def test_degenerate_views_keep_finite_gradients(case, dtype):
    z1, z2, phenotype = (each.to(dtype) for each in related_views(n=40, p=2, q=2))
    target = (phenotype > 0).to(dtype)
    if case == "equal columns":
        z1 = z1[:, :1].repeat(1, 2)
    elif case == "equal views":
        z2 = z1.clone()
    elif case == "one class":
        target = torch.ones_like(target)
    else:
        z1 = torch.full_like(z1, 0.7)
        z2 = torch.full_like(z2, -3.0) if case == "two constant views" else z2
    z1, z2 = z1.detach().requires_grad_(), z2.detach().requires_grad_()
    loss = dcl_loss(z1, z2, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z1.grad).all()
    assert torch.isfinite(z2.grad).all()


def test_a_constant_view_correlates_with_nothing_and_equal_views_fully():
    z1, z2, target = related_views(n=40, p=2, q=2)
    constant = torch.ones_like(z1)
    assert canonical_correlations(constant, z2).abs().max().item() < 1e-6
    assert residual_sum_of_squares(constant, target).item() == pytest.approx((target - target.mean()).square().sum())
    assert canonical_correlations(z1, z1).tolist() == pytest.approx([1, 1], abs=1e-4)
    twice = z1[:, :1].repeat(1, 2)  # a second column that adds nothing leaves one direction
    assert canonical_correlations(twice, z1).tolist() == pytest.approx([1, 0], abs=1e-4)


def test_single_precision_comes_back_and_agrees_with_double():
    z1, z2, target = related_views(n=300, p=3, q=2)
    singles = [each.float() for each in (z1, z2, target)]
    for function, arguments in ((canonical_correlations, 2), (dcca_loss, 2), (dcl_loss, 3)):
        single, double = function(*singles[:arguments]), function(z1, z2, *[target][: arguments - 2])
        assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
        torch.testing.assert_close(single.double(), double, rtol=1e-6, atol=1e-4)
    far = [each + 1000 for each in singles[:2]]  # variance of small differences between large numbers
    np.testing.assert_allclose(canonical_correlations(*far), canonical_correlations(z1, z2), atol=1e-4)


def noise(n, latent, seed=0):
    return torch.randn(2, n, latent, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("latent", [2, 3])
def test_of_twice_as_many_subjects_one_correlation_is_1_whatever_the_data_are(latent):
    with pytest.warns(UserWarning, match="noise correlates"):
        found = canonical_correlations(*noise(2 * latent, latent))
    assert found[0].item() == pytest.approx(1, abs=1e-4)
    assert found[1].item() < 0.999


@pytest.mark.parametrize("loss", [dcca_loss, lambda a, b: dcl_loss(a, b, a[:, 0])])
def test_too_few_subjects_are_refused_and_few_are_warned_of(loss):
    message = "5 subjects are fewer than twice the latent size, 3: take larger batches or a smaller latent size"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        loss(*noise(5, 3))
    with pytest.warns(UserWarning, match="23 subjects are fewer than eight times the latent size, 3, and noise"):
        loss(*noise(23, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss(*noise(24, 3))


def test_the_larger_of_two_latent_sizes_counts():
    (narrow, wide), third = noise(9, 5), noise(9, 2)[0]
    for pair in ((third, wide), (narrow, third)):
        with pytest.raises(ValueError, match="9 subjects are fewer than twice the latent size, 5"):
            canonical_correlations(*pair)


@pytest.mark.parametrize(("one", "other"), [((20, 2), (19, 2)), ((20,), (20, 2)), ((20, 2), (20, 2, 1))])
def test_views_of_other_subjects_or_shapes_are_refused_with_both_shapes(one, other):
    with pytest.raises(ValueError, match=rf"same subjects; got .*{one[0]}.* and .*{other[0]}"):
        canonical_correlations(torch.zeros(one), torch.zeros(other))
