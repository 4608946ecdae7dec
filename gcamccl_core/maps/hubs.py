"""Hubs: regions in which more selected connections end than chance would put there."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from gcamccl_core.data.checks import name_some, without_name

KEEPS = ("lengths", "graph")
LENGTH_CLASSES = 10  # of connections, each with as many possible ones
COLUMNS = [
    "target_class",
    "keeps",
    "region",
    "rois",
    "connections",
    "expected",
    "lower",
    "upper",
    "p_value",
    "p_adjusted",
]


def find_hubs(
    selected: pd.DataFrame, cohort: xr.Dataset, keeps: str = "lengths", n_draws: int = 2000, seed: int = 0
) -> pd.DataFrame:
    r"""Test every anatomical region, class by class, for more selected connections than chance would put there.

    With :math:`x_r` the number of selected connections with an end in region r (one within the region counts once) and
    :math:`x^{*}_{rb}` that of draw b out of B,

    .. math:: p_{rb} = \frac{\#\{b': x^{*}_{rb'} \geq x^{*}_{rb}\}}{1 + B}, \qquad
              \tilde p_r = \frac{\#\{b: \min_s p_{sb} \leq p_{r0}\}}{1 + B}

    where what was found counts as draw 0, in both: Westfall and Young's smallest p, which bounds the chance of any
    false hub among the regions of a class, and knows that their counts hang together. It is seldom below the number of
    regions over B, so it takes many draws to be sure. What "chance" means is a choice:

    ``lengths``
        As many connections of every length (in ten classes) are drawn from all possible ones. Every region keeps its
        number of possible connections at every length, so that one with many ROIs, or with near neighbours, is
        expected to have more. But maps light up in rows, and any graph of uneven degrees has hubs by this standard.
    ``graph``
        The selected connections stay joined as they are, so that all degrees are kept, and the ROIs change places:
        their coordinates are rotated at random about their centre, and each ROI takes the place of a rotated one, so
        that squared distances are smallest in sum. Neighbours stay near: of Power's regions, distances before and
        after correlate by 0.83. A region is a hub if the strongly connected ROIs gather in it, more than in as many
        ROIs elsewhere. This asks for much: where a few regions hold all connections, many rotations put one of them in
        place of another.

    Rewiring the connections so that every ROI keeps its degree and lengths stay could hardly test hubs, since the
    counts of a region would stay as well, but for connections within it.

    Parameters
    ----------
    selected : pandas.DataFrame
        As :func:`.select_biomarkers` makes it, one row per class and connection (a repeated one counts once); rows
        without ``roi_i`` do not count.
    cohort : xarray.Dataset
        Names the ROIs (``roi``), their regions (``roi_region``) and their MNI coordinates in mm (``roi_x``, ``roi_y``,
        ``roi_z``). ROIs without a region take part, as nobody's.
    keeps : {"lengths", "graph"}
        What every draw has in common with what was selected.
    n_draws : int
        B, at least 99.
    seed : int
        Of the draws; the same for all classes and lists.

    Returns
    -------
    pandas.DataFrame
        One row per ``target_class`` and ``region``, the least probable first: ``keeps``; ``rois``, how many the region
        has; ``connections`` (x), ``expected``, the mean of the draws, ``lower`` and ``upper``, between which 95 % of
        them lie; ``p_value`` and ``p_adjusted``. Regions without a selected connection are there, too.

    Raises
    ------
    ValueError
        If the cohort does not know its regions or a coordinate, a connection joins unknown ROIs, or an argument is out
        of range.

    References
    ----------
    Westfall and Young (1993), *Resampling-based multiple testing*, Wiley. Alexander-Bloch et al. (2018), On testing for
    spatial correspondence between maps of human brain structure and function, NeuroImage 178.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> rois, regions = cohort["roi"].to_numpy(), cohort["roi_region"].to_numpy()
    >>> cuneus, others = rois[regions == "Cuneus"], rois[regions == "Insula"]
    >>> ends = [(i, j) for i in cuneus for j in others]
    >>> selected = pd.DataFrame(ends, columns=["roi_i", "roi_j"]).assign(target_class="high")
    >>> found = find_hubs(selected, cohort, n_draws=999)
    >>> found.loc[found["p_adjusted"] < 0.05, "region"].tolist()
    ['Cuneus', 'Insula']
    """
    if keeps not in KEEPS:
        raise ValueError(f"keeps must be one of {', '.join(KEEPS)}; got {keeps!r}")
    if n_draws < 99:
        raise ValueError(f"n_draws must be at least 99, got {n_draws}")
    places = region_places(cohort)
    names = places.loc[places["region"].ne(""), "region"].drop_duplicates().tolist()
    number = places["region"].map({name: k for k, name in enumerate(names)}).fillna(-1).to_numpy(int)
    coordinates = places[["x", "y", "z"]].to_numpy(float)
    rois = np.bincount(number[number >= 0], minlength=len(names))
    if not names:
        raise ValueError("no ROI of the cohort has a region; name them in 'roi_region'")
    tables = []
    known = selected[selected["roi_i"].fillna("").ne("")]
    for target_class, edges in known.groupby("target_class", sort=False):
        ends = _positions(edges, places)
        if keeps == "lengths":
            drawn = _draw_of_same_length(ends, coordinates, number, n_draws, seed)
        else:
            drawn = _draw_places(ends, coordinates, number, n_draws, seed)
        table = _judge(_count(*ends, number, len(names)), drawn)
        tables.append(table.assign(target_class=str(target_class), keeps=keeps, region=names, rois=rois))
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    ordered = [
        table.sort_values(["p_value", "connections", "region"], ascending=[True, False, True]) for table in tables
    ]
    return pd.concat(ordered, ignore_index=True)[COLUMNS]


def knows_places(cohort: xr.Dataset) -> bool:
    """Tell whether a cohort has what :func:`find_hubs` needs: names of regions, and coordinates."""
    known = all(f"roi_{name}" in cohort.variables for name in ("region", "x", "y", "z"))
    return known and not without_name(cohort["roi_region"].to_numpy()).all()


def region_places(cohort: xr.Dataset) -> pd.DataFrame:
    """Lay out what a cohort knows of its ROIs: ``region`` (empty where it has none), ``x``, ``y``, ``z``, by ROI.

    Raises
    ------
    ValueError
        If regions or coordinates are missing; the message names the variables, or the ROIs.
    """
    wanted = [f"roi_{name}" for name in ("region", "x", "y", "z")]
    lacking = [name for name in wanted if name not in cohort.variables]
    if lacking:
        raise ValueError(f"the cohort has no {name_some(lacking)}; add regions and MNI coordinates in mm along 'roi'")
    region = cohort["roi_region"].to_numpy()
    names = pd.Series(region.astype(str)).mask(without_name(region), "").to_numpy()
    coordinates = {axis: cohort[f"roi_{axis}"].to_numpy().astype(float) for axis in "xyz"}
    places = pd.DataFrame({"region": names, **coordinates}, index=cohort["roi"].to_numpy().astype(str))
    nowhere = places.index[~np.isfinite(places[list("xyz")].to_numpy()).all(axis=1)]
    if len(nowhere):
        raise ValueError(f"the cohort has no coordinates for {name_some(nowhere)}; add roi_x, roi_y and roi_z in mm")
    return places


def _positions(edges: pd.DataFrame, places: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Positions of both ends of every connection, each connection once."""
    ends = np.stack([places.index.get_indexer(pd.Index(edges[f"roi_{end}"].astype(str))) for end in "ij"])
    if (ends < 0).any():
        strangers = sorted(
            {
                str(edges[f"roi_{end}"].iloc[k])
                for end, row in zip("ij", ends, strict=True)
                for k in np.flatnonzero(row < 0)
            }
        )
        raise ValueError(f"the cohort has no ROI {name_some(strangers)}; pass connections of this cohort")
    first, second = np.unique(np.sort(ends, axis=0), axis=1)
    return first, second


def _count(first: np.ndarray, second: np.ndarray, number: np.ndarray, n_regions: int) -> np.ndarray:
    """Count the connections with an end in each region, shape (n_regions,)."""
    one, other = number[first], number[second]
    other = np.where(one == other, -1, other)  # within one region: once
    ends = np.concatenate([one, other])
    return np.bincount(ends[ends >= 0], minlength=n_regions)


def _draw_of_same_length(
    ends: tuple[np.ndarray, np.ndarray], coordinates: np.ndarray, number: np.ndarray, n_draws: int, seed: int
) -> np.ndarray:
    """Count connections drawn from all possible ones of the same lengths, shape (n_draws, n_regions)."""
    rows, columns = np.triu_indices(len(coordinates), k=1)
    length = np.linalg.norm(coordinates[rows] - coordinates[columns], axis=1)
    borders = np.quantile(length, np.linspace(0, 1, LENGTH_CLASSES + 1)[1:-1])
    class_of = np.searchsorted(borders, length)
    own = np.searchsorted(borders, np.linalg.norm(coordinates[ends[0]] - coordinates[ends[1]], axis=1))
    wanted = np.bincount(own, minlength=LENGTH_CLASSES)
    possible = [np.flatnonzero(class_of == k) for k in range(LENGTH_CLASSES)]
    rng = np.random.default_rng([seed, 1])
    drawn = []
    for _ in range(n_draws):
        chosen = np.concatenate(
            [rng.choice(of_class, n, replace=False) for of_class, n in zip(possible, wanted, strict=True)]
        )
        drawn.append(_count(rows[chosen], columns[chosen], number, number.max() + 1))
    return np.stack(drawn)


def _draw_places(
    ends: tuple[np.ndarray, np.ndarray], coordinates: np.ndarray, number: np.ndarray, n_draws: int, seed: int
) -> np.ndarray:
    """Count the same connections with the ROIs in other places, shape (n_draws, n_regions)."""
    first, second = ends
    moved = _moved_places(coordinates.tobytes(), len(coordinates), n_draws, seed)
    return np.stack([_count(place[first], place[second], number, number.max() + 1) for place in moved])


@lru_cache(maxsize=2)
def _moved_places(coordinates: bytes, n_rois: int, n_draws: int, seed: int) -> np.ndarray:
    """Whose place each ROI takes in every draw, shape (n_draws, n_rois); once for all lists of a cohort."""
    centered = np.frombuffer(coordinates).reshape(n_rois, 3)
    centered = centered - centered.mean(axis=0)
    moved = []
    for rotation in Rotation.random(n_draws, rng=np.random.default_rng([seed, 2])):
        distance = cdist(rotation.apply(centered), centered, "sqeuclidean")
        moved.append(linear_sum_assignment(distance)[1])
    return np.stack(moved)


def _judge(found: np.ndarray, drawn: np.ndarray) -> pd.DataFrame:
    """Set counts beside those of the draws: expectation, range, p, and p adjusted for all regions.

    What was found counts as one of the draws, for its own p and for the smallest p of every draw alike.
    """
    together = np.vstack([found, drawn])
    ordered = np.sort(together, axis=0)
    below = [np.searchsorted(ordered[:, r], together[:, r], side="left") for r in range(together.shape[1])]
    shares = 1 - np.stack(below, axis=1) / len(together)  # of the draws as large or larger, itself included
    smallest = np.sort(shares.min(axis=1))
    lower, upper = np.quantile(drawn, [0.025, 0.975], axis=0)
    return pd.DataFrame(
        {
            "connections": found,
            "expected": drawn.mean(axis=0),
            "lower": lower,
            "upper": upper,
            "p_value": shares[0],
            "p_adjusted": np.searchsorted(smallest, shares[0] + 1e-12, side="right") / len(together),
        }
    )
