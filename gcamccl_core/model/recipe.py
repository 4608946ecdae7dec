"""How a network is trained: the hyper-parameters of Table II, and a quicker recipe whose learning rates sum alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gcamccl_core.model.fusion import COMBINATIONS, OUTPUTS
from gcamccl_core.model.pathways import PATHWAYS, PUBLISHED

EPOCH_RULES = ("cross_entropy", "loss")
FUSIONS = ("collaborative", "dcl", "dcca")
PRECISIONS = ("float32", "bfloat16")


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
        Early stopping: epochs without a new least value of the rule in ``select`` before training ends; the other
        rule then chooses among the epochs that were trained. None trains all epochs.
    fusion : {"collaborative", "dcl", "dcca"}
        The loss: Eq. 12, or its forerunners Eq. 4 and Eq. 3, which join two views and leave the classifying to others.
    latent : int
        For DCL and DCCA: into how many latent variables each view is projected, at least 2; a batch holds twice as
        many subjects or more.
    precision : {"float32", "bfloat16"}
        Of convolutions and heads while training; weights, losses and predictions are float32 either way. bfloat16 is
        quicker on processors that compute with it, and slower on others.
    image, vector : tuple of str
        Pathways of images and of vectors, see :class:`.CollaborativeNet`. Linear pathways are fitted before the first
        epoch, with or without the agreement term, see :func:`.fit_additive`, and then stand; what they say of
        training subjects they have not seen is where the others start from. A network of nothing else has no epochs.
    gates : bool
        Whether linear pathways give features that tell the classes apart a wider gate, see :func:`.fit_additive`.
    combine : {"mean", "confidence"}
        How the views' predictions become one; confidence is learnt with linear pathways of all views.

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
    fusion: str = "collaborative"
    latent: int = 2
    precision: str = "float32"
    image: tuple[str, ...] = PUBLISHED
    vector: tuple[str, ...] = PUBLISHED
    gates: bool = True
    combine: str = "mean"

    def __post_init__(self) -> None:
        _refuse_unless(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        _refuse_unless(self.batch_size >= 2, "batch_size", "at least 2, for batch norm", self.batch_size)
        _refuse_unless(0 < self.learning_rate < float("inf"), "learning_rate", "above 0", self.learning_rate)
        _refuse_unless(self.halve_every >= 1, "halve_every", "at least 1", self.halve_every)
        _refuse_unless(0 <= self.momentum < 1, "momentum", "from 0 to below 1", self.momentum)
        _refuse_unless(0 <= self.dropout < 1, "dropout", "from 0 to below 1", self.dropout)
        _refuse_unless(0 <= self.agreement < float("inf"), "agreement", "at least 0", self.agreement)
        _refuse_unless(self.output in OUTPUTS, "output", " or ".join(OUTPUTS), self.output)
        _refuse_unless(self.select in EPOCH_RULES, "select", " or ".join(EPOCH_RULES), self.select)
        _refuse_unless(self.patience is None or self.patience >= 1, "patience", "at least 1 or None", self.patience)
        _refuse_unless(self.fusion in FUSIONS, "fusion", " or ".join(FUSIONS), self.fusion)
        _refuse_unless(self.precision in PRECISIONS, "precision", " or ".join(PRECISIONS), self.precision)
        for name, dimensions in {"image": 2, "vector": 1}.items():
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON gives a list back
            paths = PATHWAYS[dimensions]
            known = bool(getattr(self, name)) and set(getattr(self, name)) <= set(paths)
            _refuse_unless(known, name, f"some of {', '.join(paths)}", getattr(self, name))
        _refuse_unless(self.combine in COMBINATIONS, "combine", " or ".join(COMBINATIONS), self.combine)
        linear = ["linear" in self.image, "linear" in self.vector]
        if any(linear):
            _refuse_unless(all(linear), "image and vector", "both with a linear pathway or both without", linear)
            _refuse_unless(self.output == "softmax", "output", "'softmax' with linear pathways", self.output)
        _refuse_unless(self.combine == "mean" or all(linear), "combine", "'mean' without linear pathways", self.combine)
        if self.fusion != "collaborative":
            _refuse_unless(
                self.is_published, "image and vector", f"'convolution' with {self.fusion}", (self.image, self.vector)
            )
            _refuse_unless(self.latent >= 2, "latent", "at least 2", self.latent)
            least = 2 * self.latent
            _refuse_unless(self.batch_size >= least, "batch_size", f"at least twice latent, {least}", self.batch_size)
            _refuse_unless(self.select in self.rules, "select", f"'loss' with {self.fusion}", self.select)

    @property
    def rules(self) -> tuple[str, ...]:
        """Rules that can select an epoch; DCL and DCCA predict no class, so they have no cross-entropy."""
        return EPOCH_RULES if self.fusion == "collaborative" else ("loss",)

    @property
    def has_epochs(self) -> bool:
        """Whether any pathway is trained epoch by epoch; linear ones alone need no validation part either."""
        return {*self.image, *self.vector} != {"linear"}

    @property
    def is_published(self) -> bool:
        """Whether every view has Table IV's ConvNet and nothing beside it."""
        return self.image == self.vector == PUBLISHED

    @property
    def smallest_batch(self) -> int:
        """Fewest subjects in a step; a last batch with fewer is left out of that epoch."""
        return 2 if self.fusion == "collaborative" else min(self.batch_size, 8 * self.latent)

    @classmethod
    def paper(cls, **changes: Any) -> Recipe:
        """Table II as published, 500 epochs at 1e-5 halved every 200; ``changes`` replace single values."""
        return cls(**changes)

    @classmethod
    def demo(cls, **changes: Any) -> Recipe:
        """Shorten Table II: the learning rates of 33 epochs at 1e-4 sum to about those of the paper's 500.

        Its patience of 7 is the same share of 33 as the paper's 100 is of 500, a fifth. ``changes`` replace single
        values; who asks for more ``epochs`` will want another ``patience``.
        """
        return cls(**{"epochs": 33, "learning_rate": 1e-4, "patience": 7, **changes})

    @classmethod
    def recommended(cls, **changes: Any) -> Recipe:
        """Linear pathways with gates, fused by Eq. 12 and combined by confidence; ``changes`` replace single values."""
        return cls.demo(**{"image": ("linear",), "vector": ("linear",), "combine": "confidence", **changes})

    @classmethod
    def features(cls, fusion: str = "dcl", **changes: Any) -> Recipe:
        """Train features for other classifiers, by DCL ("CCL" in Table III) or DCCA, in batches that these can use.

        Batch size and learning rate had the least validation loss, summed over the same subjects, of a few tried on a
        simulated cohort of its own. ``changes`` replace single values.
        """
        return cls.demo(**{"fusion": fusion, "select": "loss", "batch_size": 64, "learning_rate": 1e-3, **changes})

    def learning_rate_at(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 1."""
        return self.learning_rate * 0.5 ** ((epoch - 1) // self.halve_every)


def _refuse_unless(accepted: bool, name: str, expected: str, value: object) -> None:
    if not accepted:
        raise ValueError(f"{name} must be {expected}, got {value!r}")
