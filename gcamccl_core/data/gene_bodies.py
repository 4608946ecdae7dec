"""In which genes SNPs lie, by the places of gene bodies on the same genome build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gcamccl_core.data.genome_builds import GenomeBuildError, name_build
from gcamccl_core.data.manifest import fetch

GENE_LIST, GENE_LIST_BUILD = "gene_loc/glist-hg19", "GRCh37"
COLUMNS = ["chromosome", "start", "end", "gene"]


def read_gene_bodies(path: str | Path | None = None) -> pd.DataFrame:
    """Read a list of genes in the format of PLINK's ``glist``: chromosome, start, end and symbol, without a header.

    Parameters
    ----------
    path : path, optional
        The list; the manifest's ``gene_loc/glist-hg19`` by default, 26,292 gene bodies on GRCh37.

    Returns
    -------
    pandas.DataFrame
        ``chromosome`` (text), ``start`` and ``end`` (base pairs, both in the gene), ``gene``; one may have several.

    Raises
    ------
    ValueError
        If a line does not have these four columns, or a gene ends before it starts.
    """
    path = fetch(GENE_LIST) if path is None else Path(path)
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        if len(line) != len(COLUMNS) or not (line[1].isdigit() and line[2].isdigit()):
            text = " ".join(line)
            raise ValueError(f"{path}, line {number}: expected chromosome, start, end and symbol, got {text!r}")
        if int(line[1]) > int(line[2]):
            raise ValueError(f"{path}, line {number}: {line[3]} ends before it starts")
    return pd.DataFrame(lines, columns=COLUMNS).astype({"start": "int64", "end": "int64"})


def find_genes(
    chromosome: np.ndarray,
    position: np.ndarray,
    genome_build: str,
    bodies: pd.DataFrame,
    bodies_build: str = GENE_LIST_BUILD,
) -> pd.DataFrame:
    """Name the gene in whose body each SNP lies.

    Parameters
    ----------
    chromosome, position : array of shape (n_snps,)
        As a bim file has them; 23 and X are the same.
    genome_build, bodies_build : str
        Of the SNPs, and of the gene bodies.
    bodies : pandas.DataFrame
        As :func:`read_gene_bodies` reads them.

    Returns
    -------
    pandas.DataFrame
        One row per SNP: ``gene``, the one with the shortest body of those that hold it ("" in none), and ``n_genes``,
        in how many it lies.

    Raises
    ------
    GenomeBuildError
        If the two builds differ: the same position would be another place.

    Examples
    --------
    >>> bodies = pd.DataFrame({"chromosome": ["1", "1"], "start": [10, 50], "end": [99, 60], "gene": ["LONG", "SHORT"]})
    >>> find_genes(np.array(["1", "1", "2"]), np.array([20, 55, 55]), "hg19", bodies).values.tolist()
    [['LONG', 1], ['SHORT', 2], ['', 0]]
    """
    if name_build(genome_build) != name_build(bodies_build):
        raise GenomeBuildError(
            f"the SNPs are on {name_build(genome_build)}, the gene bodies on {name_build(bodies_build)}: positions do "
            "not compare across builds; take gene bodies of the SNPs' build, or lift the SNPs over first"
        )
    gene = np.full(len(position), "", dtype=object)
    n_genes = np.zeros(len(position), dtype=int)
    places = pd.DataFrame({"chromosome": _plain(chromosome), "position": np.asarray(position)})
    of_chromosome = {str(name): table for name, table in bodies.groupby(_plain(bodies["chromosome"]))}
    for name, rows in places.groupby("chromosome"):
        if str(name) not in of_chromosome:
            continue
        order = np.argsort(rows["position"].to_numpy(), kind="stable")
        numbers, positions = rows.index.to_numpy()[order], rows["position"].to_numpy()[order]
        table = of_chromosome[str(name)]
        longest_first = table.iloc[np.argsort(-(table["end"] - table["start"]).to_numpy(), kind="stable")]
        first = np.searchsorted(positions, longest_first["start"], side="left")
        last = np.searchsorted(positions, longest_first["end"], side="right")
        for symbol, start, end in zip(longest_first["gene"], first, last, strict=True):
            gene[numbers[start:end]] = symbol  # a shorter one comes later, and stays
            n_genes[numbers[start:end]] += 1
    return pd.DataFrame({"gene": gene, "n_genes": n_genes})


def _plain(chromosome: np.ndarray | pd.Series) -> np.ndarray:
    names = pd.Series(np.asarray(chromosome)).astype(str).str.removeprefix("chr")
    return names.replace({"23": "X", "24": "Y", "25": "XY", "26": "MT", "M": "MT"}).to_numpy()
