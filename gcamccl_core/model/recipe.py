"""How a network is trained: the hyper-parameters of Table II, and a quicker recipe that ends in the same place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gcamccl_core.model.networks import OUTPUTS

RULES = ("cross_entropy", "loss")


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of one training; the defaults are Table II.

    Parameters
    ----------
    epochs : int
        Most epochs to train.
    batch_size : int
        Subjects per step, at least 2, since batch norm needs two.
    learning_rate : float
        Of stochastic gradient descent, at the start.
    halve_every : int
        Epochs after which the learning rate is halved, again and again.
    momentum : float
        Of stochastic gradient descent, from 0 to below 1.
    dropout : float
        Share of the activations dropped in the middle layers, from 0 to below 1.
    agreement : float
        Weight of the agreement term of Eq. 12; 0 trains every view for itself.
    output : {"softmax", "sigmoid"}
        How logits become probabilities.
    select : {"cross_entropy", "loss"}
        Which epoch's weights to keep, by the least value on the validation part: of the cross-entropy of the views'
        averaged probabilities, or of Eq. 12 (the paper's way; its agreement term never sees the label). The other
        rule's weights are kept beside them.
    patience : int or None
        Early stopping: epochs without a new least value before training ends; None trains all epochs.

    Raises
    ------
    ValueError
        If a value is out of range; the message names the parameter.

    Examples
    --------
    >>> recipe = Recipe.paper()
    >>> recipe.epochs, recipe.learning_rate_at(1), recipe.learning_rate_at(201)
    (500, 1e-05, 5e-06)
    """

    epochs: int = 500
    batch_size: int = 4
    learning_rate: float = 1e-5
    halve_every: int = 200
    momentum: float = 0.9
    dropout: float = 0.2
    agreement: float = 1.0
    output: str = "softmax"
    select: str = "cross_entropy"
    patience: int | None = 100

    def __post_init__(self) -> None:
        _refuse_unless(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        _refuse_unless(self.batch_size >= 2, "batch_size", "at least 2, for batch norm", self.batch_size)
        _refuse_unless(0 < self.learning_rate < float("inf"), "learning_rate", "above 0", self.learning_rate)
        _refuse_unless(self.halve_every >= 1, "halve_every", "at least 1", self.halve_every)
        _refuse_unless(0 <= self.momentum < 1, "momentum", "from 0 to below 1", self.momentum)
        _refuse_unless(0 <= self.dropout < 1, "dropout", "from 0 to below 1", self.dropout)
        _refuse_unless(0 <= self.agreement < float("inf"), "agreement", "at least 0", self.agreement)
        _refuse_unless(self.output in OUTPUTS, "output", " or ".join(OUTPUTS), self.output)
        _refuse_unless(self.select in RULES, "select", " or ".join(RULES), self.select)
        _refuse_unless(self.patience is None or self.patience >= 1, "patience", "at least 1 or None", self.patience)

    @classmethod
    def paper(cls, **changes: Any) -> Recipe:
        """Table II as published, 500 epochs at 1e-5 halved every 200; ``changes`` replace single values."""
        return cls(**changes)

    @classmethod
    def demo(cls, **changes: Any) -> Recipe:
        """Reach the same place sooner: 33 epochs at 1e-4 sum to the learning rate of the paper's 500.

        ``changes`` replace single values.
        """
        return cls(**{"epochs": 33, "learning_rate": 1e-4, "patience": None, **changes})

    def learning_rate_at(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 1."""
        return self.learning_rate * 0.5 ** ((epoch - 1) // self.halve_every)


def _refuse_unless(accepted: bool, name: str, expected: str, value: object) -> None:
    if not accepted:
        raise ValueError(f"{name} must be {expected}, got {value!r}")
