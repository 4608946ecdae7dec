"""Deletion and insertion: what becomes of a prediction when the features that a map puts first are taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from tqdm.std import tqdm

from gcamccl_core.data.checks import name_some
from gcamccl_core.maps.dataset import class_number, class_values, flatten_features, is_image, map_views
from gcamccl_core.maps.hooks import eval_mode
from gcamccl_core.maps.replaced_features import ReplacedFeatures, training_means
from gcamccl_core.model.networks import CollaborativeNet

SHARES = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
DIRECTIONS = ("deletion", "insertion")
CURVE = ["view", "target_class", "source", "method"]
COLUMNS = [*CURVE, "direction", "share", "probability"]


def perturbation_curves(
    net: CollaborativeNet,
    cohort: xr.Dataset,
    maps: xr.Dataset,
    shares: Sequence[float] = SHARES,
    controls: Mapping[str, xr.Dataset] | None = None,
    n_random: int = 10,
    seed: int = 0,
    batch_size: int = 16,
    progress: bool = True,
    train: Sequence[int] | np.ndarray | None = None,
) -> pd.DataFrame:
    r"""Follow a view's prediction of a class while the features that a map ranks first are deleted, or inserted alone.

    With :math:`x^{(q)}_s` the view of subject s, its share q of best-ranked features replaced by their training mean
    (deletion) or all others (insertion), and :math:`S_c` the subjects of class c among the maps', a curve is

    .. math:: p(q) = \frac{1}{|S_c|} \sum_{s \in S_c} h_c\left(x^{(q)}_s\right)

    (Petsiuk, Das and Saenko 2018, *RISE*). Features are ranked by the mean, over :math:`S_c`, of the positive part of
    their map for c; ties are broken at random, alike for all maps of a view. A connection is replaced in both
    triangles of an image, its diagonal never. A half-replaced view resembles no person that the network has seen, so
    that a curve says something beside those of random rankings and of controls only.

    Parameters
    ----------
    net : CollaborativeNet
        The network that was mapped; its mode, gradients and torch's generator are left as they were.
    cohort : xarray.Dataset
        Holds every view of the network and, by their ids, the subjects of ``maps``.
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them, of subjects that the model was not trained on.
    shares : sequence of float
        q, increasing, from 0 to 1; rounded to whole features.
    controls : mapping of str to xarray.Dataset, optional
        Other maps whose rankings are tried on the same network, under their own ``source``.
    n_random : int
        Random rankings; 0 leaves them out.
    seed : int
        Of the random rankings and of how ties are broken.
    batch_size : int
        Subjects per forward pass.
    progress : bool
        Show a progress bar.
    train : array of int, optional
        Positions of the training subjects, for the mean of every feature. Without it, the mean that the network keeps
        for missing values, see :class:`.Scaling`: of a vector every feature's own, of an image one for all connections.

    Returns
    -------
    pandas.DataFrame
        One row per ``view``, ``target_class``, ``source`` ("model", a control's name, "random"), ``method`` (the map
        method; "random" with random rankings, whose mean is given once per view and class), ``direction`` ("deletion"
        or "insertion") and ``share``: ``probability``, :math:`h_c` of this view alone, softmax or sigmoid as the
        network's ``output`` says.

    Raises
    ------
    ValueError
        If subjects, views, classes or features of the maps are not those of cohort and network, a class has no
        subject, or an argument is out of range.

    Examples
    --------
    >>> from gcamccl_core.maps.cohort_maps import compute_maps
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, seed=0)
    >>> net = CollaborativeNet({"snp": cohort["snp"].shape[1:]}).fit_scaling(cohort, range(20))
    >>> maps = compute_maps(net, cohort, methods=["grad_cam"], progress=False)
    >>> curves = perturbation_curves(net, cohort, maps, shares=(0, 0.1, 1), progress=False)
    >>> curves[["target_class", "source", "direction", "share"]].head(4)
      target_class source  direction  share
    0          low  model   deletion    0.0
    1          low  model  insertion    0.0
    2          low  model   deletion    0.1
    3          low  model  insertion    0.1
    """
    _check_numbers(shares, n_random, batch_size)
    sources = _check_maps(net, cohort, maps, controls or {})
    rankings = _rankings(sources, n_random, seed)
    inputs, baselines = net.prepare(cohort, _positions(cohort, maps)), training_means(net, cohort, train)
    classes, label = [str(name) for name in maps["target_class"].to_numpy()], maps["label"].to_numpy()
    probes = {
        (view, name): ReplacedFeatures(net, view, number, inputs[view][label == number], baselines[view], batch_size)
        for view in map_views(maps)
        for name, number in ((name, class_number(maps, name)) for name in classes)
    }
    rows = []
    with eval_mode(net), torch.no_grad():
        for curve, order in tqdm(rankings, desc="perturbation", unit="ranking", disable=not progress):
            for share in shares:
                replaced = np.zeros(len(order), dtype=bool)
                replaced[order[: round(share * len(order))]] = True
                for direction, chosen in zip(DIRECTIONS, (replaced, ~replaced), strict=True):
                    probability = probes[curve[:2]].probability(chosen)
                    rows.append((*curve, direction, float(share), probability))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.groupby(COLUMNS[:-1], sort=False)["probability"].mean().reset_index()  # random rankings become one


def _rankings(
    sources: Mapping[str, xr.Dataset], n_random: int, seed: int
) -> list[tuple[tuple[str, str, str, str], np.ndarray]]:
    """View, class, source and method, and the features from best to worst; all before the first forward pass."""
    rankings = []
    maps = sources["model"]
    for view in map_views(maps):
        n_features = flatten_features(np.empty(maps[view].shape[3:]), is_image(maps, view)).size
        for name in maps["target_class"].to_numpy().astype(str):
            rng = np.random.default_rng(seed)
            lot = rng.permutation(n_features)
            for source, dataset in sources.items():
                for method in dataset["map_method"].to_numpy().astype(str):
                    score = class_values(dataset, view, name, method).mean(axis=0)
                    rankings.append(((view, str(name), source, str(method)), np.lexsort((lot, -score))))
            for _ in range(n_random):
                rankings.append(((view, str(name), "random", "random"), rng.permutation(n_features)))
    return rankings


def _positions(cohort: xr.Dataset, maps: xr.Dataset) -> np.ndarray:
    """Positions in the cohort of the maps' subjects, found by their ids."""
    ids = maps.get_index("subject")
    positions = cohort.get_index("subject").get_indexer(ids)
    if (positions < 0).any():
        raise ValueError(
            f"the cohort lacks {(positions < 0).sum()} of the {len(ids)} subjects of the maps: "
            f"{name_some(ids[positions < 0])}; use the cohort that was mapped"
        )
    return positions


def _check_numbers(shares: Sequence[float], n_random: int, batch_size: int) -> None:
    if not len(shares) or min(shares) < 0 or max(shares) > 1 or any(np.diff(shares) <= 0):
        raise ValueError(f"shares must increase and lie from 0 to 1; got {name_some(shares, limit=12)}")
    if n_random < 0:
        raise ValueError(f"n_random must be at least 0, got {n_random}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _check_maps(
    net: CollaborativeNet, cohort: xr.Dataset, maps: xr.Dataset, controls: Mapping[str, xr.Dataset]
) -> dict[str, xr.Dataset]:
    """Order the maps by source, if all are of this network's views and classes and of this cohort's features."""
    for name in ("model", "random"):
        if name in controls:
            raise ValueError(f"no control may be called '{name}'; that source has a meaning of its own")
    views = map_views(maps)
    if not set(views) <= set(net.views) or maps.sizes["target_class"] != net.n_classes:
        raise ValueError(
            f"the maps have view {name_some(views)} and {maps.sizes['target_class']} classes, "
            f"the network {name_some(net.views)} and {net.n_classes}; use the network that was mapped"
        )
    sources = {"model": maps, **controls}
    for source, dataset in sources.items():
        if not dataset.get_index("subject").equals(maps.get_index("subject")):
            raise ValueError(
                f"the maps of '{source}' are of other subjects than the model's; "
                "take .sel(subject=maps['subject']) of them"
            )
        for view in views:
            if view not in map_views(dataset):
                raise ValueError(
                    f"the maps of '{source}' have no view '{view}'; they have {name_some(map_views(dataset))}"
                )
            for dim in maps[view].dims[3:]:
                if not dataset.get_index(dim).equals(cohort.get_index(dim)):
                    raise ValueError(f"maps of '{source}' and cohort differ along '{dim}' of view '{view}'")
    return sources


def perturbation_areas(curves: pd.DataFrame) -> pd.DataFrame:
    r"""Summarise deletion and insertion curves by the areas under them.

    By the trapezoidal rule over the shares :math:`q_0 < q_1 < \ldots` of a curve,

    .. math:: A = \sum_t (q_{t+1} - q_t) \, \frac{p(q_t) + p(q_{t+1})}{2}

    Parameters
    ----------
    curves : pandas.DataFrame
        As :func:`perturbation_curves` makes them. For what the first features do alone, give the rows of small shares:
        ``curves.query("share <= 0.1")``.

    Returns
    -------
    pandas.DataFrame
        One row per ``view``, ``target_class``, ``source`` and ``method``: ``deletion`` (lower is better) and
        ``insertion`` (higher is better), probability times share, at most the range of the shares.

    Raises
    ------
    ValueError
        If a column is missing, or a curve has fewer than two shares.

    Examples
    --------
    >>> falling = pd.DataFrame({"direction": "deletion", "share": [0, 0.5, 1], "probability": [1, 0.5, 0.5]})
    >>> rising = pd.DataFrame({"direction": "insertion", "share": [0, 1], "probability": [0.5, 1]})
    >>> curve = {"view": "snp", "target_class": "high", "source": "model", "method": "grad_cam"}
    >>> perturbation_areas(pd.concat([falling, rising]).assign(**curve))
      view target_class source    method  deletion  insertion
    0  snp         high  model  grad_cam     0.625       0.75
    """
    missing = [name for name in COLUMNS if name not in curves]
    if missing:
        raise ValueError(f"the curves have no column {name_some(missing)}; give what perturbation_curves makes")
    rows = []
    for key, curve in curves.groupby(CURVE, sort=False):
        areas = []
        for direction in DIRECTIONS:
            points = curve[curve["direction"] == direction].sort_values("share")
            if points["share"].nunique() < 2:
                raise ValueError(f"the {direction} curve of {', '.join(map(str, key))} has fewer than two shares")
            areas.append(float(np.trapezoid(points["probability"], points["share"])))
        rows.append((*key, *areas))
    return pd.DataFrame(rows, columns=[*CURVE, *DIRECTIONS])
