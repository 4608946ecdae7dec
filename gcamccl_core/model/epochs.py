"""One training, epoch by epoch: steps, validation, the best weights so far, and the state to go on from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import nll_loss, one_hot

from gcamccl_core.model.losses import fusion_terms
from gcamccl_core.model.networks import CollaborativeNet, fused_log_proba
from gcamccl_core.model.recipe import Recipe

Part = tuple[dict[str, Tensor], Tensor]  # prepared inputs by view, and class numbers, of the same subjects
HISTORY_COLUMNS = ["epoch", "part", "loss", "fit", "agreement", "cross_entropy", "accuracy"]
SUBJECTS_AT_ONCE = 32  # without gradients: enough to be quick, few enough for any memory


def predict_logits(net: CollaborativeNet, inputs: Mapping[str, Tensor], features: bool = False) -> dict[str, Tensor]:
    """Logits without gradients, a few dozen subjects at a time; the network is left in eval mode.

    Parameters
    ----------
    net : CollaborativeNet
        The network.
    inputs : mapping of str to Tensor
        Every view, prepared, shape (n, 1, *view shape).
    features : bool
        Hand out the flattened features instead, see :meth:`.CollaborativeNet.features`.

    Returns
    -------
    dict of str to Tensor
        Shape (n, n_classes), or (n, 64) of features, by view.
    """
    net.eval()
    forward = net.features if features else net
    n = len(next(iter(inputs.values())))
    with torch.inference_mode():
        pieces = [forward(_pick(inputs, positions)) for positions in torch.arange(n).split(SUBJECTS_AT_ONCE)]
    return {view: torch.cat([piece[view] for piece in pieces]) for view in net.views}


class Training:
    """A network on its way through the epochs of a recipe.

    Dropout draws from torch's global generator, so whoever calls forks and seeds it; shuffling has its own.

    Parameters
    ----------
    net : CollaborativeNet
        Trained in place.
    recipe : Recipe
        How.
    seed : int
        Of the order of the subjects.
    n_labels : int
        How many classes the label has.
    """

    def __init__(self, net: CollaborativeNet, recipe: Recipe, seed: int, n_labels: int = 2) -> None:
        self.net, self.recipe, self.n_labels = net, recipe, n_labels
        self.optimiser = torch.optim.SGD(
            net.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, fused=True
        )
        self.shuffling = torch.Generator().manual_seed(seed)
        self.epoch = 0
        self.history: list[dict[str, Any]] = []
        self.selected = dict.fromkeys(recipe.rules, 0)
        self.least = dict.fromkeys(recipe.rules, math.inf)
        self.weights: dict[str, dict[str, Tensor]] = {}

    @property
    def finished(self) -> bool:
        """Whether the last epoch is reached, or patience is at its end."""
        waited = self.epoch - self.selected[self.recipe.select]
        return self.epoch >= self.recipe.epochs or (self.recipe.patience is not None and waited >= self.recipe.patience)

    def run_epoch(self, train: Part, validation: Part) -> None:
        """Train on every subject once, then look at the validation part and keep the weights if they are the best.

        Raises
        ------
        FloatingPointError
            If the loss is no longer finite.
        """
        self.epoch += 1
        logits, target = self._train(*train)
        self._record("train", logits, target)
        self._record("validation", predict_logits(self.net, validation[0]), validation[1])
        for rule in self.recipe.rules:
            value = self.history[-1][rule]
            if value < self.least[rule]:
                self.least[rule], self.selected[rule] = value, self.epoch
                self.weights[rule] = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}

    def _train(self, inputs: dict[str, Tensor], target: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Pass once through all subjects in a new order; hand back what was predicted, and the truth in that order."""
        self.net.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate_at(self.epoch)
        order = torch.randperm(len(target), generator=self.shuffling)
        batches = [b for b in order.split(self.recipe.batch_size) if len(b) >= self.recipe.smallest_batch]
        seen = []
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
                outputs = self.net(_pick(inputs, batch))
            logits = {view: each.float() for view, each in outputs.items()}
            fit, agreement = self._terms(logits, target[batch])
            loss = fit + self.recipe.agreement * agreement
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            seen.append({view: each.detach() for view, each in logits.items()})
        return {view: torch.cat([logits[view] for logits in seen]) for view in self.net.views}, target[
            torch.cat(batches)
        ]

    def _terms(self, outputs: Mapping[str, Tensor], target: Tensor) -> tuple[Tensor, Tensor]:
        """Both terms of the recipe's loss."""
        if self.recipe.fusion == "dcl":  # a regression: one column for two classes, one per class for more
            target = (target if self.n_labels == 2 else one_hot(target, self.n_labels)).float()
        return fusion_terms(self.recipe.fusion, outputs, target, self.recipe.output)

    def _record(self, part: str, logits: dict[str, Tensor], target: Tensor) -> None:
        """Add a row to the history; DCL's and DCCA's terms are those of the whole part at once.

        DCL's sum of squares counts as if the part were one batch: parts of unlike sizes compare, and it weighs against
        the correlation as it does in a step.
        """
        fit, agreement = (term.item() for term in self._terms(logits, target))
        if self.recipe.fusion == "dcl":
            fit *= self.recipe.batch_size / len(target)
        cross_entropy = accuracy = None  # of a classifier, which DCL and DCCA have none of
        if self.recipe.fusion == "collaborative":
            log_proba = fused_log_proba(logits, self.recipe.output)
            cross_entropy = nll_loss(log_proba, target).item()
            accuracy = (log_proba.argmax(dim=1) == target).double().mean().item()
        loss = fit + self.recipe.agreement * agreement
        if not all(math.isfinite(value) for value in (loss, cross_entropy or 0.0)):
            raise FloatingPointError(
                f"the {part} loss is no longer finite in epoch {self.epoch}; lower learning_rate "
                f"({self.recipe.learning_rate}) or look for extreme values in the views"
            )
        row = (self.epoch, part, loss, fit, agreement, cross_entropy, accuracy)
        self.history.append(dict(zip(HISTORY_COLUMNS, row, strict=True)))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything needed to go on bit for bit: tensors by name, and the rest as JSON can hold it."""
        tensors = {"random/global": torch.get_rng_state(), "random/shuffling": self.shuffling.get_state()}
        tensors |= {f"net/{name}": tensor for name, tensor in self.net.state_dict().items()}
        tensors |= {
            f"momentum/{name}": self.optimiser.state[parameter]["momentum_buffer"]
            for name, parameter in self.net.named_parameters()
        }
        for rule, weights in self.weights.items():
            tensors |= {f"{rule}/{name}": tensor for name, tensor in weights.items()}
        rest = {name: getattr(self, name) for name in ("epoch", "history", "selected", "least")}
        return tensors, rest

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Go back to a :meth:`state`, global generator included."""
        groups: dict[str, dict[str, Tensor]] = {}
        for path, tensor in tensors.items():
            group, name = path.split("/", 1)
            groups.setdefault(group, {})[name] = tensor
        self.net.load_state_dict(groups["net"])
        for name, parameter in self.net.named_parameters():
            # laid out in memory like the parameter, as the optimiser itself would have made it
            buffer = torch.empty_like(parameter).copy_(groups["momentum"][name])
            self.optimiser.state[parameter]["momentum_buffer"] = buffer
        self.weights = {rule: groups[rule] for rule in self.recipe.rules}
        self.epoch, self.history = rest["epoch"], rest["history"]
        self.selected, self.least = rest["selected"], rest["least"]
        self.shuffling.set_state(groups["random"]["shuffling"])
        torch.set_rng_state(groups["random"]["global"])


def _pick(inputs: Mapping[str, Tensor], positions: Tensor) -> dict[str, Tensor]:
    return {view: values[positions] for view, values in inputs.items()}
