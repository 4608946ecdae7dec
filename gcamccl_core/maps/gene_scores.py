"""From SNPs to genes: one score per gene, by the linkage blocks that its SNPs lie in."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from gcamccl_core.maps.dataset import class_values, is_image
from gcamccl_core.maps.selection import describe_features

COLUMNS = ["target_class", "method", "gene", "score", "feature", "snps", "blocks"]


def pool_to_genes(maps: xr.Dataset, view: str) -> pd.DataFrame:
    r"""Score every gene by the highest of the SNPs that are in linkage with its own.

    .. math:: \mathrm{score}^c_g = \max_{b \in B_g} \max_{f \in b} \frac{1}{|S_c|} \sum_{s \in S_c}
              \mathrm{ReLU}\left(\mathrm{map}^c_{sf}\right)

    with :math:`B_g` the linkage blocks that hold a SNP of gene g and :math:`S_c` the subjects of class c. By feature
    this is ``mean_value`` of :func:`.select_biomarkers`, by block what :func:`.scorecard` scores. Genes that share
    all their blocks share the score, for linkage tells none of them from another. The largest of many values tends
    to be larger than that of few: compare genes of very different numbers of SNPs with those of a control, such as
    :func:`.random_weights_like`.

    Parameters
    ----------
    maps : xarray.Dataset
        As :func:`.compute_maps` makes them; ``<view>_gene`` names the gene of every SNP, ``<view>_block`` its linkage
        block. Without blocks every SNP is one by itself.
    view : str
        A vector view.

    Returns
    -------
    pandas.DataFrame
        One row per ``target_class``, ``method`` and ``gene``, highest ``score`` first: ``feature``, the SNP that gave
        the score (of a neighbouring gene where a block holds several), ``snps`` and ``blocks``, how many the gene
        has. SNPs without a gene make none.

    Raises
    ------
    ValueError
        If the view is an image or not among the maps, its genes are not known, or no subject is of a class.

    Examples
    --------
    >>> dims = ("subject", "target_class", "map_method", "locus")
    >>> maps = xr.Dataset({"snp": (dims, [[[[1.0, 4, 3, -9]]]], {"role": "map"})})
    >>> maps = maps.assign_coords(target_class=["high"], map_method=["gradient"], label=("subject", [0]))
    >>> maps = maps.assign_coords(
    ...     locus=["rs1", "rs2", "rs3", "rs4"],
    ...     snp_gene=("locus", ["APP", "APP", "CLU", "CLU"]),
    ...     snp_block=("locus", [1, 1, 2, 2]),
    ... )
    >>> pool_to_genes(maps, "snp")[["gene", "score", "feature", "snps"]]
      gene  score feature  snps
    0  APP    4.0     rs2     2
    1  CLU    3.0     rs3     2
    """
    features = _describe_snps(maps, view)
    genes = features[features["gene"].notna()]
    if genes.empty:
        raise ValueError(f"no SNP of view '{view}' lies in a gene; give '{view}_gene' the names of genes")
    counts = genes.groupby("gene").agg(snps=("feature", "size"), blocks=("block", "nunique"))
    places = genes[["gene", "block"]].drop_duplicates()
    tables = []
    for target_class in maps["target_class"].to_numpy().astype(str):
        for method in maps["map_method"].to_numpy().astype(str):
            scored = features.assign(score=class_values(maps, view, target_class, method).mean(axis=0))
            best = scored.loc[scored.groupby("block")["score"].idxmax(), ["block", "feature", "score"]]
            pooled = places.merge(best, on="block").sort_values(["score", "gene"], ascending=[False, True])
            pooled = pooled.drop_duplicates("gene").join(counts, on="gene")
            tables.append(pooled.assign(target_class=target_class, method=method))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _describe_snps(maps: xr.Dataset, view: str) -> pd.DataFrame:
    """Give ``feature``, ``gene`` and ``block`` of every SNP, if the maps know its gene."""
    if view not in maps:
        raise ValueError(f"the maps have no view {view!r}")
    if is_image(maps, view):
        raise ValueError(f"view '{view}' holds images, and connections have no genes; choose the view of the SNPs")
    features = describe_features(maps, view)
    if "gene" not in features:
        raise ValueError(
            f"the maps have no coordinate '{view}_gene', so no SNP has a gene; give the cohort one before mapping it"
        )
    alone = features["feature"]  # a SNP without a block is one by itself
    return features.assign(
        block=features["block"].where(features["block"].notna(), alone) if "block" in features else alone
    )
