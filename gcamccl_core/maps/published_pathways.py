"""The paper's own enrichment: the genes of Tables V and VI tested anew, laid beside Tables VII and VIII."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.external_files import read_manifest
from gcamccl_core.data.manifest import UnavailableError, fetch
from gcamccl_core.data.simulated_genotypes import paper_snps
from gcamccl_core.maps.enrichment import enrich, read_gene_sets
from gcamccl_core.provenance import project_root

GeneSets = Mapping[str, Mapping[str, Iterable[str]]]  # genes by term, by the collection's name in the manifest

COLLECTIONS = (
    "gene_sets/enrichr.GO_Biological_Process_2021.gmt",
    "gene_sets/GO_Cellular_Component_2018.txt",
    "gene_sets/ReactomePathways.gmt",
    "gene_sets/WikiPathways_2019_Human.gmt",
)
LEVEL = 0.05
FOUND, NOT_FOUND, NOT_TESTABLE = "found again", "not found", "not testable here"
ROW = ["class", "pathway", "source"]

# Names that HUGO gave later or earlier, tried where a collection lacks the paper's own. CALM1 is no synonym of CALM3:
# the genes make one and the same protein, and Reactome, which lists proteins, files it under CALM1.
OTHER_SYMBOLS = {
    "ATPIF1": ("ATP5IF1",),
    "LINS": ("LINS1",),
    "FAM69B": ("DIPK1B",),
    "MTURN": ("C7orf41",),
    "PKM": ("PKM2",),
    "TMEM161B-AS1": ("TMEM161B-DT",),
    "CALM3": ("CALM1",),
}


def published_genes() -> dict[str, list[str]]:
    """Genes of Tables V and VI by class, sorted; a gene with SNPs in both tables is in both lists.

    Examples
    --------
    >>> {name: len(genes) for name, genes in published_genes().items()}
    {'low': 32, 'high': 31}
    """
    snps = paper_snps()
    return {name: sorted(set(snps["gene"][snps["listed_for"].isin([name, "both"])])) for name in ("low", "high")}


def published_pathways() -> pd.DataFrame:
    """Read the 30 rows of Tables VII and VIII as printed, with the set that each of them is in a collection.

    Returns
    -------
    pandas.DataFrame
        ``class``, ``pathway``, ``source``, ``set_size``, ``contained``, ``p_value``, ``q_value`` as printed;
        ``collection`` and ``term``, empty where no collection that can be downloaded has the set; then
        ``other_collection`` and ``other_term`` say which entry of the manifest, to be had by hand, has it.

    Examples
    --------
    >>> table = published_pathways()
    >>> len(table), int((table["term"] != "").sum())
    (30, 10)
    """
    return pd.read_csv(project_root() / "data_manifest" / "paper_pathways.csv", keep_default_na=False)


def published_collections() -> dict[str, dict[str, list[str]]]:
    """Read every collection that Tables VII and VIII need and that is to be had from here, genes by term, by its name.

    Raises
    ------
    ManifestError
        If a copy is not the file of the manifest.
    UnavailableError
        If none of the collections can be had.
    """
    found, missed = {}, []
    for name in (*COLLECTIONS, *sorted(set(published_pathways()["other_collection"]) - {""})):
        if name not in read_manifest():
            continue  # an entry to be had by hand may say how without listing a file
        try:
            found[name] = read_gene_sets(fetch(name))
        except UnavailableError as fault:
            missed.append(str(fault))
    if not found:
        raise UnavailableError(f"none of the {len(missed)} gene-set collections can be had from here: {missed[0]}")
    return found


def find_symbols(genes: Iterable[str], annotated: Collection[str]) -> dict[str, str]:
    """Name by which a collection knows each gene: the paper's, else one of OTHER_SYMBOLS, else an empty string.

    Examples
    --------
    >>> find_symbols(["APP", "ATPIF1", "LOC441242"], {"APP", "ATP5IF1"})
    {'APP': 'APP', 'ATPIF1': 'ATP5IF1', 'LOC441242': ''}
    """
    tried = {gene: (gene, *OTHER_SYMBOLS.get(gene, ())) for gene in genes}
    return {gene: next((name for name in names if name in annotated), "") for gene, names in tried.items()}


def symbol_table(collections: GeneSets) -> pd.DataFrame:
    """Names by which each collection knows the paper's genes: one row per gene, one column per collection.

    Empty where the collection has no set with the gene; a row of empty strings is a gene that nothing here can test.
    """
    genes = sorted(set().union(*published_genes().values()))
    return pd.DataFrame({name: find_symbols(genes, annotated_genes(sets)) for name, sets in collections.items()}, genes)


def enrich_published(collections: GeneSets, background: str | Iterable[str] = "annotated") -> pd.DataFrame:
    """Test the genes of Tables V and VI against every set of every collection.

    Parameters
    ----------
    collections : mapping of str to mapping of str to iterable of str
        Genes by term by collection, from :func:`published_collections`. One collection is corrected together.
    background : str or iterable of str
        ``"annotated"``: all genes of the collection; selected genes that it does not know are left out, as the paper's
        tool does. ``"all selected"``: these are kept and count as being in no set, which is the stricter reading.
        ``"listed"``: the genes of both tables alone, so that one class is held against the other. Or the symbols of the
        genes that could have been selected; those without an annotation are left out.

    Returns
    -------
    pandas.DataFrame
        Rows of :func:`.enrich` for both classes and all collections, after ``class`` and ``collection``, with
        ``background_size`` and ``least_p``, the p of a set that holds as many selected genes as it can: where that is
        not small, no list of this length could have found the set. A collection that knows no selected gene of the
        background has no rows.

    Raises
    ------
    ValueError
        If the background has another name, or a gene is listed but not in the background.

    Examples
    --------
    >>> table = enrich_published({"mine": {"synapse": ["SNAP25", "RAB3A", "A", "B"], "growth": ["GFAP", "C", "D"]}})
    >>> table[["class", "term", "overlap", "set_size", "background_size"]].loc[[0, 2]]
      class     term  overlap  set_size  background_size
    0   low   growth        1         3                7
    2  high  synapse        2         4                7
    """
    lists = published_genes()
    tables = []
    for collection, sets in collections.items():
        annotated = annotated_genes(sets)
        for name, genes in lists.items():
            selected = set(rename_genes(genes, annotated, keep=background == "all selected"))
            inside = _background(background, annotated, lists, selected)
            if selected:
                table = enrich(selected, sets, inside)
                table = table.assign(collection=collection, background_size=len(inside), **{"class": name})
                most = np.minimum(table["set_size"], len(selected))  # more cannot be in common
                least = hypergeom.sf(most - 1, len(inside), table["set_size"], len(selected))
                tables.append(table.assign(least_p=np.where(table["testable"], least, np.nan)))
    if not tables:
        raise ValueError("no collection has a gene of Tables V and VI; are its genes symbols?")
    table = pd.concat(tables, ignore_index=True)
    return table[["class", "collection", *table.columns.drop(["class", "collection"])]]


def compare_with_published(collections: GeneSets, background: str | Iterable[str] = "annotated") -> pd.DataFrame:
    """Lay what :func:`enrich_published` finds beside the 30 rows of Tables VII and VIII.

    Parameters
    ----------
    collections, background
        As in :func:`enrich_published`.

    Returns
    -------
    pandas.DataFrame
        The rows of :func:`published_pathways`, and ``our_size``, ``our_background``, ``overlap``, ``genes``, ``our_p``,
        ``our_least_p``, ``our_q`` (missing where not testable) and ``verdict``: found again at q < 0.05, not found, or
        not testable here.
    """
    ours = enrich_published(collections, background)
    table = with_terms(published_pathways(), collections)
    names = {"set_size": "our_size", "background_size": "our_background", "p_value": "our_p", "q_value": "our_q"}
    ours = ours.rename(columns={**names, "least_p": "our_least_p"})
    numbers = [*names.values(), "overlap", "our_least_p"]
    ours = ours[["class", "collection", "term", "genes", *numbers]]
    table = table.merge(ours, how="left", on=["class", "collection", "term"], validate="m:1")
    verdict = np.where(table["our_q"] < LEVEL, FOUND, np.where(table["our_q"].notna(), NOT_FOUND, NOT_TESTABLE))
    return table.assign(verdict=verdict, genes=table["genes"].fillna(""))


def annotated_genes(sets: Mapping[str, Iterable[str]]) -> set[str]:
    """All genes of a collection."""
    return {gene for genes in sets.values() for gene in genes}


def rename_genes(genes: Iterable[str], annotated: Collection[str], keep: bool = False) -> list[str]:
    """Symbols of the collection; genes that it does not know left out, or kept under the paper's name."""
    return [name or gene for gene, name in find_symbols(genes, annotated).items() if name or keep]


def _background(
    asked: str | Iterable[str], annotated: set[str], lists: Mapping[str, list[str]], selected: set[str]
) -> set[str]:
    if asked == "annotated":
        return annotated
    if asked == "all selected":
        return annotated | selected
    if asked == "listed":
        return set(rename_genes(set().union(*lists.values()), annotated))
    if isinstance(asked, str):
        raise ValueError(f"the background is 'annotated', 'all selected', 'listed' or a list of genes, not {asked!r}")
    genes = set(asked)
    lacking = sorted({gene for listed in lists.values() for gene in listed} - genes)
    if lacking:
        raise ValueError(f"genes of Tables V and VI that are not in the background: {name_some(lacking)}; add them")
    return set(rename_genes(genes, annotated))


def with_terms(table: pd.DataFrame, collections: GeneSets) -> pd.DataFrame:
    """Rows of :func:`published_pathways`, with the set of the collection to be had by hand where this is there."""
    other = (table["term"] == "") & table["other_collection"].isin(list(collections))
    return table.assign(
        collection=table["collection"].where(~other, table["other_collection"]),
        term=table["term"].where(~other, table["other_term"]),
    )
