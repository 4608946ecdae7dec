"""Sanity checks for maps (Adebayo et al. 2018): whether a map needs the learnt weights, and the true labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from tqdm.std import tqdm

from gcamccl_core.data.checks import class_names, name_some
from gcamccl_core.maps.cohort_maps import compute_maps, default_methods
from gcamccl_core.maps.map_comparison import KEYS, MEASURES, compare_maps, group_difference
from gcamccl_core.maps.map_rules import needs_background
from gcamccl_core.maps.random_weights import cascade_layers, random_weights_like
from gcamccl_core.model.networks import CollaborativeNet

__all__ = ["compare_maps", "group_difference", "passes", "permute_labels", "randomisation", "verdict"]


def randomisation(
    net: CollaborativeNet,
    cohort: xr.Dataset,
    methods: Sequence[str] | None = None,
    subjects: Sequence[int] | np.ndarray | None = None,
    train: Sequence[int] | np.ndarray | None = None,
    layers: Mapping[str, str] | None = None,
    seeds: Sequence[int] = (0,),
    batch_size: int = 16,
    progress: bool = True,
) -> pd.DataFrame:
    """Follow how maps change while the network's weights are drawn anew, from output to input, see :func:`.cascade`.

    Parameters
    ----------
    net, cohort, methods, layers, subjects, batch_size, progress
        As in :func:`.compute_maps`; ``"cam"`` is not possible.
    train : array of int, optional
        Positions of training subjects, from whom batch norm in the layers drawn anew takes mean and variance (0 and 1
        without); all at once, so of many pass some 64. Also the ``background`` of methods that need one.
    seeds : sequence of int
        Of the draws. All subjects share one draw, so that only more seeds, not more subjects, tell chance from rule.

    Returns
    -------
    pandas.DataFrame
        One row per ``view``, ``target_class``, ``method``, ``stage`` and ``seed``: the columns of :func:`.compare_maps`
        between the trained and the randomised network, and ``layer``, drawn anew at this stage beside those before.
        Stage 0 is the trained network itself (layer "untouched"); at its last, a view's weights have learnt nothing.

    Raises
    ------
    ValueError
        If there is no seed, ``train`` is no list of positions, or ``"cam"`` is wanted; or as :func:`.compute_maps`.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=20, seed=0)
    >>> net = CollaborativeNet({"snp": cohort["snp"].shape[1:]}).fit_scaling(cohort, range(16))
    >>> table = randomisation(net, cohort, ["grad_cam"], subjects=[16, 17], train=range(16), progress=False)
    >>> table.query("target_class == 'high'")[["stage", "layer"]].to_string(index=False, header=False).split()
    ['0', 'untouched', '1', 'head', '2', 'conv3', '3', 'conv2', '4', 'conv1']
    """
    methods = default_methods(net) if methods is None else methods
    if "cam" in methods:
        raise ValueError("method 'cam' needs a classifier retrained for every randomised network; leave it out")
    if needs_background(methods) and train is None:
        raise ValueError("methods that compare with training subjects need them; pass train=split.train")
    if not len(seeds):
        raise ValueError("seeds must list at least one integer, such as seeds=(0, 1, 2)")
    inputs = None if train is None else net.prepare(cohort, _positions(cohort, train, "train"))
    mapped = partial(compute_maps, cohort=cohort, methods=methods, layers=layers, subjects=subjects, background=train)
    maps = mapped(net, batch_size=batch_size, progress=False)
    names = {view: ["untouched", *of_view] for view, of_view in cascade_layers(net).items()}
    stages = [(seed, stage) for seed in seeds for stage in range(max(map(len, names.values())))]
    tables = []
    for seed, stage in tqdm(stages, desc="randomised networks", unit="network", disable=not progress):
        control = random_weights_like(net, seed, inputs, depth=stage)
        other = mapped(control, batch_size=batch_size, progress=False) if stage else maps
        layer = {view: of_view[stage] for view, of_view in names.items() if stage < len(of_view)}
        table = compare_maps(maps, other).query("view in @layer")  # a view whose layers are used up stays as it is
        tables.append(table.assign(stage=stage, layer=table["view"].map(layer), seed=seed))
    return pd.concat(tables, ignore_index=True)[[*KEYS, "stage", "layer", "seed", *MEASURES, "subjects"]]


def permute_labels(cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray, seed: int = 0) -> xr.Dataset:
    """Deal the labels of some subjects out among them anew, for the data randomisation test (Adebayo et al. 2018).

    A network trained on the copy as the first was can only learn by heart. Where its maps of the test subjects are
    still those of the first, see :func:`.compare_maps`, they do not show what the labels taught.

    Parameters
    ----------
    cohort : xarray.Dataset
        Left as it is; the copy shares its arrays, but for ``label``. Score and truth stay, and no longer fit the label.
    subjects : array of int
        Positions of the training and the validation subjects, since early stopping, too, learns from labels.
    seed : int
        Another seed, another order.

    Returns
    -------
    xarray.Dataset
        Among ``subjects`` each class is as large as before; the label -1 stays, and everyone else keeps their own.

    Raises
    ------
    ValueError
        If ``subjects`` are not positions, or not of at least two classes.

    Examples
    --------
    >>> cohort = xr.Dataset({"label": ("subject", [0, 1, -1, 1, 0], {"classes": ["low", "high"]})})
    >>> permute_labels(cohort, [0, 1, 2, 3], seed=3)["label"].to_numpy().tolist()
    [1, 1, -1, 0, 0]
    """
    label = cohort["label"].to_numpy().copy()
    positions = _positions(cohort, subjects, "subjects")
    dealt = positions[label[positions] >= 0]
    present = [class_names(cohort)[number] for number in np.unique(label[dealt])]
    if len(present) < 2:
        raise ValueError(
            f"subjects must hold at least two classes to permute; they hold {name_some(present) or 'none'}"
        )
    label[dealt] = np.random.default_rng(seed).permutation(label[dealt])
    return cohort.assign(label=cohort["label"].copy(data=label))


def _positions(cohort: xr.Dataset, given: Sequence[int] | np.ndarray, name: str) -> np.ndarray:
    positions, n = np.asarray(given), cohort.sizes["subject"]
    if positions.ndim != 1 or len(np.unique(positions)) < max(2, positions.size) or positions.dtype.kind not in "iu":
        raise ValueError(f"{name} must list integer positions of at least two subjects, each once, and no boolean mask")
    if positions.min() < 0 or positions.max() >= n:
        raise ValueError(f"{name} must be positions from 0 to {n - 1}; got {positions.min()} to {positions.max()}")
    return positions


def passes(table: pd.DataFrame, limit: float = 0.1) -> pd.DataFrame:
    """Say which methods need the weights: whose maps with nothing learnt rank the features in no related way.

    The size of the correlation counts, not its sign: a coarse map whose weights change sign with the draw is the same
    picture, or its negative, every time, and its correlations would cancel in a mean.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`randomisation` makes it.
    limit : float
        Largest mean size of the rank correlation with the fully randomised network that passes; ours, as Adebayo et
        al. name none.

    Returns
    -------
    pandas.DataFrame
        One row per ``view`` and ``method``, of each view's last stage: the measures' means over classes and seeds, of
        ``rank_correlation`` that of its size per class and seed; its ``standard_error`` over the seeds (NaN of one);
        ``subjects``, the fewest whose maps were not constant; and ``passes``, False where the correlation is NaN.

    Raises
    ------
    ValueError
        If the table has not the columns of :func:`randomisation`.

    Examples
    --------
    >>> shared = {"view": "snp", "target_class": "high", "method": "grad_cam", "stage": [0, 1], "seed": 0}
    >>> table = pd.DataFrame(shared | {"subjects": 8} | {measure: [1.0, -0.04] for measure in MEASURES})
    >>> passes(table)[["view", "method", "rank_correlation", "passes"]]
      view    method  rank_correlation  passes
    0  snp  grad_cam              0.04    True
    """
    lacking = {*KEYS, "stage", "seed", *MEASURES, "subjects"} - set(table)
    if lacking:
        raise ValueError(f"the table lacks {name_some(sorted(lacking))}; pass what randomisation gives")
    last = pd.concat([part[part["stage"] == part["stage"].max()] for _, part in table.groupby("view", sort=False)])
    last = last.assign(rank_correlation=last["rank_correlation"].abs())
    by_seed = last.groupby(["view", "method", "seed"], sort=False)[MEASURES].mean().groupby(level=[0, 1], sort=False)
    means: pd.DataFrame = by_seed.mean().assign(standard_error=by_seed["rank_correlation"].sem())
    means["subjects"] = last.groupby(["view", "method"], sort=False)["subjects"].min()
    judged: pd.DataFrame = means.assign(passes=means["rank_correlation"] <= limit).reset_index()
    return judged


def verdict(table: pd.DataFrame, limit: float = 0.1) -> str:
    """Say in one line per view which methods pass, with their mean rank correlation, see :func:`passes`.

    Parameters
    ----------
    table, limit
        As in :func:`passes`.

    Returns
    -------
    str
        Lines joined by line breaks. Of a method that passes, absolute values that correlate above the limit are named.
    """
    lines = []
    for view, of_view in passes(table, limit).groupby("view", sort=False):
        said: dict[str, list[str]] = {"passed by": [], "failed by": [], "not judged": []}
        for _, row in of_view.iterrows():
            ranks, absolute = row["rank_correlation"], row["absolute_rank_correlation"]
            how = "not judged" if np.isnan(ranks) else "passed by" if row["passes"] else "failed by"
            unsigned = f", {absolute:z.2f} without signs" if row["passes"] and absolute > limit else ""
            if 0 < row["subjects"] < table["subjects"].max():
                unsigned += f"; of some subjects constant, judged by {row['subjects']:.0f}"
            said[how].append(f"{row['method']} ({'constant maps' if np.isnan(ranks) else f'{ranks:z.2f}'}{unsigned})")
        parts = [f"{how} {', '.join(methods)}" for how, methods in said.items() if methods]
        lines.append(f"{view}: {'; '.join(parts)}.")
    return "\n".join(lines)
