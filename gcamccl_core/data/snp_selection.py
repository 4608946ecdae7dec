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
    genes: Collection[str],
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
    genes : collection of str
        Symbols, as of :func:`.most_expressed`.
    bodies : pandas.DataFrame, optional
        As of :func:`.read_gene_bodies`, which is called by default.
    bodies_build : str
        The genome build of these.
    view : str
        Name of the variable.

    Returns
    -------
    chosen : xarray.Dataset
        The same with fewer SNPs, and along ``locus`` ``<view>_gene`` and ``<view>_eqtl``.
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
    gene = find_genes(chromosome, position, build, bodies, bodies_build)["gene"].to_numpy(str)
    inside = gene != ""
    eqtl = inside & np.isin(genotypes["locus"].to_numpy(), list(eqtls))
    expressed = inside & np.isin(gene, list(genes))
    chosen = eqtl | expressed
    names = {
        "all": np.ones(len(gene), dtype=bool),
        "in gene bodies": inside,
        "eQTLs in every tissue": eqtl,
        "in the most expressed genes": expressed,
        "chosen": chosen,
    }
    rows = [(name, int(kept.sum()), len(set(gene[kept & inside]))) for name, kept in names.items()]
    steps = pd.DataFrame(rows, columns=["step", "snps", "genes"])
    if not chosen.any():
        raise ValueError(f"no SNP is left: {', '.join(f'{row.step} {row.snps}' for row in steps.itertuples())}")
    described = genotypes.assign_coords({f"{view}_gene": ("locus", gene), f"{view}_eqtl": ("locus", eqtl)})
    return described.isel(locus=np.flatnonzero(chosen)), steps
