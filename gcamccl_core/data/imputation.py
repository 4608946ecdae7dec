"""Missing genotypes filled in from a reference panel: phased by shapeit4, imputed by minimac4 (section III-A)."""

from __future__ import annotations

import gzip
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
from gcamccl_core.data.genotype_arrays import COMPLEMENT
from gcamccl_core.data.whole_folders import write_folder

TOOLS = ("plink2", "bcftools", "shapeit4", "minimac4")
CHUNK = 300_000_000  # base pairs at once: more than the longest chromosome has
KEYS = ["position", "counted_allele", "other_allele"]
ABSENT, AMBIGUOUS = "not on the panel, or with other alleles", "A/T or C/G, whose strand cannot be told"
AGAINST = "runs against the panel"
UNCLEAR = "called genotypes too alike to tell whether it runs with the panel"


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

    A SNP is matched by position and both alleles, in either order and on either strand: (A1, A2) = (A, G) is the same
    SNP as (G, A), (T, C) and (C, T). The panel says which allele is REF, and on which strand. Of A/T and C/G nobody can
    tell the strand, so these help neither phasing nor imputation, and keep their missing genotypes. So do insertions
    and deletions. r² is the same for a SNP whose alleles were mixed up, so cov(g, d) > 0 is asked for besides, over the
    people with a called genotype g, where d is the dosage (0 to 2 copies) that minimac4 gives them without the SNP.

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
        estimate, NaN where it gave none or was not asked) and ``left``: why some are still missing, "" if none is.

    Raises
    ------
    FileExistsError
        If ``out`` is there already.
    GenomeBuildError
        If the builds differ: SNPs are matched by position.
    FilesetError
        If the fileset is not whole or not sorted, or the panel lacks a file or a chromosome, or has nothing at
        the positions of one.
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
    with TemporaryDirectory() as name:
        folder = Path(name)
        listed = _list_panel(variants, panel, folder)
        place, turned, left = _match(variants, listed)
        usable = np.flatnonzero(left == "")
        table["left"] = left[incomplete]
        if not len(usable):
            return values, table
        aligned = np.where(turned, 2 - values, values)  # copies of the panel's ALT
        places, first, column = np.unique(place[usable], return_index=True, return_inverse=True)
        sites = listed.iloc[places].reset_index(drop=True)
        given, doses, r2 = _run(files.samples, sites, aligned[:, usable[first]], folder, seed)
    for number, site in zip(usable, column, strict=True):
        lacking = missing[:, number]
        if not lacking.any():
            continue
        table.loc[number, "r2"] = r2[site]
        runs = _covariance(aligned[:, number], doses[:, site])
        if not r2[site] >= least_r2:
            table.loc[number, "left"] = f"r2 below {least_r2:g}"
        elif not runs > 0:
            table.loc[number, "left"] = AGAINST if runs < 0 else UNCLEAR
        else:
            values[lacking, number] = (2 - given if turned[number] else given)[lacking, site]
            table.loc[number, "filled"] = int(lacking.sum())
    return values, table


def _list_panel(variants: pd.DataFrame, panel: Path, folder: Path) -> pd.DataFrame:
    """Copy the panel to ``reference.bcf`` with an index, and list its SNPs at the study's positions.

    Returns
    -------
    pandas.DataFrame
        ``chromosome``, ``position``, ``other_allele`` (the panel's REF) and ``counted_allele`` (its ALT).
    """
    places, reference = folder / "places.txt", folder / "reference.bcf"
    variants[["chromosome", "position"]].drop_duplicates().to_csv(places, sep="\t", header=False, index=False)
    run_tool("bcftools", ["view", panel, "-O", "b", "-o", reference])  # also if it has no index
    run_tool("bcftools", ["index", reference])
    asked = ["query", "-T", places, "-f", "%CHROM\\t%POS\\t%REF\\t%ALT\\n", reference]
    lines = [line.split("\t") for line in run_tool("bcftools", asked).splitlines()]
    if not lines:
        raise FilesetError(
            f"the panel's file {panel} has nothing at the positions of chromosome {variants['chromosome'][0]}: is it "
            "another chromosome's, or does it name the chromosome in another way?"
        )
    listed = pd.DataFrame(lines, columns=["chromosome", "position", "other_allele", "counted_allele"])
    listed["position"] = listed["position"].astype("int64")
    alleles = listed["other_allele"] + listed["counted_allele"]
    return listed[alleles.str.fullmatch("[ACGT]{2}")].drop_duplicates(KEYS).reset_index(drop=True)


def _match(variants: pd.DataFrame, listed: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row of every SNP among the panel's, whether its counted allele is REF there, and why it cannot be filled in."""
    rows: dict[int, list[int]] = {}
    for row, position in enumerate(listed["position"]):
        rows.setdefault(position, []).append(row)
    pairs = list(zip(listed["other_allele"], listed["counted_allele"], strict=True))
    place, turned = np.full(len(variants), -1), np.zeros(len(variants), dtype=bool)
    left = np.full(len(variants), ABSENT, dtype=object)
    for number, (position, *alleles) in enumerate(variants[KEYS].itertuples(index=False)):
        own = tuple(allele.upper() for allele in alleles)
        for names in (own, tuple(allele.translate(COMPLEMENT) for allele in own)):
            same = [row for row in rows.get(position, []) if set(pairs[row]) == set(names)]
            if same:
                place[number], turned[number] = same[0], names[0] == pairs[same[0]][0]
                left[number] = AMBIGUOUS if "".join(sorted(own)) in ("AT", "CG") else ""
                break
    return place, turned, left


def _run(
    samples: pd.DataFrame, sites: pd.DataFrame, aligned: np.ndarray, folder: Path, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phase and impute the SNPs that a chromosome shares with its panel, named and counted as the panel does.

    Returns
    -------
    given, doses : array of shape (n_samples, n_sites)
        Copies of ALT: imputed and rounded; and as minimac4 expects them from the other SNPs.
    r2 : array of shape (n_sites,)
        minimac4's estimate.
    """
    study, reference, phased, imputed, left_out = (
        folder / part for part in ("study", "reference", "phased", "imputed", "left_out")
    )
    name = sites["chromosome"][0]
    write_fileset(study, samples, sites.assign(snp=sites.index.astype(str), morgans=0.0), [aligned])
    run_tool("plink2", ["--bfile", study, "--export", "vcf", "bgz", "--out", study])  # REF is A2
    run_tool("bcftools", ["index", f"{study}.vcf.gz"])
    inputs = ["--input", f"{study}.vcf.gz", "--reference", f"{reference}.bcf", "--region", name, "--seed", seed]
    run_tool("shapeit4", [*inputs, "--output", f"{phased}.bcf"])
    run_tool("bcftools", ["index", f"{phased}.bcf"])
    run_tool("minimac4", ["--compress-reference", f"{reference}.bcf", "-o", f"{reference}.msav"])
    # in one piece: over a gap in the panel, minimac4 4.1.2 stops
    settings = ["--chunk", CHUNK, "--format", "GT", "--output-format", "vcf.gz", "-e", f"{left_out}.vcf.gz"]
    run_tool("minimac4", [*settings, "-o", f"{imputed}.vcf.gz", f"{reference}.msav", f"{phased}.bcf"])
    arguments = ["--vcf", f"{imputed}.vcf.gz", "--double-id", "--make-bed", "--out", imputed]
    run_tool("plink2", [*arguments, "--max-alleles", 2])
    asked = ["query", "-T", folder / "places.txt", "-f", "%POS\\t%ALT\\t%REF\\t%INFO/R2\\t%INFO/ER2\\n"]
    lines = run_tool("bcftools", [*asked, f"{imputed}.vcf.gz"]).splitlines()
    # of a SNP that was typed in part, R2 holds the phasing's own guess against itself; ER2 leaves each person out
    quality = pd.DataFrame([line.split("\t") for line in lines], columns=[*KEYS, "r2", "left_out_r2"])
    quality["position"] = quality["position"].astype("int64")
    quality["r2"] = quality["left_out_r2"].where(quality["left_out_r2"] != ".", quality["r2"])
    opened = open_fileset(imputed)
    columns = opened.variants[KEYS].assign(column=np.arange(len(opened.variants)))
    for part in (quality[[*KEYS, "r2"]], columns):
        sites = sites.merge(part.drop_duplicates(KEYS), "left", on=KEYS)
    r2 = pd.to_numeric(sites["r2"], errors="coerce").to_numpy()
    return opened.read(sites["column"].to_numpy()), _read_doses(Path(f"{left_out}.vcf.gz"), sites, len(samples)), r2


def _read_doses(path: Path, sites: pd.DataFrame, n_samples: int) -> np.ndarray:
    """Read the copies of ALT that minimac4 expects of each person from the other SNPs: (people, sites), else NaN."""
    numbers = {key: number for number, key in enumerate(sites[KEYS].itertuples(index=False, name=None))}
    doses = np.full((n_samples, len(sites)), np.nan, dtype=np.float32)
    with gzip.open(path, "rt") as file:  # line by line: a chromosome's text is larger than all the genotypes
        for line in file:
            fields = line.rstrip("\n").split("\t")
            number = None if line.startswith("#") else numbers.get((int(fields[1]), fields[4], fields[3]))
            if number is not None:
                which = fields[8].split(":").index("LDS")
                doses[:, number] = [sum(map(float, each.split(":")[which].split(","))) for each in fields[9:]]
    return doses


def _covariance(genotypes: np.ndarray, doses: np.ndarray) -> float:
    """Covariance over the people who have both; 0 where fewer than two have."""
    both = ~np.isnan(genotypes) & ~np.isnan(doses)
    return float(np.cov(genotypes[both], doses[both])[0, 1]) if both.sum() > 1 else 0.0
