"""What a loss makes of small batches: its value, the direction of its gradient, and what pure noise gives."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gcamccl_core.model.losses import canonical_correlations, fusion_terms


def batch_dependence(
    fusion: str,
    outputs: Mapping[str, Tensor],
    target: Tensor,
    batch_sizes: Sequence[int],
    n_orders: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Compare a loss on small batches with the same loss on all subjects at once, nothing else changed.

    Subjects are cut into batches in many random orders. With :math:`g` the gradient on all subjects with respect to
    the outputs, and :math:`\bar g_b` the mean over orders of what batches of size b give instead, the bias is

    .. math:: 1 - \frac{g \cdot \bar g_b}{\|g\| \, \|\bar g_b\|},

    0 where small batches point, on average, where all subjects point; 1 where they point at random. The gradient is the
    sum of two terms', so the bias is given for each by itself, too.

    Parameters
    ----------
    fusion : {"collaborative", "dcl", "dcca"}
        Eq. 12, 4 or 3.
    outputs : mapping of str to Tensor (n, p)
        Logits or latent variables of all subjects, by view.
    target : Tensor
        As in :func:`.fusion_terms`.
    batch_sizes : sequence of int
        Sizes to compare; subjects of an incomplete last batch take no part in that order.
    n_orders : int
        Random orders.
    seed : int
        Of the orders.

    Returns
    -------
    pandas.DataFrame
        One row per size: ``fusion``, ``batch_size``, ``fit`` and ``agreement`` (the mean over batches of both terms;
        the residuals of DCL divided by the number of subjects), ``agreement_sd`` (their standard deviation over
        batches), ``gradient_bias``, and ``fit_bias`` and ``agreement_bias`` of the terms alone (NaN for the fit of
        DCCA, which has none).

    Raises
    ------
    ValueError
        If a batch is too small for the loss or larger than the number of subjects.

    Examples
    --------
    >>> random = torch.Generator().manual_seed(0)
    >>> outputs = {view: torch.randn(64, 2, generator=random) for view in ("fc", "snp")}
    >>> target = torch.arange(64) % 2
    >>> bool(batch_dependence("collaborative", outputs, target, [4, 64])["gradient_bias"].abs().max() < 1e-6)
    True
    >>> bool(batch_dependence("dcca", outputs, target, [4])["gradient_bias"].item() > 0.1)
    True
    """
    n = len(target)
    if max(batch_sizes) > n:
        raise ValueError(f"a batch of {max(batch_sizes)} is larger than the {n} subjects")
    views = {view: values.detach().double().requires_grad_() for view, values in outputs.items()}
    random = torch.Generator().manual_seed(seed)
    whole = _gradients(fusion, views, target, [torch.arange(n)])[0]
    rows = []
    for size in batch_sizes:
        total, taken, terms = torch.zeros_like(whole), torch.zeros(n, 1), []
        for _ in range(1 if size == n else n_orders):
            batches = [batch for batch in torch.randperm(n, generator=random).split(size) if len(batch) == size]
            gradients, each = _gradients(fusion, views, target, batches)
            total += gradients
            taken[torch.cat(batches)] += 1
            terms += each
        mean = total / taken.clamp(min=1)  # over the orders in which a subject took part
        pairs = ((whole.sum(dim=0), mean.sum(dim=0)), (whole[0], mean[0]), (whole[1], mean[1]))  # both terms, and each
        biases = [1 - torch.nn.functional.cosine_similarity(g.flatten(), b.flatten(), dim=0).item() for g, b in pairs]
        if fusion == "dcca":
            biases[1] = np.nan
        fits, agreements = np.array(terms).T
        rows.append((fusion, size, fits.mean(), agreements.mean(), agreements.std(), *biases))
    columns = ["fusion", "batch_size", "fit", "agreement", "agreement_sd"]
    return pd.DataFrame(rows, columns=[*columns, "gradient_bias", "fit_bias", "agreement_bias"])


def _gradients(
    fusion: str, views: Mapping[str, Tensor], target: Tensor, batches: Sequence[Tensor]
) -> tuple[Tensor, list[tuple[float, float]]]:
    """Sum over the batches of each term's gradient, shape (2, subjects, all views side by side); and their values."""
    terms, totals = [], torch.zeros(2, dtype=torch.float64)
    for batch in batches:
        chosen = {view: values[batch] for view, values in views.items()}
        with warnings.catch_warnings():  # small batches are what is studied here
            warnings.simplefilter("ignore", UserWarning)
            fit, agreement = fusion_terms(fusion, chosen, target[batch] if fusion != "dcl" else target[batch].double())
        totals = totals + torch.stack([fit, agreement])
        share = len(batch) if fusion == "dcl" else 1
        terms.append((fit.item() / share, agreement.item()))
    each = [
        torch.autograd.grad(total, list(views.values()), retain_graph=True, allow_unused=True, materialize_grads=True)
        for total in totals
    ]
    return torch.stack([torch.cat(gradients, dim=1) for gradients in each]), terms


def noise_floor(batch_sizes: Sequence[int], latent: int = 2, n_draws: int = 500, seed: int = 0) -> pd.DataFrame:
    """Sum the canonical correlations of two views of pure noise: what DCCA and DCL find where there is nothing.

    Parameters
    ----------
    batch_sizes : sequence of int
        Numbers of subjects, each at least twice ``latent``.
    latent : int
        Latent variables of each view; the sum is at most as large.
    n_draws : int
        Batches drawn for each size.
    seed : int
        Of the noise.

    Returns
    -------
    pandas.DataFrame
        ``batch_size``; ``correlation``, the mean sum; ``low`` and ``high``, its 2.5 and 97.5 percentiles.

    Examples
    --------
    >>> floor = noise_floor([4, 256])
    >>> bool(floor["correlation"][0] > 1 > 0.3 > floor["correlation"][1])  # of 4 subjects, one correlation is always 1
    True
    """
    random, rows = torch.Generator().manual_seed(seed), []
    for size in batch_sizes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            sums = [
                canonical_correlations(*torch.randn(2, size, latent, generator=random, dtype=torch.float64))
                .sum()
                .item()
                for _ in range(n_draws)
            ]
        rows.append((size, float(np.mean(sums)), *np.percentile(sums, [2.5, 97.5])))
    return pd.DataFrame(rows, columns=["batch_size", "correlation", "low", "high"])
