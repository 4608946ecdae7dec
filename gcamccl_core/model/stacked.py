"""Several networks of one architecture as one: side by side along the channels, with grouped convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.pathways import PUBLISHED
from gcamccl_core.model.repeatable_dropout import RepeatableDropout


class StackedNet(nn.Module):
    """Networks of Table IV that are computed together and have nothing to do with each other.

    Network k has the k-th share of every layer's channels: a grouped convolution keeps the shares apart, pooling, batch
    norm and ReLU work channel by channel as it is. Dropout is :class:`.RepeatableDropout`, so that no network's masks
    depend on the others.

    Parameters
    ----------
    nets : sequence of CollaborativeNet
        Alike but for their weights, every view a ConvNet and nothing else; copied.
    seeds : sequence of int
        One per network, for dropout.

    Raises
    ------
    ValueError
        If the networks are not alike, or have other pathways.

    Examples
    --------
    >>> nets = [CollaborativeNet({"snp": (80,)}) for _ in range(3)]
    >>> StackedNet(nets, seeds=[0, 1, 2])({"snp": torch.zeros(3, 5, 1, 80)})["snp"].shape  # networks, subjects, classes
    torch.Size([3, 5, 2])
    """

    def __init__(self, nets: Sequence[CollaborativeNet], seeds: Sequence[int]) -> None:
        super().__init__()
        first = nets[0]
        for net in nets:
            if any(names != list(PUBLISHED) for names in net.pathway_names.values()):
                raise ValueError(
                    "networks with other pathways than the ConvNet cannot be stacked; train them one by one"
                )
            if (net.views, net.n_classes, net.dropout) != (first.views, first.n_classes, first.dropout):
                raise ValueError("networks of unlike views, classes or dropout cannot be stacked; stack those alike")
        self.views, self.n_classes, self.n_nets = dict(first.views), first.n_classes, len(nets)
        self.encoders, self.heads = nn.ModuleDict(), nn.ModuleDict()
        numbers = iter(range(1000))  # of the dropout layers
        for view in self.views:
            self.encoders[view] = _stack_module([net.encoders[view] for net in nets], list(seeds), numbers)
            self.heads[view] = _StackedHead([net.heads[view] for net in nets])
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.to(next(first.parameters()).dtype)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits of every network.

        Parameters
        ----------
        inputs : mapping of str to Tensor
            By view, shape (networks, n, 1, *view shape): every network has its own subjects.

        Returns
        -------
        dict of str to Tensor
            Shape (networks, n, n_classes), by view.
        """
        logits = {}
        for view in self.views:
            side_by_side = inputs[view].transpose(0, 1).flatten(1, 2)  # (n, networks, *view shape)
            features = self.encoders[view](side_by_side).flatten(1)
            logits[view] = self.heads[view](features)
        return logits

    def set_step(self, step: int) -> None:
        """Tell dropout which step comes next, counted from 0."""
        for part in self.modules():
            if isinstance(part, RepeatableDropout):
                part.step.fill_(step)

    def shares(self) -> dict[str, Tensor]:
        """Weights and batch-norm statistics as (networks, *shape of one), by their name in a single network.

        They share memory with the stack: what is written into them is written into it.
        """
        found = {}
        for name, tensor in self.state_dict(keep_vars=True).items():
            is_count = name.endswith("num_batches_tracked")  # the same for all
            found[name] = tensor.expand(self.n_nets) if is_count else self.divide(tensor)
        return found

    def divide(self, tensor: Tensor) -> Tensor:
        """View a stacked tensor as (networks, *shape of one)."""
        return tensor.view(self.n_nets, tensor.shape[0] // self.n_nets, *tensor.shape[1:])


class _StackedHead(nn.Module):
    """Linear classifiers of several networks, each of which sees its own features."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.cat([_tensor(head, "weight") for head in heads]))
        self.bias = nn.Parameter(torch.cat([_tensor(head, "bias") for head in heads]))
        self.n_nets = len(heads)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (networks, n, n_classes) of features (n, networks * 64)."""
        own = features.unflatten(1, (self.n_nets, -1)).transpose(0, 1)
        weight = self.weight.unflatten(0, (self.n_nets, -1)).transpose(1, 2)
        return torch.baddbmm(self.bias.view(self.n_nets, 1, -1), own, weight)


def _stack_module(parts: Sequence[nn.Module], seeds: list[int], numbers: object) -> nn.Module:
    """Stack one module of every network, with the modules in it."""
    first, k = parts[0], len(parts)
    if isinstance(first, nn.Sequential):
        stacked = nn.Sequential()
        for name, _ in first.named_children():
            stacked.add_module(name, _stack_module([part.get_submodule(name) for part in parts], seeds, numbers))
        return stacked
    if isinstance(first, nn.Conv1d | nn.Conv2d):
        shape = (first.in_channels * k, first.out_channels * k, first.kernel_size)
        grouped = type(first)(*shape, padding=first.padding, groups=k)  # type: ignore[arg-type]
        return _fill(grouped, parts)
    if isinstance(first, nn.BatchNorm1d | nn.BatchNorm2d):
        return _fill(type(first)(first.num_features * k, eps=first.eps, momentum=first.momentum), parts)
    if isinstance(first, nn.MaxPool1d | nn.MaxPool2d):
        return type(first)(first.kernel_size)
    if isinstance(first, nn.ReLU):
        return nn.ReLU()
    if isinstance(first, nn.Dropout):
        return RepeatableDropout(first.p, seeds, next(numbers))  # type: ignore[call-overload]
    raise ValueError(f"a {type(first).__name__} cannot be stacked")


def _fill(stacked: nn.Module, parts: Sequence[nn.Module]) -> nn.Module:
    """Copy weights and statistics of all networks, one after the other."""
    with torch.no_grad():
        for name, tensor in stacked.state_dict(keep_vars=True).items():
            if tensor.ndim:
                tensor.copy_(torch.cat([_tensor(part, name) for part in parts]))
    return stacked


def _tensor(part: nn.Module, name: str) -> Tensor:
    return part.state_dict()[name]
