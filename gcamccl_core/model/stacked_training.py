"""The epochs of a stack of networks: on a GPU every step is one captured graph, launched as a whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from gcamccl_core.model.epochs import HISTORY_COLUMNS
from gcamccl_core.model.fusion import fused_log_proba
from gcamccl_core.model.losses import fusion_terms
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.repeatable_dropout import RepeatableDropout
from gcamccl_core.model.stacked import StackedNet

PREDICTED_AT_ONCE = 512  # subjects times networks, without gradients
WARM_UPS = 3  # steps before one is captured, as libraries choose their kernels in the first


class StackedTraining:
    """Networks on their way through the epochs of a recipe, all at once; each does what it would do by itself.

    Every network has subjects, order, first weights and dropout of its own. One whose patience is at its end is
    computed on with the others; its history and selected weights stay as they were then.

    Parameters
    ----------
    nets : sequence of CollaborativeNet
        With their first weights; left as they are.
    recipe : Recipe
        Of Table IV's network and Eq. 12.
    seeds : sequence of int
        One per network, of the order of its subjects and of its dropout.
    inputs : mapping of str to Tensor
        By view, shape (N, 1, *view shape), the same for all networks, or (networks, N, 1, *view shape).
    target : Tensor
        Class numbers, shape (N,).
    train, validation : Tensor
        Positions among these N subjects, shape (networks, n).
    device : torch.device
        Where to train.
    """

    def __init__(
        self,
        nets: Sequence[CollaborativeNet],
        recipe: Recipe,
        seeds: Sequence[int],
        inputs: Mapping[str, Tensor],
        target: Tensor,
        train: Tensor,
        validation: Tensor,
        device: torch.device,
    ) -> None:
        self.recipe, self.seeds, self.device = recipe, list(seeds), device
        self.stack = StackedNet(nets, seeds).to(device)
        self.inputs = {view: values.to(device) for view, values in inputs.items()}
        self.target, self.train, self.validation = target.to(device), train, validation.to(device)
        self.parameters: list[Tensor] = list(self.stack.parameters())
        self.momentum = [torch.zeros_like(each) for each in self.parameters]
        self.rate = torch.zeros((), dtype=torch.float64, device=device)  # without a size: it changes no type
        self.shuffling = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shares = self.stack.shares()
        self.epoch = self.steps = 0
        self.history: list[list[dict[str, Any]]] = [[] for _ in seeds]
        self.selected = [dict.fromkeys(recipe.rules, 0) for _ in seeds]
        self.least = [dict.fromkeys(recipe.rules, math.inf) for _ in seeds]
        self.weights = {
            rule: {name: share.detach().clone() for name, share in self.shares.items()} for rule in recipe.rules
        }
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor, dict[str, Tensor]]] = {}

    def going_on(self) -> list[bool]:
        """For every network, whether it has epochs left and patience."""
        patience = self.recipe.patience
        waited = [self.epoch - selected[self.recipe.select] for selected in self.selected]
        return [self.epoch < self.recipe.epochs and (patience is None or each < patience) for each in waited]

    def run_epoch(self) -> None:
        """Train every network on all of its subjects once, look at its validation part, keep weights that are the best.

        Raises
        ------
        FloatingPointError
            If the loss of a network that is not at its end is no longer finite.
        """
        alive = self.going_on()
        self.epoch += 1
        self.rate.fill_(self.recipe.learning_rate_at(self.epoch))
        seen = self._measures(*self._train_epoch())
        judged = self._measures(*self._predict(self.validation))
        values = torch.stack([seen, judged]).double().cpu()  # one wait for the device an epoch
        improved = {rule: torch.zeros(len(alive), dtype=torch.bool) for rule in self.recipe.rules}
        for k in (k for k, going in enumerate(alive) if going):
            for part, row in zip(("train", "validation"), values[:, k].tolist(), strict=True):
                self._record(k, part, row)
            for rule in self.recipe.rules:
                value = self.history[k][-1][rule]
                if value < self.least[k][rule]:
                    self.least[k][rule], self.selected[k][rule] = value, self.epoch
                    improved[rule][k] = True
        for rule, which in improved.items():
            if which.any():
                self._keep(self.weights[rule], which.to(self.device))

    def _train_epoch(self) -> tuple[dict[str, Tensor], Tensor]:
        self.stack.train()
        drawn = [torch.randperm(self.train.shape[1], generator=each) for each in self.shuffling]
        order = torch.stack([positions[each] for positions, each in zip(self.train, drawn, strict=True)])
        batches = [b for b in order.to(self.device).split(self.recipe.batch_size, dim=1)]
        batches = [batch for batch in batches if batch.shape[1] >= self.recipe.smallest_batch]
        self.stack.set_step(self.steps)
        logits = [self._launch(batch) for batch in batches]
        self.steps += len(batches)
        rows = torch.cat(batches, dim=1)
        return {view: torch.cat([each[view] for each in logits], dim=1) for view in self.stack.views}, rows

    def _launch(self, rows: Tensor) -> dict[str, Tensor]:
        """Do one step, on a GPU by its graph; rows of shape (networks, batch)."""
        if self.device.type != "cuda":
            return self._step(rows)
        if rows.shape[1] not in self._graphs:
            self._graphs[rows.shape[1]] = self._capture(rows)
        graph, held, logits = self._graphs[rows.shape[1]]
        held.copy_(rows)
        graph.replay()
        return {view: each.clone() for view, each in logits.items()}

    def _step(self, rows: Tensor) -> dict[str, Tensor]:
        """Step down the gradient of every network's own loss: their sum has no other."""
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16", cache_enabled=False
        ):
            outputs = self.stack(self._pick(rows))
        logits = {view: each.float() for view, each in outputs.items()}
        fit, agreement = torch.vmap(self._terms)(logits, self.target[rows])
        gradients = torch.autograd.grad((fit + self.recipe.agreement * agreement).sum(), self.parameters)
        with torch.no_grad():
            torch._foreach_mul_(self.momentum, self.recipe.momentum)
            torch._foreach_add_(self.momentum, list(gradients))
            torch._foreach_sub_(self.parameters, list(torch._foreach_mul(self.momentum, self.rate)))
            for part in self.stack.modules():
                if isinstance(part, RepeatableDropout):
                    part.step.add_(1)
        return {view: each.detach() for view, each in logits.items()}

    def _capture(self, rows: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, dict[str, Tensor]]:
        """Record a step as a graph, and put everything back as it was before."""
        changing = [*self.stack.state_dict(keep_vars=True).values(), *self.momentum]
        changing += [part.step for part in self.stack.modules() if isinstance(part, RepeatableDropout)]
        before = [each.detach().clone() for each in changing]
        held, stream = rows.clone(), torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._step(held)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = self._step(held)
        with torch.no_grad():
            for each, value in zip(changing, before, strict=True):
                each.copy_(value)
        return graph, held, logits

    def _predict(self, rows: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits without gradients of some subjects of every network, rows of shape (networks, n)."""
        self.stack.eval()
        with torch.inference_mode():
            pieces = [
                self.stack(self._pick(each)) for each in rows.split(max(1, PREDICTED_AT_ONCE // len(rows)), dim=1)
            ]
        return {view: torch.cat([piece[view] for piece in pieces], dim=1) for view in self.stack.views}, rows

    def _pick(self, rows: Tensor) -> dict[str, Tensor]:
        """Pick inputs of shape (networks, n, 1, *view shape)."""
        own = torch.arange(len(rows), device=self.device)[:, None]
        shared = {view: values.ndim == len(self.stack.views[view]) + 2 for view, values in self.inputs.items()}
        return {view: values[rows] if shared[view] else values[own, rows] for view, values in self.inputs.items()}

    def _terms(self, logits: dict[str, Tensor], target: Tensor) -> tuple[Tensor, Tensor]:
        return fusion_terms(self.recipe.fusion, logits, target, self.recipe.output)

    def _measures(self, logits: dict[str, Tensor], rows: Tensor) -> Tensor:
        """Both terms of the loss, cross-entropy and accuracy of every network, shape (networks, 4)."""

        def of_one(logits: dict[str, Tensor], target: Tensor) -> Tensor:
            log_proba = fused_log_proba(logits, self.recipe.output)
            accuracy = (log_proba.argmax(dim=1) == target).to(log_proba.dtype).mean()
            return torch.stack([*self._terms(logits, target), nll_loss(log_proba, target), accuracy])

        with torch.no_grad():
            return torch.vmap(of_one)(logits, self.target[rows])

    def _record(self, k: int, part: str, row: list[float]) -> None:
        fit, agreement, cross_entropy, accuracy = row
        loss = fit + self.recipe.agreement * agreement
        if not (math.isfinite(loss) and math.isfinite(cross_entropy)):
            raise FloatingPointError(
                f"the {part} loss of the network with seed {self.seeds[k]} is no longer finite in epoch {self.epoch}; "
                f"lower learning_rate ({self.recipe.learning_rate}) or look for extreme values in the views"
            )
        values = (self.epoch, part, loss, fit, agreement, cross_entropy, accuracy)
        self.history[k].append(dict(zip(HISTORY_COLUMNS, values, strict=True)))

    def _keep(self, kept: dict[str, Tensor], which: Tensor) -> None:
        """Take over the present weights of some networks."""
        for name, share in self.shares.items():
            mask = which.view(-1, *[1] * (share.ndim - 1))
            kept[name] = torch.where(mask, share.detach(), kept[name])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything needed to go on: tensors by name, and the rest as JSON can hold it."""
        tensors = {f"random/{k}": each.get_state() for k, each in enumerate(self.shuffling)}
        tensors |= {f"net/{name}": each for name, each in self.stack.state_dict().items()}
        tensors |= {f"momentum/{number}": each for number, each in enumerate(self.momentum)}
        for rule, weights in self.weights.items():
            tensors |= {f"{rule}/{name}": each for name, each in weights.items()}
        return tensors, {name: getattr(self, name) for name in ("epoch", "steps", "history", "selected", "least")}

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Go back to a :meth:`state`."""
        groups: dict[str, dict[str, Tensor]] = {}
        for path, tensor in tensors.items():
            group, name = path.split("/", 1)
            groups.setdefault(group, {})[name] = tensor
        self.stack.load_state_dict(groups["net"])
        with torch.no_grad():
            for number, each in enumerate(self.momentum):
                each.copy_(groups["momentum"][str(number)])
        for rule in self.recipe.rules:
            self.weights[rule] = {name: groups[rule][name].to(self.device) for name in self.shares}
        for k, generator in enumerate(self.shuffling):
            generator.set_state(groups["random"][str(k)])
        for name, value in rest.items():
            setattr(self, name, value)
