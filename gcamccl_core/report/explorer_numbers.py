"""What the page with sliders holds: in how many subjects each feature exceeds each threshold, packed into text."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.splits import Split
from gcamccl_core.maps.class_scores import truth_of_class, univariate_scores
from gcamccl_core.maps.dataset import class_values, is_image, map_views, positions_of
from gcamccl_core.maps.selection import describe_features
from gcamccl_core.report.disclosure import is_controlled
from gcamccl_core.report.matrix import arrange, arrange_regions
from gcamccl_core.report.small_counts import SMALLEST
from gcamccl_core.report.style import pretty

THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(1, 51))
LEAST_FREQUENCY = 0.3
MOST_FREQUENCY = 0.99

Networks = Mapping[str, Sequence[xr.Dataset]]
Numbers = dict[str, Any]


class NoExplorerError(ValueError):
    """Maps that cannot be shown with sliders: of too few people, or too many features."""


def count_kept(values: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    r"""Count the subjects in which each feature exceeds each share of the subject's own maximum.

    .. math:: \sum_s \left[ M_{sf} > \tau \max_{f'} M_{sf'} \right]

    Parameters
    ----------
    values : array of shape (n_subjects, n_features)
        Positive parts of maps, as :func:`.class_values` gives them.
    thresholds : sequence of float
        :math:`\tau`, ascending.

    Returns
    -------
    array of shape (n_thresholds, n_features), int
        No row has more than the one before.

    Examples
    --------
    >>> count_kept(np.array([[4.0, 1, 0], [2, 0, 1]]), [0.1, 0.3]).tolist()
    [[2, 1, 1], [2, 0, 1]]
    """
    # a plain float, as in select_biomarkers: numpy's would compare in double precision, and could differ in a tie
    limits = (float(threshold) * values.max(axis=1, keepdims=True) for threshold in thresholds)
    return np.array([(values > limit).sum(axis=0) for limit in limits])


def least_frequency(people: Sequence[int], controlled: bool, frequency: float = LEAST_FREQUENCY) -> float:
    """Give the lowest share of subjects that the slider may ask for; what it selects then counts no fewer than ten.

    Parameters
    ----------
    people : sequence of int
        How many subjects each map has.
    controlled : bool
        Whether the cohort's people may not be shown.
    frequency : float
        Where the slider begins; of an open cohort it may be lower than the usual least.

    Raises
    ------
    NoExplorerError
        If the cohort is controlled and a map has so few subjects that no share would do.

    Examples
    --------
    >>> least_frequency([26, 30], controlled=False), least_frequency([26, 30], controlled=True)
    (0.3, 0.35)
    """
    if not controlled:
        return min(LEAST_FREQUENCY, frequency)
    least = max(LEAST_FREQUENCY, math.ceil(100 * (SMALLEST - 1) / min(people)) / 100)
    if least > MOST_FREQUENCY:
        raise NoExplorerError(
            f"the maps are of a controlled cohort, and some are of fewer than {SMALLEST} people or hardly more: "
            "a page with sliders would show them; map more subjects"
        )
    return least


def explorer_numbers(
    networks: Networks,
    people: Sequence[xr.Dataset],
    splits: Sequence[Split],
    threshold: float = 0.05,
    frequency: float = 0.7,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Numbers:
    """Gather what the page with sliders needs.

    Parameters
    ----------
    networks : mapping of str to sequence of xarray.Dataset
        By name, the one in question first, maps of its test subjects in every split, from :func:`.compute_maps`.
    people : sequence of xarray.Dataset
        The cohort as each split sees it; of a simulated one, what was planted is told.
    splits : sequence of Split
        The t-test, with which the lists are compared where truth is known, is of their training subjects.
    threshold, frequency : float
        Where the sliders begin, as in :func:`.select_biomarkers`; a threshold between two steps becomes a step.
    thresholds : sequence of float
        The steps.

    Returns
    -------
    dict
        Plain values for JSON. ``blocks`` has one entry per view, method, network, split and class: ``people``, and,
        packed by :func:`pack`, ``features`` (positions, highest mean value first) and ``counts`` (per threshold the
        subjects fewer than at the one before). A count that no place of the frequency slider selects is 0.

    Raises
    ------
    ValueError
        If the networks are not of the same splits.
    NoExplorerError
        If too few people of a controlled cohort were mapped.
    """
    first = next(iter(networks.values()))
    for name, maps in networks.items():
        if not len(maps) == len(people) == len(splits):
            raise ValueError(f"'{name}' has maps of {len(maps)} splits, and there are {len(splits)}; give one for each")
    classes = [str(name) for name in first[0]["target_class"].to_numpy()]
    controlled = any(map(is_controlled, people))
    steps = sorted({*thresholds, float(threshold)})
    views, methods = map_views(first[0]), [str(name) for name in first[0]["map_method"].to_numpy()]
    mapped = [one for maps in networks.values() for one in maps]
    sizes = [len(positions_of(one, views[0], name, methods[0])) for one in mapped for name in classes]
    least = least_frequency(sizes, controlled, frequency)
    shares = {round(0.01 * step, 2) for step in range(1, 100)} | {float(frequency)}
    frequencies = sorted(share for share in shares if least <= share <= max(MOST_FREQUENCY, frequency))
    begin = {"threshold": steps.index(threshold), "frequency": frequencies.index(max(frequency, frequencies[0]))}
    return {
        "classes": classes,
        "networks": list(networks),
        "methods": [{"name": name, "label": pretty(name)} for name in methods],
        "splits": len(splits),
        "thresholds": steps,
        "frequencies": frequencies,
        "begin": begin,
        "views": [describe_view(first[0], view, people, splits, classes) for view in views],
        "blocks": list(_blocks(networks, views, methods, classes, steps, frequencies[0])),
    }


def _blocks(
    networks: Networks,
    views: Sequence[str],
    methods: Sequence[str],
    classes: Sequence[str],
    steps: Sequence[float],
    least: float,
) -> Iterator[Numbers]:
    first = next(iter(networks.values()))[0]
    names = {view: describe_features(first, view)["feature"].to_numpy().astype(str) for view in views}
    for network, of_splits in networks.items():
        for (split, maps), view, method, target_class in product(enumerate(of_splits), views, methods, classes):
            values = class_values(maps, view, target_class, method)
            place = {"view": view, "method": method, "network": network, "split": split, "class": target_class}
            yield {**place, **_pack_counts(values, names[view], steps, least)}


def _pack_counts(values: np.ndarray, features: np.ndarray, steps: Sequence[float], least: float) -> Numbers:
    """Leave out what no place of the sliders selects, which are most counts, and all of few people where it matters."""
    counts = count_kept(values, steps)
    counts[~(counts / len(values) > least)] = 0
    kept = np.flatnonzero(counts[0])
    ranked = kept[np.lexsort((features[kept], -values.mean(axis=0)[kept]))]  # in which order equal counts are listed
    fewer = np.diff(counts[:, ranked], axis=0, prepend=0)
    fewer[1:] *= -1
    size = "uint8" if len(values) < 256 else "uint16" if len(values) < 65536 else "uint32"
    packed = {"features": pack(ranked.astype("<u4")), "counts": pack(fewer.astype(np.dtype(size).newbyteorder("<")))}
    return {"people": len(values), "size": size, "n": len(ranked), **packed}


def describe_view(
    maps: xr.Dataset, view: str, people: Sequence[xr.Dataset], splits: Sequence[Split], classes: Sequence[str]
) -> Numbers:
    """Say what a view's features are called, where they lie, and, where known, which are true of each class."""
    image = is_image(maps, view)
    table = describe_features(maps, view)
    depth = "truth" if image else "population_truth"  # as chapters 5 and 6 count
    about: Numbers = {"name": view, "label": pretty(view), "image": image, "features": len(table), "truth": None}
    about["unit"] = "connections" if image else "SNPs" if maps[view].attrs.get("kind") == "genotype" else "features"
    about["names"] = pack(json.dumps(_image_names(maps, view) if image else _vector_names(maps, view, table)).encode())
    if f"{depth}_{view}" in people[0]:
        truths = {name: truth_of_class(people[0], view, name, depth) for name in classes}
        about["truth"] = {name: pack(np.flatnonzero(true).astype("<u4")) for name, true in truths.items()}
        about["right"] = "what was planted" if image else "what differs in the population by what was planted"
        about["t_test"] = [
            {name: pack(_ranks_of(true, one, split, view, name, image)) for name, true in truths.items()}
            for one, split in zip(people, splits, strict=True)
        ]
    return about


def _ranks_of(
    true: np.ndarray, cohort: xr.Dataset, split: Split, view: str, target_class: str, image: bool
) -> np.ndarray:
    """Give the places, from 1, that the t-test of the training subjects gives to the true features, ascending."""
    labelled = split.train[cohort["label"].to_numpy()[split.train] >= 0]  # others do not count
    scores = univariate_scores(cohort[[view, "label"]].isel(subject=labelled), view, target_class, image)["t_test"]
    rank = np.empty(len(scores), dtype="<u4")
    rank[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return np.sort(rank[true])


def _image_names(maps: xr.Dataset, view: str) -> Numbers:
    dim = str(maps[view].dims[3])
    arranged = arrange_regions(maps, dim)
    rois = maps[dim].to_numpy().astype(str)
    words = {"regions": [""] * len(rois), "networks": [""] * len(rois)}
    for name in words:
        variable = f"roi_{name.removesuffix('s')}"
        if variable in maps.variables:
            words[name] = maps[variable].sel(roi=rois).to_numpy().astype(str).tolist()
    return {"rois": rois.tolist(), **words, "order": arranged.order.tolist(), "groups": arranged.groups}


def _vector_names(maps: xr.Dataset, view: str, table: pd.DataFrame) -> Numbers:
    """Name the features of a vector view, along chromosomes where it has them."""
    genes = table["gene"].fillna("").tolist() if "gene" in table else [""] * len(table)
    order, groups = np.arange(len(table)), []
    if f"{view}_chromosome" in maps.coords:
        chromosome = maps[f"{view}_chromosome"].to_numpy().astype(str)
        number = pd.to_numeric(pd.Series(chromosome), errors="coerce").fillna(np.inf).to_numpy()
        place = maps[f"{view}_position"].to_numpy() if f"{view}_position" in maps.coords else order
        order = np.lexsort((place, chromosome, number))
        groups = arrange(chromosome[order], sort=False).groups
    return {"names": table["feature"].tolist(), "genes": genes, "order": order.tolist(), "groups": groups}


def pack(content: np.ndarray | bytes) -> str:
    """Compress an array's bytes (zlib) and write them as text (base64); a browser undoes both.

    Examples
    --------
    >>> zlib.decompress(base64.b64decode(pack(b"aaaa")))
    b'aaaa'
    """
    data = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")
