"""What the panel of genes that the SNPs were chosen from leaves of Tables VII and VIII, as far as it is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pandas as pd
from scipy.stats import binom, false_discovery_control, hypergeom

from gcamccl_core.maps.published_pathways import (
    LEVEL,
    GeneSets,
    annotated_genes,
    published_genes,
    published_pathways,
    rename_genes,
    with_terms,
)

PANEL_SIZE = 208  # section III-B: 100 genes expressed most, and at most one gene for each of 108 eQTL loci
LARGEST = 30_000  # genes; no background of a human study is larger


def panel_bounds(collections: GeneSets, panel_size: int = PANEL_SIZE, unknown: str = "none") -> pd.DataFrame:
    r"""Least p and q that any panel of this size can give the sets, though most of its genes are not known.

    The SNPs came from a panel of N genes. The g genes of Tables V and VI are in it; the other N - g are not known. With
    x of the k selected genes in a set, and u of the g known ones,

    .. math:: p = P(X \geq x), \quad X \sim \mathrm{Hypergeometric}(N, m, k), \quad m = u + J

    where J of the unknown genes are in the set. p rises with m and k and falls with N. So J = 0, k of only those
    selected genes that the collection knows, and the largest N, give the least p: no panel of at most N genes gives
    less, whether genes without annotation are counted in it or not. By the paper's words N is at most 208 if a SNP
    counts for one gene; where genes overlap it may be more, for which there are ``panel_size`` and
    :func:`break_even_sizes`.

    q is Benjamini and Hochberg's over the sets with a known gene. Each of these is testable in every such panel, and
    :math:`q_{(i)} = \min_{j \geq i} M p_{(j)} / j` rises with every p and with every further set, whose p is 1 since
    it has no selected gene. So the q of every panel is at least this one.

    Parameters
    ----------
    collections
        As in :func:`.enrich_published`.
    panel_size : int
        N, at most.
    unknown : {"none", "genome", "alike"}
        What is supposed of the unknown genes. ``"none"``: none is in any set, the bound. The others are no bounds but
        the mean p over :math:`J \sim \mathrm{Binomial}(N - g, r)`: r is the set's share of the collection's genes
        (``"genome"``) or of the known ones, u / g (``"alike"``; the selected genes are among the known, so this leans
        against the paper).

    Returns
    -------
    pandas.DataFrame
        Per class, collection and set with a known gene: ``class``, ``collection``, ``term``, ``overlap`` (x), ``known``
        (u), ``selected`` (k), ``p_panel``, ``q_panel``; ordered by p in each collection.

    Raises
    ------
    ValueError
        If the panel is smaller than the genes known to be in it, or ``unknown`` is none of the three.

    Examples
    --------
    >>> sets = {"mine": {"synapse": ["SNAP25", "RAB3A", "CPLX2"], "growth": ["GFAP", "A"]}}
    >>> bound = panel_bounds(sets).set_index(["class", "term"]).loc[("high", "synapse")]
    >>> bool(np.isclose(bound["p_panel"], 3 * 2 * 1 / (208 * 207 * 206)))  # all 3 known are the 3 selected
    True
    """
    lists = published_genes()
    listed = sorted(set().union(*lists.values()))
    _check_panel(panel_size, len(listed), unknown)
    tables = []
    for collection, sets in collections.items():
        annotated = annotated_genes(sets)
        known = set(rename_genes(listed, annotated))
        for name, genes in lists.items():
            selected = set(rename_genes(genes, annotated))
            members = {term: set(inside) for term, inside in sets.items()}
            rows = [
                (term, len(inside & selected), len(inside & known), len(inside) / len(annotated))
                for term, inside in members.items()
                if inside & known
            ]
            table = pd.DataFrame(rows, columns=["term", "overlap", "known", "share"])
            if unknown != "genome":
                table["share"] = table["known"] / len(listed) if unknown == "alike" else 0.0
            table["p_panel"] = mean_p(table, len(selected), panel_size, panel_size - len(listed))
            table = table.assign(collection=collection, selected=len(selected), **{"class": name})
            if len(table):
                table["q_panel"] = false_discovery_control(table["p_panel"])
                tables.append(table.sort_values(["p_panel", "term"]))
    columns = ["class", "collection", "term", "overlap", "known", "selected", "p_panel", "q_panel"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def mean_p(table: pd.DataFrame, selected: int, size: int, unknown: int) -> np.ndarray:
    """Mean p of each row over the number of unknown panel genes in its set, Binomial(unknown, share).

    Parameters
    ----------
    table : pandas.DataFrame
        ``overlap``, ``known`` and ``share``.
    selected, size, unknown : int
        Genes selected, genes of the panel, and how many of these are not known.

    Returns
    -------
    array of shape (n_rows,)

    Examples
    --------
    >>> row = pd.DataFrame({"overlap": [2], "known": [2], "share": [0.0]})
    >>> mean_p(row, selected=2, size=4, unknown=1).round(4).tolist()  # one of six pairs
    [0.1667]
    """
    overlap, known = table["overlap"].to_numpy(), table["known"].to_numpy()
    more = np.arange(unknown + 1)
    if not table["share"].any():
        return np.asarray(hypergeom.sf(overlap - 1, size, known, selected))
    every = np.arange(selected + 1)[:, None]
    tail = hypergeom.sf(every - 1, size, np.arange(size + 1)[None], selected)  # by overlap and by genes in the set
    weights = binom.pmf(more[None], unknown, table["share"].to_numpy()[:, None])
    mean = (weights * tail[overlap[:, None], known[:, None] + more]).sum(axis=1)
    return np.minimum(mean, 1.0)  # weights add up to 1 only within rounding


def _check_panel(size: int, listed: int, unknown: str) -> None:
    if size < listed:
        raise ValueError(f"a panel of {size} genes cannot hold the {listed} genes of Tables V and VI")
    if unknown not in ("none", "genome", "alike"):
        raise ValueError(f"unknown genes can be supposed 'none', 'genome' or 'alike', not {unknown!r}")


def implied_backgrounds() -> pd.DataFrame:
    r"""Size of the background, and number of selected genes, with which the printed p of each row comes out.

    p falls as the background grows, so each row gives one size N for a supposed number k of selected genes that the
    database knew. N must be one number for all rows of a class and a kind of source (Gene Ontology; the three pathway
    databases together), which singles out k: the one for which the sizes differ least (standard deviation of log N).

    Returns
    -------
    pandas.DataFrame
        Per printed row: ``class``, ``pathway``, ``source``, ``selected`` (k), ``implied_background`` (N), and
        ``printed_correction``, the printed q over p: tests in the correction over the row's rank among them.

    Examples
    --------
    >>> table = implied_backgrounds()
    >>> table.loc[table["pathway"] == "Exocytosis", ["selected", "implied_background"]].values.tolist()
    [[28, 19322]]
    """
    return _implied_backgrounds().copy()


@cache
def _implied_backgrounds() -> pd.DataFrame:
    table = published_pathways()
    kind = np.where(table["source"] == "Gene Ontology", "ontology", "pathways")
    tables = []
    for (name, _), rows in table.groupby(["class", kind], sort=False):
        numbers = range(int(rows["contained"].max()), len(published_genes()[str(name)]) + 1)
        sizes = {k: np.array([_implied(*row, k) for row in _printed(rows)]) for k in numbers}
        best = min(sizes, key=lambda k: float(np.std(np.log(sizes[k]))))
        tables.append(rows.assign(selected=best, implied_background=sizes[best]))
    found = pd.concat(tables).sort_index()
    found["printed_correction"] = found["q_value"] / found["p_value"]
    return found[["class", "pathway", "source", "selected", "implied_background", "printed_correction"]]


def panel_outcome(collections: GeneSets, panel_size: int = PANEL_SIZE, unknown: str = "none") -> pd.DataFrame:
    """Hold the 30 printed rows against a panel: by gene sets where we have them, else by the printed numbers.

    Where no collection has the row's set, x and the set's size are those printed, k and the size of the genome are
    :func:`implied_backgrounds`', and u = x, since the contained genes are in the panel; so ``p_panel`` is the least
    again, as long as that k is right. Its q is not: the other sets are not there to correct over, so p is multiplied by
    the printed q over p, as if the panel changed neither the number of tests nor the row's rank.

    Parameters
    ----------
    collections, panel_size, unknown
        As in :func:`panel_bounds`.

    Returns
    -------
    pandas.DataFrame
        One row per printed row: ``class``, ``pathway``, ``source``, ``basis`` ("gene sets" or "printed numbers"),
        ``overlap``, ``known``, ``selected``, ``p_panel``, ``q_panel``, and ``left``: q_panel < 0.05.

    Raises
    ------
    ValueError
        As :func:`panel_bounds`.
    """
    bounds = panel_bounds(collections, panel_size, unknown)
    table = with_terms(published_pathways(), collections)
    table = table.merge(bounds, how="left", on=["class", "collection", "term"], validate="m:1")
    table["basis"] = np.where(table["p_panel"].notna(), "gene sets", "printed numbers")
    lacking = table["p_panel"].isna()
    table.loc[lacking, ["overlap", "known", "selected", "p_panel", "q_panel"]] = _from_print(panel_size, unknown)[
        lacking
    ]
    table = table.astype({"overlap": int, "known": int, "selected": int})
    columns = ["class", "pathway", "source", "basis", "overlap", "known", "selected", "p_panel", "q_panel"]
    return table[columns].assign(left=table["q_panel"] < LEVEL)


def _from_print(panel_size: int, unknown: str) -> pd.DataFrame:
    """Overlap, known, selected, p and q of every printed row, from the printed numbers alone."""
    printed, implied = published_pathways(), implied_backgrounds()
    listed = len(set().union(*published_genes().values()))
    shares = {"none": 0.0, "genome": printed["set_size"] / implied["implied_background"]}
    shares["alike"] = printed["contained"] / listed
    table = pd.DataFrame({"overlap": printed["contained"], "known": printed["contained"], "share": shares[unknown]})
    table["selected"] = implied["selected"]
    for selected, rows in table.groupby("selected"):
        table.loc[rows.index, "p_panel"] = mean_p(rows, int(str(selected)), panel_size, panel_size - listed)
    table["q_panel"] = (table["p_panel"] * implied["printed_correction"]).clip(upper=1)
    return table.drop(columns="share")


def break_even_sizes(collections: GeneSets) -> pd.Series:
    """Least size of the panel with which each printed row can reach q < 0.05, none of the unknown genes in its set.

    ``q_panel`` of :func:`panel_outcome` falls as the panel grows, so halving finds the size. A panel of fewer genes
    cannot leave the row; one of more need not.

    Returns
    -------
    pandas.Series
        ``break_even``, by the rows of :func:`.published_pathways`; missing where 30,000 genes do not suffice.
    """
    smallest = len(set().union(*published_genes().values()))
    known: dict[int, np.ndarray] = {}

    def left(row: int, size: int) -> bool:
        if size not in known:
            known[size] = panel_outcome(collections, size)["left"].to_numpy()
        return bool(known[size][row])

    sizes = [_halve(partial(left, row), smallest, LARGEST) for row in range(len(published_pathways()))]
    return pd.Series(sizes, name="break_even", dtype="Int64")


def most_unknown_members(collections: GeneSets, panel_size: int = PANEL_SIZE) -> pd.Series:
    """Most unknown panel genes that a printed row's set can hold while its p can stay below 0.05, uncorrected.

    q is never below p, so with one unknown gene more in the set, no panel of at most this size leaves the row.

    Returns
    -------
    pandas.Series
        ``most_unknown``, by the rows of :func:`.published_pathways`; missing where p is 0.05 or more without any.
    """
    table = panel_outcome(collections, panel_size)
    unknown = panel_size - len(set().union(*published_genes().values()))
    numbers = np.arange(unknown + 1)
    most = []
    for x, known, selected in table[["overlap", "known", "selected"]].itertuples(index=False, name=None):
        below = numbers[hypergeom.sf(x - 1, panel_size, known + numbers, selected) < LEVEL]
        most.append(int(below.max()) if below.size else None)
    return pd.Series(most, name="most_unknown", dtype="Int64")


def _halve(enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """Least whole number from low to high that is enough, where every larger one is too; None if none is."""
    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def _printed(rows: pd.DataFrame) -> list[tuple[int, int, float]]:
    return list(rows[["set_size", "contained", "p_value"]].itertuples(index=False, name=None))


def _implied(set_size: int, contained: int, p_value: float, selected: int) -> int:
    low = max(set_size + selected, 1)
    found = _halve(lambda n: bool(hypergeom.sf(contained - 1, n, set_size, selected) <= p_value), low, 10 * LARGEST)
    return found or 10 * LARGEST
