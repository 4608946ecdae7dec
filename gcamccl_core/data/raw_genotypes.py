"""Simulated genotypes as files: two arrays that name alleles differently, and GTEx's files for the same panel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.brain_expression import BRAIN_TISSUES, file_name
from gcamccl_core.data.filesets import write_fileset
from gcamccl_core.data.genome_builds import write_build
from gcamccl_core.data.genotype_arrays import COMPLEMENT

BUILD = "simulated"
OTHER_ALLELE = {"A": "G", "G": "A", "C": "T", "T": "C"}  # with any counted allele: no strand is in doubt
EXTRA = {"array_1": 60, "array_2": 90}  # SNPs that one array alone has
AMBIGUOUS, RARE, UNBALANCED, INCOMPLETE, DUPLICATED = 20, 15, 10, 12, 40  # SNPs on both that quality control removes
MISSING = 0.01  # of all calls


def write_genotypes(cohort: xr.Dataset, folder: str | Path, seed: int = 0) -> list[Path]:
    """Write the people on two arrays; the second names the other strand of half its SNPs, and counts the other allele.

    Beside the cohort's SNPs stand some that quality control has to remove: ambiguous, rare, out of Hardy-Weinberg
    equilibrium, often missing, or the copy of a neighbour. One person has more missing calls than is allowed.

    Parameters
    ----------
    cohort : xarray.Dataset
        A simulated cohort.
    folder : path
        Where ``array_1`` and ``array_2`` are made.
    seed : int
        Of everything but the cohort's own genotypes.

    Returns
    -------
    list of Path
        The filesets, without endings.
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 7])
    folder.mkdir(parents=True, exist_ok=True)
    own = pd.DataFrame(
        {
            "chromosome": cohort["snp_chromosome"].to_numpy().astype(str),
            "snp": cohort["locus"].to_numpy().astype(str),
            "position": cohort["snp_position"].to_numpy(),
            "counted_allele": cohort["snp_counted_allele"].to_numpy().astype(str),
        }
    )
    own["other_allele"] = own["counted_allele"].map(OTHER_ALLELE)
    faulty, values = _faulty(own, cohort["snp"].to_numpy(), rng)
    variants = pd.concat([own, faulty], ignore_index=True).assign(morgans="0")
    genotypes = np.concatenate([cohort["snp"].to_numpy(), values], axis=1)
    genotypes[rng.random(genotypes.shape) < MISSING] = np.nan
    often = np.flatnonzero(variants["snp"].str.startswith("incomplete"))
    genotypes[:, often] = np.where(rng.random((len(genotypes), len(often))) < 0.3, np.nan, genotypes[:, often])
    genotypes[-1, rng.random(genotypes.shape[1]) < 0.2] = np.nan
    subjects = cohort["subject"].to_numpy().astype(str)
    people = pd.DataFrame({"family": "0", "individual": subjects, "father": "0", "mother": "0", "phenotype": "-9"})
    people["sex"] = np.where(cohort["sex"].to_numpy() == "male", "1", "2") if "sex" in cohort else "0"
    half = len(subjects) // 2
    prefixes = []
    for name, rows in {"array_1": slice(0, half), "array_2": slice(half, None)}.items():
        extra = _extra(name, EXTRA[name], variants, rng)
        table = pd.concat([variants, extra], ignore_index=True)
        more = rng.binomial(2, 0.3, (len(genotypes[rows]), len(extra))).astype(float)
        calls = np.concatenate([genotypes[rows], more], axis=1)
        if name == "array_2":
            table, calls = _rename(table, calls, rng)
        order = np.lexsort([table["position"], table["chromosome"].astype(int)])
        write_fileset(folder / name, people[rows], table.iloc[order], [calls[:, order]])
        write_build(folder / name, BUILD)
        prefixes.append(folder / name)
    return prefixes


def _faulty(own: pd.DataFrame, genotypes: np.ndarray, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """SNPs that quality control removes, each for a reason of its own, behind the last position of their chromosome."""
    n = len(genotypes)
    common = lambda count: rng.binomial(2, 0.3, (n, count))  # noqa: E731
    copied = rng.choice(len(own), DUPLICATED, replace=False)
    columns = {
        "ambiguous": (common(AMBIGUOUS), None),
        "rare": (rng.binomial(2, 0.01, (n, RARE)), None),
        "unbalanced": (2 * rng.binomial(1, 0.4, (n, UNBALANCED)), None),
        "incomplete": (common(INCOMPLETE), None),
        "copy": (genotypes[:, copied], copied),
    }
    tables = []
    for reason, (values, source) in columns.items():
        place = own.iloc[rng.integers(0, len(own), values.shape[1]) if source is None else source]
        table = place.assign(snp=[f"{reason}_{number}" for number in range(values.shape[1])])
        table["position"] = place["position"] + 1 + np.arange(values.shape[1])
        if reason == "ambiguous":
            table = table.assign(counted_allele="A", other_allele="T")
        tables.append(table)
    return pd.concat(tables), np.concatenate([values for values, _ in columns.values()], axis=1).astype(float)


def _extra(name: str, count: int, variants: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    place = variants.iloc[rng.integers(0, len(variants), count)]
    return place.assign(snp=[f"{name}_{number}" for number in range(count)], position=place["position"] + 500)


def _rename(table: pd.DataFrame, calls: np.ndarray, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Name half the SNPs from the other strand, and count the other allele of half."""
    flipped, swapped = rng.random(len(table)) < 0.5, rng.random(len(table)) < 0.5
    table, calls = table.copy(), calls.copy()
    for column in ("counted_allele", "other_allele"):
        table.loc[flipped, column] = [allele.translate(COMPLEMENT) for allele in table.loc[flipped, column]]
    both = table.loc[swapped, ["other_allele", "counted_allele"]].to_numpy()
    table.loc[swapped, ["counted_allele", "other_allele"]] = both
    calls[:, swapped] = 2 - calls[:, swapped]
    return table, calls


def write_annotation(cohort: xr.Dataset, folder: str | Path, n_expressed: int = 100, seed: int = 0) -> dict[str, Path]:
    """Write a list of gene bodies, eQTLs of 13 tissues, their rs ids and a table of expression for the cohort's panel.

    Every SNP of the panel is either an eQTL in all tissues, or lies in a gene that is among the most expressed: the
    selection of section III-A then gives back the panel.

    Returns
    -------
    dict of str to Path
        ``genes``, ``eqtls`` (a folder), ``lookup`` and ``expression``.
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 8])
    (folder / "eqtls").mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({name: cohort[f"snp_{name}"].to_numpy() for name in ("gene", "chromosome", "position")})
    table["snp"] = cohort["locus"].to_numpy().astype(str)
    bodies = table.groupby("gene", sort=False).agg(
        chromosome=("chromosome", "first"), start=("position", "min"), end=("position", "max")
    )
    bodies["start"], bodies["end"] = bodies["start"] - 100, bodies["end"] + 100
    lines = [f"{row.chromosome} {row.start} {row.end} {row.Index}" for row in bodies.itertuples()]
    (folder / "genes").write_text("\n".join(lines) + "\n")
    write_build(folder / "genes", BUILD)
    genes = bodies.index.to_numpy(str)
    expressed = genes[:n_expressed]
    of_eqtl = table[~table["gene"].isin(expressed)]
    variant = "chr" + of_eqtl["chromosome"].astype(str) + "_" + of_eqtl["position"].astype(str) + "_A_G_b38"
    for tissue in BRAIN_TISSUES:
        noise = [f"chr1_{place}_A_G_b38" for place in rng.integers(1, 10**8, 50)]  # in this tissue alone
        pairs = pd.DataFrame({"variant_id": [*variant, *noise], "gene_id": "ENSG00000000000.1", "tss_distance": 1000})
        pairs["pval_nominal"] = 10.0 ** -rng.uniform(8, 20, len(pairs))
        path = folder / "eqtls" / f"{file_name(tissue)}.v8.signif_variant_gene_pairs.txt.gz"
        pairs.to_csv(path, sep="\t", index=False)
    lookup = pd.DataFrame({"variant_id": variant, "rs_id_dbSNP151_GRCh38p7": of_eqtl["snp"]})
    lookup.to_csv(folder / "lookup_table.txt.gz", sep="\t", index=False)
    tpm = pd.DataFrame({"Name": [f"ENSG{number:011d}.1" for number in range(len(genes))], "Description": genes})
    level = np.where(np.isin(genes, expressed), 100.0, 1.0)
    for tissue in BRAIN_TISSUES:
        tpm[tissue] = (level * rng.uniform(0.5, 1.5, len(genes))).round(3)
    with (folder / "gene_median_tpm.gct").open("w") as file:
        file.write(f"#1.2\n{len(genes)}\t{len(BRAIN_TISSUES)}\n")
        tpm.to_csv(file, sep="\t", index=False)
    return {
        "genes": folder / "genes",
        "eqtls": folder / "eqtls",
        "lookup": folder / "lookup_table.txt.gz",
        "expression": folder / "gene_median_tpm.gct",
    }
