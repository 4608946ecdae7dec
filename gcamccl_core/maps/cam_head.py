"""The classifier that class activation mapping puts in place of a network's own (Eq. 5), and what it then predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.cohort import Split, class_names
from gcamccl_core.maps.hooks import check_classes, choose_layers
from gcamccl_core.maps.pooled_features import in_batches, pool_cohort, pool_features
from gcamccl_core.model.networks import CollaborativeNet

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)  # scikit-learn's C on standardised features; the smallest wins ties


@dataclass(frozen=True, eq=False)
class CamHead:
    r"""A softmax layer per view on a layer's pooled feature maps, as :func:`retrain_cam_head` fits it.

    Parameters
    ----------
    weights : dict of str to array of shape (n_classes, K)
        w_k^c of Eq. 5 by view, in logits per unit of the feature map F^k.
    intercepts : dict of str to array of shape (n_classes,)
        Logits by view. Eq. 5 has none; they serve the prediction and do not enter the map (Eq. 6), to which a constant
        for all positions would add nothing but an offset.
    layers : dict of str to str
        The block of each view whose output is F^k.
    classes : list of str
        Names of the classes.
    penalties : dict of str to float
        scikit-learn's C that was chosen for each view; smaller is more regularised.
    """

    weights: dict[str, np.ndarray]
    intercepts: dict[str, np.ndarray]
    layers: dict[str, str]
    classes: list[str]
    penalties: dict[str, float]

    def logits(self, net: CollaborativeNet, inputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        r"""Compute :math:`S^c = \sum_k w_k^c\,\mathrm{pool}(F^k)` (5) plus the intercept, for a few subjects at once.

        Parameters
        ----------
        net : CollaborativeNet
            The network that the head was fitted on; left exactly as it was found.
        inputs : mapping of str to Tensor (n, 1, *view shape)
            Every view of the head as ``net.prepare`` makes them.

        Returns
        -------
        dict of str to array of shape (n, n_classes)

        Raises
        ------
        ValueError
            If the network has other views, layers or classes than the head.
        """
        self.check(net, self.layers)
        pooled = pool_features(net, inputs, self.layers)
        return {view: x @ self.weights_of(view, x.shape[1]).T + self.intercepts[view] for view, x in pooled.items()}

    def predict_proba(
        self,
        net: CollaborativeNet,
        cohort: xr.Dataset,
        subjects: Sequence[int] | np.ndarray | None = None,
        views: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Class probabilities, the softmax of :meth:`logits` averaged over the views, as :meth:`.Fitted.predict_proba`.

        Parameters
        ----------
        net : CollaborativeNet
            The network that the head was fitted on; left exactly as it was found.
        cohort : xarray.Dataset
            Holds the network's views; needs no label.
        subjects : array of int, optional
            Positions along ``subject``; all if None.
        views : sequence of str, optional
            The views to average; all if None.

        Returns
        -------
        pandas.DataFrame
            Index ``subject``, one column per class; rows sum to 1.

        Raises
        ------
        ValueError
            If the network or the views are not those of the head.
        """
        unknown = set(views or ()) - set(self.weights)
        if unknown:
            raise ValueError(f"the head has no view {name_some(sorted(unknown))}; it has {name_some(self.weights)}")
        positions = np.arange(cohort.sizes["subject"]) if subjects is None else np.asarray(subjects)
        pieces = []
        for inputs in in_batches(net, cohort, positions):
            logits = self.logits(net, inputs)
            pieces.append(np.mean([softmax(logits[view], axis=1) for view in views or logits], axis=0))
        index = pd.Index(cohort["subject"].to_numpy()[positions], name="subject")
        return pd.DataFrame(np.concatenate(pieces), index=index, columns=self.classes)

    def check(self, net: CollaborativeNet, layers: Mapping[str, str | None]) -> None:
        """Raise a ValueError unless the head is one for these layers, by view, of a network like this one."""
        choose_layers(net, layers, views=list(layers))
        for view, layer in layers.items():
            if view not in self.weights:
                raise ValueError(f"the head has no view '{view}'; it has {name_some(self.weights)}; retrain it")
            if self.layers[view] != layer:
                raise ValueError(
                    f"the head of view '{view}' was retrained on layer '{self.layers[view]}', not '{layer}'; map that "
                    f"layer, or call retrain_cam_head with layers={{'{view}': '{layer}'}}"
                )
            if len(self.weights[view]) != net.n_classes:
                raise ValueError(
                    f"the head has {len(self.weights[view])} classes and the network {net.n_classes}; retrain it on "
                    "this network"
                )

    def weights_of(self, view: str, n_maps: int) -> np.ndarray:
        """Weights of a view, shape (n_classes, K); a ValueError if K is not the network's number of feature maps."""
        if self.weights[view].shape[1] != n_maps:
            raise ValueError(
                f"the head weighs {self.weights[view].shape[1]} feature maps of view '{view}' and the network has "
                f"{n_maps}; retrain it on this network"
            )
        return self.weights[view]


def retrain_cam_head(
    net: CollaborativeNet, cohort: xr.Dataset, split: Split, layers: Mapping[str, str] | None = None
) -> CamHead:
    r"""Fit, per view, a softmax layer on a layer's pooled feature maps, and discard everything after it (Eq. 5).

    .. math:: S^c = \sum_k w_k^c\,\mathrm{global\_avg\_pooling}(F^k) \;(5)

    The network's own weights stay as they are. The softmax layer is a logistic regression with a quadratic penalty on
    standardised features, whose weights are then expressed for the features themselves; the penalty is the one with
    the least cross-entropy on the validation part. Under such a penalty the weights of all classes sum to zero, so
    that with two classes one's weights, and its map, are the other's with the sign changed.

    Parameters
    ----------
    net : CollaborativeNet
        A trained network with its scaling fitted; left exactly as it was found.
    cohort : xarray.Dataset
        Holds every view of the network, and the label.
    split : Split
        The training part is fitted on, the validation part chooses the penalty, the test part is never read. Use the
        split that the network was trained on.
    layers : mapping of str to str, optional
        Block by view, as in ``{"fc": "conv2"}``; ``net.default_layer(view)`` otherwise.

    Returns
    -------
    CamHead
        Its :meth:`~CamHead.predict_proba` says what the retraining costs in accuracy.

    Raises
    ------
    ValueError
        If a layer does not exist, classes of network and cohort differ in number, the training part lacks a class or
        a part has unlabelled subjects.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_split
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=80, seed=0)
    >>> split = make_split(cohort)
    >>> net = CollaborativeNet({"snp": cohort["snp"].shape[1:]}).fit_scaling(cohort, split.train)
    >>> head = retrain_cam_head(net, cohort, split)
    >>> head.weights["snp"].shape, head.predict_proba(net, cohort, split.test).columns.tolist()
    ((2, 32), ['low', 'high'])
    """
    chosen = {view: layer or net.default_layer(view) for view, layer in choose_layers(net, layers).items()}
    label = _check_labels(net, cohort, split)
    train, validation = (pool_cohort(net, cohort, part, chosen) for part in (split.train, split.validation))
    head = CamHead({}, {}, chosen, class_names(cohort), {})
    for view in chosen:
        fitted = _fit_softmax(train[view], label[split.train], validation[view], label[split.validation], net.n_classes)
        head.weights[view], head.intercepts[view], head.penalties[view] = fitted
    return head


def _check_labels(net: CollaborativeNet, cohort: xr.Dataset, split: Split) -> np.ndarray:
    """Class number of every subject, if the two parts that are read can be learnt from."""
    classes, label = class_names(cohort), cohort["label"].to_numpy()
    check_classes(net, cohort)
    for name, part in (("training", split.train), ("validation", split.validation)):
        if not len(part):
            raise ValueError(f"the {name} part has no subjects; make the split with make_split")
        unlabelled = cohort["subject"].to_numpy()[part][label[part] < 0]
        if len(unlabelled):
            raise ValueError(f"the {name} part has subjects without a class: {name_some(unlabelled)}; leave them out")
    lacking = sorted(set(range(net.n_classes)) - set(label[split.train]))
    if lacking:
        raise ValueError(f"the training part has no subject of class {name_some(classes[c] for c in lacking)}")
    return label


def _fit_softmax(
    train: np.ndarray, train_label: np.ndarray, validation: np.ndarray, validation_label: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights (n_classes, K) and intercepts (n_classes,) for features as they are, and the penalty chosen."""
    scaler = StandardScaler().fit(train)
    standardised, held_out = scaler.transform(train), scaler.transform(validation)
    best, least, chosen = None, np.inf, PENALTIES[0]
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=10_000).fit(standardised, train_label)
        loss = log_loss(validation_label, model.predict_proba(held_out), labels=range(n_classes))
        if loss < least:
            best, least, chosen = model, loss, penalty
    if best is None:
        raise ValueError("the pooled feature maps give no finite prediction; the network's weights have diverged")
    coefficients, intercepts = best.coef_, best.intercept_
    if n_classes == 2:  # scikit-learn gives the difference of the two classes: half of it each is the same softmax
        coefficients, intercepts = (np.concatenate([-part, part]) / 2 for part in (coefficients, intercepts))
    weights = coefficients / scaler.scale_
    return weights, intercepts - weights @ scaler.mean_, chosen
