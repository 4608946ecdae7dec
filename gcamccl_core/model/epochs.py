"""One training, epoch by epoch: steps, validation, the best weights so far, and the state to go on from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import nll_loss, one_hot

from gcamccl_core.model.losses import fusion_terms
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.pathways import LinearPathway
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.streamed_inputs import Inputs

Part = tuple[Mapping[str, Inputs], Tensor]  # prepared inputs by view, and class numbers, of the same subjects
HISTORY_COLUMNS = ["epoch", "part", "loss", "fit", "agreement", "cross_entropy", "accuracy"]
SUBJECTS_AT_ONCE = 32  # without gradients: enough to be quick, few enough for any memory


def predict_logits(net: CollaborativeNet, inputs: Mapping[str, Inputs], features: bool = False) -> dict[str, Tensor]:
    """Logits without gradients, a few dozen subjects at a time; the network is left in eval mode.

    Parameters
    ----------
    net : CollaborativeNet
        The network.
    inputs : mapping of str to Tensor or StreamedView
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
    linear : mapping of str to Tensor (n_train, n_classes), optional
        If the network has fitted linear pathways, which stand: by view, what they say of training subjects whom they
        have not seen. The other pathways learn to add to that, since to what a fit says of its own subjects there is
        nothing to add. The network as it comes is then epoch 0, and may be selected.
    agreement : float, optional
        Weight of the second term of Eq. 12, if another than the recipe's was chosen for the linear pathways.
    """

    def __init__(
        self,
        net: CollaborativeNet,
        recipe: Recipe,
        seed: int,
        n_labels: int = 2,
        linear: Mapping[str, Tensor] | None = None,
        agreement: float | None = None,
    ) -> None:
        self.net, self.recipe, self.n_labels = net, recipe, n_labels
        self.device = next(net.parameters()).device
        self.linear = None if linear is None else {view: each.to(self.device) for view, each in linear.items()}
        self.agreement = recipe.agreement if agreement is None else agreement
        fitted = {
            parameter for path in net.modules() if isinstance(path, LinearPathway) for parameter in path.parameters()
        }
        self.trained = {name: each for name, each in net.named_parameters() if each not in fitted}
        self.optimiser = torch.optim.SGD(  # of a parameter that is none, where there is nothing to train
            list(self.trained.values()) or [torch.zeros(0)],
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            fused=True,
        )
        self.shuffling = torch.Generator().manual_seed(seed)
        self.epoch = 0
        self.history: list[dict[str, Any]] = []
        self.selected = dict.fromkeys(recipe.rules, 0)
        self.least = dict.fromkeys(recipe.rules, math.inf)
        self.weights: dict[str, dict[str, Tensor]] = {}

    @property
    def finished(self) -> bool:
        """Whether the last epoch is reached, or patience is at its end, or there is nothing to train."""
        if not self.trained:
            return True
        waited = self.epoch - self.selected[self.recipe.select]
        return self.epoch >= self.recipe.epochs or (self.recipe.patience is not None and waited >= self.recipe.patience)

    def record_start(self, train: Part, validation: Part) -> None:
        """Record what fitted linear pathways say before the first epoch, as epoch 0.

        Parameters
        ----------
        train, validation : Part
            As in :meth:`run_epoch`; an empty validation part leaves epoch 0 for the chosen one, as there is no other
            for want of a judge.
        """
        assert self.linear is not None
        self._record("train", dict(self.linear), train[1])
        if len(validation[1]):
            self._judge(validation)
        else:  # nobody to choose an epoch by, and none to choose
            self.weights = dict.fromkeys(self.recipe.rules, self.net.state_dict())

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
        self._judge(validation)

    def _judge(self, validation: Part) -> None:
        self._record("validation", predict_logits(self.net, validation[0]), validation[1])
        for rule in self.recipe.rules:
            value = self.history[-1][rule]
            if value < self.least[rule]:
                self.least[rule], self.selected[rule] = value, self.epoch
                self.weights[rule] = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}

    def _train(self, inputs: Mapping[str, Inputs], target: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Pass once through all subjects in a new order; hand back what was predicted, and the truth in that order."""
        self.net.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate_at(self.epoch)
        order = torch.randperm(len(target), generator=self.shuffling)
        batches = [b for b in order.split(self.recipe.batch_size) if len(b) >= self.recipe.smallest_batch]
        seen = []
        for batch in batches:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
                linear = None if self.linear is None else _pick(self.linear, batch)
                outputs = self.net(_pick(inputs, batch), linear)
            logits = {view: each.float() for view, each in outputs.items()}
            fit, agreement = self._terms(logits, target[batch])
            loss = fit + self.agreement * agreement
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
            log_proba = self.net.fuse(logits)
            cross_entropy = nll_loss(log_proba, target).item()
            accuracy = (log_proba.argmax(dim=1) == target).double().mean().item()
        loss = fit + self.agreement * agreement
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
        if self.device.type == "cuda":
            tensors["random/device"] = torch.cuda.get_rng_state(self.device)
        tensors |= {f"net/{name}": tensor for name, tensor in self.net.state_dict().items()}
        tensors |= {
            f"momentum/{name}": self.optimiser.state[parameter]["momentum_buffer"]
            for name, parameter in self.trained.items()
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
        for name, parameter in self.trained.items():
            # laid out in memory like the parameter, as the optimiser itself would have made it
            buffer = torch.empty_like(parameter).copy_(groups["momentum"][name])
            self.optimiser.state[parameter]["momentum_buffer"] = buffer
        self.weights = {rule: groups[rule] for rule in self.recipe.rules}
        self.epoch, self.history = rest["epoch"], rest["history"]
        self.selected, self.least = rest["selected"], rest["least"]
        self.shuffling.set_state(groups["random"]["shuffling"])
        torch.set_rng_state(groups["random"]["global"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(groups["random"]["device"], self.device)


def move_part(part: Part, device: torch.device) -> Part:
    """Move inputs and class numbers to a device; what is there already is not copied."""
    return {view: values.to(device) for view, values in part[0].items()}, part[1].to(device)


def _pick(inputs: Mapping[str, Inputs], positions: Tensor) -> dict[str, Tensor]:
    return {view: values[positions] for view, values in inputs.items()}
