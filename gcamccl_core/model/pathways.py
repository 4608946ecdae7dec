"""Ways from a view to its logits beside Table IV's ConvNet: additive, a region's row at a time, a gene at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gcamccl_core.data.checks import name_some
from gcamccl_core.model.scaling import center_and_spread

PUBLISHED = ("convolution",)  # Table IV's ConvNet, which a view has unless told otherwise
PATHWAYS = {2: ("convolution", "rows", "linear"), 1: ("convolution", "blocks", "linear")}  # images, vectors
KERNELS = 8  # per region or gene; with more, what a few hundred people can teach is spread thinner


class Standardisation(nn.Module):
    """Centre and spread of every feature over the training subjects, as buffers; it changes nothing until fitted.

    Parameters
    ----------
    shape : sequence of int
        Shape of one subject's view.

    Examples
    --------
    >>> Standardisation([2]).fit(torch.tensor([[[0.0, 5]], [[2, 5]]]))(torch.tensor([[[3.0, 7]]]))
    tensor([[[2., 0.]]])
    """

    center: Tensor
    spread: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(*shape))
        self.register_buffer("spread", torch.ones(*shape))

    def fit(self, inputs: Tensor) -> Standardisation:
        """Learn from the training subjects, shape (n, 1, *shape); a feature that does not vary among them becomes 0."""
        center, spread = (torch.from_numpy(each) for each in center_and_spread(inputs[:, 0].double().cpu().numpy()))
        self.center.copy_(center)
        self.spread.copy_(spread.where(spread > 0, torch.inf))
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Standardised features, shape (n, 1, *shape)."""
        return (inputs - self.center) / self.spread


class LinearPathway(nn.Module):
    r"""Logits that are a weighted sum of the features, every one of which has a gate.

    .. math:: y^c = b^c + \sum_j w_j^c\, g_j\, \frac{x_j - \mu_j}{\sigma_j}

    A penalty on the squares of w lets features with a wide gate g speak with less effort. :func:`.fit_additive` takes
    gates from how well each feature alone tells the classes apart among the training subjects.

    Parameters
    ----------
    shape : sequence of int
        Shape of one subject's view.
    n_classes : int
        Number of logits.

    Examples
    --------
    >>> LinearPathway((4, 4), n_classes=2)(torch.ones(3, 1, 4, 4)).tolist()  # nothing learnt, nothing said
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """

    gate: Tensor

    def __init__(self, shape: Sequence[int], n_classes: int) -> None:
        super().__init__()
        self.standardise = Standardisation(shape)
        self.register_buffer("gate", torch.ones(*shape))
        self.weight = nn.Parameter(torch.zeros(n_classes, *shape))
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, shape (n, n_classes), of inputs of shape (n, 1, *shape)."""
        gated = self.standardise(inputs) * self.gate
        return gated.flatten(1) @ self.weight.flatten(1).T + self.bias

    def reset_parameters(self) -> None:
        """Draw weights that have learnt nothing, all gates alike; logits of standardised features have variance 1."""
        nn.init.normal_(self.weight, std=self.gate.numel() ** -0.5)
        nn.init.zeros_(self.bias)
        self.gate.fill_(1)


class RowPathway(nn.Module):
    """Kernels as long as a region's row of the connectivity matrix, the same for all regions (Kawahara et al. 2017).

    A square kernel of Table IV sees neighbours on the page, which mean nothing to a connectome; these see all
    connections of one region at once. What they find at each region is weighed by a linear layer that starts from 0,
    so a network that has not learnt anything from it yet says what its other pathways say.

    Parameters
    ----------
    shape : sequence of int
        ``(side, side)``.
    n_classes : int
        Number of logits.
    dropout : float
        Share of the activations dropped.
    kernels : int
        How many kernels.

    References
    ----------
    Kawahara et al. (2017), BrainNetCNN: convolutional neural networks for brain networks, NeuroImage 146.

    Examples
    --------
    >>> RowPathway((6, 6), n_classes=3, dropout=0.2)(torch.ones(2, 1, 6, 6)).shape
    torch.Size([2, 3])
    """

    def __init__(self, shape: Sequence[int], n_classes: int, dropout: float, kernels: int = KERNELS) -> None:
        super().__init__()
        side = shape[0]
        self.standardise = Standardisation(shape)
        self.conv = nn.Conv2d(1, kernels, (1, side))
        self.norm = nn.BatchNorm2d(kernels)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.head = silent(nn.Linear(kernels * side, n_classes))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, shape (n, n_classes), of inputs of shape (n, 1, side, side)."""
        found = self.relu(self.norm(self.conv(self.standardise(inputs))))
        return self.head(self.dropout(found).flatten(1))


class BlockPathway(nn.Module):
    """Kernels that each see one block of a vector: the SNPs of a gene, which are linked and act through it.

    Parameters
    ----------
    blocks : sequence of int
        Number of features in every block, in the order of the vector.
    n_classes : int
        Number of logits.
    dropout : float
        Share of the activations dropped.
    kernels : int
        How many kernels per block.

    Examples
    --------
    >>> BlockPathway([3, 1, 2], n_classes=2, dropout=0.2)(torch.ones(4, 1, 6)).shape
    torch.Size([4, 2])
    """

    block: Tensor

    def __init__(self, blocks: Sequence[int], n_classes: int, dropout: float, kernels: int = KERNELS) -> None:
        super().__init__()
        sizes = torch.as_tensor(blocks)
        self.n_blocks = len(sizes)
        self.register_buffer("block", torch.repeat_interleave(torch.arange(self.n_blocks), sizes), persistent=False)
        self.standardise = Standardisation([len(self.block)])
        self.weight = nn.Parameter(torch.empty(kernels, len(self.block)))
        self.norm = nn.BatchNorm1d(kernels)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.head = silent(nn.Linear(kernels * self.n_blocks, n_classes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the kernels; what a block's kernel finds in standardised features has about variance 1."""
        counts = torch.bincount(self.block, minlength=self.n_blocks).float()
        with torch.no_grad():
            self.weight.normal_().mul_(counts[self.block].rsqrt())

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, shape (n, n_classes), of inputs of shape (n, 1, length)."""
        weighed = self.standardise(inputs) * self.weight  # (n, kernels, length)
        sums = weighed.new_zeros(*weighed.shape[:2], self.n_blocks).index_add(2, self.block, weighed)
        return self.head(self.dropout(self.relu(self.norm(sums))).flatten(1))


def silent(head: nn.Linear) -> nn.Linear:
    """Set a layer to 0: what stands beside a fitted pathway says nothing until it has learnt to."""
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def choose_pathways(
    views: Mapping[str, tuple[int, ...]], pathways: Mapping[str, Sequence[str]], blocks: Mapping[str, Sequence[int]]
) -> dict[str, list[str]]:
    """Name the pathways of every view: those asked for, or :data:`PUBLISHED`.

    Parameters
    ----------
    views : mapping of str to tuple of int
        Shapes.
    pathways : mapping of str to sequence of str
        Names of pathways by view.
    blocks : mapping of str to sequence of int
        Sizes of a vector's blocks.

    Raises
    ------
    ValueError
        If a view or pathway does not exist, or blocks do not add up to their view; the message says what is possible.

    Examples
    --------
    >>> choose_pathways({"fc": (264, 264), "snp": (750,)}, {"snp": ["linear"]}, {})
    {'fc': ['convolution'], 'snp': ['linear']}
    """
    for given in (pathways, blocks):
        if unknown := [view for view in given if view not in views]:
            raise ValueError(f"there is no view {name_some(unknown)}; the views are {name_some(views)}")
    chosen = {}
    for view, shape in views.items():
        names = pathways.get(view, PUBLISHED)
        possible = PATHWAYS.get(len(shape), PUBLISHED)
        if isinstance(names, str) or not names or not set(names) <= set(possible) or len(set(names)) < len(names):
            raise ValueError(f"pathways of view '{view}' must list some of {', '.join(possible)}; got {names!r}")
        if view in blocks and (len(shape) != 1 or sum(blocks[view]) != shape[0] or min(blocks[view]) < 1):
            raise ValueError(f"the blocks of view '{view}' hold {sum(blocks[view])} features; its shape is {shape}")
        chosen[view] = list(names)
    return chosen


def build_pathways(
    names: Sequence[str], shape: tuple[int, ...], n_classes: int, dropout: float, blocks: Sequence[int] | None = None
) -> nn.ModuleDict:
    """Build a view's pathways beside the ConvNet.

    Parameters
    ----------
    names : sequence of str
        Of :func:`choose_pathways`; ``"convolution"`` is passed over.
    shape : tuple of int
        Of the view.
    n_classes, dropout
        As in :class:`.CollaborativeNet`.
    blocks : sequence of int, optional
        Sizes of a vector's blocks; every feature by itself if None.

    Examples
    --------
    >>> list(build_pathways(["convolution", "rows", "linear"], (40, 40), n_classes=2, dropout=0.2))
    ['rows', 'linear']
    """
    paths = nn.ModuleDict()
    for name in names:
        if name == "linear":
            paths[name] = LinearPathway(shape, n_classes)
        elif name == "rows":
            paths[name] = RowPathway(shape, n_classes, dropout)
        elif name == "blocks":
            paths[name] = BlockPathway([1] * shape[0] if blocks is None else blocks, n_classes, dropout)
    return paths
