"""The collaborative network: Table IV of the paper, for any size, any number of views and any number of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from gcamccl_core.data.checks import name_some
from gcamccl_core.model.blocks import FEATURES, build_encoder, check_view
from gcamccl_core.model.fusion import check_fusion, fused_log_proba
from gcamccl_core.model.pathways import Standardisation, build_pathways, choose_pathways, silent
from gcamccl_core.model.scaling import Scaling


class CollaborativeNet(nn.Module):
    """One ConvNet per view, each with its own classifier, tied together by the loss alone (section II-D, Table IV).

    Every view ends in 64 features and ``n_classes`` logits; the views' logits are the collaborative layer. A kernel
    or pool that does not fit a smaller input shrinks until two of its windows fit side by side, since a layer of a
    single position has nothing to map.

    As an option, other pathways stand beside or in place of a view's ConvNet; the logits of a view's pathways add up.

    Parameters
    ----------
    views : mapping of str to tuple of int
        Shape of one subject's view: ``(side, side)`` for an image, ``(length,)`` for a vector.
    n_classes : int
        Number of classes, C in Eq. 12. (With DCL and DCCA, what the heads hand out are latent variables, and this is
        their number.)
    dropout : float
        Share of the activations dropped in the middle layers; 0.2 in Table II.
    output : {"softmax", "sigmoid"}
        How logits become probabilities: over the classes (section II-D) or class by class (Table II).
    pathways : mapping of str to sequence of str, optional
        By view, some of ``"convolution"`` (Table IV, and all that a view has if it is not named here), ``"linear"``
        (:class:`.LinearPathway`) and, for an image, ``"rows"`` (:class:`.RowPathway`) or, for a vector, ``"blocks"``
        (:class:`.BlockPathway`).
    combine : {"mean", "confidence"}
        How the views' predictions become one: the mean of their probabilities, or the softmax of their logits'
        sum, each weighed by the view's confidence, with an offset per class; :func:`.fit_additive` learns both, and
        until then confidence is 1 and offset 0.
    blocks : mapping of str to sequence of int, optional
        By vector, the sizes of the blocks that its pathway of that name sees; every feature by itself if not given.
    classes : sequence of str, optional
        Names of the classes in the order of their numbers; maps refuse a cohort that names them otherwise.

    Raises
    ------
    ValueError
        If a view is too small or of an unknown shape, or another argument is out of range.

    Examples
    --------
    >>> net = CollaborativeNet({"fc": (264, 264), "snp": (750,)})
    >>> sum(parameter.numel() for parameter in net.parameters())
    318724
    >>> net.default_layer("fc"), net.default_layer("snp")
    ('conv3', 'conv2')
    """

    confidence: Tensor  # both only of a network that combines by confidence
    offset: Tensor

    def __init__(
        self,
        views: Mapping[str, Sequence[int]],
        n_classes: int = 2,
        dropout: float = 0.2,
        output: str = "softmax",
        pathways: Mapping[str, Sequence[str]] | None = None,
        combine: str = "mean",
        blocks: Mapping[str, Sequence[int]] | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if not views:
            raise ValueError("a network needs at least one view")
        if n_classes < 2:
            raise ValueError(f"n_classes must be at least 2, got {n_classes}")
        if classes is not None and len(classes) != n_classes:
            raise ValueError(f"{n_classes} classes have {len(classes)} names: {name_some(classes)}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")
        check_fusion(output, combine)
        self.views = {name: tuple(int(size) for size in shape) for name, shape in views.items()}
        for name, shape in self.views.items():
            check_view(name, shape)
        self.classes = None if classes is None else [str(name) for name in classes]
        self.n_classes, self.dropout, self.output, self.combine = n_classes, dropout, output, combine
        self.blocks = {view: list(map(int, sizes)) for view, sizes in (blocks or {}).items()}
        self.pathway_names = choose_pathways(self.views, pathways or {}, self.blocks)
        self.encoders, self.heads, self.scalings = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.pathways = nn.ModuleDict()
        for name, shape in self.views.items():
            if "convolution" in self.pathway_names[name]:
                self.encoders[name] = build_encoder(name, shape, dropout)
                head = nn.Linear(FEATURES, n_classes)
                self.heads[name] = silent(head) if "linear" in self.pathway_names[name] else head
            self.scalings[name] = Scaling(shape)
        for name, names in self.pathway_names.items():  # afterwards, so that ConvNets start alike whatever stands by
            beside = build_pathways(names, self.views[name], n_classes, dropout, self.blocks.get(name))
            if len(beside):
                self.pathways[name] = beside
        if combine == "confidence":
            self.register_buffer("confidence", torch.ones(len(self.views)))
            self.register_buffer("offset", torch.zeros(n_classes))
        # images train faster with their channels last; vectors stay as they are (torch's stubs lack this overload)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def layer_names(self, view: str) -> list[str]:
        """Names of the blocks of a view's ConvNet, first to last; none if it has no ConvNet."""
        return [name for name, _ in self.encoders[view].named_children()] if self._known(view) in self.encoders else []

    def default_layer(self, view: str) -> str:
        """Name of the last block whose output still has spatial extent: f_conv3 and s_conv2 in Table IV.

        Raises
        ------
        ValueError
            If the view has no ConvNet.
        """
        if not self.layer_names(view):
            raise ValueError(
                f"view '{view}' has no convolution, but {name_some(self.pathway_names[view])}: no layer to map"
            )
        return self.layer_names(view)[-2]

    def beside(self, view: str) -> dict[str, nn.Module]:
        """Pathways of a view beside its ConvNet, or in its place, by name."""
        return dict(self.pathways[view].named_children()) if self._known(view) in self.pathways else {}

    def layer(self, view: str, name: str) -> nn.Module:
        """One block of a view's ConvNet by its name, its ``"head"``, or another pathway."""
        if name == "head":
            return self.heads[view]
        if name in self.layer_names(view):
            return self.encoders[view].get_submodule(name)
        return self.pathways[view].get_submodule(name)

    def forward(self, inputs: Mapping[str, Tensor], linear: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits of every view.

        Parameters
        ----------
        inputs : mapping of str to Tensor
            Every view, prepared: shape (n, 1, side, side) or (n, 1, length).
        linear : mapping of str to Tensor, optional
            By view, logits to take in place of the linear pathway's: of fits that had not seen these subjects.

        Returns
        -------
        dict of str to Tensor
            Logits, shape (n, n_classes), by view.
        """
        return {view: self.logits_of(view, inputs[view], (linear or {}).get(view)) for view in self.views}

    def logits_of(self, view: str, values: Tensor, linear: Tensor | None = None) -> Tensor:
        """Logits of one view, the sum of its ConvNet's and of the pathways' beside it.

        Parameters
        ----------
        view : str
            Which.
        values : Tensor of shape (n, 1, *view shape)
            As :meth:`prepare` makes them.
        linear : Tensor of shape (n, n_classes), optional
            What the linear pathway says of these values, where it has been worked out already; as in :meth:`forward`.

        Returns
        -------
        Tensor of shape (n, n_classes)

        Raises
        ------
        KeyError
            If the net has no such view.
        """
        parts = [self.heads[view](self.encoders[view](values).flatten(1))] if view in self.encoders else []
        for name, path in self.beside(view).items():
            parts.append(linear if name == "linear" and linear is not None else path(values))
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0)

    def fuse(self, logits: Mapping[str, Tensor]) -> Tensor:
        r"""Logarithms of the fused class probabilities, shape (n, n_classes), of all views' logits or of some.

        Confidence and offset were learnt for all views together; one of several by itself is taken at its own word.

        Parameters
        ----------
        logits : mapping of str to Tensor
            By view, shape (n, n_classes), as of :meth:`logits_of`.

        Returns
        -------
        Tensor of shape (n, n_classes)
            With ``combine="confidence"`` the log-softmax of :math:`a + \sum_v \beta_v y_v`, otherwise
            :func:`.fused_log_proba`.
        """
        if self.combine == "mean" or len(logits) == 1 < len(self.views):
            return fused_log_proba(logits, self.output)
        weights = dict(zip(self.views, self.confidence, strict=True))
        weighed = torch.stack([weights[view] * each for view, each in logits.items()])
        return (self.offset + weighed.sum(dim=0)).log_softmax(dim=1)

    def features(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Flattened features of every view (f_flatten and s_flatten in Table IV), shape (n, 64), by view.

        Parameters
        ----------
        inputs : mapping of str to Tensor
            As in :meth:`forward`.

        Raises
        ------
        ValueError
            If a view has no ConvNet.
        """
        for view in self.views:
            self.default_layer(view)  # says so where there is none
        return {view: self.encoders[view](inputs[view]).flatten(1) for view in self.views}

    def predict_proba(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Fused prediction, shape (n, n_classes): the views' mean probabilities, or what ``combine`` says instead.

        Sigmoid outputs are divided by their sum over the classes first, so that rows sum to 1 either way.
        """
        return self.fuse(self(inputs)).exp()

    def fit_scaling(self, cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray) -> CollaborativeNet:
        """Learn from the training subjects how to scale each view, see :class:`.Scaling`.

        Parameters
        ----------
        cohort : xarray.Dataset
            Holds every view of the network.
        subjects : array of int
            Positions of the training subjects.

        Raises
        ------
        ValueError
            If a variable is missing in all of them, or the cohort's views do not match the network's.
        """
        for name, scaling in self.scalings.items():
            assert isinstance(scaling, Scaling)
            scaling.fit(self._take(cohort, name, subjects))
        return self

    def fit_standardisations(self, inputs: Mapping[str, Tensor]) -> CollaborativeNet:
        """Learn from the training subjects' prepared inputs how other pathways than the ConvNet standardise them."""
        for view in self.views:
            for path in self.beside(view).values():
                for part in path.modules():
                    if isinstance(part, Standardisation):
                        part.fit(inputs[view])
        return self

    def prepare(self, cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray | None = None) -> dict[str, Tensor]:
        """Scaled inputs for :meth:`forward`; missing values take the training mean.

        Parameters
        ----------
        cohort : xarray.Dataset
            Holds every view of the network.
        subjects : array of int, optional
            Positions of the subjects; all if None.

        Returns
        -------
        dict of str to Tensor
            float32 on the network's device, shape (n, 1, side, side) or (n, 1, length), by view.

        Raises
        ------
        RuntimeError
            If the scaling has not been fitted.
        ValueError
            If the cohort's views do not match the network's.
        """
        return {name: self.scalings[name](self._take(cohort, name, subjects)) for name in self.views}

    def _take(self, cohort: xr.Dataset, name: str, subjects: Sequence[int] | np.ndarray | None) -> xr.DataArray:
        """One view of some subjects, if the cohort has it in the network's shape."""
        if name not in cohort or cohort[name].shape[1:] != self.views[name]:
            found = cohort[name].shape[1:] if name in cohort else "none"
            raise ValueError(f"the network expects view '{name}' of shape {self.views[name]}; the cohort has {found}")
        return cohort[name] if subjects is None else cohort[name].isel(subject=np.asarray(subjects))

    def _known(self, view: str) -> str:
        if view not in self.views:
            raise KeyError(f"no view '{view}'; the network has {name_some(self.views)}")
        return view
