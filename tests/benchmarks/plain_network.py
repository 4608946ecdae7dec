"""The peer of training: the same network and loss, written down as plain PyTorch, and the usual loop around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from gcamccl_core.model.epochs import SUBJECTS_AT_ONCE
from gcamccl_core.model.networks import CollaborativeNet


def image_branch(side: int, n_classes: int, dropout: float) -> nn.Sequential:
    """Table IV's ConvNet of an image, of at least 48 regions, so that no kernel has to shrink."""
    last = side // 2 // 4 // 3
    return nn.Sequential(
        nn.Conv2d(1, 16, 7, padding=3),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, padding=2),
        nn.MaxPool2d(4),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.MaxPool2d(3),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Conv2d(32, 64, last),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, n_classes),
    )


def vector_branch(length: int, n_classes: int, dropout: float) -> nn.Sequential:
    """Table IV's ConvNet of a vector, of at least 402 features."""
    last = ((length - 30) // 6 - 30) // 6
    return nn.Sequential(
        nn.Conv1d(1, 16, 31),
        nn.MaxPool1d(6),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Conv1d(16, 32, 31),
        nn.MaxPool1d(6),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Conv1d(32, 64, last),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, n_classes),
    )


class PlainNet(nn.Module):
    """One branch per view, in the default memory format and precision; takes the views in their order."""

    def __init__(self, views: Mapping[str, Sequence[int]], n_classes: int = 2, dropout: float = 0.2) -> None:
        super().__init__()
        self.branches = nn.ModuleDict(
            {
                name: (image_branch if len(shape) == 2 else vector_branch)(shape[0], n_classes, dropout)
                for name, shape in views.items()
            }
        )

    def forward(self, *views: Tensor) -> list[Tensor]:
        return [branch(view) for branch, view in zip(self.branches.values(), views, strict=True)]


def plain_twin(net: CollaborativeNet) -> PlainNet:
    """Plain network with the weights of ours, which may have ConvNets only."""
    plain = PlainNet(net.views, net.n_classes, net.dropout)
    for view, branch in plain.branches.items():
        parts = [*net.encoders[view].state_dict().values(), *net.heads[view].state_dict().values()]
        branch.load_state_dict(dict(zip(branch.state_dict(), parts, strict=True)))
    return plain


def plain_loss(logits: Sequence[Tensor], target: Tensor) -> Tensor:
    """Eq. 12, term by term as printed."""
    probabilities = [F.softmax(each, dim=1) for each in logits]
    m = len(logits)
    loss = sum(F.cross_entropy(each, target) for each in logits) / m
    for i in range(m):
        for j in range(m):
            if i != j:
                crossed = (probabilities[i] * torch.log(probabilities[j])).sum(dim=1).mean()
                loss = loss - crossed / (m * (m - 1))
    return loss


class PlainLoop:
    """Training as a tutorial writes it: shuffled batches from a loader, momentum, a look at the validation part."""

    def __init__(
        self,
        net: nn.Module,
        train: tuple[Mapping[str, Tensor], Tensor],
        validation: tuple[Mapping[str, Tensor], Tensor],
        learning_rate: float = 1e-4,
        batch_size: int = 4,
    ) -> None:
        self.net = net
        self.optimiser = torch.optim.SGD(net.parameters(), lr=learning_rate, momentum=0.9)
        self.train, self.validation = (
            DataLoader(TensorDataset(*inputs.values(), target), size, shuffle=shuffle)
            for (inputs, target), size, shuffle in ((train, batch_size, True), (validation, SUBJECTS_AT_ONCE, False))
        )
        self.loss: list[float] = []
        self.least = float("inf")
        self.best: dict[str, Tensor] = {}

    def run_steps(self) -> None:
        """Train on everybody once."""
        self.net.train()
        for *views, target in self.train:
            if len(target) < 2:  # batch norm needs two
                continue
            loss = plain_loss(self.net(*views), target)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.loss.append(loss.item())

    def run_epoch(self) -> None:
        """Train on everybody once, then judge; the weights of the least cross-entropy are kept."""
        self.run_steps()
        self.net.eval()
        total = 0.0
        with torch.no_grad():
            for *views, target in self.validation:
                mean = torch.stack([F.softmax(each, dim=1) for each in self.net(*views)]).mean(dim=0)
                total += F.nll_loss(torch.log(mean), target, reduction="sum").item()
        if total < self.least:
            self.least = total
            self.best = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}
