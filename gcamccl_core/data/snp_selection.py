"""Which SNPs become the view: those in gene bodies that speak of the brain (section III-A)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.gene_bodies import GENE_LIST_BUILD, find_genes, read_gene_bodies


def select_snps(
    genotypes: xr.Dataset,
    eqtls: Collection[str],
    genes: Collection[str] | None,
    bodies: pd.DataFrame | None = None,
    bodies_build: str = GENE_LIST_BUILD,
    view: str = "snp",
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Keep the SNPs in gene bodies that regulate expression in the brain, or lie in the genes expressed there most.

    Parameters
    ----------
    genotypes : xarray.Dataset
        As :func:`.read_genotypes` or :func:`.quality_control` gives them.
    eqtls : collection of str
        rs ids, as of :func:`.shared_eqtls` and :func:`.name_variants`; matched by id, so their build does not matter.
    genes : collection of str, or None
        Symbols, as of :func:`.most_expressed`; with None, where expression is not known, every gene will do.
    bodies : pandas.DataFrame, optional
        As of :func:`.read_gene_bodies`, which is called by default.
    bodies_build : str
        The genome build of these.
    view : str
        Name of the variable.

    Returns
    -------
    chosen : xarray.Dataset
        The same with fewer SNPs, and along ``locus`` ``<view>_gene``, ``<view>_eqtl`` and ``<view>_block``, see
        :func:`number_blocks`.
    steps : pandas.DataFrame
        ``step``, ``snps``, ``genes``: of all, in gene bodies, eQTLs, in the genes given, and chosen.

    Raises
    ------
    GenomeBuildError
        If SNPs and gene bodies are on different builds.
    ValueError
        If no SNP is left.

    Examples
    --------
    >>> snp = xr.DataArray(np.ones((2, 3)), {"locus": ["rs1", "rs2", "rs3"]}, ("subject", "locus"))
    >>> places = {"snp_chromosome": ("locus", ["1", "1", "2"]), "snp_position": ("locus", [15, 500, 15])}
    >>> bodies = pd.DataFrame({"chromosome": ["1", "2"], "start": 10, "end": 20, "gene": ["ONE", "TWO"]})
    >>> study = xr.Dataset({"snp": snp}, attrs={"genome_build": "GRCh37"}).assign_coords(places)
    >>> chosen, steps = select_snps(study, eqtls=["rs3"], genes=["OTHER"], bodies=bodies)
    >>> chosen["snp_gene"].to_numpy().tolist(), steps["snps"].tolist()
    (['TWO'], [3, 2, 1, 0, 1])
    """
    bodies = read_gene_bodies() if bodies is None else bodies
    build = str(genotypes.attrs.get("genome_build", ""))
    chromosome, position = (genotypes[f"{view}_{name}"].to_numpy() for name in ("chromosome", "position"))
    nearest = find_genes(chromosome, position, build, bodies, bodies_build)["gene"].to_numpy(str)
    wanted = (
        bodies if genes is None else bodies[bodies["gene"].isin(list(genes))]
    )  # also where a shorter gene lies within one of these
    of_given = find_genes(chromosome, position, build, wanted, bodies_build)["gene"].to_numpy(str)
    gene = np.where(of_given != "", of_given, nearest)
    inside = gene != ""
    eqtl = inside & np.isin(genotypes["locus"].to_numpy(), list(eqtls))
    expressed = of_given != ""
    chosen = eqtl | expressed
    names = {
        "all": np.ones(len(gene), dtype=bool),
        "in gene bodies": inside,
        "eQTLs in every tissue": eqtl,
        "in any gene" if genes is None else "in the most expressed genes": expressed,
        "chosen": chosen,
    }
    rows = [(name, int(kept.sum()), len(set(gene[kept & inside]))) for name, kept in names.items()]
    steps = pd.DataFrame(rows, columns=["step", "snps", "genes"])
    if not chosen.any():
        raise ValueError(f"no SNP is left: {', '.join(f'{row.step} {row.snps}' for row in steps.itertuples())}")
    described = genotypes.assign_coords({f"{view}_gene": ("locus", gene), f"{view}_eqtl": ("locus", eqtl)})
    result = described.isel(locus=np.flatnonzero(chosen))
    block = number_blocks(result[view].to_numpy(), chromosome[chosen], position[chosen])
    return result.assign_coords({f"{view}_block": ("locus", block)}), steps


def number_blocks(
    genotypes: np.ndarray, chromosome: np.ndarray, position: np.ndarray, r2: float = 0.1, reach: int = 250_000
) -> np.ndarray:
    """Give each SNP the number of its linkage block: neighbours that a chain of linked pairs joins.

    Parameters
    ----------
    genotypes : array of shape (n_subjects, n_snps)
        Copies of an allele, NaN where missing; the mean stands in. No label is looked at.
    chromosome, position : array of shape (n_snps,)
        In the order of the genome.
    r2 : float
        Squared correlation from which two SNPs are linked.
    reach : int
        Base pairs beyond which they are not.

    Returns
    -------
    array of shape (n_snps,), int
        From 0, in the order of the genome.

    Examples
    --------
    >>> x = np.array([[0.0, 0, 2], [1, 1, 0], [2, 2, 1], [0, 0, 0]])
    >>> number_blocks(x, np.array(["1", "1", "1"]), np.array([100, 200, 300])).tolist()
    [0, 0, 1]
    """
    n_snps = genotypes.shape[1]
    filled = np.where(np.isnan(genotypes), np.nanmean(genotypes, axis=0), genotypes)
    scaled = filled - filled.mean(axis=0)
    norm = np.linalg.norm(scaled, axis=0)
    scaled = np.divide(scaled, norm, out=np.zeros_like(scaled), where=norm > 0)
    joined = np.zeros(n_snps, dtype=bool)  # with the SNP before
    start = 0
    for end in range(1, n_snps):
        while chromosome[start] != chromosome[end] or abs(position[end] - position[start]) > reach:
            start += 1
        linked = np.flatnonzero(np.square(scaled[:, start:end].T @ scaled[:, end]) >= r2)
        if len(linked):  # what lies between two that are linked belongs to them
            joined[start + linked[0] + 1 : end + 1] = True
    return np.cumsum(~joined) - 1
