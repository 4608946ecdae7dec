"""Missing genotypes filled in from a reference panel: phased by shapeit4, imputed by minimac4 (section III-A)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from tqdm import tqdm

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.external_tools import find_tool, run_tool
from gcamccl_core.data.filesets import Fileset, FilesetError, open_fileset, write_fileset
from gcamccl_core.data.genome_builds import GenomeBuildError, build_of, name_build, write_build
from gcamccl_core.data.whole_folders import write_folder

TOOLS = ("plink2", "bcftools", "shapeit4", "minimac4")
CHUNK = 300_000_000  # base pairs at once: more than the longest chromosome has


def impute(
    bfile: str | Path,
    panel: Mapping[str, str | Path],
    out: str | Path,
    panel_build: str,
    genome_build: str | None = None,
    least_r2: float = 0.3,
    seed: int = 0,
) -> pd.DataFrame:
    """Fill in the missing genotypes of a fileset; those that were called stay as they are.

    Chromosome by chromosome, people are phased against the panel, which gives each missing genotype a first guess, and
    minimac4 takes it from there. What it gives is rounded to the likeliest genotype. The paper used Minimac 3.

    Without a panel nothing is lost: networks and classifiers of this project put the mean of the training subjects in
    the place of a missing genotype. That is the fallback.

    Parameters
    ----------
    bfile : path
        The fileset, after quality control; it is not changed.
    panel : mapping of str to path
        By chromosome, phased haplotypes of the reference as VCF or BCF, without missing genotypes: for example the
        1000 Genomes Project's.
    out : path
        Folder to make: the fileset ``genotypes`` and ``imputed.csv``. It appears whole or not at all.
    panel_build : str
        The genome build of the panel's positions.
    genome_build : str, optional
        Of the fileset; needed unless ``<bfile>.build`` says it.
    least_r2 : float
        SNPs whose genotypes minimac4 would have imputed with a smaller r², each person left out in turn, keep their
        missing ones.
    seed : int
        Of the phasing.

    Returns
    -------
    pandas.DataFrame
        One row per SNP with a missing genotype: ``snp``, ``chromosome``, ``missing``, ``filled``, ``r2`` (minimac4's
        estimate, NaN where it gave none) and ``left``: why some are still missing, "" if none is.

    Raises
    ------
    FileExistsError
        If ``out`` is there already.
    GenomeBuildError
        If the builds differ: SNPs are matched by position.
    FilesetError
        If the fileset is not whole or not sorted, or the panel lacks a file or a chromosome.
    MissingToolError, ToolError
        If one of the four programs is missing, or fails.
    """
    for tool in TOOLS:
        find_tool(tool)
    files = open_fileset(bfile)
    build = build_of(files.prefix, genome_build)
    if name_build(panel_build) != build:
        raise GenomeBuildError(
            f"{files.prefix} is on {build}, the panel on {name_build(panel_build)}: SNPs are matched by position; lift "
            "one of the two over first"
        )
    if not files.sorted:
        raise FilesetError(f"{files.prefix} is not in the order of the genome; quality_control sorts it")
    chromosomes = list(dict.fromkeys(files.variants["chromosome"]))
    lacking = [name for name in chromosomes if name not in panel]
    if lacking:
        raise FilesetError(f"the panel has no chromosome {name_some(lacking)}; it has {name_some(panel)}")
    absent = [str(path) for path in panel.values() if not Path(path).is_file()]
    if absent:
        raise FilesetError(f"the panel's file {name_some(absent)} is not there")
    with write_folder(out) as folder:
        tables: list[pd.DataFrame] = []

        def chunks() -> Iterator[np.ndarray]:
            for name in tqdm(chromosomes, "impute", unit="chromosome", leave=False):
                rows = np.flatnonzero(files.variants["chromosome"] == name)
                values, table = _fill(files, rows, Path(panel[name]), least_r2, seed)
                tables.append(table)
                yield values

        write_fileset(folder / "genotypes", files.samples, files.variants, chunks())
        write_build(folder / "genotypes", build)
        table = pd.concat(tables, ignore_index=True)
        table.to_csv(folder / "imputed.csv", index=False)
    return table


def _fill(files: Fileset, rows: np.ndarray, panel: Path, least_r2: float, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Genotypes of one chromosome's SNPs with the missing ones filled in, and what became of each SNP that had any."""
    values, variants = files.read(rows), files.variants.iloc[rows].reset_index(drop=True)
    missing = np.isnan(values)
    incomplete = np.flatnonzero(missing.any(axis=0))
    table = variants.loc[incomplete, ["snp", "chromosome"]].assign(missing=missing.sum(axis=0)[incomplete])
    table = table.assign(filled=0, r2=np.nan, left="")
    if not len(incomplete):
        return values, table
    with TemporaryDirectory() as folder:
        imputed, r2 = _run(files, variants, panel, Path(folder), seed)
        found = _match(variants, imputed.variants)
        for number in incomplete:
            column = found[number]
            quality = np.nan if column < 0 else r2[column]
            table.loc[number, "r2"] = quality
            if column < 0:
                table.loc[number, "left"] = "not on the panel, or with other alleles"
            elif not quality >= least_r2:
                table.loc[number, "left"] = f"r2 below {least_r2:g}"
            else:
                given = imputed.read(np.array([column]))[:, 0]
                if imputed.variants["counted_allele"][column] != variants["counted_allele"][number]:
                    given = 2 - given
                values[missing[:, number], number] = given[missing[:, number]]
                table.loc[number, "filled"] = int(missing[:, number].sum())
    return values, table


def _run(files: Fileset, variants: pd.DataFrame, panel: Path, folder: Path, seed: int) -> tuple[Fileset, np.ndarray]:
    """Phase and impute one chromosome; the imputed fileset, and minimac4's r² of every SNP in it."""
    name = variants["chromosome"][0]
    study, reference, phased, imputed = (folder / part for part in ("study", "reference", "phased", "imputed"))
    only = ["--bfile", files.prefix, "--chr", name, "--snps-only", "just-acgt"]
    run_tool("plink2", [*only, "--export", "vcf", "bgz", "--out", study])
    run_tool("bcftools", ["index", f"{study}.vcf.gz"])
    run_tool("bcftools", ["view", panel, "-O", "b", "-o", f"{reference}.bcf"])  # also if it has no index
    run_tool("bcftools", ["index", f"{reference}.bcf"])
    inputs = ["--input", f"{study}.vcf.gz", "--reference", f"{reference}.bcf", "--region", name, "--seed", seed]
    run_tool("shapeit4", [*inputs, "--output", f"{phased}.bcf"])
    run_tool("bcftools", ["index", f"{phased}.bcf"])
    run_tool("minimac4", ["--compress-reference", f"{reference}.bcf", "-o", f"{reference}.msav"])
    # in one piece: over a gap in the panel, minimac4 4.1.2 stops
    settings = ["--chunk", CHUNK, "--format", "GT", "--output-format", "vcf.gz"]
    run_tool("minimac4", [*settings, "-o", f"{imputed}.vcf.gz", f"{reference}.msav", f"{phased}.bcf"])
    arguments = ["--vcf", f"{imputed}.vcf.gz", "--double-id", "--make-bed", "--out", imputed]
    run_tool("plink2", [*arguments, "--max-alleles", 2])
    listed = run_tool(
        "bcftools", ["query", "-f", "%CHROM\\t%POS\\t%REF\\t%ALT\\t%INFO/R2\\t%INFO/ER2\\n", f"{imputed}.vcf.gz"]
    )
    # of a SNP that was typed in part, R2 holds the phasing's own guess against itself; ER2 leaves each person out
    columns = ["chromosome", "position", "other_allele", "counted_allele", "r2", "left_out_r2"]
    quality = pd.DataFrame([line.split("\t") for line in listed.splitlines()], columns=columns)
    opened = open_fileset(imputed)
    keys = ["position", "counted_allele", "other_allele"]
    quality["position"] = quality["position"].astype("int64")
    quality["r2"] = quality["left_out_r2"].where(quality["left_out_r2"] != ".", quality["r2"])
    merged = opened.variants.merge(quality[[*keys, "r2"]].drop_duplicates(keys), "left", on=keys)
    return opened, pd.to_numeric(merged["r2"], errors="coerce").to_numpy()


def _match(variants: pd.DataFrame, imputed: pd.DataFrame) -> np.ndarray:
    """Column of every SNP among the imputed ones, by position and both alleles in either order; -1 for none."""
    places = {
        (row.position, frozenset((row.counted_allele, row.other_allele))): row.Index for row in imputed.itertuples()
    }
    wanted = variants[["position", "counted_allele", "other_allele"]].itertuples(index=False)
    return np.array([places.get((position, frozenset(alleles)), -1) for position, *alleles in wanted])
