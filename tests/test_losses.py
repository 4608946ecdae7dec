"""The collaborative loss: Eq. 12 against a literal sum, Eq. 11, limits and extremes."""

import itertools
import math

import pytest
import torch

from gcamccl_core.model.losses import agreement_term, collaborative_loss, fit_term


def random_logits(m, n, n_classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = {f"view{i}": torch.randn(n, n_classes, generator=generator, dtype=torch.float64) for i in range(m)}
    return logits, torch.randint(n_classes, (n,), generator=generator)


def printed_equation_12(h, target):
    """Eq. 12 term by term, from probabilities, averaged over the subjects."""
    h, target = [view.tolist() for view in h], target.tolist()
    m, n, n_classes = len(h), len(target), len(h[0][0])
    total = 0.0
    for s in range(n):
        for i, c in itertools.product(range(m), range(n_classes)):
            total -= (c == target[s]) * math.log(h[i][s][c]) / m
        for i, j, c in itertools.product(range(m), range(m), range(n_classes)):
            if i != j:
                total -= h[i][s][c] * math.log(h[j][s][c]) / (m * (m - 1))
    return total / n


def printed_equation_11(h, target):
    """Eq. 11 with y log h_2 for its y log(1 - h_2), averaged over the subjects."""
    (a, b), y = h, target
    fit = -sum((1 - y) * view[:, 0].log() + y * view[:, 1].log() for view in h)
    agree = -sum(a[:, i] * b[:, i].log() + b[:, i] * a[:, i].log() for i in range(2))
    return (fit + agree).mean()


@pytest.mark.parametrize(("m", "n_classes"), [(2, 2), (2, 3), (3, 2), (4, 5)])
def test_equals_equation_12_term_by_term(m, n_classes):
    logits, target = random_logits(m, 6, n_classes)
    expected = printed_equation_12([view.softmax(1) for view in logits.values()], target)
    assert collaborative_loss(logits, target).item() == pytest.approx(expected, rel=1e-12)


def test_equation_11_is_twice_equation_12():
    logits, target = random_logits(2, 50, 2)
    eleven = printed_equation_11([view.softmax(1) for view in logits.values()], target)
    torch.testing.assert_close(eleven, 2 * collaborative_loss(logits, target), rtol=1e-12, atol=0)


def test_equation_11_as_printed_ignores_the_label():
    logits, target = random_logits(2, 50, 2)
    h = [view.softmax(1) for view in logits.values()]

    def as_printed(y):
        return -sum((1 - y) * view[:, 0].log() + y * (1 - view[:, 1]).log() for view in h)

    torch.testing.assert_close(as_printed(target), as_printed(1 - target))


@pytest.mark.parametrize(("m", "n_classes"), [(2, 2), (3, 4)])
def test_sigmoid_is_equation_12_for_every_class_on_its_own(m, n_classes):
    logits, target = random_logits(m, 6, n_classes)
    expected = sum(
        printed_equation_12(
            [torch.stack([1 - view.sigmoid()[:, c], view.sigmoid()[:, c]], dim=1) for view in logits.values()],
            (target == c).long(),
        )
        for c in range(n_classes)
    )
    assert collaborative_loss(logits, target, output="sigmoid").item() == pytest.approx(expected, rel=1e-12)


def test_parts_make_up_the_whole():
    logits, target = random_logits(3, 8, 3)
    parts = fit_term(logits, target), agreement_term(logits)
    torch.testing.assert_close(collaborative_loss(logits, target, agreement=0.3), parts[0] + 0.3 * parts[1])
    torch.testing.assert_close(collaborative_loss(logits, target, agreement=0), parts[0])


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_one_view_has_nobody_to_agree_with(output):
    logits, target = random_logits(1, 8, 3)
    assert agreement_term(logits, output).item() == 0
    assert collaborative_loss(logits, target, output=output) == fit_term(logits, target, output)


def test_batch_size_does_not_matter():
    logits, target = random_logits(2, 8, 2)
    twice = {view: torch.cat([each, each]) for view, each in logits.items()}
    whole = collaborative_loss(twice, torch.cat([target, target]))
    torch.testing.assert_close(whole, collaborative_loss(logits, target))


def test_agreement_is_least_where_the_views_are_sure_of_the_same():
    alike = {"a": torch.tensor([[9.0, -9.0]]), "b": torch.tensor([[9.0, -9.0]])}
    opposed = {"a": torch.tensor([[9.0, -9.0]]), "b": torch.tensor([[-9.0, 9.0]])}
    undecided = {"a": torch.zeros(1, 2), "b": torch.zeros(1, 2)}
    assert agreement_term(alike) < agreement_term(undecided) < agreement_term(opposed)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("size", [50.0, 1e4, 1e6])
def test_finite_at_extreme_logits(size, output):
    logits = {"a": torch.tensor([[size, -size, 0.0]]), "b": torch.tensor([[-size, size, 0.0]])}
    logits = {view: each.requires_grad_() for view, each in logits.items()}
    loss = collaborative_loss(logits, torch.tensor([2]), output=output)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(each.grad).all() for each in logits.values())


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_gradients_match_finite_differences(output):
    logits, target = random_logits(3, 2, 3)
    values = torch.stack(list(logits.values())).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: collaborative_loss(dict(zip("abc", v, strict=True)), target, output=output), values
    )
