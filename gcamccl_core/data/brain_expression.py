"""What GTEx says of the brain: variants that regulate expression in its tissues, and the genes expressed most."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from gcamccl_core.data.checks import name_some

# Table I of the paper, as GTEx's tables of expression name them
BRAIN_TISSUES = (
    "Brain - Amygdala",
    "Brain - Anterior cingulate cortex (BA24)",
    "Brain - Caudate (basal ganglia)",
    "Brain - Cerebellar Hemisphere",
    "Brain - Cerebellum",
    "Brain - Cortex",
    "Brain - Frontal Cortex (BA9)",
    "Brain - Hippocampus",
    "Brain - Hypothalamus",
    "Brain - Nucleus accumbens (basal ganglia)",
    "Brain - Putamen (basal ganglia)",
    "Brain - Spinal cord (cervical c-1)",
    "Brain - Substantia nigra",
)
PAIRS = ("signif_variant_gene_pairs", "signif_snpgene_pairs")  # since release 7, and before
ROWS = 500_000  # of a file that are held in memory at a time


class ExpressionError(ValueError):
    """A file that is not as GTEx publishes it; the message names file and column."""


def file_name(tissue: str) -> str:
    """Give the name of a tissue in the names of GTEx's files.

    Examples
    --------
    >>> file_name("Brain - Spinal cord (cervical c-1)")
    'Brain_Spinal_cord_cervical_c-1'
    """
    return re.sub(r"[ ]+", "_", re.sub(r"[()]", "", tissue.replace(" - ", " ")))


def shared_eqtls(
    folder: str | Path, tissues: Sequence[str] = BRAIN_TISSUES, threshold: float = 5e-8, progress: bool = True
) -> pd.DataFrame:
    """Find the variants that regulate some gene in every tissue (108 of the paper's, section III-A).

    Parameters
    ----------
    folder : path
        With one file per tissue as GTEx publishes them, ``<tissue>.v8.signif_variant_gene_pairs.txt.gz`` (release 7
        alike; before, ``<tissue>_Analysis.v6p.signif_snpgene_pairs.txt.gz``).
    tissues : sequence of str
        In all of which a variant must be significant.
    threshold : float
        On ``pval_nominal``: below it. The paper's text has 5 x 10e-8, which is 5e-7 as printed; 5e-8 is the
        genome-wide level.
    progress : bool
        Show a bar.

    Returns
    -------
    pandas.DataFrame
        ``variant_id`` (GTEx's, of which the build is the end) and ``p_value``, the largest over the tissues of the
        least in each; sorted by the id.

    Raises
    ------
    ExpressionError
        If a tissue has no file, or several, or a file lacks a column.
    """
    shared: pd.Series | None = None
    for tissue in tqdm(tissues, "tissues", disable=not progress, leave=False):
        path = _find_pairs(Path(folder), tissue)
        least: pd.Series | None = None
        for rows in _read(path, ["variant_id", "pval_nominal"]):
            found = rows[rows["pval_nominal"] < threshold].groupby("variant_id")["pval_nominal"].min()
            least = found if least is None else pd.concat([least, found]).groupby(level=0).min()
        assert least is not None
        if shared is None:
            shared = least
        else:
            both = shared.index.intersection(least.index)
            shared = pd.concat([shared[both], least[both]], axis=1).max(axis=1)
    if shared is None:
        raise ExpressionError("no tissues are given")
    return shared.sort_index().rename("p_value").rename_axis("variant_id").reset_index()


def _find_pairs(folder: Path, tissue: str) -> Path:
    name = file_name(tissue)
    found = [
        path
        for path in sorted(folder.glob(f"{name}[._]*"))
        if any(kind in path.name for kind in PAIRS) and re.match(rf"{re.escape(name)}(_Analysis)?\.", path.name)
    ]
    if len(found) != 1:
        what = f"has several files of {tissue}: {name_some(path.name for path in found)}" if found else ""
        raise ExpressionError(f"{folder} {what or f'has no file {name}.*.{PAIRS[0]}.txt.gz'}")
    return found[0]


def _read(path: Path, columns: Sequence[str]) -> Iterable[pd.DataFrame]:
    """Read some columns of a large table in pieces."""
    try:
        header = pd.read_csv(path, sep="\t", nrows=0).columns
        lacking = [column for column in columns if column not in header]
        if lacking:
            raise ExpressionError(f"{path} has no column {name_some(lacking)}; it has {name_some(header, 12)}")
        yield from pd.read_csv(path, sep="\t", usecols=list(columns), chunksize=ROWS)
    except (OSError, EOFError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as fault:
        raise ExpressionError(f"{path} cannot be read as GTEx's table ({fault})") from fault


def name_variants(variants: Iterable[str], lookup: str | Path) -> pd.Series:
    """Give the rs ids of GTEx's variants, by the table that GTEx publishes with its genotypes.

    Parameters
    ----------
    variants : iterable of str
        GTEx's ids.
    lookup : path
        ``…lookup_table.txt.gz``, with the columns ``variant_id`` and ``rs_id_dbSNP…``.

    Returns
    -------
    pandas.Series
        rs ids by ``variant_id``, of those that have one.

    Raises
    ------
    ExpressionError
        If the table has no column of rs ids.
    """
    lookup, wanted = Path(lookup), set(variants)
    header = pd.read_csv(lookup, sep="\t", nrows=0).columns
    named = [column for column in header if str(column).startswith("rs_id")]
    if not named:
        raise ExpressionError(f"{lookup} has no column rs_id_dbSNP…; it has {name_some(header, 12)}")
    found = [
        rows[rows["variant_id"].isin(wanted) & rows[named[0]].notna() & (rows[named[0]] != ".")]
        for rows in _read(lookup, ["variant_id", named[0]])
    ]
    return pd.concat(found).set_index("variant_id")[named[0]].rename("rs_id")


def most_expressed(
    path: str | Path,
    n_genes: int = 100,
    tissues: Sequence[str] = BRAIN_TISSUES,
    among: Iterable[str] | None = None,
) -> list[str]:
    """List the genes with the largest mean, over the tissues, of the median expression.

    Parameters
    ----------
    path : path
        ``…gene_median_tpm.gct.gz`` as GTEx publishes it: transcripts per million, a row per gene, a column per tissue.
    n_genes : int
        How many; 100 in the paper.
    tissues : sequence of str
        Columns of the file.
    among : iterable of str, optional
        Only these symbols: genes of the mitochondrion head every such list, and no autosomal SNP lies in one.

    Returns
    -------
    list of str
        Symbols, the most expressed first.

    Raises
    ------
    ExpressionError
        If the file lacks a tissue, or has fewer genes.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, sep="\t", skiprows=2)
    except (OSError, EOFError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as fault:
        raise ExpressionError(f"{path} cannot be read as GTEx's table ({fault})") from fault
    lacking = [column for column in ["Description", *tissues] if column not in table]
    if lacking:
        raise ExpressionError(f"{path} has no column {name_some(lacking)}; it has {name_some(table.columns, 12)}")
    mean = table.set_index("Description")[list(tissues)].mean(axis=1).groupby(level=0).max()
    if among is not None:
        mean = mean[mean.index.isin(set(among))]
    if len(mean) < n_genes:
        raise ExpressionError(f"{path} has {len(mean)} such genes; {n_genes} are asked for")
    return [str(gene) for gene in mean.sort_values(ascending=False, kind="stable").index[:n_genes]]
