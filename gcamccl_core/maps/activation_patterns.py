"""Activation patterns: which features vary together with what a network says, over many people (Haufe et al. 2014)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from tqdm.std import tqdm

from gcamccl_core.data.cohort import class_names
from gcamccl_core.maps.cohort_maps import check_request
from gcamccl_core.maps.dataset import label_maps
from gcamccl_core.maps.hooks import eval_mode
from gcamccl_core.model.networks import CollaborativeNet

METHOD = "activation_pattern"
SCORES = ("fused", "view", "others")


def activation_patterns(
    net: CollaborativeNet,
    cohort: xr.Dataset,
    subjects: Sequence[int] | np.ndarray,
    score: str | Mapping[str, str] = "fused",
    batch_size: int = 64,
    progress: bool = True,
) -> xr.Dataset:
    r"""Correlate every feature with the network's score for each class, over subjects.

    .. math:: \mathrm{map}^c_f = \mathrm{corr}_s\Bigl(x_{sf},\;
              \ell_s^c - \tfrac{1}{C-1}\sum_{c' \neq c} \ell_s^{c'}\Bigr)

    with :math:`\ell^c` the logarithm of the class probability. A weight, or a gradient, says what the network does with
    a feature; to do it well, it subtracts noise by features that have nothing to do with the class, and spreads a
    class's weight over features that say the same. What features *show* of the class that the network sees is this
    covariance (Haufe et al. 2014); as a correlation it does not depend on their units. It belongs to a group of
    people, not to one person.

    Parameters
    ----------
    net : CollaborativeNet
        A trained network, left as it was.
    cohort : xarray.Dataset
        Holds every view of the network.
    subjects : array of int
        Positions of the subjects to correlate over, at least three; labels are not looked at, so those outside the
        contrast may be among them. A network fits its training subjects better than others: where they are among
        them, the pattern is partly that of their true labels.
    score : {"fused", "view", "others"} or mapping of str to these
        For all views alike or by view: whether a view's features are held against what all views say together,
        against its own logits, or against what the other views say: features then cannot agree with the score by
        being part of it.
    batch_size : int
        Subjects per forward pass.
    progress : bool
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        As :func:`.compute_maps` makes it, with the method ``"activation_pattern"`` and, in place of subjects, one row
        per class, ``"group of <class>"``, all the same; from -1 to 1, 0 for a feature that does not vary, and
        everywhere if the network says the same of all. ``attrs["correlated_over"]`` names the subjects, as JSON.

    Raises
    ------
    ValueError
        If there are fewer than three subjects, one more than once or one that does not exist, classes of network and
        cohort differ in number, or there is no other view to ask.

    References
    ----------
    Haufe et al. (2014), On the interpretation of weight vectors of linear models in multivariate neuroimaging.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, seed=0)
    >>> net = CollaborativeNet({"snp": cohort["snp"].shape[1:]}).fit_scaling(cohort, range(30))
    >>> maps = activation_patterns(net, cohort, range(40), progress=False)
    >>> maps["snp"].shape, maps["subject"].to_numpy().tolist(), bool(abs(maps["snp"]).max() <= 1)
    ((2, 2, 1, 750), ['group of low', 'group of high'], True)
    """
    subjects = check_request(net, cohort, subjects, batch_size)
    if len(np.unique(subjects)) < max(3, len(subjects)):
        raise ValueError("a correlation needs at least three subjects, each once")
    scores = dict.fromkeys(net.views, score) if isinstance(score, str) else dict(score)
    if set(scores) != set(net.views) or not set(scores.values()) <= set(SCORES):
        raise ValueError(f"score must be {' or '.join(SCORES)}, or one of these for every view, got {score!r}")
    if "others" in scores.values() and len(net.views) == 1:
        raise ValueError("score='others' asks the other views, and the network has one view alone")
    sums = {view: _Correlation() for view in net.views}
    with torch.no_grad(), eval_mode(net):
        starts = range(0, len(subjects), batch_size)
        for start in tqdm(starts, desc="activation patterns", unit="batch", disable=not progress):
            inputs = net.prepare(cohort, subjects[start : start + batch_size])
            logits = net(inputs)
            for view, correlation in sums.items():
                others = {name: each for name, each in logits.items() if name != view}
                asked = {"fused": logits, "view": {view: logits[view]}, "others": others}[scores[view]]
                correlation.add(inputs[view][:, 0], _contrast(net.fuse(asked)))
    classes = class_names(cohort)
    rows = cohort.isel(subject=np.arange(len(classes)) % cohort.sizes["subject"])
    rows = rows.assign_coords(subject=[f"group of {name}" for name in classes])
    rows["label"] = rows["label"].copy(data=np.arange(len(classes)))
    values = {
        view: np.stack([correlation.result()[:, None]] * len(classes)).astype(np.float32)
        for view, correlation in sums.items()
    }
    maps = label_maps(values, rows, [METHOD], dict.fromkeys(net.views))
    ids = cohort["subject"].to_numpy()[subjects].astype(str).tolist()
    maps.attrs |= {"score": json.dumps(scores), "correlated_over": json.dumps(ids)}
    return maps


def _contrast(scores: Tensor) -> Tensor:
    """Score of every class less the mean of the others', shape (n, n_classes)."""
    n_classes = scores.shape[1]
    return (scores - scores.mean(dim=1, keepdim=True)) * n_classes / (n_classes - 1)


class _Correlation:
    """Correlations of features with scores, from sums over batches."""

    def __init__(self) -> None:
        self.n = 0
        self.sums: list[Tensor] = []

    def add(self, features: Tensor, scores: Tensor) -> None:
        """Add subjects: features (n, *view shape) and scores (n, n_classes)."""
        x, y = features.double(), scores.double()
        new = [x.sum(0), x.square().sum(0), y.sum(0), y.square().sum(0), torch.einsum("nc,n...->c...", y, x)]
        self.sums = [old + each for old, each in zip(self.sums, new, strict=True)] if self.sums else new
        self.n += len(x)

    def result(self) -> np.ndarray:
        """Shape (n_classes, *view shape); 0 where the feature or the score does not vary."""
        sum_x, square_x, sum_y, square_y, product = (each / self.n for each in self.sums)
        variance_x, variance_y = square_x - sum_x.square(), square_y - sum_y.square()
        shape = (-1, *[1] * sum_x.ndim)
        covariance = product - sum_y.reshape(shape) * sum_x
        spread = (variance_x * variance_y.reshape(shape)).sqrt()
        said = (variance_y > 1e-12 * square_y.clamp(min=1e-12)).reshape(shape)  # or the network says the same of all
        varies = variance_x > 1e-9 * square_x.clamp(min=1e-12)
        return (covariance / spread).where(said & varies, 0).clamp(-1, 1).cpu().numpy()
