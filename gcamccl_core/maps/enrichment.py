"""From genes to pathways: over-representation of gene sets among selected genes, without network access."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from gseapy.stats import calc_pvalues
from scipy.stats import false_discovery_control

from gcamccl_core.data.checks import name_some

COLUMNS = ["term", "overlap", "set_size", "genes", "p_value", "q_value", "odds_ratio", "testable"]


def enrich(genes: Iterable[str], gene_sets: Mapping[str, Iterable[str]], background: Iterable[str]) -> pd.DataFrame:
    r"""Test every gene set for more of the selected genes than chance would put there, as in Tables VII and VIII.

    .. math:: p = P(X \geq x), \quad X \sim \mathrm{Hypergeometric}(N, m, k)

    with N genes in the background, m of them in the set, k selected, x both; gseapy's test. q is Benjamini and
    Hochberg's, over all sets that could be tested: those without a selected gene have p = 1 and count too.

    Parameters
    ----------
    genes : iterable of str
        The selected genes; repeats count once. With none, every p is 1.
    gene_sets : mapping of str to iterable of str
        Genes by term. Genes outside the background are left out of their set, which is why the choice matters.
    background : iterable of str
        All genes that could have been selected: those of the SNPs in the cohort.

    Returns
    -------
    pandas.DataFrame
        One row per term, ordered by p, then term: ``term``, ``overlap`` (x), ``set_size`` (m), ``genes`` (the x
        genes, sorted, joined by blanks), ``p_value``, ``q_value``, ``odds_ratio`` (0.5 added to each cell, so it is
        finite) and ``testable``. A set without any gene in the background is not testable: it comes last, with p, q
        and odds ratio NaN.

    Raises
    ------
    ValueError
        If the background is empty, a selected gene is not in it, or there are no gene sets.

    Examples
    --------
    >>> sets = {"synapse": ["A", "B", "C"], "growth": ["D", "E"]}
    >>> enrich(["A", "B"], sets, background="ABCDEFGH")[["term", "genes", "p_value"]].round(3)
          term genes  p_value
    0  synapse   A B    0.107
    1   growth          1.000
    """
    selected, known = set(genes), set(background)
    _check(selected, gene_sets, known)
    members = {term: set(listed) & known for term, listed in gene_sets.items()}
    tested = {term: row for term, *row in zip(*calc_pvalues(selected, members, background=known), strict=True)}
    rows = []
    for term, inside in members.items():
        p_value, odds_ratio = tested[term][:2] if term in tested else _without_overlap(inside, selected, known)
        found = sorted(inside & selected)
        rows.append((term, len(found), len(inside), " ".join(found), p_value, np.nan, odds_ratio, bool(inside)))
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.loc[table["testable"], "q_value"] = false_discovery_control(table.loc[table["testable"], "p_value"])
    return table.sort_values(["p_value", "term"], ignore_index=True)


def _check(selected: set[str], gene_sets: Mapping[str, Iterable[str]], known: set[str]) -> None:
    if not known:
        raise ValueError("the background is empty; pass every gene that could have been selected")
    if not gene_sets:
        raise ValueError("there are no gene sets to test; read some with read_gene_sets")
    strangers = sorted(selected - known)
    if strangers:
        raise ValueError(f"selected genes that are not in the background: {name_some(strangers)}; add them to it")
    single = [term for term, listed in gene_sets.items() if isinstance(listed, str)]
    if single:
        raise ValueError(f"gene set '{single[0]}' is one string; pass a list of genes")


def _without_overlap(inside: set[str], selected: set[str], known: set[str]) -> tuple[float, float]:
    """P-value and odds ratio of a set without a selected gene, which gseapy leaves out of its answer."""
    if not inside:
        return np.nan, np.nan
    neither = len(known) - len(inside) - len(selected)
    return 1.0, 0.5 * (neither + 0.5) / ((len(inside) + 0.5) * (len(selected) + 0.5))


def read_gene_sets(path: str | Path) -> dict[str, list[str]]:
    r"""Read gene sets from a GMT file, or from Enrichr's variant whose lines are ``term,GENE<TAB>GENE<TAB>…``.

    Parameters
    ----------
    path : path
        GMT has the term, a description and the genes between tabs. A file counts as the variant if in each of its
        lines the first field ends in a comma and a word without blanks.

    Returns
    -------
    dict of str to list of str
        Genes by term, both in the order of the file.

    Raises
    ------
    ValueError
        If a line has no gene, or a term occurs twice; the message gives the line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "sets.gmt")
    ...     _ = path.write_text("synapse\tno description\tSNAP25\tCPLX2\n")
    ...     read_gene_sets(path)
    {'synapse': ['SNAP25', 'CPLX2']}
    """
    text = Path(path).read_text(encoding="utf-8")
    lines = {number: line.split("\t") for number, line in enumerate(text.splitlines(), start=1) if line.strip()}
    if not lines:
        raise ValueError(f"{path} holds no gene sets")
    joined = all(re.search(r",\S+$", fields[0]) for fields in lines.values())
    sets: dict[str, list[str]] = {}
    for number, fields in lines.items():
        if joined:
            term, first = fields[0].rsplit(",", 1)
            genes = [first, *fields[1:]]
        else:
            term, genes = fields[0], fields[2:]
        term, genes = term.strip(), [gene.strip() for gene in genes if gene.strip()]
        if not genes:
            raise ValueError(
                f"{path}, line {number}: term '{term}' has no genes; a GMT line is term, description, genes"
            )
        if term in sets:
            raise ValueError(f"{path}, line {number}: the term '{term}' occurs a second time")
        sets[term] = genes
    return sets


def carried_gene_sets(cohort: xr.Dataset) -> dict[str, list[str]]:
    """Gene sets that travel with a simulated cohort, planted ones among others, genes by term.

    Raises
    ------
    ValueError
        If the cohort carries none.
    """
    return _read_attribute(cohort, "gene_sets")


def planted_gene_sets(cohort: xr.Dataset) -> dict[str, list[str]]:
    """Terms that the simulation planted, by class: the truth that an enrichment should find.

    Raises
    ------
    ValueError
        If the cohort carries none.
    """
    return _read_attribute(cohort, "planted_gene_sets")


def _read_attribute(cohort: xr.Dataset, name: str) -> dict[str, list[str]]:
    if name not in cohort.attrs:
        raise ValueError(f"the cohort has no attrs['{name}']; only a simulated cohort carries its own gene sets")
    return dict(json.loads(cohort.attrs[name]))
