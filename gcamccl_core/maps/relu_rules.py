"""ReLUs whose way back can be chosen after the forward pass, and the networks in which that cannot be done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

RULES = ("gradient", "guided", "deconvnet")


class RuledRelus:
    r"""The ReLUs of one forward pass, which all pass gradients back by one rule, its own one unless told otherwise.

    With z the input of a ReLU and g the gradient with respect to its output, what goes back is

    .. math:: g \cdot [z > 0] \;(\mathrm{gradient}), \qquad
              \mathrm{ReLU}(g) \cdot [z > 0] \;(\mathrm{guided}), \qquad \mathrm{ReLU}(g) \;(\mathrm{deconvnet})

    Examples
    --------
    >>> net, relus = nn.Sequential(nn.ReLU()), RuledRelus()
    >>> x = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    >>> with relus.attached(nn.ModuleDict({"encoders": nn.ModuleDict({"snp": net})}), ["snp"]):
    ...     y = (net(x) * torch.tensor([1.0, 1.0, -1.0])).sum()
    >>> for rule in RULES:
    ...     with relus.following(rule):
    ...         print(rule, torch.autograd.grad(y, x, retain_graph=True)[0].tolist())
    gradient [0.0, 1.0, -1.0]
    guided [0.0, 1.0, 0.0]
    deconvnet [1.0, 1.0, 0.0]
    """

    def __init__(self) -> None:
        self.rule = "gradient"
        self._calls = 0
        self._none = False

    @contextmanager
    def attached(self, net: nn.Module, views: Iterable[str]) -> Iterator[None]:
        """Let the forward passes inside the ``with`` block go through these ReLUs; the values do not change.

        Raises
        ------
        ValueError
            If the encoder of one of the views has no ReLU module, or any ReLU module works in place.
        """
        with ExitStack() as stack:
            found = _find_relus(net, views)
            self._none = not found  # of a network of linear pathways alone, where all rules give the same
            for module in found:
                # before all other hooks, so that what they make of the output stays in the graph
                stack.callback(module.register_forward_hook(self._replace, prepend=True).remove)
            yield

    @contextmanager
    def following(self, rule: str) -> Iterator[None]:
        """Follow one of ``RULES`` in the backward passes inside the ``with`` block.

        Raises
        ------
        RuntimeError
            If no forward pass went through these ReLUs, so that the rule would have no effect.
        """
        if not self._calls and not self._none:
            raise RuntimeError(
                f"no ReLU of this forward pass can follow the rule {rule!r}; open the pass with guided=True"
            )
        self.rule = rule
        try:
            yield
        finally:
            self.rule = "gradient"

    def refuse_others(self, outputs: Iterable[Tensor]) -> None:
        """Raise a ValueError if the graph of the outputs has ReLUs that came from no module and so escaped."""
        pending = [output.grad_fn for output in outputs]
        seen = set()
        while pending:
            node = pending.pop()
            if node is not None and node not in seen:
                seen.add(node)
                pending += [parent for parent, _ in node.next_functions]
        in_graph = sum("relu" in node.name().lower() for node in seen)  # the name of ours has it too
        if in_graph > self._calls:
            raise ValueError(
                f"{in_graph - self._calls} of the network's {in_graph} ReLUs are functional calls or variants that "
                "guided backpropagation and deconvnets cannot reach; use nn.ReLU modules"
            )

    def _replace(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        self._calls += 1
        return _RuledRelu.apply(args[0], self)


class _RuledRelu(torch.autograd.Function):
    """One ReLU.

    Backward hooks on ``nn.ReLU`` would not do: one that comes before the module's own mask cannot lift it, and one
    that comes after it marks the module for good.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, relus: RuledRelus) -> Tensor:
        output = torch.relu(z)
        ctx.save_for_backward(output)
        ctx.relus = relus
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (output,), (gradient,), rule = ctx.saved_tensors, gradients, ctx.relus.rule
        if rule != "gradient":
            gradient = torch.relu(gradient)
        return (gradient if rule == "deconvnet" else gradient.masked_fill(output <= 0, 0)), None


def _find_relus(net: nn.Module, views: Iterable[str]) -> list[nn.Module]:
    """All ReLU modules of the network, if another rule can be put on them."""
    for view in views:
        if not any(isinstance(module, nn.ReLU) for module in net.get_submodule(f"encoders.{view}").modules()):
            raise ValueError(
                f"the encoder of view '{view}' has no nn.ReLU module, so guided backpropagation and deconvnets would "
                "be plain gradients; build it with nn.ReLU modules instead of functional calls"
            )
    in_place = [name for name, module in net.named_modules() if isinstance(module, nn.ReLU) and module.inplace]
    if in_place:
        raise ValueError(
            f"guided backpropagation and deconvnets cannot hook in-place ReLUs: {', '.join(in_place)}; "
            "set inplace=False"
        )
    return [module for module in net.modules() if isinstance(module, nn.ReLU)]
