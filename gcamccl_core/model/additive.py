"""Fit the linear pathways of a network: gates, penalties and confidence by cross-validation, weights by Eq. 12."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gcamccl_core.model.losses import collaborative_loss
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.pathways import LinearPathway
from gcamccl_core.model.rotation import DistinctFeatures, Rotation, correlation_ratio
from gcamccl_core.model.setting_choice import EXPONENTS, Setting, choose_setting, divide
from gcamccl_core.model.view_confidence import likeliest, weigh_views

CONVERGED = 1e-4  # of the loss's gradient

Weights = dict[str, tuple[np.ndarray, np.ndarray]]  # by view: (n_classes, n_directions) and (n_classes,)


@dataclass(frozen=True)
class AdditiveFit:
    """How the linear pathways of a network were fitted.

    Parameters
    ----------
    settings : dict of str to Setting
        By view.
    agreement : float
        Weight of the second term of Eq. 12: as asked for, or 0.
    confidence : dict of str to float
        By view, the weight of its logits in the fused prediction, at least 0.
    offset : list of float
        By class, what is added to the fused logits.
    held_out : dict of str to Tensor (n_train, n_classes)
        By view, logits of every training subject from a fit that did not see it.
    """

    settings: dict[str, Setting]
    agreement: float
    confidence: dict[str, float]
    offset: list[float]
    held_out: dict[str, Tensor]


def fit_additive(
    net: CollaborativeNet,
    inputs: Mapping[str, Tensor],
    target: Tensor,
    agreement: float = 1.0,
    gates: bool = True,
    seed: int = 0,
    groups: Sequence[object] | np.ndarray | None = None,
) -> AdditiveFit:
    r"""Fit the linear pathways of all views together, and how far each view is to be trusted.

    Weights minimise Eq. 12 with a penalty,

    .. math:: L_{CCL} + \sum_v \frac{N_v^2}{2 m n C_v} \sum_{c,j} (w_{vj}^c)^2,

    over the n training subjects and m views, with :math:`N_v^2` the mean square norm of a subject's gated features,
    starting from its solution without the agreement term, which is unique; a computation over subjects instead of
    features makes it a matter of seconds. The gate of a feature is :math:`\eta_j^{\gamma}`, with :math:`\eta` its
    :func:`.correlation_ratio` among the subjects fitted on, scaled to a mean square of 1.

    For each view by itself, without the agreement term, :math:`\gamma` and :math:`C_v` are those of the least
    cross-entropy in stratified folds of the training subjects, gates included. Then the folds' fits of all views
    together give logits :math:`y_v` to the subjects left out, and these tell the views' confidences
    :math:`\beta_v \ge 0` and the offset a, the most likely ones of

    .. math::
        \mathrm{softmax}\Bigl(a + \sum_v \beta_v y_v\Bigr), \qquad \beta_v \sim N(1, 1),\quad a_c \sim N(0, 1),

    and whether the agreement term takes part: with it or without, whichever has the larger posterior. (The same folds
    choose and judge, so these likelihoods are a little too good.)

    Parameters
    ----------
    net : CollaborativeNet
        Every view has a linear pathway, which is written to, as are the network's confidence and offset if it has
        them; what else it has is left alone.
    inputs : mapping of str to Tensor
        The training subjects, prepared, shape (n, 1, *view shape).
    target : Tensor
        Their class numbers, int64, shape (n,).
    agreement : float
        Weight of the second term of Eq. 12, if the folds do not do better without it.
    gates : bool
        Choose an exponent for the gates; without, all gates are alike.
    seed : int
        Of the folds.
    groups : array of shape (n,), optional
        Sites or families that the folds keep whole.

    Returns
    -------
    AdditiveFit
        What was chosen, and the logits of subjects left out.

    Raises
    ------
    ValueError
        If a view has no linear pathway, outputs are no softmax, or a class or the groups cannot be divided into folds.

    Warns
    -----
    UserWarning
        If the minimum was not reached.

    Examples
    --------
    >>> from gcamccl_core.model.networks import CollaborativeNet
    >>> random = torch.Generator().manual_seed(0)
    >>> target = torch.arange(60) % 2
    >>> inputs = {view: torch.randn(60, 1, 8, generator=random) for view in ("signal", "noise")}
    >>> inputs["signal"] += target[:, None, None]
    >>> pathways = {"signal": ["linear"], "noise": ["linear"]}
    >>> net = CollaborativeNet({"signal": (8,), "noise": (8,)}, pathways=pathways, combine="confidence")
    >>> found = fit_additive(net, inputs, target)
    >>> heard = {view: float(found.confidence[view] * said.std()) for view, said in found.held_out.items()}
    >>> heard["signal"] > heard["noise"]
    True
    """
    if net.output != "softmax":
        raise ValueError(f"linear pathways are fitted by the softmax loss of Eq. 12; the network has {net.output!r}")
    paths = {view: _linear_pathway(net, view) for view in net.views}
    label = target.cpu().numpy()
    folds = divide(label, net.n_classes, seed, groups, net.classes)
    features = {view: DistinctFeatures(inputs[view]) for view in paths}
    values = {view: each.read(inputs[view]) for view, each in features.items()}
    copies = {view: each.copies for view, each in features.items()}
    exponents = EXPONENTS if gates else (0.0,)
    settings = {view: choose_setting(values[view], copies[view], label, folds, exponents) for view in paths}

    def rotate(subjects: np.ndarray) -> dict[str, Rotation]:
        parts = {view: values[view][subjects] for view in paths}
        strength = {view: correlation_ratio(x, label[subjects]) for view, x in parts.items()}
        return {view: Rotation(x, copies[view], strength[view], settings[view].exponent) for view, x in parts.items()}

    terms = (0.0, agreement) if len(paths) > 1 and agreement else (0.0,)
    held_out = {term: {view: torch.zeros(len(label), net.n_classes) for view in paths} for term in terms}
    for train, test in folds:
        rotated = rotate(train)
        for term, solution in _minimise(rotated, label[train], settings, terms, net.n_classes).items():
            for view, (weight, bias) in solution.items():
                logits = rotated[view].transform(values[view][test]) @ weight.T + bias
                held_out[term][view][test] = torch.from_numpy(logits).float()
    weighed = {term: weigh_views(logits, target.cpu()) for term, logits in held_out.items()}
    chosen = likeliest(weighed)
    confidence, offset = weighed[chosen].confidence, weighed[chosen].offset
    rotated = rotate(np.arange(len(label)))
    solution = _minimise(rotated, label, settings, terms[: terms.index(chosen) + 1], net.n_classes)[chosen]
    for view, (weight, bias) in solution.items():
        path = paths[view]
        path.standardise.fit(inputs[view])
        with torch.no_grad():
            path.gate.copy_(features[view].lay_out(rotated[view].gate))
            path.weight.copy_(features[view].lay_out(rotated[view].weigh_features(weight)))
            path.bias.copy_(torch.from_numpy(bias))
    if net.combine == "confidence":
        net.confidence.copy_(torch.tensor([confidence[view] for view in net.views]))
        net.offset.copy_(torch.tensor(offset))
    return AdditiveFit(settings, chosen, confidence, offset, held_out[chosen])


def _linear_pathway(net: CollaborativeNet, view: str) -> LinearPathway:
    path = net.beside(view).get("linear")
    if not isinstance(path, LinearPathway):
        raise ValueError(
            f"view '{view}' has no linear pathway; build the network with pathways={{'{view}': ['linear']}}"
        )
    return path


def _minimise(
    rotated: Mapping[str, Rotation],
    label: np.ndarray,
    settings: Mapping[str, Setting],
    terms: Sequence[float],
    n_classes: int,
) -> dict[float, Weights]:
    """Minimise Eq. 12 and the penalties over all views' weights and biases; float64, by L-BFGS.

    For each weight of the agreement term, one after the other, each from where the last one ended.
    """
    target = torch.from_numpy(label)
    points = {view: torch.from_numpy(rotation.coordinates) for view, rotation in rotated.items()}
    weights = {view: torch.zeros(n_classes, x.shape[1], dtype=torch.float64) for view, x in points.items()}
    biases = {view: torch.zeros(n_classes, dtype=torch.float64) for view in points}
    free = [each.requires_grad_() for each in (*weights.values(), *biases.values())]
    strength = {view: 1 / (2 * len(points) * len(target) * settings[view].penalty) for view in points}
    solutions = {}
    for term in terms:
        optimiser = torch.optim.LBFGS(
            free, max_iter=1000, tolerance_grad=1e-7, tolerance_change=1e-12, line_search_fn="strong_wolfe"
        )

        def closure(term: float = term, optimiser: torch.optim.LBFGS = optimiser) -> Tensor:
            optimiser.zero_grad()
            logits = {view: x @ weights[view].T + biases[view] for view, x in points.items()}
            loss = collaborative_loss(logits, target, term)
            loss = loss + torch.stack([strength[view] * weights[view].square().sum() for view in points]).sum()
            loss.backward()
            return loss

        optimiser.step(closure)
        closure()  # the gradient where it ended
        steepest = max(float(each.grad.abs().max()) for each in free if each.grad is not None)
        if steepest > CONVERGED:
            warnings.warn(f"the linear pathways' loss still falls where the fit ended, by {steepest:.1e}", stacklevel=3)
        solutions[term] = {
            view: (weights[view].detach().numpy().copy(), biases[view].detach().numpy().copy()) for view in points
        }
    return solutions
